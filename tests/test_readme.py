"""The README and what stands beside it is true: commands run, flags exist, links lead somewhere, the tree is so."""

import inspect
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from itertools import takewhile
from pathlib import Path

import pytest
from conftest import CORPORA, README, ROOT, clean_environment, read_terminal, read_until, train_briefly

from charrnn import recall_memory
from charrnn.analysis.amounts import FEW, FEW_LINES
from charrnn.analysis.gradients import CONTEXT_LENGTHS, GRADIENT_PLACES
from charrnn.analysis.neurons import MAX_VIEWED, OPEN, SHUT, SIGNIFICANT
from charrnn.cli import inspection
from charrnn.cli.inspector.candidate_files import LARGEST_SOUGHT, MOST_ENTRIES, NUM_ABOVE
from charrnn.cli.inspector.flags import MAX_JUDGED
from charrnn.cli.inspector.unit_views import NEARLY_ALWAYS
from charrnn.cli.sample import FEWEST_TEXTS, sample
from charrnn.cli.sample import WORDS as SAMPLE_WORDS
from charrnn.cli.sampler.preparing import DEFAULT_LENGTH, LONGEST_LINE, LONGEST_STOPPED
from charrnn.cli.train import train
from charrnn.cli.trainer.background_saver import SAVE_EVERY
from charrnn.cli.trainer.signals import LEAST_TO_SAVE, MOST_TO_SAVE
from charrnn.config import CHOICES, CONTEXTS, FARTHEST, MOST_EVALUATED, ModelConfig, TrainConfig
from charrnn.display.messages import HURRY_SECONDS
from charrnn.generation.sample_progress import MOST_IN_VAIN
from charrnn.hyperparameters import (
    LEAST_EVALUATED,
    LONGEST_WARM_UP,
    RECALL,
    STRETCHES,
    WARM_UP_SHARE,
    choose_weight_decay,
)
from charrnn.limits import flag_name
from charrnn.metrics import COLD_WINDOW
from charrnn.suggest import LANES_OF_A_PROCESS, MOST_LANES, suggest
from charrnn.text.cache import KEPT_DAYS
from charrnn.text.corpus import MAPPED_BYTES
from charrnn.text.documents import TO_A_NUL
from charrnn.text.likeness import STRAY_LINE_ENDS
from charrnn.training.health import LARGEST_LOSS, RECOVERY_FACTOR, SMOOTHING_STEPS
from charrnn.training.lane_choice import MEMORY_SHARE
from charrnn.training.loop import REPORT_SECONDS
from charrnn.training.optimizers import MOMENTUM
from charrnn.training.recovery import BAD_STEPS, RECOVERIES

DOCUMENTS = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), CORPORA / "README.md"]
BENCHMARKS = ROOT / "tests" / "benchmarks"


def blocks(document, languages):
    """The blocks of a document in some languages, with `|` between."""
    return re.findall(rf"^```(?:{languages})\n(.*?)^```", document.read_text(encoding="utf-8"), re.M | re.S)


COMMANDS = [
    (command, printed.splitlines())
    for document in DOCUMENTS
    for block in blocks(document, "console")
    for command, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)
]
"""Those with a prompt before them, and the lines that they print."""

SETUP = [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)]
FUNCTIONS = {"train": train, "sample": sample, "inspect": inspection.inspect}
WORDS = {"train": CHOICES, "sample": SAMPLE_WORDS, "inspect": inspection.WORDS}
"""The words that a flag may be, by the name of its parameter, for each command."""

