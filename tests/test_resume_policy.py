"""What every flag of `charrnn train` means at a resume: that each has a meaning, and that it is the one told."""

import inspect
import re
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import README
from runs import MODEL, TRAINING

from charrnn.cli.train import train
from charrnn.cli.trainer.resume_changes import changes_of, trained_with
from charrnn.cli.trainer.resume_policy import (
    MAY_CHANGE,
    MODEL_SHAPE,
    PLACES,
    RESUME_POLICY,
    UNKEPT,
    ResumePolicy,
    options_of,
)
from charrnn.config import ModelConfig, TrainConfig
from charrnn.limits import flag_name
from charrnn.shapes import parameter_shapes
from charrnn.text.options import PLAIN
from charrnn.training.lane_choice import build_lanes

NO_OPTIONS = {
    "context", "texts", "val_text", "include", "exclude", "separator", "cache", "no_cache", "out", "log", "resume",
    "resume_or_start", "resume_from", "init_from", "force_resume", "overwrite", "quiet", "as_json",
}  # fmt: skip
"""Parameters of `train` that say what is read and written, how it is found, and what is told."""

MODEL_FIELDS, TRAINING_FIELDS = ({field.name for field in fields(config)} for config in (ModelConfig, TrainConfig))
STORED = SimpleNamespace(text_options=PLAIN, model=MODEL, train_config=TRAINING)
OTHER = {"dropout": 0.5, "input_dropout": 0.5, "recall_dropout": 0.5}
"""Another value of each field of a model that may be changed by force."""


def test_every_flag_has_a_resume_policy_or_is_no_option():
    parameters = set(inspect.signature(train).parameters)
    assert parameters == {*RESUME_POLICY, *NO_OPTIONS}
    assert not RESUME_POLICY.keys() & NO_OPTIONS


def test_checkpoint_keeps_the_flags_that_a_resume_needs():
    kept = trained_with(STORED).keys() & RESUME_POLICY.keys()
    assert kept == RESUME_POLICY.keys() - {*UNKEPT, *options_of(ResumePolicy.ALPHABET)}


def test_changeable_flags_are_training_settings():
    assert set(MAY_CHANGE) <= TRAINING_FIELDS


def test_forceable_flags_change_no_weight_shape():
    forced = MODEL_FIELDS.intersection(options_of(ResumePolicy.FORCED))
    assert forced == OTHER.keys()
    assert {"vocab_size", *MODEL_SHAPE, *forced} == MODEL_FIELDS
    for name, value in OTHER.items():
        assert getattr(MODEL, name) != value
        assert parameter_shapes(replace(MODEL, **{name: value})) == parameter_shapes(MODEL), name


def test_other_order_or_training_part_resets_the_place():
    others = {"batch_size": 3, "seq_len": 5, "stretch": 16, "seed": 1, "state_reset": 0.5, "grad_clip": 2.0}
    config = replace(TRAINING, batch_size=2, seq_len=4, stretch=8)
    reordering = {name for name, value in others.items() if order(replace(config, **{name: value})) != order(config)}
    assert {*reordering, "val_fraction"} == set(PLACES)


def order(config):
    """All characters of a text of a hundred, in the order in which it is read."""
    lanes = build_lanes(np.arange(100), config, None, slice(None))
    return [next(lanes).inputs.tolist() for _ in range(lanes.windows_per_epoch)]


@pytest.mark.parametrize("name", RESUME_POLICY)
def test_another_value_is_a_change_if_refused_or_forced(name):
    is_kept = RESUME_POLICY[name] not in (
        ResumePolicy.END,
        ResumePolicy.FREE,
        ResumePolicy.UNKEPT,
        ResumePolicy.ALPHABET,
    )
    value = "latin-1" if name == "encoding" else "another"
    assert changes_of(STORED, {name: value}) == ({name: value} if is_kept else {})


def test_readme_lists_what_may_change_and_what_holds_for_one_command():
    told = " ".join(README.split())
    (may_change,) = re.findall(r"\*\*What may change at `--resume`\*\*: (.*?), and all that is only shown", told)
    assert re.findall(r"--[a-z-]+", may_change) == listed(may_change, MAY_CHANGE)
    (unkept,) = re.findall(r"if it is to go on\. ([^.]*) hold for one command\.", told)
    assert re.findall(r"--[a-z-]+", unkept) == [*listed(unkept, UNKEPT), "--json", "--quiet"]


def listed(text, names):
    """The flags of some options, in the order in which a text has them."""
    return sorted(map(flag_name, names), key=lambda flag: text.find(f"`{flag}`"))
