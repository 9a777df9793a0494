"""A run that is cut anywhere, saved and resumed is the straight run, bit for bit."""

import dataclasses
import functools
import itertools
import math
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import CORPORA, skip_without, write_checkpoint
from runs import IDS, TEXT, break_forward, corpus, finish, saver_of, start

from charrnn.cell_types import CELLS
from charrnn.cli.trainer import resume_run
from charrnn.cli.trainer.cpu_load import OtherLoad
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resume_state import restore
from charrnn.cli.trainer.threads import ThreadKeeper
from charrnn.network.ensemble import members_of
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.origin import CorpusFacts, Origin
from charrnn.text.cache import Cache
from charrnn.text.corpus import read_corpus
from charrnn.text.encoder import CharEncoder
from charrnn.text.read_options import ReadOptions
from charrnn.training import loop
from charrnn.training.health import Health
from charrnn.training.loop import train
from charrnn.training.pace import Pace

ENCODER = CharEncoder(TEXT)

SETTINGS = {
    "dropout": {"dropout": 0.3, "num_layers": 2},
    "patience": {"patience": 4, "learning_rate": 0.03, "dropout": 0.1},  # goes back to the best weights, then ends
    "moments": {"optimizer": "rmsprop", "input_dropout": 0.1},
}
ENSEMBLE = {"members": {"members": 3, "dropout": 0.2, "patience": 8, "learning_rate": 0.02}}
OTHER_TEXTS = {
    "lines": {"line_end_id": int(ENCODER.encode("\n")[0]), "dropout": 0.2, "batch_size": 6},
    "mapped": {"dropout": 0.2},
    "recall": {"recall": 300, "stretch": 100},
}
CUTS = ["anywhere", "at an evaluation"]
FAST = ("float32", "patience", "anywhere")
STEPS, EVERY = 60, 6