OTHER_FLAGS = {
    "--install-completion", "--show-completion", "--version", "--help", "--index-url", "--standalone",
    "--nproc-per-node", "--nnodes", "--rdzv-id", "--rdzv-backend", "--rdzv-endpoint", "--max-restarts", "--nodes",
    "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--requeue", "--signal", "--open-mode", "--check",
    "--rnn-size", "--foreground",
}  # fmt: skip
"""Those of all commands, of pip, torchrun, Slurm, ruff, char-rnn and timeout."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A bash in a folder with the corpora, where `charrnn` is the installed command."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(CORPORA, folder / "corpora")
    environment = {**clean_environment(), "COLUMNS": "80", "XDG_CACHE_HOME": str(folder / "kept")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"

    def run(command):
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            capture_output=True,
            env=environment,
            timeout=400,
            stdin=subprocess.DEVNULL,
        )

    return run


def hurried(command):
    """The same command with a fifth of its time, a tenth of its passes or steps, on a small model, to see it run.

    With less, on a busy machine, it would not write the lines that one command waits for.

    Units of a high number become others that such a model has.
    """
    hasty = command.replace("--time 3m", "--time 60s")
    if not re.search("--resume|--init-from", command):
        hasty = hasty.replace("charrnn train", "charrnn train --hidden-size 128")
    hasty = re.sub(r"--cell (\d+):(\d+)", lambda match: f"--cell {match[1]}:{int(match[2]) % 100}", hasty)
    hasty = re.sub(r"--epochs (\d)\b", r"--epochs 0.\1", hasty)
    hasty = re.sub(r"--max-steps (\d+)0\b", r"--max-steps \1", hasty)
    return re.sub(r"--time (\d+)s", lambda match: f"--time {int(match[1]) // 5}s", hasty)


MAY_DIFFER = {
    "train corpora/verse.txt --time 60s": "(model|training): .*",
    '--prompt "FINCH:" --length': "(?!seed|FINCH:).*",
    "--match '[A-Z][a-z]+(": "[A-Z][a-z]+( [a-z]+){4,7}[.?!]",
    '--text "It was': ".{25}",
    "--neurons": r"[a-z ]+ 0:\d+(:[hifo])? +[-+0-9. ]+",
    "--cell 0:7:f": "[▁▂▃▄▅▆▇█]{38}",
    "--gradients": r"the first 13,107 of .*|(verse|tanh) +\d  +[ch] .*",
    "--svg": "", "--html": "", "--export": "",
}  # fmt: skip
"""Which lines of what the README shows below some commands may be others for another model: those with its shape, its
words and what its cells follow."""


def labels_of(lines):
    """What a card calls the figures in its rows, which end before its curves."""
    return {label for line in takewhile(bool, lines) for label in re.findall(r"^ {0,2}([a-z6][\w. -]*?) {2,}", line)}


def without_figures(line):
    """What of a line is the same for every model."""
    return re.sub(r"\d[\d.,]*(e-\d+)?", "0", " ".join(line.split()))


@pytest.mark.slow
def test_every_command_of_the_readme_runs_in_order(shell):
    assert len(COMMANDS) >= 50
    for command, printed in COMMANDS:
        result = shell(hurried(command))
        assert result.returncode == 0, f"{command}\n{result.stderr.decode()}"
        assert result.stdout, command
        assert b"Traceback" not in result.stderr
        lines = (result.stderr + result.stdout).decode().splitlines()
        shown = {without_figures(line) for line in ["...", *lines]}
        others = [line for line in printed if without_figures(line) not in shown]
        if command == "charrnn inspect verse.pt":
            assert "6-gram" in labels_of(printed) <= labels_of(result.stdout.decode().splitlines())
        elif printed and "sample python.pt" not in command:  # which writes other words from end to end
            (may_differ,) = (pattern for words, pattern in MAY_DIFFER.items() if words in command)
            assert not [line for line in others if not re.fullmatch(may_differ, line)]
            assert len(others) < len(printed)


def test_csv_recipe_writes_lines(shell):
    (recipe,) = re.findall(r"`(python3 -c 'import csv.*?)`", README)
    rows = 'id,text\r\n1,"She said ""ö"",\r\nand left"\r\n2,plain\r\n3,"a, b"\r\n'
    quoted = f"printf %s '{rows}' > tweets.csv && {recipe} && cat tweets.txt"
    assert shell(quoted).stdout.decode() == 'She said "ö", and left\nplain\na, b\n'


def test_story_recipe_keeps_its_file_despite_ctrl_c(trained, start_in_terminal):
    """Ctrl-C goes to all that runs on the terminal, to tee as well."""
    (recipe,) = re.findall(r"`charrnn (sample mybook\.pt -i --story -f tale\.txt \| .*?)`", README)
    (trained / "tale.txt").write_text("Sole")
    flags = "words.pt -q -n -1 --allow a"
    command = f"{sys.executable} -m charrnn {recipe.replace('mybook.pt', flags)}"
    master, slave = pty.openpty()
    process = start_in_terminal(trained, slave, f"set -o pipefail; {command}", "--wait")
    os.close(slave)
    for typed in (b" Tin", b" Ro"):
        read_until(master, b"> ")
        os.write(master, typed + b"\n")
        read_until(process.stdout.fileno(), typed + b"aaa")
        os.write(master, b"\x03")
    read_until(master, b"> ")
    os.write(master, b"\x04")
    read_terminal(master)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.fullmatch("Sole Tina+ Roa+", (trained / "tale.txt").read_text())


def test_setup_takes_two_commands():
    first, second = SETUP
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install . && ")
    assert "charrnn train corpora/" in first
    assert "charrnn sample" in first
    assert second.startswith("python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && ")
    assert " -m pytest" in second
    assert all("\n" not in command for command in SETUP)


@pytest.mark.slow
def test_first_command_ends_with_a_sample(shell):
    command = SETUP[0].replace("python3 -m venv .venv && .venv/bin/pip install . && ", "").replace(".venv/bin/", "")
    result = shell(command.replace("--time 60s", "--max-steps 20"))
    assert result.returncode == 0, result.stderr.decode()
    assert len(result.stdout.decode()) == 500


@pytest.mark.slow
def test_python_example_runs(shell):
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    shell("test -e verse.pt || charrnn train corpora/verse.txt --max-steps 20")
    result = shell(f"python - <<'END'\n{example}END")
    assert result.returncode == 0, result.stderr.decode()
    assert len(result.stdout.decode()) == 201


def flags_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text))


def section_of(command):
    return README.split(f"### `charrnn {command}")[1].split("\n### ")[0].split("\n## ")[0]


@pytest.fixture(scope="module")
def flags_of(shell):
    """The flags of each command by its name, as its help has them."""
    return {name: flags_in(shell(f"charrnn {name} --help").stdout.decode()) - {"--help"} for name in FUNCTIONS}


@pytest.mark.parametrize("command", FUNCTIONS)
def test_flags_of_the_readme_and_the_commands_agree(flags_of, command):
    flags, section = flags_of[command], section_of(command)
    assert flags <= flags_in(section), flags - flags_in(section)
    table = set(re.findall(r"^\| `(--[a-z0-9-]+)", section, re.M))
    assert table <= flags, table - flags


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_flag_named_in_a_document_exists(flags_of, document):
    of_benchmarks = flags_in((BENCHMARKS / "__main__.py").read_text(encoding="utf-8"))
    named = flags_in(document.read_text(encoding="utf-8"))
    unknown = named.difference(OTHER_FLAGS, of_benchmarks, *flags_of.values())
    assert not unknown, unknown


def defaults_of(command):
    """What the README's rows say of a command's defaults, by the flag."""
    return dict(re.findall(r"^\| `(--[a-z0-9-]+)`.*\| ([^|]+) \|$", section_of(command), re.M))


@pytest.mark.parametrize("command", FUNCTIONS)
def test_default_in_the_readme_is_that_of_the_flag(command):
    rows = defaults_of(command)
    defaults = {
        flag_name(name): parameter.default
        for name, parameter in inspect.signature(FUNCTIONS[command]).parameters.items()
        if type(parameter.default) in (str, int, float) and parameter.default != ""
    }
    assert defaults
    for flag, default in defaults.items():
        told = re.split("[,;] ", rows[flag])[0].strip("`")
        assert type(default)(told) == default, flag


USUAL, MANY_IDS = (suggest({}, num_chars=2_000_000, vocab_size=size) for size in (512, 513))
LONG, LINES = (suggest({"max_steps": 10**5}, num_chars=10**6, vocab_size=9, mean_line=mean) for mean in (None, 20.0))
UNSAID_DEFAULTS = {
    "--recall": (USUAL.model.recall, LINES.model.recall),
    "--recall-dropout": (ModelConfig.recall_dropout,),
    "--embedding-dim": (USUAL.model.embedding_dim, MANY_IDS.model.embedding_dim, 512),
    "--patience": (USUAL.training.patience,),
    "--seq-len": (USUAL.training.seq_len,),
    "--stretch": (STRETCHES[0][1], STRETCHES[-1][1]),
    "--warmup-steps": (LONG.training.warmup_steps, round(LONGEST_WARM_UP / WARM_UP_SHARE)),
    "--weight-decay": (choose_weight_decay("adamw"), round(choose_weight_decay("adam"))),
    "--save-every": (round(SAVE_EVERY),),
    "--length": (DEFAULT_LENGTH,),
}
"""The figures in the README's defaults of flags that have none in their signature, in its order."""


