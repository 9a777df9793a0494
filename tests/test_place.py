"""The place of a process among others: what the variables of a launcher say, and what is wrong with them."""

import pytest
from ranks import place

from charrnn.errors import ConfigError
from charrnn.training.torchrun import Place, read_place, speaks_for_host, told_of_no_rank


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--seq-len", 0], "--seq-len is 0; it must be at least 1 and at most 65,536"),
        (["--seed", "x"], "--seed is 'x'; it must be a whole number; `charrnn train -h` tells more"),
    ],
)
def test_invalid_flag_is_reported_once_per_host(charrnn, flags, told):
    for rank, local_rank, lines in ((0, 0, f"charrnn: {told}\n"), (1, 1, ""), (1, 0, f"charrnn: {told}\n")):
        result = charrnn("train", "verse.txt", *flags, env={**place(rank, 2, 5), "LOCAL_RANK": str(local_rank)})
        assert (result.code, result.stderr) == (2, lines)


def test_sample_and_inspect_report_errors_on_every_rank(charrnn):
    for command in (["sample", "verse.pt", "--typo"], ["inspect", "verse.pt", "--typo"], ["tarin", "verse.txt"]):
        result = charrnn(*command, env=place(1, 2, 5))
        assert (result.code, len(result.stderr.splitlines())) == (2, 1)


def test_place_without_launcher_variables_is_a_single_process():
    for environment in ({}, {"RANK": "1"}, {"WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "1"}):
        assert read_place(environment) == Place()
    found = read_place({**place(1, 2, 5), "TORCHELASTIC_RESTART_COUNT": "3", "TORCHELASTIC_RUN_ID": "night"})
    assert found == Place(
        rank=1, world_size=2, local_rank=1, local_world_size=2, restarts=3, is_launched=True, host="127.0.0.1", port=5,
        has_store=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "is_told"),
    [
        ({"WORLD_SIZE": "2"}, True),
        ({"WORLD_SIZE": "2", "RANK": ""}, True),
        ({"WORLD_SIZE": "1"}, False),
        ({"WORLD_SIZE": ""}, False),
        ({"WORLD_SIZE": "all"}, False),
        ({"RANK": "0"}, False),
        ({"WORLD_SIZE": "2", "RANK": "0"}, False),  # which is one of two, or told what it lacks for that
        ({}, False),
    ],
)
def test_world_size_without_rank_warns_of_training_alone(environment, is_told):
    assert ("RANK is not set: this process trains alone" in told_of_no_rank(environment)) == is_told


@pytest.mark.parametrize(("flags", "begins"), [([], "charrnn: "), (["-q"], "charrnn: "), (["--json"], '{"warning": "')])
def test_warning_of_training_alone_comes_before_all_messages(charrnn, flags, begins):
    result = charrnn("train", "verse.txt", *flags, env={"WORLD_SIZE": "2"})
    first, *others = result.stderr.splitlines()
    told = "WORLD_SIZE=2 in the environment, and RANK is not set: this process trains alone; "
    assert first.startswith(begins + told)
    assert (result.code, len(others)) == (2, 1), "there is no such text"


def test_empty_launcher_variable_counts_as_unset():
    for name in ("RANK", "WORLD_SIZE"):
        assert read_place({**place(1, 2, 5), name: ""}) == Place()
    found = read_place({**place(1, 2, 5), "LOCAL_RANK": "", "LOCAL_WORLD_SIZE": "", "TORCHELASTIC_RESTART_COUNT": ""})
    assert (found.local_rank, found.local_world_size, found.restarts) == (1, 0, 0)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("RANK", "a", "at least 0 and at most 1"),
        ("RANK", "2", "at least 0 and at most 1"),
        ("RANK", "-1", "at least 0 and at most 1"),
        ("WORLD_SIZE", "0", "at least 1"),
        ("WORLD_SIZE", "2.0", "at least 1"),
        ("MASTER_PORT", "70000", "at least 1 and at most 65,535"),
        ("LOCAL_RANK", "-1", "at least 0"),
        ("LOCAL_WORLD_SIZE", "0", "at least 1"),
        ("TORCHELASTIC_RESTART_COUNT", "none", "at least 0"),
    ],
)
def test_invalid_launcher_variable_is_refused_in_one_line(name, value, allowed):
    environment = {**place(1, 2, 5), name: value}
    told = f"^{name}={value} in the environment: it must be a whole number, {allowed}; torchrun sets it, and without "
    with pytest.raises(ConfigError, match=told):
        read_place(environment)
    assert speaks_for_host(environment), "of flags that are wrong too"
    assert [speaks_for_host(place(rank, 2, 5)) for rank in (0, 1)] == [True, False]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "RANK=a in the environment: it must be a whole number, at least 0 and at most 1; torchrun sets it, "),
        (["--max-steps", "0"], "--max-steps is 0; "),
        (["--max-step", "0"], "no such option: --max-step "),
    ],
)
def test_invalid_flags_are_reported_before_invalid_launcher_variables(charrnn, flags, told):
    result = charrnn("train", "verse.txt", *flags, env={**place(1, 2, 5), "RANK": "a"})
    assert (result.code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"charrnn: {told}")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set; set it, "),
        ({"MASTER_PORT": None}, "MASTER_PORT is not set; set it, "),
        ({"MASTER_ADDR": None, "MASTER_PORT": ""}, "MASTER_ADDR and MASTER_PORT are not set; set them, "),
    ],
)
def test_rank_without_a_master_address_is_refused(missing, told):
    """Otherwise each rank would train alone, and all would write to one output."""
    given = {name: value for name, value in {**place(0, 2, 5), **missing}.items() if value is not None}
    told = f"^WORLD_SIZE=2 in the environment, and {told}or unset WORLD_SIZE to train alone$"
    with pytest.raises(ConfigError, match=told):
        read_place(given)
