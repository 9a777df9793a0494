"""The text that a model learned from, found again by the command line, however it was given to the training."""

import pytest
from conftest import make_text

from charrnn.storage.archive import read_checkpoint

SMALL = ["--hidden-size", 8, "--batch-size", 4, "--seq-len", 16, "--precision", "float32", "--max-steps", 2, "-q"]


@pytest.fixture
def told_of_6_gram(charrnn):
    """What the card says of the yardstick, for which it takes the text."""

    def tell(*arguments):
        card = charrnn("inspect", *arguments)
        assert card.code == 0, card.stderr
        return next(line for line in card.text.splitlines() if line.startswith("  6-gram"))

    return tell


def test_a_text_that_comes_from_standard_input_at_a_resume_keeps_its_name_and_is_found(
    charrnn, tmp_path, told_of_6_gram
):
    learned = make_text(1000).encode()
    (tmp_path / "log.txt").write_bytes(learned)
    assert charrnn("train", "log.txt", *SMALL).code == 0
    (tmp_path / "log.txt").write_bytes(learned + b"a line more\n")
    resumed = charrnn("train", "-", "--out", "log.pt", "--resume", "--max-steps", 3, stdin=learned)
    assert resumed.code == 0, resumed.stderr
    assert resumed.stderr.startswith("log.txt: 1,000 characters")
    stored = read_checkpoint(str(tmp_path / "log.pt"))
    assert (stored.corpus.name, stored.origin.texts) == ("log.txt", ["log.txt"])
    assert " nats (" in told_of_6_gram("log.pt")