def figures_in(text):
    return [float(figure.replace(",", "")) for figure in re.findall(r"\d[\d.,]*(?<![.,])", text)]


def test_chosen_default_in_the_readme_is_what_is_chosen():
    rows = {**defaults_of("train"), **{"--length": defaults_of("sample")["--length"]}}
    assert {flag: figures_in(rows[flag]) for flag in UNSAID_DEFAULTS} == {
        flag: [*figures] for flag, figures in UNSAID_DEFAULTS.items()
    }


@pytest.mark.parametrize("command", FUNCTIONS)
def test_default_in_the_help_is_that_in_the_readme(command):
    rows = defaults_of(command)
    for name, parameter in inspect.signature(FUNCTIONS[command]).parameters.items():
        for option in getattr(parameter.annotation, "__metadata__", ()):
            told = figures_in("".join(re.findall(r"\[default: (.*)\]", option.help)))
            assert not told or set(told) <= set(figures_in(rows[flag_name(name)])), name


@pytest.mark.parametrize(("command", "name"), [(command, name) for command in WORDS for name in WORDS[command]])
def test_choices_of_a_flag_are_in_its_help_and_in_the_readme(command, name):
    (row,) = re.findall(rf"^\| `{flag_name(name)}[`, ].*", section_of(command), re.M)
    (option,) = inspect.signature(FUNCTIONS[command]).parameters[name].annotation.__metadata__
    words = set(WORDS[command][name])
    assert words <= set(re.findall(r"[\w-]+", option.help))
    assert words <= set(re.findall(r"`([^`]+)`", row))


