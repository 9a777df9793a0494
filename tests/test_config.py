import dataclasses
import math

import pytest
from runs import MODEL, TRAINING

from charrnn.budget import LOOKUP_SPEED, SETUP_SECONDS, TYPICAL_FLOPS
from charrnn.cli.trainer.durations import parse_duration
from charrnn.config import CHOICES, RANGES, ModelConfig, TrainConfig, check_options, config_from_dict
from charrnn.errors import ConfigError
from charrnn.hyperparameters import (
    DROPOUT,
    INPUT_DROPOUT,
    MOST_EVALUATIONS,
    SHORT_TEXT,
    choose_dropout,
    choose_stretch,
    peak_rate,
    wanted_epochs,
)
from charrnn.limits import Range
from charrnn.metrics import HistoryRow, best_row, bits_per_char, perplexity
from charrnn.shapes import training_cost
from charrnn.suggest import suggest
from charrnn.text.options import TextOptions


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("45", 45),
        ("0.5m", 30),
        (" 3M ", 180),
        ("2d", 172_800),
        ("1d12h", 129_600),
    ],
)
def test_durations_are_parsed(text, seconds):
    assert parse_duration(text, "time_limit") == seconds


def test_duration_out_of_range_is_reported_as_typed():
    with pytest.raises(
        ConfigError, match=r"--save-every is 0m; it must be at least 0\.1 and at most 1,000,000,000 sec"
    ):
        parse_duration("0m", "save_every")