def begin(cell, precision, settings):
    options = {**SETTINGS, **OTHER_TEXTS, **ENSEMBLE}[settings].copy()
    if settings == "mapped":
        options["ids"] = map_ids()
    input_dropout = options.pop("input_dropout", 0.0)
    run = start(cell, precision=precision, max_steps=STEPS, evaluations=STEPS // EVERY, **options)
    if settings == "patience":
        run.val_ids = run.val_ids[::-1].copy()  # the better it knows the text, the worse it does on this
    for model in {run.model, *members_of(run.model)}:
        model.config = dataclasses.replace(model.config, input_dropout=input_dropout)
    return run


@functools.cache
def map_ids():
    """The ids in a file that is mapped, as those of a large text are."""
    with tempfile.TemporaryDirectory() as folder:  # the map outlives its file's name
        return Cache(Path(folder)).keep("ids", [IDS], IDS.dtype)


@pytest.fixture(autouse=True)
def report_at_every_step(monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)


def resume(path, run, changed=frozenset()):
    restore(run, read_checkpoint(str(path), with_training=True), corpus(), changed, str(path))


def figures(report):
    return report.step, report.train_loss, report.val_loss, report.gradient_norm, report.clipped


def everything(run):
    """All that a run is, but for the clock."""
    state = run.state_dict()
    for name in ("seconds", "set_up_seconds", "evaluation_seconds"):
        del state[name]
    del state["pace"]["seconds"]
    state["optimizer"] = [
        moments["state"] for moments in state["optimizer"]
    ]  # the rest follows from the config and the step
    history = [dataclasses.replace(row, seconds=0.0) for row in run.history]
    return state, history, dict(run.best_weights)


MATRIX = [
    pytest.param(*point, id="-".join(point), marks=[] if point[1:] == FAST else pytest.mark.slow)
    for point in itertools.product(CELLS, ("float32", "bfloat16"), SETTINGS, CUTS)
] + [
    pytest.param("lstm", "float32", "lines", "anywhere", id="lines"),
    pytest.param("gru", "bfloat16", "lines", "at an evaluation", id="lines-gru-bfloat16", marks=pytest.mark.slow),
    pytest.param("lstm", "float32", "mapped", "anywhere", id="mapped"),
    pytest.param("lstm", "float32", "recall", "anywhere", id="recall"),
    pytest.param("gru", "bfloat16", "recall", "at an evaluation", id="recall-gru-bfloat16", marks=pytest.mark.slow),
    pytest.param("lstm", "float32", "members", "anywhere", id="members"),
    pytest.param("lstm", "bfloat16", "members", "anywhere", id="members-bfloat16", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("cell", "precision", "settings", "cut"), MATRIX)
def test_run_cut_anywhere_and_resumed_equals_the_straight_run(tmp_path, cell, precision, settings, cut):
    """Fifty-five kinds of run, each cut three times: at random or at evaluations, and on the last step."""
    skip_without(precision, cell)
    straight = begin(cell, precision, settings)
    told = [figures(report) for report in train(straight)]
    chance = random.Random(f"{cell} {precision} {settings} {cut}")
    places = range(1, straight.step + 1) if cut == "anywhere" else range(EVERY, straight.step + 1, EVERY)
    cuts = {*chance.sample(places, 2), straight.step}
    run, retold = begin(cell, precision, settings), []
    while not run.is_finished:
        for report in train(run):
            retold.append(figures(report))
            if report.step in cuts:
                cuts.remove(report.step)
                break
        saver_of(tmp_path / "x.pt", run).save_at_the_end("it is cut")
        run = begin(cell, precision, settings)
        torch.manual_seed(99)  # nothing depends on what torch draws meanwhile
        resume(tmp_path / "x.pt", run)
    assert not cuts
    assert retold == told, "no report twice and none missing"
    assert_alike(run, straight)


def assert_alike(run, straight):
    state, history, best = everything(run)
    expected_state, expected_history, expected_best = everything(straight)
    assert history == expected_history
    torch.testing.assert_close(best, expected_best, rtol=0, atol=0)
    for name, value in expected_state.items():
        if isinstance(value, torch.Tensor) or name in ("weights", "optimizer", "state"):
            torch.testing.assert_close(state[name], value, rtol=0, atol=0, msg=name)
        else:
            assert state[name] == value, name


def test_run_cut_before_its_first_evaluation_goes_back_like_the_straight_one(tmp_path):
    straight, cut, run = (begin("gru", "float32", "dropout") for _ in range(3))
    break_forward(straight, {3, 4, 5})
    train_until(straight, EVERY)
    assert straight.health.recoveries == 1
    train_until(cut, 2)
    saver_of(tmp_path / "x.pt", cut).save_at_the_end("it is cut")
    resume(tmp_path / "x.pt", run)
    break_forward(run, {1, 2, 3})
    train_until(run, EVERY)
    assert_alike(run, straight)


def train_until(run, step):
    assert any(report.step == step for report in train(run))


def test_figures_of_another_held_out_part_are_forgotten(tmp_path):
    measured, run = start(max_steps=2), start(max_steps=2, val_fraction=0.2)
    finish(measured)
    assert measured.cold_loss is not None
    saver_of(tmp_path / "x.pt", measured).save_at_the_end("it is over")
    resume(tmp_path / "x.pt", run, {"val_fraction"})
    assert (run.cold_loss, run.history, run.best, run.best_weights) == (None, [], None, {})
    assert run.pace == Pace(step=2)
    torch.testing.assert_close(run.fallback_weights, dict(measured.model.state_dict()), rtol=0, atol=0)


def test_forced_reading_order_ends_the_current_epoch(tmp_path):
    before, run = start(max_steps=2), start(max_steps=2, batch_size=3)
    finish(before)
    assert 0 < before.lanes.index < before.lanes.windows_per_epoch
    saver_of(tmp_path / "x.pt", before).save_at_the_end("it is over")
    resume(tmp_path / "x.pt", run, {"batch_size"})
    assert (run.lanes.epoch, run.lanes.index) == (1, 0)


def test_forced_rate_warms_up_again_and_clears_trouble(tmp_path):
    before, run = start(max_steps=2), start(max_steps=2, learning_rate=0.1)
    finish(before)
    before.health.skipped, before.rewinds, before.pace.stale = 1, 1, 1
    saver_of(tmp_path / "x.pt", before).save_at_the_end("it is over")
    resume(tmp_path / "x.pt", run, {"learning_rate"})
    assert (run.health, run.rewinds) == (Health(recovered_at=2), 0)
    assert (run.pace.stale, run.pace.lowest) == (0, math.inf)


def test_matrix_covers_patience_and_rewinds():
    """The matrix above would prove little if its runs never rewound or ended early."""
    run = begin("lstm", "float32", "patience")
    reports = list(train(run))
    assert run.rewinds >= 1
    assert run.is_out_of_patience
    assert reports[-1].step < STEPS


def test_file_of_the_first_format_version_can_be_resumed(charrnn, tmp_path):
    """Written by the first version, and readable by all later ones."""
    folder = CORPORA.parent / "tests" / "checkpoints"
    for name in ("version-1.pt", "version-1.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    result = charrnn("train", "version-1.txt", "--resume", "--max-steps", 45, "-q")
    assert (result.code, result.stderr) == (0, "")
    stored = torch.load(tmp_path / "version-1.pt", weights_only=True)
    assert stored["training"]["step"] == 45
    assert [row["step"] for row in stored["history"]][:5] == [8, 16, 24, 32, 40]


@pytest.fixture
def denormals_stay():
    yield
    torch.set_flush_denormal(False)


MOVED = "threads: 2, before 3 (fewer cores are free): not bit for bit"


@pytest.mark.parametrize(
    ("made", "given", "explicit", "threads", "told"),
    [
        ({}, False, {}, 2, MOVED),
        ({"cores": "8"}, False, {}, 2, MOVED),
        ({"cores": "2"}, False, {}, 3, ""),
        ({"cores": "8"}, True, {}, 3, ""),
        ({"cores": "8"}, False, {"threads": 4}, 4, ""),
        ({"cores": "8"}, True, {"threads": 9}, 9, ""),
    ],
)
def test_resume_limits_threads_to_the_cores_unless_requested(
    tmp_path, monkeypatch, denormals_stay, made, given, explicit, threads, told
):
    """On two cores, that which no flag decides; on a machine of as many cores as before it is what it was."""
    monkeypatch.setattr(resume_run, "allotted_cores", lambda: 2)
    monkeypatch.setattr(resume_run, "default_threads", lambda processes: 2)
    monkeypatch.setattr(resume_run.os, "cpu_count", lambda: 2)
    prepared = resume_with_threads(tmp_path, made, given, explicit)
    assert (prepared.run.config.threads, prepared.keeper.threads) == (threads, threads)
    assert prepared.origin.threads_given == (given or "threads" in explicit), "as a later resume wants to know"
    assert prepared.reason == "going on after step 0, epoch 0.00" + (f", {told}" if told else "")


def test_checkpoint_alone_cannot_request_many_threads(tmp_path, monkeypatch, denormals_stay):
    monkeypatch.setattr(resume_run, "MOST_THREADS", 1)
    monkeypatch.setattr(resume_run.os, "cpu_count", lambda: 2)
    assert resume_with_threads(tmp_path, {}, True, {}).run.config.threads == 2


@pytest.mark.parametrize(("given", "explicit"), [(False, {}), (True, {}), (False, {"threads": 3})])
def test_requested_threads_are_kept_fixed_after_a_resume(tmp_path, monkeypatch, denormals_stay, given, explicit):
    fixed = []
    monkeypatch.setattr(resume_run, "allotted_cores", lambda: 4)
    monkeypatch.setattr(resume_run, "default_threads", lambda processes: min(4, torch.get_num_threads()))
    monkeypatch.setattr(
        resume_run, "ThreadKeeper", lambda *args, is_fixed: fixed.append(is_fixed) or ThreadKeeper(*args, is_fixed=True)
    )
    assert resume_with_threads(tmp_path, {"cores": "4"}, given, explicit).run.config.threads == 3
    assert fixed == [given or bool(explicit)]


def test_resume_on_more_cores_keeps_its_threads(tmp_path, monkeypatch, denormals_stay):
    """So it goes on bit for bit."""
    monkeypatch.setattr(resume_run, "allotted_cores", lambda: 8)
    monkeypatch.setattr(resume_run, "default_threads", lambda processes: 8)
    assert resume_with_threads(tmp_path, {"cores": "4"}, False, {}).run.config.threads == 3


@pytest.mark.parametrize(
    ("given", "explicit", "device_before", "precision"),
    [
        (False, {}, "cpu", "auto"),
        (True, {}, "cpu", "bfloat16"),
        (True, {"precision": "auto"}, "cpu", "auto"),
        (False, {"precision": "bfloat16"}, "cpu", "bfloat16"),
        (True, {}, "cuda", "auto"),
    ],
)
def test_requested_slow_precision_is_kept_on_its_device(monkeypatch, given, explicit, device_before, precision):
    monkeypatch.setattr(resume_run, "crawls_in", lambda precision, device: True)
    config = dataclasses.replace(start().config, precision="bfloat16")
    before = dataclasses.replace(config, device=device_before)
    stored = SimpleNamespace(train_config=before, origin=Origin(texts=[], precision_given=given))
    assert resume_run._settle_precision(config, stored, explicit).precision == precision


def test_branch_of_a_branch_knows_its_ancestors(tmp_path, denormals_stay):
    before = Origin(texts=["verse.txt"], run="b" * 12, parents=["a" * 12], left_at=[7])
    prepared = resume_with_threads(
        tmp_path, {}, False, {}, before, resume=False, resume_from=str(tmp_path / "verse.pt")
    )
    assert prepared.origin.run not in (before.run, *before.parents)
    assert (prepared.origin.parents, prepared.origin.left_at) == (["b" * 12, "a" * 12], [0, 7])


BEGUN = Origin(texts=["verse.txt"])


def resume_with_threads(tmp_path, made, given, explicit, origin=BEGUN, **changes):
    """Go on with a run of three threads, which were asked for or not."""
    (tmp_path / "verse.txt").write_text(TEXT, encoding="utf-8")
    corpus = read_corpus((str(tmp_path / "verse.txt"),), ReadOptions())
    run = start(threads=3)
    write_checkpoint(
        tmp_path / "verse.pt", model=run.model.config, encoder=ENCODER, weights=run.model.state_dict(), history=[],
        corpus=CorpusFacts(corpus.name, len(corpus.ids), corpus.num_bytes, corpus.sha256, corpus.counts), made=made,
        origin=dataclasses.replace(origin, threads_given=given), training=run.state_dict(),
    )  # fmt: skip
    request = Request(
        texts=(str(tmp_path / "verse.txt"),), reading=ReadOptions(), out=str(tmp_path / "verse.pt"), options={},
        explicit=explicit, log=None, resume=True, resume_from=None, force=False, overwrite=False, quiet=True,
        as_json=False, started=0.0,
    )  # fmt: skip
    return resume_run.resume_run(dataclasses.replace(request, **changes), corpus, OtherLoad())