IN_WORDS = {
    0.25: "quarter", 0.5: "half", 2: "two", 3: "three", (3, "th"): "third", 5: "five", 8: "eight", 9: "nine",
    19: "nineteen", 20: "twenty", 1_000: "thousand", 1_000_000: "million",
}  # fmt: skip


def test_other_figures_in_the_readme_are_those_of_the_code():
    told = " ".join(README.split())
    for words in (
        f"so many characters back (at most {FARTHEST:,}); 0: do not",
        f"the {RECALL:,} characters before",
        f"texts of more than {MAPPED_BYTES >> 20} MiB of ids",
        f"texts over {LARGEST_SOUGHT >> 20} MiB are not looked for",
        f"or of over {MOST_ENTRIES:,} files and folders: name them by `--corpus`",
        f"from the checkpoint's folder or from one of {IN_WORDS[NUM_ABOVE]} above it",
        f"did not use for {KEPT_DAYS} days",
        f"at the latest after - {DEFAULT_LENGTH} characters, or bytes for a model of bytes;",
        f"for each line, but {DEFAULT_LENGTH} to {LONGEST_LINE:,}, and at least",
        f"neither of these: {LONGEST_STOPPED:,}, but {DEFAULT_LENGTH} with a range of `--temperature`",
        f"from `-N {2 * FEWEST_TEXTS}` on several processes share the texts: one for each {FEWEST_TEXTS} of them",
        f"where {MOST_IN_VAIN:,} characters in a row have been left out",
        f"up to {IN_WORDS[1 / REPORT_SECONDS]} reports a second, whatever the steps",
        f"A signal still works, {IN_WORDS[HURRY_SECONDS]} seconds later",
        f"on the GPU where it takes at most a {IN_WORDS[MEMORY_SHARE]} of its free memory",
        f"(Nesterov's, with a momentum of {MOMENTUM})",
        f"or whose loss is {LARGEST_LOSS:,.0f} nats or more, is skipped",
        f"After {IN_WORDS[BAD_STEPS]} skipped steps in a row, or a training loss that explodes, training returns",
        f"the best weights at {IN_WORDS[RECOVERY_FACTOR]} the learning rate",
        f"an exponential moving average, in which the last step has a weight of 1/{SMOOTHING_STEPS};",
        f"after the {IN_WORDS[RECOVERIES, 'th']} time without a new best",
        f"where the last {IN_WORDS[recall_memory.LONG]} characters stood in what it wrote before, it recalls nothing",
        f"the same for a file, or `-`: the first {MAX_VIEWED:,} characters of it",
        f"as far as the largest of them can be watched, at most {MAX_VIEWED:,} characters",
        f"of a file the first {MAX_JUDGED:,} characters are looked for",
        f"listed only if chance would do as well at most one time in {IN_WORDS[round(1 / SIGNIFICANT, 9)]}",
        f"is above {OPEN}, or below {SHUT}, at more than {IN_WORDS[round(10 * NEARLY_ALWAYS, 9)]} characters in ten",
        f"what followed the last {', '.join(map(str, CONTEXTS[:-1]))} and {CONTEXTS[-1]} characters when",
        f"*cold windows*: pieces of {COLD_WINDOW} characters, each read",
        f"in each row: all but the first {CONTEXT_LENGTHS[-1]} (fewer in",
        f"no verdict if fewer than {FEW // 10} characters, or {FEW_LINES // 10} lines of a list, are held out",
        f"on {round(LEAST_EVALUATED, -3):,} to a {IN_WORDS[MOST_EVALUATED]} characters from all over it",
        f"one NUL character in a {IN_WORDS[TO_A_NUL]}, or more",
        f"If {IN_WORDS[round(1 / STRAY_LINE_ENDS) - 1]} in {IN_WORDS[round(1 / STRAY_LINE_ENDS)]} of the text's lines",
        f"saves and stops {LEAST_TO_SAVE} to {MOST_TO_SAVE} seconds per thread before",
        f"{LANES_OF_A_PROCESS['cpu']} or more per process, {LANES_OF_A_PROCESS['cuda']} on GPUs, if",
        f"and at most {MOST_LANES} in all",
        f"gradients are medians over {GRADIENT_PLACES} places, spread",
        f"after {IN_WORDS[TrainConfig.rewind_after]} evaluations in a row without improvement",
    ):
        assert words in told


