"""The text that a model learned from, found again by the command line, however it was given to the training."""

import pytest
from conftest import make_text

from charrnn.cli.inspector.training_text import find_text
from charrnn.storage.archive import read_checkpoint

SMALL = ["--hidden-size", 8, "--batch-size", 4, "--seq-len", 16, "--precision", "float32", "--max-steps", 2, "-q"]


@pytest.fixture
def told_of_6_gram(charrnn):
    """The row of the baseline in the card, which needs the text."""

    def tell(*arguments):
        card = charrnn("inspect", *arguments)
        assert card.code == 0, card.stderr
        return next(line for line in card.text.splitlines() if line.startswith("  6-gram"))

    return tell


def test_text_resumed_from_stdin_keeps_its_name_and_is_found(charrnn, tmp_path, told_of_6_gram):
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


def test_learned_folder_is_found_with_the_files_that_were_read(charrnn, tmp_path, told_of_6_gram):
    folder = tmp_path / "My Novel"
    folder.mkdir()
    for number in range(3):
        (folder / f"Chapter {number}.txt").write_text(make_text(1000, seed=number))
    (folder / "notes.txt").write_text("a note")
    flags = [
        "--include",
        "Chapter*",
        "--exclude",
        "*2*",
        "--separator",
        "\\n\\n",
        "--val-text",
        "My Novel/Chapter 1.txt",
    ]
    written = ["--log", "My Novel/run.log", "--out", "My Novel/Chapter.pt"]
    assert charrnn("train", "My Novel", *flags, *written, *SMALL).code == 0
    for given in ([], ["--corpus", "My Novel"]):
        assert " nats (" in told_of_6_gram("My Novel/Chapter.pt", *given)
    shown = charrnn("inspect", "My Novel/Chapter.pt", "--novelty", "100")
    assert shown.code == 0, shown.stderr
    (folder / "Chapter 0.txt").write_text(make_text(1000, seed=9))
    assert told_of_6_gram("My Novel/Chapter.pt").endswith(
        "My Novel, or what --val-text named, has not been found as it was; --corpus FILE gives both as one"
    )


@pytest.mark.parametrize("above", ["models", "models/old/tenor"])
def test_text_is_found_from_the_folders_above_the_checkpoint(charrnn, tmp_path, monkeypatch, above):
    for folder in ("texts/b", above):
        (tmp_path / folder).mkdir(parents=True)
    for number, name in enumerate(["texts/a.txt", "texts/b/b.txt", "texts/held.txt"]):
        (tmp_path / name).write_text(make_text(1000, seed=number))
    trainings = {
        "one": ["texts/a.txt"],
        "folder": ["texts/b"],
        "several": ["texts/a.txt", "texts/b"],
        "held": ["texts/a.txt", "--val-text", "texts/held.txt"],
    }
    for name, texts in trainings.items():
        assert charrnn("train", *texts, "--out", f"{above}/{name}.pt", *SMALL).code == 0
    monkeypatch.chdir(tmp_path / above)
    for name in trainings:
        assert find_text(read_checkpoint(f"{name}.pt"), f"{name}.pt") is not None, name
    monkeypatch.chdir("/")
    for name in trainings:
        path = str(tmp_path / above / f"{name}.pt")
        assert find_text(read_checkpoint(path), path) is not None, name


def test_page_without_the_text_reports_what_is_missing(charrnn, trained, deep_folder):
    (deep_folder / "m.pt").write_bytes((trained / "words.pt").read_bytes())
    for flags in ([], ["--embeddings"]):
        lacking = charrnn("inspect", deep_folder / "m.pt", "--html", "m.html", *flags)
        assert (lacking.code, lacking.text) == (0, "m.html\n")
        assert lacking.stderr == (
            "charrnn: m.html: lacks sections that need the text that the model learned from: words.txt has not been "
            "found; --corpus says where it is\n"
        )
    for flags in (["--text", make_text(300)], ["--corpus", trained / "words.txt"]):
        assert charrnn("inspect", deep_folder / "m.pt", "--html", "m.html", *flags).stderr == ""
