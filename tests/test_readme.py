"""The README and what stands beside it is true: commands run, flags exist, links lead somewhere, the tree is so."""

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CORPORA, ROOT, clean_environment
from test_display import REPORT

from charrnn.cli import inspection
from charrnn.cli.sample import sample
from charrnn.cli.train import train
from charrnn.display.plain import report_fields
from charrnn.limits import flag_name

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", CORPORA / "README.md"]
COMMANDS = [
    line[2:]
    for document in DOCUMENTS
    for block in re.findall(r"^```console\n(.*?)^```", document.read_text(encoding="utf-8"), re.M | re.S)
    for line in block.splitlines()
    if line.startswith("$ ")
]
SETUP = [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)]
FUNCTIONS = {"train": train, "sample": sample, "inspect": inspection.inspect}
OTHER_FLAGS = {
    "--install-completion", "--show-completion", "--version", "--help", "--index-url", "--standalone",
    "--nproc-per-node", "--nnodes", "--rdzv-id", "--rdzv-backend", "--rdzv-endpoint", "--max-restarts", "--nodes",
    "--ntasks-per-node", "--cpus-per-task", "--requeue", "--signal",
}  # fmt: skip
"""Those of all commands, of pip, torchrun and Slurm."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A bash in a folder with the corpora, where `charrnn` is the installed command."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(CORPORA, folder / "corpora")
    environment = {**clean_environment(), "COLUMNS": "100", "XDG_CACHE_HOME": str(folder / "kept")}
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
    """The same command with a tenth of its time, passes and steps, on a small model: enough to see that it runs.

    Units of a high number become others that such a model has.
    """
    hasty = command.replace("--time 3m", "--time 60s")
    if not re.search("--resume|--init-from", command):
        hasty = hasty.replace("charrnn train", "charrnn train --hidden-size 128")
    hasty = re.sub(r"--cell (\d+):(\d+)", lambda match: f"--cell {match[1]}:{int(match[2]) % 100}", hasty)
    hasty = re.sub(r"--epochs (\d)\b", r"--epochs 0.\1", hasty)
    hasty = re.sub(r"--max-steps (\d+)0\b", r"--max-steps \1", hasty)
    return re.sub(r"--time (\d+)s", lambda match: f"--time {max(5, int(match[1]) // 10)}s", hasty)


@pytest.mark.slow
def test_every_command_of_the_readme_runs_in_order(shell):
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        result = shell(hurried(command))
        assert result.returncode == 0, f"{command}\n{result.stderr.decode()}"
        assert result.stdout, command
        assert b"Traceback" not in result.stderr


def test_two_commands_do_all_the_set_up():
    first, second = SETUP
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install . && ")
    assert "charrnn train corpora/" in first
    assert "charrnn sample" in first
    assert second.startswith("python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && ")
    assert " -m pytest" in second
    assert all("\n" not in command for command in SETUP)


@pytest.mark.slow
def test_the_first_command_ends_with_a_sample(shell):
    command = SETUP[0].replace("python3 -m venv .venv && .venv/bin/pip install . && ", "").replace(".venv/bin/", "")
    result = shell(command.replace("--time 60s", "--max-steps 20"))
    assert result.returncode == 0, result.stderr.decode()
    assert len(result.stdout.decode()) == 500


@pytest.mark.slow
def test_the_python_example_runs(shell):
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
def test_every_flag_is_in_the_readme_and_every_flag_there_exists(flags_of, command):
    flags, section = flags_of[command], section_of(command)
    assert flags <= flags_in(section), flags - flags_in(section)
    table = set(re.findall(r"^\| `(--[a-z0-9-]+)", section, re.M))
    assert table <= flags, table - flags


def test_every_flag_that_the_readme_names_is_of_a_command_or_of_another_program(flags_of):
    unknown = flags_in(README).difference(OTHER_FLAGS, *flags_of.values())
    assert not unknown, unknown


@pytest.mark.parametrize("command", FUNCTIONS)
def test_a_default_in_the_readme_is_that_of_the_flag(command):
    rows = dict(re.findall(r"^\| `(--[a-z0-9-]+)`.*\| ([^|]+) \|$", section_of(command), re.M))
    defaults = {
        flag_name(name): parameter.default
        for name, parameter in inspect.signature(FUNCTIONS[command]).parameters.items()
        if type(parameter.default) in (str, int, float) and parameter.default != ""
    }
    assert defaults
    for flag, default in defaults.items():
        told = re.split("[,;] ", rows[flag])[0].strip("`")
        assert type(default)(told) == default, flag


def test_a_line_of_the_log_has_what_the_readme_names():
    (told,) = re.findall(r"A line of it holds (.*?) and more\.", " ".join(README.split()))
    names = set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", told)))
    assert {"step", "rewinds"} < names <= set(report_fields(REPORT))


def test_the_file_tree_is_the_tree():
    tree = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The rooms")[1].split("```")[1]
    listed, rooms = set(), []
    for indent, name in re.findall(r"^( +)(\w+(?:/|\.py)) ", tree, re.M):
        rooms = [*rooms[: len(indent) // 4 - 1], name]
        if name.endswith(".py"):
            listed.add("".join(rooms))
    package = ROOT / "charrnn"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert listed == {path for path in modules if not path.endswith(("__init__.py", "__main__.py"))}


def test_the_changelog_names_the_version():
    from charrnn import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_links_inside_the_project_lead_somewhere():
    for document in DOCUMENTS:
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


def test_no_command_has_a_comment_which_some_shells_pass_on_as_words():
    """An interactive zsh does, the shell of macOS."""
    typed = [
        line
        for document in DOCUMENTS
        for block in re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", document.read_text(encoding="utf-8"), re.M | re.S)
        for line in block.splitlines()
        if not block.startswith("#!")  # that is no typing
    ]
    assert any(line.startswith("charrnn train ") for line in typed)
    assert not [line for line in typed if re.search(r"(^|\s)#", line)]


def test_in_the_slurm_script_torchrun_gets_the_cores_that_the_job_asks_for():
    """Since version 22.05 srun takes them from the job no more: https://slurm.schedmd.com/srun.html#OPT_cpus-per-task."""
    (script,) = re.findall(r"^```bash\n(#!/bin/bash\n.*?)^```", README, re.M | re.S)
    assert "#SBATCH" in script.split("--cpus-per-task=")[0]
    assert 'srun --cpus-per-task="$SLURM_CPUS_PER_TASK" torchrun ' in script