def names_in(told):
    return set(re.findall(r"`(\w+)`", told))


def test_log_and_first_json_line_have_the_fields_that_the_readme_names(charrnn, trained, tmp_path):
    shutil.copy(trained / "words.txt", tmp_path)
    run = charrnn("train", "words.txt", "--hidden-size", 8, "--max-steps", 3, "--json", "--log", "words.jsonl")
    begun = next(line for line in map(json.loads, run.done.stderr.splitlines()) if "told" in line)
    told = " ".join(README.split())
    (of_line,) = re.findall(r"A line of it holds (.*?) In the `history`", told)
    ends = {"steps", "time", "patience", "divergence"}
    for line in (tmp_path / "words.jsonl").read_text().splitlines():
        assert json.loads(line).keys() == names_in(of_line) - ends - {"job"}
    (of_begun,) = re.findall(r"With `--json`, the first line has, (.*?) Then come", told)
    of_card = {"name", "characters", "bytes", "sha256"}
    shown = begun.keys() - {field.name for field in fields(ModelConfig)}
    assert names_in(of_begun) - {"counts"} == shown | begun["corpus"].keys() - of_card


def names_of(values):
    """The names of all fields, without the keys of tables by character and by length."""
    if isinstance(values, list):
        return {name for value in values for name in names_of(value)}
    if not isinstance(values, dict):
        return set()
    tables = {"expected_alike", "read_alike", "places", "copied"}
    return {*values, *(name for key, value in values.items() if key not in tables for name in names_of(value))}


