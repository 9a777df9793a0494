"""A training that begins with the weights of another, on a text of its own."""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import NOWHERE, make_text, numpy_weights, run_charrnn
from processes import Training, slow_steps, train
from ranks import make_request, save_checkpoint
from runs import IDS, TEXT, finish, start

from charrnn.cli.trainer import entry_point, fine_tuning
from charrnn.cli.trainer.effective_request import settle
from charrnn.cli.trainer.fine_tuning import carry_over
from charrnn.cli.trainer.resume_changes import overlaps
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError
from charrnn.network.ensemble import build_model
from charrnn.network.model import forecasts_on
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.origin import CorpusFacts, Origin
from charrnn.text.corpus import read_corpus
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import TextOptions
from charrnn.text.read_options import ReadOptions
from charrnn.training import checkpoint
from charrnn.training.evaluation import evaluate, evaluate_lines
from charrnn.training.loop import first_report
from charrnn.training.torchrun import Place
from charrnn.training.validation import FIRST_WINDOWS, evaluate_before_first_step

BASE = Origin(texts=[])
SMALL = ["--hidden-size", 24, "--batch-size", 4, "--seq-len", 16, "--precision", "float32"]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A folder with a model that knows one text, and another text, in the same words and with a letter more."""
    folder = tmp_path_factory.mktemp("learned") / "work"
    folder.mkdir()
    (folder / "verse.txt").write_text(make_text(20_000), encoding="utf-8")
    training = train(folder, *SMALL, "--max-steps", 400, "--out", "base.pt")
    assert training.process.exitcode == 0, training.stderr
    (folder / "verse.txt").write_text(make_text(2000, seed=1).replace("tuna", "tuñá"), encoding="utf-8")
    return folder


@pytest.fixture
def folder(learned, tmp_path):
    return shutil.copytree(learned, tmp_path / "work")


def best_loss(path):
    return read_checkpoint(str(path)).best.val_loss


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("has_unknown", [False, True])
def test_known_characters_keep_their_rows_and_new_ones_get_fresh_rows(members, has_unknown):
    before, now = CharEncoder("bdf", has_unknown=has_unknown), CharEncoder("abcdef", has_unknown=True)
    shape = {"cell": "gru", "hidden_size": 4, "num_layers": 2, "embedding_dim": 3, "members": members}
    old, new = (build_model(ModelConfig(vocab_size=len(encoder), **shape)) for encoder in (before, now))
    weights = numpy_weights(old)
    fresh = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    new.load_state_dict(carry_over(weights, new.state_dict(), before, now))
    carried = new.state_dict()
    by_character = [name for name, tensor in carried.items() if tensor.shape != old.state_dict()[name].shape]
    assert len(by_character) == 3 * members
    for name, tensor in carried.items():
        if name not in by_character:
            assert torch.equal(tensor, old.state_dict()[name])
            continue
        for place, character in enumerate(now.spelled):
            known = before.spelled.find(character)
            expected = old.state_dict()[name][known] if known >= 0 else fresh[name][place]
            assert torch.equal(tensor[place], expected), (name, character)


@pytest.mark.parametrize("options", [{}, {"members": 2}, {"recall": 32}])
def test_first_evaluation_is_of_the_initial_weights(options):
    run, twin = start(max_steps=20, dropout=0.4, **options), start(max_steps=20, dropout=0.4, **options)
    loss = evaluate_before_first_step(run)
    (row,) = run.history
    assert loss == row.val_loss == run.best.val_loss == evaluate(run.model, run.val_ids)
    model, state, losses = twin.model.eval(), twin.state, []
    with torch.no_grad():
        for _ in range(FIRST_WINDOWS):
            window = next(twin.lanes)
            state = model.initial_state(twin.num_lanes) if window.resets_state else state
            logits, state = model(torch.from_numpy(window.inputs), state, forecasts_on(model.device, window.recalled))
            picked = logits.log_softmax(-1).gather(-1, torch.from_numpy(window.targets)[..., None])
            losses.append(-picked.mean().item())
    assert row.train_loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert (row.step, row.epoch, run.lanes.epoch, run.lanes.index) == (0, 0.0, 0, 0)
    report = first_report(run, seconds_left=9.0)
    assert (report.step, report.best_step, report.val_loss, report.best_val_loss) == (0, 0, loss, loss)
    assert (report.train_loss, report.learning_rate, report.seconds_left) == (row.train_loss, 0.0, 9.0)
    assert (report.is_best, report.is_last) == (True, False)
    assert {report.gradient_norm, report.gradient_norm_max, report.clipped, report.chars_per_second} == {None}
    assert run.model.training, "and it goes on as if nothing had happened"
    other = start(max_steps=20, dropout=0.4, **options)
    for each in (run, other):
        finish(each)
    assert [row.train_loss for row in run.history[1:]] == [row.train_loss for row in other.history]


def test_first_evaluation_of_separate_lines_starts_each_from_zeros():
    line_end_id = int(IDS[TEXT.index("\n")])
    run = start(line_end_id=line_end_id, batch_size=64, seq_len=100)
    assert run.lanes.windows_per_epoch <= FIRST_WINDOWS, "so that all that is learned from is read"
    evaluate_before_first_step(run)
    assert run.history[0].train_loss == pytest.approx(evaluate_lines(run.model, IDS[:5000], line_end_id), rel=1e-6)


def test_gain_is_below_the_initial_loss(monkeypatch):
    run = start(max_steps=1000, evaluations=100, patience=3)
    loss = evaluate_before_first_step(run)
    monkeypatch.setattr("charrnn.training.loop.validate", lambda run: loss)
    assert [report.val_loss for report in finish(run) if report.val_loss is not None] == [loss] * 3


@pytest.mark.slow
def test_fine_tuning_learns_more_of_a_short_text_than_training_anew(folder):
    tuned = train(folder, *SMALL, "--init-from", "base.pt", "--out", "tuned.pt", "--epochs", 2, "--log", "tuned.log")
    assert tuned.process.exitcode == 0, tuned.stderr
    assert tuned.stdout == "tuned.pt\n"
    assert "those of base.pt, whose loss here is " in tuned.stderr
    assert ", 2 characters new to it; the rest chosen for about 2 epochs of 1,800 characters" in tuned.stderr
    anew = train(folder, *SMALL, "--out", "anew.pt", "--epochs", 2, "--recall", 0)
    assert anew.process.exitcode == 0, anew.stderr
    first, *_ = read_checkpoint(str(folder / "tuned.pt")).history
    reached = best_loss(folder / "tuned.pt")
    assert reached < first.val_loss - 0.1
    assert reached < best_loss(folder / "anew.pt") - 0.02
    assert set("ñá") < set(read_checkpoint(str(folder / "tuned.pt")).encoder.characters)
    rows = [json.loads(line) for line in (folder / "tuned.log").read_text().splitlines()]
    assert rows[-1]["step"] == 2 * 29, "two passes"
    assert (rows[0]["step"], rows[0]["train_loss"], rows[0]["val_loss"]) == (0, first.train_loss, first.val_loss)
    assert "\nstep 0, epoch 0.00, 0%: training " in tuned.stderr
    again = ["--resume", "--out", "tuned.pt", "--epochs", 3, "--log", "tuned.log", "--json"]
    resumed = train(folder, *again)
    assert resumed.process.exitcode == 0, resumed.stderr
    longer = [json.loads(line) for line in (folder / "tuned.log").read_text().splitlines()]
    assert longer[: len(rows)] == rows
    assert longer[len(rows)]["step"] > rows[-1]["step"], "the first evaluation is told once"
    assert all(json.loads(line).get("step", 1) for line in resumed.stderr.splitlines())
    usual, own = (read_checkpoint(str(folder / name)).train_config.learning_rate for name in ("anew.pt", "tuned.pt"))
    assert own == pytest.approx(usual / 2)


@pytest.mark.slow
def test_initial_weights_are_kept_if_nothing_is_gained(folder):
    (folder / "base.pt").rename(folder / "\x1b[7m.pt")
    harmful = train(folder, "--init-from", "\x1b[7m.pt", "--out", "bad.pt", "--max-steps", 4, "--learning-rate", 20)
    assert harmful.process.exitcode == 0, harmful.stderr
    stored = read_checkpoint(str(folder / "bad.pt"))
    assert stored.train_config.learning_rate == 20, "half the usual one is for where none is given"
    assert "those of \N{SYMBOL FOR ESCAPE}[7m.pt, whose loss here is " in harmful.stderr
    assert ", step 0, that of the weights that it began with: nothing was gained; " in harmful.stderr
    assert (stored.best.step, stored.best.val_loss) == (0, stored.history[0].val_loss)
    np.testing.assert_array_equal(
        stored.weights["layers.0.weight_hh"], read_checkpoint(str(folder / "\x1b[7m.pt")).weights["layers.0.weight_hh"]
    )


@pytest.mark.slow
def test_init_from_may_be_overwritten_at_the_first_save(folder):
    before = (folder / "base.pt").read_bytes()
    flags = ["--init-from", "base.pt", "--out", "base.pt", "--overwrite", "--max-steps", 4]
    told = train(folder, *flags, prepare=tell_what_is_saved_over).stderr
    assert told.split("saved over ")[1].split()[0] == hashlib.sha256(before).hexdigest()
    assert read_checkpoint(str(folder / "base.pt")).origin.init_from == "base.pt"


def tell_what_is_saved_over():
    write = checkpoint.write

    def write_and_tell(path, *what):
        print("saved over", hashlib.sha256(path.read_bytes()).hexdigest(), file=sys.stderr, flush=True)
        write(path, *what)

    checkpoint.write = write_and_tell


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "now", "is_told"),
    [(0.1, 0.2, True), (0.2, 0.1, False), (0.1, 0.1, False), (0, 0.1, True), (0.1, 0, False)],
)
def test_held_out_text_learned_before_warns(folder, before, now, is_told):
    flags = [*SMALL, "--max-steps", 1, "--overwrite", "--val-fraction"]
    assert train(folder, *flags, before, "--out", "first.pt").process.exitcode == 0
    second = train(folder, *flags[6:], now, "--out", "second.pt", "--init-from", "first.pt")
    assert second.process.exitcode == 0
    assert ("so that some of what is held out was learned from before" in second.stderr) == is_told
    assert read_checkpoint(str(folder / "second.pt")).origin.learned_held_out == is_told


@pytest.mark.slow
def test_fine_tuned_run_resumes_like_any_other(folder):
    flags = ["--init-from", "base.pt", "--batch-size", 4, "--precision", "float32", "--max-steps", 300]
    flags += ["--evaluate-every", 50]
    whole = train(folder, *flags, "--out", "whole.pt")
    assert whole.process.exitcode == 0, whole.stderr
    cut = Training(folder, *flags, "--out", "cut.pt", prepare=slow_steps)
    cut.wait_for("step 50,")
    cut.kill(signal.SIGTERM)
    assert cut.wait() == 128 + signal.SIGTERM, cut.stderr
    assert 50 <= torch.load(folder / "cut.pt", weights_only=True)["training"]["step"] < 300
    further = train(folder, "--resume", "--out", "cut.pt")
    assert further.process.exitcode == 0, further.stderr
    straight, resumed = (torch.load(folder / name, weights_only=True) for name in ("whole.pt", "cut.pt"))
    assert [row["val_loss"] for row in resumed["history"]] == [row["val_loss"] for row in straight["history"]]
    torch.testing.assert_close(resumed["training"]["weights"], straight["training"]["weights"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("typed", "there", "refused"),
    [
        ("base.pt", BASE, ""),
        ("{folder}/base.pt", BASE, ""),
        ("moved.pt", BASE, ""),
        ("base.pt", None, ""),  # nobody needs it any more
        ("moved.pt", None, "from base.pt, not from moved.pt"),
        ("base.pt", NOWHERE, "from base.pt as it was, not from what lies there now"),  # another has its name by now
        ("other.pt", NOWHERE, "from base.pt, not from other.pt"),
    ],
)
def test_resume_accepts_init_from_the_same_model_at_another_path(tmp_path, monkeypatch, typed, there, refused):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "verse.pt", origin=replace(NOWHERE, init_from="base.pt", init_run=BASE.run))
    typed = typed.format(folder=tmp_path)
    if there is not None:
        save_checkpoint(tmp_path / typed, origin=there)
    told = rf"verse\.pt began {refused}; leave --init-from out to go on with .*verse\.pt$"
    with pytest.raises(ConfigError, match=told) if refused else nullcontext():
        assert settle(make_request(tmp_path, resume=True, init_from=typed), Place()).init_from is None


def test_resume_accepts_init_from_a_model_that_the_run_replaced(tmp_path):
    path = str(tmp_path / "verse.pt")
    save_checkpoint(tmp_path / "verse.pt", origin=replace(NOWHERE, init_from=path, init_run=BASE.run))
    assert settle(make_request(tmp_path, resume=True, init_from=path), Place()).init_from is None


def test_resume_refuses_init_from_for_a_run_that_began_without(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"give one of them$"):  # there is nothing to go on with
        settle(make_request(tmp_path, resume=True, init_from="base.pt"), Place())
    save_checkpoint(tmp_path / "base.pt", origin=BASE)
    save_checkpoint(tmp_path / "verse.pt", origin=NOWHERE)
    with pytest.raises(
        ConfigError, match=r"began with weights of its own, not with those of base.pt; leave --init-from"
    ):
        settle(make_request(tmp_path, resume=True, init_from="base.pt"), Place())
    told = "^--init-from verse.pt is what --resume goes on with; .*, give --overwrite in place of --resume; to go on, "
    with pytest.raises(ConfigError, match=told):
        settle(make_request(tmp_path, resume=True, init_from="verse.pt"), Place())
    with pytest.raises(ConfigError, match=r"give one of them$"):
        settle(make_request(tmp_path, resume=True, resume_from="verse.pt", init_from="base.pt"), Place())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_resume_does_not_wait_for_a_pipe_given_as_init_from(tmp_path):
    save_checkpoint(tmp_path / "verse.pt", origin=replace(NOWHERE, init_from="base.pt", init_run=BASE.run))
    os.mkfifo(tmp_path / "base.pt")
    with pytest.raises(ConfigError, match=r"began from base.pt, not from "):
        settle(make_request(tmp_path, resume=True, init_from=str(tmp_path / "base.pt")), Place())


@pytest.mark.slow
def test_repeated_fine_tuning_command_resumes_and_keeps_its_origin(folder):
    """A cluster may queue a job again, whose script adds --resume if there is a checkpoint."""
    flags = ["--init-from", "./base.pt", "--out", "tuned.pt", "--min-count", 10_000, "--max-steps"]
    begun = train(folder, *flags, 5)
    assert begun.process.exitcode == 0, begun.stderr
    between = train(folder, "--out", "tuned.pt", "--max-steps", 6, "--resume")
    assert between.process.exitcode == 0, between.stderr
    again = train(folder, *flags, 8, "--resume")
    assert (again.process.exitcode, "going on after step 6" in again.stderr) == (0, True), again.stderr
    shown = run_charrnn(folder, "inspect", "tuned.pt", "--novelty", 20, "--json")
    assert b"the text of the model that it began with is not searched" in shown.stdout, shown.stderr
    assert train(folder, *SMALL, "--max-steps", 1, "--out", "other.pt").process.exitcode == 0
    refused = train(folder, "--init-from", "other.pt", *flags[2:], 9, "--resume")
    assert (refused.process.exitcode, "began from base.pt, not from other.pt" in refused.stderr) == (2, True), (
        refused.stderr
    )


@pytest.mark.slow
def test_fine_tuning_killed_before_its_first_save_can_be_started_again(folder):
    flags = ["--init-from", "base.pt", "--out", "tuned.pt", "--log", "tuned.log", "--resume-or-start"]
    for _ in range(2):
        killed = Training(folder, *flags, "--max-steps", 10**6, "--evaluate-every", 10**6)
        killed.wait_for("step 0")
        killed.kill(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        assert "before.log" not in killed.stderr
        assert json.loads((folder / "tuned.log").read_text().splitlines()[0])["val_loss"]
    assert not [*folder.glob("*.before.log")]


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--init-from", "--force-resume"])
def test_divergence_before_the_first_save_keeps_the_initial_model(folder, flag):
    (folder / "verse.txt").write_text(make_text(2000, seed=1), encoding="utf-8")
    begin = ["--init-from", "base.pt", "--out", "tuned.pt"]
    if flag == "--force-resume":
        begin = [flag, "--out", "base.pt"]
    wild = ["--max-steps", 500, "--learning-rate", 1000, "--grad-clip", 0, "--optimizer", "sgd", "--warmup-steps", 0]
    training = train(folder, *begin, *wild, "--evaluate-every", 200, "--batch-size", 4, "--seq-len", 16)
    assert training.process.exitcode == 1
    assert f"{begin[-1]} keeps the best so far" in training.stderr
    kept = read_checkpoint(str(folder / begin[-1]))
    assert (kept.corpus.characters, kept.best.step) == (2000, 0), "of this text"


@pytest.mark.slow
def test_fine_tuning_with_the_time_over_makes_one_step_and_ends(folder):
    flags = ["--init-from", "base.pt", "--out", "tuned.pt", "--time", "1s", "--json"]
    training = train(folder, *flags, prepare=slow_to_begin)
    assert training.process.exitcode == 0, training.stderr
    told = [json.loads(line) for line in training.stderr.splitlines()]
    assert not any("finished" in line for line in told)
    (last,) = (line for line in told if "checkpoint" in line)
    assert (last, last["step"], last["ended_by"]) == (told[-1], 1, "time")
    (warning,) = (line["warning"] for line in told if "warning" in line and "--time" in line["warning"])
    assert "is over before a step is made; one is, and no more" in warning


def slow_to_begin():
    """Let the evaluation before the first step come when the time is over."""
    measure = fine_tuning.evaluate_before_first_step
    fine_tuning.evaluate_before_first_step = lambda run: (time.sleep(max(0.0, 1.0 - run.seconds)), measure(run))[1]


@pytest.mark.slow
def test_init_from_replaced_while_the_text_is_read_is_refused(folder):
    training = train(folder, "--init-from", "base.pt", "--out", "tuned.pt", "--max-steps", 3, prepare=replace_meanwhile)
    told = "charrnn: base.pt: was replaced by another model while the text was read; start again"
    assert (training.process.exitcode, training.stderr.splitlines()[-1]) == (1, told)
    assert not (folder / "tuned.pt").exists()


def replace_meanwhile():
    """Replace the model while the text is read."""
    read = entry_point.read_texts

    def read_and_replace(*what):
        corpus, stored = read(*what), torch.load("base.pt", weights_only=True)
        torch.save({**stored, "characters": f"{stored['characters'][:-1]}~"}, "base.pt")
        return corpus

    entry_point.read_texts = read_and_replace


@pytest.mark.slow
def test_exported_model_can_be_fine_tuned(folder, charrnn):
    assert charrnn("inspect", folder / "base.pt", "--export", folder / "slim.pt").code == 0
    training = train(folder, "--init-from", "slim.pt", "--out", "tuned.pt", "--max-steps", 3)
    assert training.process.exitcode == 0, training.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["base.pt", "--hidden-size", 32], 2, "--hidden-size is 32, and the weights in base.pt were made for "),
        (["base.pt", "--unit", "byte"], 2, "--unit is byte, and base.pt has learned characters; leave it out"),
        (["base.pt", "--resume"], 2, "--init-from begins a training with a model's weights, and --resume goes on with"),
        (["base.pt", "--lines"], 2, "--lines keeps lines apart, and the model in base.pt recalls what stood before"),
        (["none.pt"], 1, "none.pt: no such file"),
        ([""], 2, "--init-from is empty; give a checkpoint"),
        (
            ["base.pt", "--out", "base.pt"],
            2,
            "base.pt: exists; replace it with --overwrite, or choose another file with",
        ),
    ],
)
def test_unusable_init_from_is_refused_in_one_line(folder, flags, code, told):
    before = (folder / "base.pt").read_bytes()
    training = train(folder, "--max-steps", 2, "--init-from", *flags)
    assert training.process.exitcode == code
    assert training.stderr.startswith(f"charrnn: {told}"), training.stderr
    assert training.stderr.count("\n") == 1
    assert (folder / "base.pt").read_bytes() == before


@pytest.mark.slow
def test_grown_list_warns_of_other_held_out_lines(folder):
    names = "".join(f"{name}\n" for name in make_text(3000).split())
    (folder / "verse.txt").write_text(names, encoding="utf-8")
    flags = ["--lines", "--batch-size", 4, "--precision", "float32", "--max-steps", 2, "--overwrite"]
    assert train(folder, *flags, "--out", "list.pt").process.exitcode == 0
    (folder / "verse.txt").write_text(names + "tin\nsole\n", encoding="utf-8")
    grown = train(folder, *flags, "--init-from", "list.pt", "--out", "grown.pt")
    assert grown.process.exitcode == 0, grown.stderr
    told = "some of what is held out may have been learned from before"
    assert told in grown.stderr
    whole = train(folder, *flags, "--init-from", "list.pt", "--out", "grown.pt", "--val-fraction", 0)
    assert told not in whole.stderr, "nothing is held out"
    assert train(folder, *flags, "--out", "list.pt", "--val-fraction", 0).process.exitcode == 0
    (folder / "verse.txt").write_text(names + "tin\nsole\ntin sole\n", encoding="utf-8")
    assert told in train(folder, *flags, "--init-from", "list.pt", "--out", "grown.pt").stderr


@pytest.mark.parametrize(("easier_by", "is_told"), [(0.15, False), (0.25, True)])
def test_suspiciously_low_initial_loss_warns_whatever_the_name_of_the_text(folder, easier_by, is_told):
    flags = ["--init-from", "base.pt", "--out", "tuned.pt", "--max-steps", 1, "--overwrite"]
    (folder / "prose.txt").write_text(make_text(2000, seed=1), encoding="utf-8")
    assert run_charrnn(folder, "train", "prose.txt", *flags).returncode == 0
    first = read_checkpoint(str(folder / "tuned.pt")).history[0].val_loss
    contents = torch.load(folder / "base.pt", weights_only=True)
    for row in contents["history"]:
        row["val_loss"] = first + easier_by
    torch.save(contents, folder / "base.pt")
    training = run_charrnn(folder, "train", "prose.txt", *flags)
    told = (
        f"(far below the {first + easier_by:.4f} of its own held-out text: this one is easier, or was learned in part)"
    )
    assert (training.returncode, told in " ".join(training.stderr.decode().split())) == (0, is_told)
    assert not read_checkpoint(str(folder / "tuned.pt")).origin.learned_held_out, "it may be easy"


@pytest.mark.slow
def test_nightly_growing_text_gets_no_verdict_after_overlaps(folder):
    flags = [*SMALL[2:], "--max-steps", 2, "--evaluate-every", 1, "--overwrite", "--out", "night.pt"]
    told, cards = "some of what is held out may have been learned from before", []
    for night, share in enumerate((0, 0.1, 0.1)):
        (folder / "verse.txt").write_text(make_text(2000 + 20 * night), encoding="utf-8")
        again = ["--init-from", "night.pt"] if night else [*SMALL[:2]]
        training = train(folder, *flags, *again, "--val-fraction", share)
        assert training.process.exitcode == 0, training.stderr
        assert (told in training.stderr) == (night > 0)
        cards.append(json.loads(run_charrnn(folder, "inspect", "night.pt", "--json").stdout))
    assert [card["learned_held_out"] for card in cards] == [False, True, True]
    assert cards[2]["verdict"] == "none: some of what is held out was, or may have been, learned from before"
    resumed = train(folder, "--out", "night.pt", "--resume", "--max-steps", 4)
    assert resumed.process.exitcode == 0, resumed.stderr
    assert read_checkpoint(str(folder / "night.pt")).origin.learned_held_out, "it has, whatever goes on from there"
    unheld = train(folder, *flags[:-1], "unheld.pt", "--init-from", "night.pt", "--val-fraction", 0)
    assert unheld.process.exitcode == 0, unheld.stderr
    assert told not in unheld.stderr, "nothing is held out"
    (folder / "prose.txt").write_text(make_text(2000, seed=1), encoding="utf-8")
    other = run_charrnn(folder, "train", "prose.txt", *flags[:-1], "other.pt", "--init-from", "night.pt")
    assert other.returncode == 0, other.stderr
    assert not read_checkpoint(str(folder / "other.pt")).origin.learned_held_out, "as far as is known"
    assert train(folder, *flags[:-1], "fresh.pt", *SMALL[:2], "--val-fraction", 0.1).process.exitcode == 0
    compared = run_charrnn(folder, "inspect", "night.pt", "fresh.pt", text=True).stdout
    assert "a model has learned, or may have learned, some of what is held out" in " ".join(compared.split())


@pytest.mark.parametrize(
    ("before", "held_before", "now", "held_now", "is_told"),
    [
        ("t:600", 0.1, "t:660", 0.1, False),  # the end of a text that has grown is new
        ("t:600", 0.1, "t:660", 0.5, True),
        ("t:600", 0.1, "t:400", 0.1, True),
        ("t:600", 0, "t:660", 0.1, True),
        ("t:600", 0, "t:700", 0.1, False),
        ("t:600", 0, "t:700", 0, False),
        ("t:600", 0.1, "a:400", 0.1, False),
        ("t:600 a:600", 0.1, "t:600", 0.1, True),
        ("t:600 a:600", 0.1, "t:600 a:660", 0.1, False),
        ("t:600 a:600 b:600", 0.1, "a:600", 0.1, True),
        ("t:600 a:600", 0.1, "a:600", 0.1, False),  # its end was held out
        ("t:600 a:600", 0, "a:600", 0.1, True),
        ("t:600", "a:600", "t:600", 0.1, True),
        ("t:600", "a:600", "t:700", "a:600", False),
        ("t:600", "a:600", "t:400", "a:600", False),
        ("t:600", 0, "t:600", "a:600", False),
        ("t:600", 0.1, "a:600", "t:600", True),
        ("t:600", 0.1, "a:600", "b:600 t:500", True),
        ("one/t:600", "two/t:600", "one/t:660", "two/t:600", False),
        ("-:600", 0.1, "-:400", 0.1, False),  # it may be any
        ("-:600", 0.1, "-:660", 0.5, True),
        ("t:600", 0.1, "a:2000 t:600", 0.1, True),  # more of it is held out than was
        ("t:600 a:600", 0.1, "a:600", 0.6, True),
        ("t:600", 0.1, "t:660", "lines", True),
        ("t:600", "lines", "a:600 t:600", "lines", True),
        ("t:600", "lines", "a:600 t:600 b:600", "lines", True),
        ("t:600", "lines", "t:660", 0.1, True),
    ],
)
def test_names_and_sizes_tell_whether_a_held_out_text_may_be_known(
    tmp_path, monkeypatch, before, held_before, now, held_now, is_told
):
    monkeypatch.chdir(tmp_path)
    (base, _), (_, prepared) = read_as_asked(before, held_before), read_as_asked(now, held_now)
    told = "where some of what is held out may have been learned from before" if is_told else ""
    assert fine_tuning.told_of_overlap(base, prepared) == told


@pytest.mark.parametrize(
    ("texts", "held_out", "is_told"),
    [
        ("t:660", 0.1, True), ("t:660", "a:600", True), ("t:660", "b:600", False), ("c:600", "a:600", True),
        ("b:600", 0.1, False), ("t:660", 0, False),
    ],
)  # fmt: skip
def test_learned_held_out_text_counts_up_to_its_full_length(tmp_path, monkeypatch, texts, held_out, is_told):
    monkeypatch.chdir(tmp_path)
    base, _ = read_as_asked("t:600", "a:600" if isinstance(held_out, str) else 0.1)
    base.origin = replace(base.origin, learned_held_out=True)
    assert bool(fine_tuning.told_of_overlap(base, read_as_asked(texts, held_out)[1])) == is_told


@pytest.mark.parametrize(
    ("between", "held_between", "now", "held_now", "is_told"),
    [
        ("a:600", 0.1, "t:600", 0.1, True),
        ("a:600", 0.1, "b:600", 0.1, False),
        ("a:600", 0.1, "b:600", "one/t:600", True),
        ("a:600", 0.1, "t:600 b:600", 0.1, False),
        ("a:600 t:700", 0.1, "b:600 t:600", 0.1, False),  # whose end has been held out since it is learned from
        ("a:600 t:700", 0.0, "b:600 t:600", 0.1, True),
        ("a:600", "b:600", "t:600", "b:600", False),
        ("a:600", 0.1, "t:600", 0, False),
    ],
)
def test_texts_learned_two_trainings_ago_are_remembered(
    tmp_path, monkeypatch, between, held_between, now, held_now, is_told
):
    monkeypatch.chdir(tmp_path)
    (first, _), (second, _), (_, prepared) = (
        read_as_asked(*each) for each in (("t:600", 0.1), (between, held_between), (now, held_now))
    )
    second.origin = replace(second.origin, learned=fine_tuning.texts_learned(first.origin))
    told = "where some of what is held out may have been learned from before" if is_told else ""
    assert fine_tuning.told_of_overlap(second, prepared) == told


@pytest.mark.slow
def test_text_returned_to_after_another_gets_no_verdict(folder):
    flags = [*SMALL[2:], "--max-steps", 2, "--overwrite"]
    assert train(folder, *flags, *SMALL[:2], "--out", "first.pt", "--val-fraction", 0).process.exitcode == 0
    (folder / "prose.txt").write_text(make_text(2000, seed=2), encoding="utf-8")
    second = run_charrnn(folder, "train", "prose.txt", *flags, "--init-from", "first.pt", "--out", "second.pt")
    assert second.returncode == 0, second.stderr
    (folder / "sub").mkdir()
    again = run_charrnn(folder, "train", "prose.txt", "--resume-from", "second.pt", "--out", "sub/on.pt")
    assert again.returncode == 0, again.stderr
    third = train(folder, *flags, "--init-from", "sub/on.pt", "--out", "third.pt")
    assert third.process.exitcode == 0, third.stderr
    assert "where some of what is held out may have been learned from before" in third.stderr
    assert json.loads(run_charrnn(folder, "inspect", "third.pt", "--json").stdout)["learned_held_out"]
    assert read_checkpoint(str(folder / "third.pt")).origin.learned == ["prose.txt", "verse.txt"]


def read_as_asked(texts, held_out):
    """Of texts such as "t:600 a:600" what a checkpoint and a launch know; a share, lines or texts are held out."""
    by_name, is_lines = ":" in str(held_out), held_out == "lines"
    names, val_names = (list(map(write_text, each.split())) for each in (texts, held_out if by_name else ""))
    reading = ReadOptions(val_texts=tuple(val_names), options=TextOptions(lines=is_lines))
    corpus = read_corpus([name.replace("-", "pipe") for name in names], reading)
    corpus = replace(corpus, name=corpus.name.replace("pipe", "stdin"))
    share = corpus.num_held_out / len(corpus.ids) if by_name else 0.1 if is_lines else held_out
    spread = {"val_spread": corpus.is_spread, "val_bounded": corpus.is_spread}
    config = TrainConfig(batch_size=4, seq_len=16, max_steps=1, learning_rate=0.1, val_fraction=share, **spread)
    pieces = corpus.split(share, spread=corpus.is_spread, bounded=corpus.is_spread)
    origin = Origin(texts=names, val_texts=val_names)
    facts = CorpusFacts(corpus.name, len(corpus.ids), corpus.num_bytes, corpus.sha256, corpus.counts)
    prepared = SimpleNamespace(run=SimpleNamespace(config=config), corpus=corpus, pieces=pieces, origin=origin)
    return SimpleNamespace(corpus=facts, train_config=config, origin=origin), prepared


def write_text(described):
    """Write a text that is the same as far as it goes, and give its path."""
    name, length = described.split(":")
    path = Path(name.replace("-", "pipe"))
    path.parent.mkdir(exist_ok=True)
    path.write_text(make_text(2000, seed=sum(name.encode()))[: int(length)])
    return name


def test_lines_held_out_otherwise_by_an_older_version_count_as_learned():
    """The older version held out lines of any length."""
    older = TrainConfig(batch_size=4, seq_len=16, max_steps=1, learning_rate=0.1, val_spread=True)
    assert overlaps(older, replace(older, val_bounded=True))
    assert not overlaps(older, older)
    assert overlaps(older, replace(older, val_spread=False)), "the text's end is held out now"
    assert overlaps(replace(older, val_spread=False), older)
    assert not overlaps(older, replace(older, val_fraction=0.0)), "nothing is held out any more"
