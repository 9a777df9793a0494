"""How long `charrnn train` takes: what it says, and what `--time` includes."""

import json
import time
from types import SimpleNamespace

import pytest
import torch
from processes import SMALL, train
from runs import NO_FLAGS, start

from charrnn.cli.trainer import reading
from charrnn.cli.trainer.announce import _duration, doubt
from charrnn.cli.trainer.request import Request
from charrnn.display.console import WorkBar
from charrnn.text.read_options import ReadOptions
from charrnn.training.clock import Clock
from charrnn.training.ranks import ALONE
from charrnn.training.run import TrainingRun
from charrnn.wording import format_seconds


@pytest.mark.slow
def test_time_over_before_the_first_step_is_reported_even_if_quiet(charrnn, text):
    result = charrnn("train", "verse.txt", *SMALL, "--time", "1s", "-q", cold=True)
    told = "charrnn: verse.pt: --time 1 s is over before a step is made; one is, and no more; give a longer --time\n"
    assert (result.code, result.stdout, result.stderr) == (0, b"verse.pt\n", told)
    assert torch.load(text.with_name("verse.pt"), weights_only=True)["training"]["step"] == 1


@pytest.mark.parametrize(
    ("steps", "evaluate_every", "line_end_id", "evaluations"),
    [
        (1, None, None, 2),  # that of the step, and the one in cold windows
        (1, None, 3, 1),
        (10, None, None, 5),  # every third step, and the last
        (1000, None, None, 5),
        (1000, 10, None, 101),
    ],
)
def test_remaining_time_includes_evaluations(steps, evaluate_every, line_end_id, evaluations):
    config = SimpleNamespace(time_limit=None, evaluate_every=evaluate_every, evaluations=4)
    run = SimpleNamespace(
        is_finished=False, config=config, total_steps=steps + 50, planned_steps=steps, step=50, line_end_id=line_end_id,
        is_out_of_patience=False, evaluation_seconds=600.0, lanes=SimpleNamespace(chars_per_window=89),
    )  # fmt: skip
    run.seconds_at_the_end = TrainingRun.seconds_at_the_end.fget(run)
    expected = format_seconds(600 * evaluations + steps)
    assert _duration(run, chars_per_second=100.0) == f"takes about {expected}"


@pytest.mark.parametrize(("line_end_id", "takes"), [(None, "16 s"), (3, "8 s")])
@pytest.mark.parametrize("options", [{"max_steps": None, "time_limit": 20.0}, {"max_steps": 9, "time_limit": 20.0}])
def test_remaining_time_is_at_least_that_of_the_evaluations_at_the_end(line_end_id, takes, options):
    """As after a pipe that took all of the time: one step is made, and evaluated."""
    run = start(line_end_id=line_end_id, **options)
    run.evaluation_seconds = 8.0
    assert run.seconds > 20, "it began when the clock did"
    assert _duration(run, chars_per_second=1e3) == f"takes about {takes}"


def test_model_too_large_for_its_time_is_what_is_doubted(monkeypatch):
    run = start(max_steps=None, time_limit=20.0)
    monkeypatch.setattr(TrainingRun, "seconds", 5.0)
    assert doubt(run) == ""
    run.evaluation_seconds = 9.0
    assert doubt(run) == (
        "--time 20 s is too short: evaluating this model at the end takes about 18 s; one step is made, and no more; "
        "give a longer --time or a smaller model"
    )
    monkeypatch.setattr(TrainingRun, "seconds", 19.0)
    assert doubt(run) == "--time 20 s is over before a step is made; one is, and no more; give a longer --time"


@pytest.mark.slow
def test_time_limit_includes_reading_the_text(text):
    training = train(text.parent, *SMALL, "--time", "5s", "--json", prepare=slow_reading)
    assert training.process.exitcode == 0, training.stderr
    settings, *reports = (line for line in map(json.loads, training.stderr.splitlines()) if "step" in line)
    config = settings["training"]["config"]
    assert (config["time_limit"], config["max_steps"]) == (5, None)
    assert reports[0]["seconds"] >= SLOW_READING, "so much of it was over before the first step"
    assert reports[0]["seconds_left"] <= 5 - SLOW_READING
    assert reports[-1]["progress"] == 1, "it is what ended the training"
    assert reports[-1]["ended_by"] == "time"


@pytest.mark.parametrize("is_watched", [True, False])
def test_pause_around_reading_is_hardly_taken_off_the_reading_time(text, monkeypatch, is_watched):
    now, shown = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(reading, "CLOCK", clock := Clock())
    monkeypatch.setattr(reading, "has_viewer", lambda _: is_watched)
    monkeypatch.setattr(WorkBar, "__call__", lambda _, done: shown.append(done))

    def stop():
        now[0] += 1000.0
        clock.leave_out_pause()

    def read(texts, how, progress):
        for done in (1, 2):
            now[0] += 10.0
            progress(done)
        stop()
        now[0] += 10.0
        return texts

    monkeypatch.setattr(reading, "read_corpus", read)
    request = Request(texts=(str(text),), reading=ReadOptions(), out=None, **NO_FLAGS)
    assert reading.read_texts(request, request.reading, ALONE) == request.texts
    stop()
    assert clock.now() == 30.0
    assert shown == [1, 2] * is_watched


SLOW_READING = 2.0
"""Seconds."""


def slow_reading():
    read = reading.read_corpus
    reading.read_corpus = lambda *arguments, **options: (time.sleep(SLOW_READING), read(*arguments, **options))[1]