def test_view_json_has_the_fields_that_the_readme_names(charrnn, trained, tmp_path):
    shutil.copy(trained / "words.pt", tmp_path)
    (tmp_path / "words.txt").write_bytes((trained / "words.txt").read_bytes())
    train_briefly(tmp_path, "words.txt", "--lines", "--hidden-size", "8", "--max-steps", "1", "--out", "lined.pt")
    cells = [word for number in range(48) for word in ("--cell", f"0:{number}")]  # some follow a feature
    shown = {}
    for asked in (
        ["words.pt", "--text", "Tin sole", "--top-k", 2],
        ["words.pt", "--neurons", *cells, "--gates", "--gradients", "--embeddings"],
        ["lined.pt", "--novelty", 100],
    ):
        shown |= json.loads(charrnn("inspect", *asked, "--json").done.stdout)
    rows = re.findall(
        r"^\| `(\w+)`[^|]* \| (.*) \|$", README.split("Views have `checkpoint`")[1].split("\n### ")[0], re.M
    )
    assert shown.keys() == {view for view, _ in rows} | {"checkpoint"}
    for view, told in rows:
        read = {"text", "characters", "of", "left_out"} if view in ("neurons", "gates", "gradients") else set()
        assert names_of(shown[view]) - {"note"} == names_in(told) | read, view


def test_file_tree_matches_the_folders():
    tree = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The rooms")[1].split("```")[1]
    listed, rooms = set(), []
    for indent, name in re.findall(r"^( +)(\w+(?:/|\.py)) ", tree, re.M):
        rooms = [*rooms[: len(indent) // 4 - 1], name]
        if name.endswith(".py"):
            listed.add("".join(rooms))
    package = ROOT / "charrnn"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert listed == {path for path in modules if not path.endswith(("__init__.py", "__main__.py"))}


def test_changelog_names_the_version():
    from charrnn import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_links_inside_the_project_resolve():
    for document in [*DOCUMENTS, BENCHMARKS / "RECIPES.md", BENCHMARKS / "SPEEDS.md"]:
        for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
            path, _, heading = target.partition("#")
            if not target.startswith("http"):
                there = document.parent / path if path else document
                assert there.exists(), target
                assert not heading or heading in headings(there), target


def headings(document):
    """What a document's headings are called in links to them, as GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def test_no_command_has_a_comment():
    """An interactive zsh does, the shell of macOS."""
    typed = [
        line
        for document in DOCUMENTS
        for block in blocks(document, "bash|sh|console")
        for line in block.splitlines()
        if not block.startswith("#!")  # a script is not typed
    ]
    assert any(line.startswith("charrnn train ") for line in typed)
    assert not [line for line in typed if re.search(r"(^|\s)#", line)]


def test_slurm_script_passes_the_cores_of_the_job_to_torchrun():
    """Since version 22.05 srun takes them from the job no more: https://slurm.schedmd.com/srun.html#OPT_cpus-per-task."""
    (script,) = re.findall(r"^```bash\n(#!/bin/bash\n.*?)^```", README, re.M | re.S)
    assert "#SBATCH" in script.split("--cpus-per-task=")[0]
    assert 'srun --cpus-per-task="$SLURM_CPUS_PER_TASK" torchrun ' in script


def test_slurm_script_asks_for_a_gpu_for_each_process_of_a_node():
    (script,) = re.findall(r"^```bash\n(#!/bin/bash\n.*?)^```", README, re.M | re.S)
    (gpus,), (processes,) = (re.findall(rf"--{flag}[= ](\d+)", script) for flag in ("gpus-per-node", "nproc-per-node"))
    assert gpus == processes