@pytest.mark.parametrize("text", ["", "soon", "10 m", "m", "5w", "2h1d", "-3s", "1m2h", "1h30", "2d12", "1.5.2"])
def test_invalid_duration_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="write it as 90s, 10m"):
        parse_duration(text, "time_limit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "--hidden-size is 0; it must be at least 1"),
        ({"dropout": 1.0}, "--dropout is 1.0; it must be at least 0 and less than 1"),
        ({"val_fraction": 1.0}, "--val-fraction is 1.0; it must be at least 0 and less than 1"),
        ({"max_steps": 10**400}, "--max-steps is 10000"),
        ({"time_limit": 0.2}, "--time is 0.2; it must be at least 1"),
        ({"learning_rate": math.nan}, "--learning-rate is nan"),
        ({"cell": "transformer"}, f"--cell is 'transformer'; it must be one of {', '.join(CHOICES['cell'])}"),
        ({"optimizer": "muon"}, "--optimizer is 'muon'"),
        *(
            (
                {"device": name},
                f"--device is '{name}'; it must be one of auto, cpu, cuda; of GPUs NVIDIA's alone are",
            )
            for name in ("mps", "gpu")
        ),
    ],
)
def test_options_out_of_range_are_refused_by_flag(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_options(options)
    assert caught.value.exit_code == 2


def test_every_numeric_option_has_a_range():
    for config_type in (ModelConfig, TrainConfig):
        numbers = {f.name for f in dataclasses.fields(config_type) if "int" in str(f.type) or "float" in str(f.type)}
        assert numbers <= set(RANGES)


def test_every_string_option_has_choices_except_the_encoding():
    options = [field for config in (ModelConfig, TrainConfig, TextOptions) for field in dataclasses.fields(config)]
    names = {field.name for field in options if "str" in field.type}
    assert names == {*CHOICES, "encoding"}


def test_ranges_include_their_ends_as_declared():
    assert 1.0 in Range(0, 1)
    assert 1.0 not in Range(0, 1, open_high=True)
    assert 0 not in Range(0, 1, open_low=True)
    assert math.inf not in Range(0)
    assert 10**400 in Range(0), "an integer that is no float"


def test_configs_survive_a_round_trip_through_plain_values():
    text = TextOptions(lowercase=True, newline="lf", normalize="nfc", encoding="latin-1", lines=True)
    for config in (MODEL, TRAINING, text):
        assert config_from_dict(type(config), dataclasses.asdict(config)) == config


def test_training_without_an_end_is_refused():
    with pytest.raises(ConfigError, match="nothing ends the training; give --epochs, --max-steps or --time"):
        dataclasses.replace(TRAINING, epochs=None)


@pytest.mark.parametrize("num_chars", [100, 20_000, 1_000_000, 100_000_000])
@pytest.mark.parametrize("seconds", [None, 10.0, 70.0, 7200.0])
def test_every_size_gets_a_sensible_model(num_chars, seconds):
    chosen = suggest({"time_limit": seconds}, num_chars=num_chars, vocab_size=65)
    assert chosen.training.batch_size * 4 * chosen.training.seq_len <= num_chars or chosen.training.batch_size == 1
    assert chosen.training.time_limit == seconds
    assert (chosen.training.epochs is None) == (seconds is not None)
    if num_chars >= 1_000_000 and seconds != 10:
        assert chosen.model.hidden_size >= 256
    if num_chars <= 20_000:
        assert chosen.model.dropout >= 0.2
        assert chosen.model.hidden_size <= 256
    if num_chars >= 10**8 and seconds == 7200:
        assert (chosen.model.hidden_size, chosen.model.num_layers) == (512, 2)


def test_many_processes_get_enough_lanes_each():
    def lanes(processes, num_chars=10**7, **flags):
        return suggest(flags, num_chars=num_chars, vocab_size=65, processes=processes).training.batch_size

    assert lanes(2) == lanes(1), "two train what one does"
    assert lanes(32) == 8 * 32
    assert lanes(20, device="cuda") == 16 * 20
    assert lanes(100) == lanes(100, device="cuda") == 512
    assert lanes(32, batch_size=40) == 40
    assert lanes(32, num_chars=20_000) < 100, "each lane still holds some windows"
    assert lanes(2, device="cuda") == lanes(1, device="cuda") > 2 * 16, "nor fewer than one would"


def test_separate_lines_get_more_lanes_and_half_the_characters_per_step():
    def lanes(**text):
        return suggest({}, num_chars=10**6, vocab_size=65, **text).training.batch_size

    assert lanes(mean_line=8.0) * 8 == lanes() * 64 / 2
    assert lanes(mean_line=8.0, num_lines=3) == 3, "no lane without a line"


def test_lines_longer_than_a_window_are_split_into_short_windows():
    """Of 70 characters, two of 35: twice as many updates for a passage as windows of 64 would make."""

    def epochs(mean_line):
        return suggest(
            {"max_steps": 1000, "batch_size": 10}, num_chars=10**6, vocab_size=65, mean_line=mean_line
        ).epochs

    assert epochs(70.0) == pytest.approx(1000 * 10 * 35 / 900_000)
    assert epochs(64.0) == pytest.approx(1000 * 10 * 64 / 900_000)


def test_planned_epochs_grow_with_the_processes():
    def epochs(processes):
        flags = {"time_limit": 600.0, "hidden_size": 16, "num_layers": 1, "members": 1}
        return suggest(flags, num_chars=10**8, vocab_size=65, flops=1e15, processes=processes).epochs

    assert epochs(8) == pytest.approx(8 * epochs(1))


def test_first_of_several_ends_sets_the_plan():
    steps, flags = 100, {"batch_size": 10, "seq_len": 100, "val_fraction": 0.5}
    for epochs, planned in ((0.1, 0.1), (9.0, 0.2)):
        chosen = suggest({"epochs": epochs, "max_steps": steps, **flags}, num_chars=10**6, vocab_size=65)
        assert chosen.epochs == pytest.approx(planned)


@pytest.mark.parametrize(
    ("lanes", "seq_len", "steps_an_epoch"), [(512, 64, 2), (5000, 64, 1), (8, 50_000, 1), (8, 64, 88)]
)
def test_epochs_of_a_step_limit_follow_the_length_of_the_lanes(lanes, seq_len, steps_an_epoch):
    """45,000 characters in 512 lanes are 88 in each, which are two windows."""
    flags = {"max_steps": 12 * steps_an_epoch, "batch_size": lanes, "seq_len": seq_len}
    chosen = suggest(flags, num_chars=50_000, vocab_size=60, train_chars=45_000)
    assert chosen.epochs == pytest.approx(12, rel=0.002)


@pytest.mark.parametrize("flags", [{"epochs": 1.0}, {"max_steps": 1000}])
def test_spare_time_leaves_the_model_size_as_without_a_limit(flags):
    def model(**more):
        chosen = suggest({**flags, **more}, num_chars=10**6, vocab_size=65).model
        return chosen.hidden_size, chosen.num_layers

    assert model(time_limit=7200.0) == model() == (512, 1)
    assert model(time_limit=20.0)[0] < 512


def test_time_limit_is_planned_without_the_setup_time():
    def epochs(seconds):
        flags = {"hidden_size": 512, "num_layers": 1, "time_limit": seconds}
        return suggest(flags, num_chars=10**6, vocab_size=65).epochs

    assert epochs(SETUP_SECONDS + 200) == pytest.approx(2 * epochs(SETUP_SECONDS + 100))


def test_time_spent_on_a_slow_pipe_is_not_planned_with():
    def plan(elapsed):
        return suggest({"time_limit": 180.0}, num_chars=10**6, vocab_size=65, elapsed=elapsed)

    assert plan(SETUP_SECONDS - 1) == plan(0.0)
    assert plan(150.0).epochs < plan(0.0).epochs
    assert plan(150.0).model == suggest({"time_limit": 30.0 + SETUP_SECONDS}, num_chars=10**6, vocab_size=65).model


@pytest.mark.parametrize(
    ("num_chars", "expected"),
    [
        (10**5, [(256, 1, 2), (384, 1, 2), (384, 1, 4), (384, 1, 4), (384, 1, 4)]),
        (10**6, [(256, 1, 1), (384, 1, 1), (512, 1, 1), (512, 1, 2), (512, 1, 4)]),
        (10**7, [(256, 1, 1), (384, 1, 1), (512, 1, 1), (512, 1, 1), (512, 2, 2)]),
    ],
)
def test_longer_time_limits_get_more_and_larger_networks(num_chars, expected):
    """On a machine that does what `TYPICAL_FLOPS` says, in 20 seconds to an hour."""
    limits = (20.0, 60.0, 180.0, 600.0, 3600.0)
    models = [suggest({"time_limit": seconds}, num_chars=num_chars, vocab_size=65).model for seconds in limits]
    assert [(model.hidden_size, model.num_layers, model.members) for model in models] == expected


def test_training_without_a_time_limit_has_at_most_two_members():
    assert {suggest({}, num_chars=10**power, vocab_size=65).model.members for power in range(3, 9)} == {1, 2}


def test_members_share_the_time_even_at_minimal_size():
    flags = {"hidden_size": 8, "num_layers": 1, "time_limit": 60.0}
    one, two = (suggest({**flags, "members": n}, num_chars=10**7, vocab_size=65, flops=1e15).epochs for n in (1, 2))
    assert one == pytest.approx(2 * two)


def test_evaluations_are_at_least_four_and_about_one_an_epoch_of_a_short_text():
    def evaluations(num_chars, **flags):
        return suggest(flags, num_chars=num_chars, vocab_size=65).training.evaluations

    assert evaluations(10**6, epochs=0.1) == 4
    assert 8 <= evaluations(10**6, epochs=8.0) <= 16
    assert 200 <= evaluations(10**4, epochs=300.0) <= 600
    assert evaluations(10**6, epochs=1e4) == MOST_EVALUATIONS
    assert 50 <= evaluations(10**9, epochs=1.0) <= 200, "hours apart else: what is counted of it is little"
    assert 100 < evaluations(35_000, time_limit=3600.0) <= MOST_EVALUATIONS


@pytest.mark.parametrize("end", [{}, {"epochs": 10.0}, {"max_steps": 1_000}, {"time_limit": 60.0}])
def test_closer_evaluations_count_for_less_without_a_gain(end):
    def training(**flags):
        return suggest({**end, **flags}, num_chars=143_000, vocab_size=61).training

    usual, closest, farthest = training(), training(evaluate_every=1), training(evaluate_every=10_000)
    assert (usual.rewind_after, usual.patience) == (farthest.rewind_after, farthest.patience) == (3, None if end else 8)
    half = training(evaluate_every=round(closest.rewind_after / 3 / 2))  # of the usual distance, in steps
    assert half.rewind_after == pytest.approx(6, abs=0.5)
    assert closest.rewind_after > 20
    if not end:
        assert half.patience == pytest.approx(16, abs=1)


@pytest.mark.parametrize("end", [{"max_steps": 10**14}, {"epochs": 1e6}, {"time_limit": 1e6}])
def test_an_end_far_away_makes_evaluations_no_farther_apart_than_a_pass(end):
    flags = {**end, "hidden_size": 64, "evaluate_every": 1}
    chosen = suggest(flags, num_chars=143_000, vocab_size=61).training
    a_pass = 0.9 * 143_000 / (chosen.batch_size * chosen.seq_len)
    assert chosen.rewind_after == pytest.approx(3 * a_pass, rel=0.05)


def test_given_patience_counts_each_evaluation_and_is_not_reached_before_going_back():
    chosen = [
        suggest({"patience": patience, "evaluate_every": 1}, num_chars=143_000, vocab_size=61).training
        for patience in (5, 40)
    ]
    assert [(training.patience, training.rewind_after) for training in chosen] == [(5, 3), (40, 15)]


def test_large_alphabet_gets_wider_embeddings_and_no_recall_no_recall_dropout():
    widths = [suggest({}, num_chars=10**6, vocab_size=size).model.embedding_dim for size in (65, 512, 513)]
    assert widths == [64, 64, 128]
    assert suggest({"device": "cuda"}, num_chars=10**6, vocab_size=65).model.embedding_dim == 128
    shares = [suggest(flags, num_chars=10**6, vocab_size=65).model.recall_dropout for flags in ({}, {"recall": 0})]
    assert shares[0] > shares[1] == 0


def test_plan_depends_on_the_training_part_if_known():
    def plan(**sizes):
        chosen = suggest({"val_fraction": 0.2}, vocab_size=65, **sizes)
        return chosen.model, chosen.epochs, chosen.training.stretch

    assert plan(num_chars=3_000_000, train_chars=80_000) == plan(num_chars=100_000)
    assert plan(num_chars=3_000_000) != plan(num_chars=100_000)


def test_larger_texts_get_fewer_epochs():
    epochs = [suggest({}, num_chars=size, vocab_size=65).training.epochs for size in (10**4, 10**6, 10**8)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] > epochs[2]


def test_no_text_gets_more_than_24_epochs():
    assert wanted_epochs(1_100_000) == 8
    assert wanted_epochs(100) == 24


def seconds_of(num_chars):
    """What a training without an end takes on two cores that do what `TYPICAL_FLOPS` says, of all its networks."""
    chosen = suggest({}, num_chars=num_chars, vocab_size=65)
    characters = chosen.epochs * num_chars * (1 - chosen.training.val_fraction)
    return characters * training_cost(chosen.model) / TYPICAL_FLOPS


@pytest.mark.parametrize(("num_chars", "minutes"), [(10**6, 3), (2 * 10**7, 30), (10**8, 65)])
def test_default_training_takes_minutes_per_million_characters(num_chars, minutes):
    assert seconds_of(num_chars) == pytest.approx(60 * minutes, rel=0.3)


def test_default_training_takes_seconds_for_some_kilobytes():
    assert 1 < seconds_of(10**4) < 60


def test_more_epochs_get_more_dropout():
    chosen = [suggest({"epochs": float(epochs)}, num_chars=10**6, vocab_size=65).model for epochs in (1, 4, 16, 64)]
    for shares in ([model.dropout for model in chosen], [model.input_dropout for model in chosen]):
        assert shares[0] == 0
        assert shares == sorted(shares)
        assert shares[-1] < 0.5
    assert chosen[2].input_dropout < chosen[2].dropout


@pytest.mark.parametrize(
    ("epochs", "dropout", "input_dropout"),
    [(0.5, 0.0, 0.0), (2.0, 0.015, 0.001), (4.0, 0.073, 0.01), (8.0, 0.186, 0.039), (16.0, 0.36, 0.1)],
)
def test_dropout_grows_with_each_doubling_of_epochs(epochs, dropout, input_dropout):
    """Shares of 1/4, 1/2 and 3/4, to the power of 2.3 and 3.3."""
    hidden = choose_dropout(epochs, MODEL.hidden_size)
    assert hidden == {"dropout": dropout, "input_dropout": input_dropout}


def test_flags_always_win():
    flags = {
        "cell": "gru", "hidden_size": 77, "num_layers": 3, "embedding_dim": 5, "dropout": 0.0,
        "input_dropout": 0.3, "batch_size": 2,
        "seq_len": 9, "epochs": 1.5, "learning_rate": 0.7, "optimizer": "sgd", "patience": 4, "seed": 12,
        "residual": False, "layer_norm": False, "weight_decay": 0.3, "grad_clip": 0.5, "val_fraction": 0.2,
    }  # fmt: skip
    chosen = suggest(flags, num_chars=10**6, vocab_size=65)
    assert {**dataclasses.asdict(chosen.model), **dataclasses.asdict(chosen.training)}.items() >= flags.items()


@pytest.mark.parametrize(("optimizer", "decay"), [("adamw", 0.01), ("adam", 0), ("rmsprop", 0), ("sgd", 0)])
def test_weight_decay_is_on_by_default_only_if_decoupled(optimizer, decay):
    assert suggest({"optimizer": optimizer}, num_chars=10**5, vocab_size=65).training.weight_decay == decay
    flags = {"optimizer": optimizer, "weight_decay": 0.02}
    assert suggest(flags, num_chars=10**5, vocab_size=65).training.weight_decay == 0.02
    assert suggest({}, num_chars=10**5, vocab_size=65).training.weight_decay == 0.01


def test_layers_of_one_or_two_units_get_no_layer_norm():
    for hidden_size, normalises in ((1, False), (2, False), (3, True), (None, True)):
        flags = {"hidden_size": hidden_size}
        assert suggest(flags, num_chars=10**5, vocab_size=65).model.layer_norm is normalises
    for flag in (True, False):
        assert suggest({"hidden_size": 2, "layer_norm": flag}, num_chars=10**5, vocab_size=65).model.layer_norm is flag
    with pytest.raises(ConfigError, match="--layer-norm makes a constant of a layer of one unit; leave it out"):
        suggest({"hidden_size": 1, "layer_norm": True}, num_chars=10**5, vocab_size=65)


def test_patience_is_unset_if_an_end_is_given():
    assert suggest({}, num_chars=10**5, vocab_size=65).training.patience is not None
    for end in ({"time_limit": 60.0}, {"epochs": 3.0}, {"max_steps": 10}):
        assert suggest(end, num_chars=10**5, vocab_size=65).training.patience is None


def test_losses_convert_to_perplexity_and_bits():
    assert perplexity(math.log(65)) == pytest.approx(65)
    assert bits_per_char(math.log(2)) == pytest.approx(1)
    assert perplexity(1e6) == math.inf


def test_best_row_is_the_first_of_the_lowest():
    rows = [
        HistoryRow(step=step, epoch=1, train_loss=1, val_loss=loss, learning_rate=1, seconds=1)
        for step, loss in ((1, 2.0), (2, 1.0), (3, 1.0))
    ]
    assert best_row(rows) is rows[1]
    assert best_row([]) is None


def test_large_text_on_a_gpu_gets_more_lanes_and_kernel_friendly_sizes():
    flops = 2e13
    chosen = {
        (device, size): suggest({"device": device, "time_limit": 600.0}, num_chars=size, vocab_size=100, flops=flops)
        for device in ("cpu", "cuda")
        for size in (10**5, 10**6, 10**8)
    }
    for size in (10**6, 10**8):
        assert chosen["cuda", size].training.batch_size > chosen["cpu", size].training.batch_size
    assert chosen["cuda", 10**8].training.batch_size == 128
    assert chosen["cuda", 10**8].model.hidden_size == 1024
    assert all(choice.model.hidden_size % 128 == 0 for choice in chosen.values())


def test_more_lanes_on_a_gpu_read_proportionally_more():
    flags = {"device": "cuda", "time_limit": 60.0, "hidden_size": 512, "num_layers": 1, "recall": 0}
    epochs = [
        suggest({**flags, "batch_size": lanes}, num_chars=10**7, vocab_size=100, flops=1e12).epochs
        for lanes in (32, 64, 128, 256)
    ]
    assert epochs == pytest.approx([epochs[0] * times for times in (1, 2, 4, 4)])


def test_plan_for_a_gpu_waits_for_the_lookups_in_a_long_text():
    """What is found in a shorter text is kept."""

    def chars(num_chars, processes=1, **flags):
        flags = {"device": "cuda", "time_limit": 65.0, **flags}
        found = suggest(flags, num_chars=num_chars, vocab_size=65, flops=1e15, processes=processes)
        return found.epochs * 0.9 * num_chars

    assert chars(10**8) == pytest.approx(60 * LOOKUP_SPEED)
    assert chars(10**8, processes=4) == pytest.approx(4 * 60 * LOOKUP_SPEED)
    assert min(chars(10**8, recall=0), chars(4_000_000)) > 2 * 60 * LOOKUP_SPEED


@pytest.mark.parametrize("processes", [1, 3, 16])
@pytest.mark.parametrize("num_chars", [143_000, 6_000_000])
@pytest.mark.parametrize("mean_line", [None, 7.5, 20.0, 45.0, 120.0])
def test_each_gpu_gets_lanes_for_the_persistent_kernels(processes, num_chars, mean_line):
    """A multiple of 8, and at most 128, unless there are fewer than 8."""
    text = {"num_chars": num_chars, "mean_line": mean_line, "vocab_size": 65, "processes": processes}
    lanes, left = divmod(suggest({"device": "cuda"}, **text).training.batch_size, processes)
    assert left == lanes % 8 == 0
    assert 8 <= lanes <= 128


def test_few_lines_leave_each_gpu_lanes_for_the_persistent_kernels():
    text = {"num_chars": 6_000_000, "mean_line": 100_000.0, "num_lines": 54, "vocab_size": 65}
    sizes = [suggest({"device": "cuda"}, **text, processes=processes).training.batch_size for processes in (1, 3, 9)]
    assert sizes == [48, 48, 54], "of fewer than 8 for each, all"


@pytest.mark.parametrize(("lanes", "times"), [(32, 1), (64, 2), (256, 8), (512, 8)])
def test_plan_for_several_gpus_counts_the_lanes_of_each(lanes, times):
    flags = {"device": "cuda", "time_limit": 60.0, "hidden_size": 512, "num_layers": 1, "recall": 0}
    one, two = (
        suggest(
            {**flags, "batch_size": batch_size}, num_chars=10**8, vocab_size=100, flops=flops, processes=processes
        ).epochs
        for batch_size, flops, processes in ((32, 1e12, 1), (lanes, 2e12, 2))
    )
    assert two == pytest.approx(one * times)


@pytest.mark.parametrize(("hidden_size", "share"), [(64, 0.5), (128, 1.0), (512, 1.0)])
def test_small_models_get_less_dropout(hidden_size, share):
    hidden = choose_dropout(100, hidden_size)
    assert hidden == pytest.approx({"dropout": DROPOUT * share, "input_dropout": INPUT_DROPOUT * share})


def test_smaller_model_on_a_gpu_is_planned_no_faster_than_the_measured_one():
    flags = {"device": "cuda", "time_limit": 60.0, "num_layers": 1}
    epochs = [
        suggest({**flags, "hidden_size": size}, num_chars=10**7, vocab_size=100, flops=1e12).epochs
        for size in (64, 128, 512)
    ]
    assert len(set(epochs)) == 1


def test_evaluation_takes_a_small_part_of_the_training():
    evaluated = {
        (size, steps): suggest({"max_steps": steps}, num_chars=size, vocab_size=100).training.evaluated
        for size in (10**6, 10**9)
        for steps in (200, 2000, 10**6)
    }
    assert evaluated[10**9, 200] < evaluated[10**9, 2000] < evaluated[10**9, 10**6] == 1_000_000
    chosen = suggest({"time_limit": 180.0}, num_chars=20_000_000, vocab_size=100, flops=1.5e11)
    trained = 1.5e11 / training_cost(chosen.model) * 180
    assert 30_000 <= chosen.training.evaluated < 0.1 * trained
    slower = suggest({"time_limit": 180.0}, num_chars=20_000_000, vocab_size=100, flops=1.4e11)
    assert chosen.training.evaluated == slower.training.evaluated, "the same in runs of nearly the same speed"
    whole = suggest({"time_limit": 180.0}, num_chars=1_115_394, vocab_size=65, flops=1.5e11).training
    assert whole.evaluated > 0.1 * 1_115_394, "all of a held-out piece of the usual size"


@pytest.mark.parametrize(("num_chars", "evaluated"), [(600_000, 1_000_000), (700_000, 1 << 15)])
def test_held_out_part_up_to_twice_the_limit_is_read_whole(num_chars, evaluated):
    assert suggest({"max_steps": 10}, num_chars=num_chars, vocab_size=65).training.evaluated == evaluated


def test_stretch_of_lanes_follows_the_table():
    assert [choose_stretch(10**7, epochs, 64) for epochs in (0.4, 0.5, 4.9, 5.0)] == [256, 512, 512, 2048]
    assert [choose_stretch(size, 20.0, 64) for size in (SHORT_TEXT - 1, SHORT_TEXT)] == [512, 2048]


def test_rate_falls_with_width_and_depth_for_every_cell():
    def rate(**shape):
        return peak_rate("sgd", dataclasses.replace(MODEL, **{"num_layers": 1, **shape}), 10**6)

    assert (rate(), rate(hidden_size=2048), rate(num_layers=4)) == (0.5, 0.25, 0.25)
    assert rate(cell="rnn") == rate(cell="rnn-relu") == rate()
    assert rate(hidden_size=8) == rate(hidden_size=128) == 2 * rate(), "no more than twice as much"


@pytest.mark.parametrize(
    ("steps", "factor"), [(6000, 1.0), (4000, 1.22), (1500, 1.6), (600, 1.6), (400, 1.96), (250, 2.4), (1, 2.4)]
)
def test_fewer_adam_updates_get_a_higher_rate(steps, factor):
    shape = dataclasses.replace(MODEL, num_layers=1)
    for optimizer in ("adamw", "adam"):
        assert peak_rate(optimizer, shape, steps) == pytest.approx(0.0035 * factor, rel=0.01)
    assert peak_rate("sgd", shape, steps) == 0.5


def test_fewer_epochs_get_shorter_stretches():
    epochs = (0.1, 3.0, 12.0)
    told = [suggest({"epochs": count}, num_chars=10**7, vocab_size=65).training.stretch for count in epochs]
    assert told == sorted(set(told))
    for size, epochs in ((10**5, 20.0), (10**7, 0.1), (10**7, 3.0)):
        flags = {"epochs": epochs, "seq_len": 512}
        assert suggest(flags, num_chars=size, vocab_size=65).training.stretch >= 4 * 512, "not a jump at every window"
    assert suggest({"stretch": 0}, num_chars=10**7, vocab_size=65).training.stretch == 0


def test_training_of_few_steps_gets_a_higher_rate():
    def rate(seconds, **flags):
        flags = {"hidden_size": 512, "members": 1, "time_limit": seconds, **flags}
        return suggest(flags, num_chars=1_000_000, vocab_size=65).training.learning_rate

    patient, hurried, rushed = rate(1000.0), rate(180.0), rate(20.0)
    assert patient < hurried < 1.6 * patient < rushed < 2.4 * patient
    assert rate(20.0, optimizer="sgd") == rate(1000.0, optimizer="sgd")
    assert rate(20.0, cell="rnn") > rate(1000.0, cell="rnn")
    assert rate(20.0, learning_rate=1e-3) == 1e-3


@pytest.mark.parametrize(("steps", "warm_up"), [(1, 1), (60, 6), (995, 100), (10_000, 100)])
def test_training_of_few_steps_warms_up_over_a_tenth_of_them(steps, warm_up):
    def chosen(**flags):
        return suggest({"max_steps": steps, **flags}, num_chars=1_000_000, vocab_size=65).training.warmup_steps

    assert chosen() == warm_up
    assert chosen(warmup_steps=7) == 7


def test_plan_for_lines_counts_the_characters_of_lines():
    sizes = {"num_chars": 1_000_000, "vocab_size": 65, "mean_line": 8.0}
    few = suggest({"max_steps": 1000, "hidden_size": 256}, **sizes)
    many = suggest({"max_steps": 20_000, "hidden_size": 256}, **sizes)
    assert few.model.dropout == 0.0 < many.model.dropout
    assert few.training.learning_rate == pytest.approx(1.6 * many.training.learning_rate, rel=0.05)
