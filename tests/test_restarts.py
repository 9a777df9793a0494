"""A job that torchrun restarts: whose checkpoint and log are its own."""

import json
import re
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest
from ranks import make_request, place, save_checkpoint

from charrnn.cli.trainer.effective_request import settle
from charrnn.errors import ConfigError, OutputError
from charrnn.storage.origin import Origin
from charrnn.training.torchrun import Place, read_place


def test_torchrun_error_folder_identifies_a_job_across_restarts(tmp_path):
    for life in ("attempt_0", "attempt_1"):
        error_file = str(tmp_path / "night_x" / life / "1" / "error.json")
        assert read_place({**place(1, 2, 5), "TORCHELASTIC_ERROR_FILE": error_file}).launches == {"night_x"}
    for other in ("", "error.json"):
        assert not read_place({**place(1, 2, 5), "TORCHELASTIC_ERROR_FILE": other}).launches


# What a later life of a job goes on from.


@pytest.mark.parametrize(
    ("flags", "restarts", "launches", "goes_on"),
    [
        ({"overwrite": True}, 1, {"night_a", "night_b"}, True),  # it has written this file itself, in the life before
        ({}, 2, {"night_a", "night_b"}, True),
        ({"overwrite": True}, 1, {"night_b", "night_c"}, True),  # and one of the hosts is another now
        ({"overwrite": True}, 0, {"night_a", "night_b"}, True),  # which is a new life that nobody counts
        ({"overwrite": True}, 0, {"night_c"}, False),
        ({"overwrite": True}, 1, {"night_c"}, False),  # it died before it had saved anything
        ({"overwrite": True}, 1, set(), False),
    ],
)
def test_restarted_job_resumes_only_from_its_own_checkpoint(tmp_path, flags, restarts, launches, goes_on):
    path = tmp_path / "verse.pt"
    save_checkpoint(path, job="night_a/night_b")
    life = Place(restarts=restarts, launches=frozenset(launches))
    settled = settle(make_request(tmp_path, **flags), life)
    assert (settled.resume, settled.overwrite) == (goes_on, flags.get("overwrite", False) and not goes_on)
    assert settled.explicit == ({} if goes_on else {"max_steps": 5})
    reading = replace(make_request(tmp_path).reading, min_count=2)  # which may have joined an alphabet to another
    settled = settle(make_request(tmp_path, reading=reading, **flags), life)
    assert settled.reading.min_count == (None if goes_on else 2)


@pytest.mark.parametrize("restarts", [0, 1])
def test_restart_resumes_beside_a_later_unplaced_save_and_a_start_is_refused(tmp_path, capsys, restarts):
    path, beside, origin = tmp_path / "verse.pt", tmp_path / "verse.unplaced.pt", Origin(texts=[], run="0" * 12)
    save_checkpoint(path, step=3, origin=origin)
    save_checkpoint(beside, step=5, origin=origin)
    request, told = make_request(tmp_path, resume=True), f"{beside}: holds this training after step 5, "
    if restarts:
        assert settle(request, Place(restarts=restarts)).resume
        assert capsys.readouterr().err.startswith(f"charrnn: {told}")
    else:
        with pytest.raises(ConfigError, match=f"^{re.escape(told)}.* --overwrite, or move it away$"):
            settle(request, Place())
    save_checkpoint(beside, step=3, origin=origin)
    assert settle(request, Place()).resume
    assert capsys.readouterr().err == "", "it is no later one"


@pytest.mark.parametrize("restarts", [0, 1])
def test_script_under_torchrun_may_train_on_one_output_repeatedly(tmp_path, monkeypatch, restarts):
    save_checkpoint(tmp_path / "verse.pt", job="night_a")
    monkeypatch.setattr(sys, "argv", ["charrnn", "train", "verse.txt", "--overwrite", "--seed", "2"])
    life = Place(restarts=restarts, launches=frozenset({"night_a"}))
    assert settle(make_request(tmp_path, overwrite=True), life).resume == bool(restarts)


def log_line(**fields):
    return json.dumps({"run": "0" * 12, "step": 1, **fields}) + "\n"


def test_restarted_job_without_a_save_begins_its_log_anew(tmp_path):
    (tmp_path / "verse.log").write_text(log_line(job="night_a"))
    request = make_request(tmp_path, log=str(tmp_path / "verse.log"))
    settle(request, Place(restarts=1, launches=frozenset({"night_a", "night_c"})))
    assert not (tmp_path / "verse.log").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_restarted_job_keeps_a_log_that_it_continues_or_overwrites(tmp_path, resume):
    save_checkpoint(tmp_path / "verse.pt", job="day")
    (tmp_path / "verse.log").write_text(log_line(job="night"))
    request = make_request(tmp_path, resume=resume, overwrite=not resume, log=str(tmp_path / "verse.log"))
    settle(request, Place(restarts=1, launches=frozenset({"night"})))
    assert (tmp_path / "verse.log").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", ["my notes\n", log_line(job="day"), log_line()])
def test_restarted_job_deletes_only_its_own_log(tmp_path, content, overwrite):
    (tmp_path / "verse.log").write_text(content)
    request = make_request(tmp_path, overwrite=overwrite, log=str(tmp_path / "verse.log"))
    with nullcontext() if overwrite and content.startswith("{") else pytest.raises(OutputError):
        settle(request, Place(restarts=1, launches=frozenset({"night"})))
    assert (tmp_path / "verse.log").read_text() == content


@pytest.mark.parametrize("restarts", [0, 1])
def test_restart_with_standard_input_is_refused(tmp_path, restarts):
    save_checkpoint(tmp_path / "verse.pt", job="night")
    with pytest.raises(ConfigError, match=r"^standard input: was read before the restart; "):
        settle(make_request(tmp_path, texts=("-",)), Place(restarts=restarts, launches=frozenset({"night"})))
