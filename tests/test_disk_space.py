"""Space on the disk: how much a training needs is known before it begins."""

import shutil
from types import SimpleNamespace

import pytest
from processes import SMALL, train

from charrnn.cli.trainer.resources import check_space
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import OutputError
from charrnn.storage.archive import read_checkpoint
from charrnn.training import checkpoint


def test_disk_space_is_checked_behind_links_and_unknown_space_is_enough(tmp_path, monkeypatch):
    (tmp_path / "far").mkdir()
    (tmp_path / "link.pt").symlink_to(tmp_path / "far" / "m.pt")
    usage = {"far": SimpleNamespace(total=1e9, free=0), "odd": SimpleNamespace(total=0, free=0)}
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: usage.get(folder.name, SimpleNamespace(total=1e9, free=1e9))
    )
    shape = ModelConfig(vocab_size=5, cell="gru", hidden_size=8, num_layers=1, embedding_dim=4)
    run = SimpleNamespace(
        config=TrainConfig(batch_size=4, seq_len=8, learning_rate=0.01, epochs=1),
        model=SimpleNamespace(config=shape),
        history=[],
    )
    check_space(tmp_path / "m.pt", run)
    check_space(tmp_path / "odd" / "m.pt", run)  # a file system that says nothing
    with pytest.raises(OutputError, match=f"{tmp_path / 'far'}: has 0.00 MB of space left"):
        check_space(tmp_path / "link.pt", run)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [
    ["--hidden-size", 16, "--max-steps", 3],
    ["--hidden-size", 96, "--members", 2, "--cell", "gru", "--optimizer", "sgd", "--max-steps", 60,
     "--evaluate-every", 1, "--patience", 100],
])  # fmt: skip
def test_checkpoint_size_is_estimated_to_ten_kilobytes(folder, flags):
    assert train(folder, *flags).process.exitcode == 0
    path = folder / "verse.pt"
    stored = read_checkpoint(str(path))
    size = checkpoint.estimate_size(stored.model, stored.train_config, rows=len(stored.history))
    assert path.stat().st_size <= size <= path.stat().st_size + 10_000


def test_space_is_needed_for_the_checkpoint_and_its_replacement(tmp_path, monkeypatch):
    shape = ModelConfig(vocab_size=5, cell="lstm", hidden_size=8, num_layers=1, embedding_dim=4)
    run = SimpleNamespace(
        config=TrainConfig(batch_size=4, seq_len=8, learning_rate=0.01, epochs=1),
        model=SimpleNamespace(config=shape),
        history=[],
    )
    path, size = tmp_path / "m.pt", checkpoint.estimate_size(shape, run.config, rows=run.config.evaluations)
    for before, needed in ((0, 2 * size), (size // 2, 2 * size - size // 2), (size, size), (3 * size, size)):
        path.write_bytes(bytes(before))
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=needed: SimpleNamespace(total=1e9, free=free))
        check_space(path, run)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=needed: SimpleNamespace(total=1e9, free=free - 1))
        with pytest.raises(OutputError, match="of space left, and saving takes"):
            check_space(path, run)


@pytest.mark.slow
def test_too_little_disk_space_is_refused_before_training(folder):
    training = train(folder, *SMALL, "--max-steps", 3, prepare=full_disk)
    assert training.process.exitcode == 2
    assert training.stderr == (
        "charrnn: .: has 0.10 MB of space left, and saving takes 0.28 MB: a checkpoint of 0.14 MB is written beside "
        "the one that it replaces; make room, or give a file elsewhere with --out\n"
    )
    assert train(folder, *SMALL, "--max-steps", 3).process.exitcode == 0
    resume = ["--resume", "--max-steps"]
    assert train(folder, *resume, 3, prepare=full_disk).process.exitcode == 0, "it writes nothing"
    assert train(folder, *resume, 4, prepare=full_disk).process.exitcode == 2
    branch = ["--out", "other.pt", "--resume-from", "verse.pt"]
    assert train(folder, *branch, prepare=full_disk).process.exitcode == 2


def full_disk():
    import shutil
    from collections import namedtuple

    shutil.disk_usage = lambda _: namedtuple("Usage", "total free")(10**9, 10**5)
