"""The plan of the house: who may import whom, and what must not be loaded."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from conftest import ROOT, clean_environment

from charrnn.cli.inspection import inspect
from charrnn.cli.sample import sample
from charrnn.cli.train import train

PACKAGE = ROOT / "charrnn"

ALLOWED = {
    "__init__": "",
    "__main__": "cli",
    # the ground floor
    "errors": "",
    "escape": "",
    "metrics": "",
    "config": "errors",
    "shapes": "config",
    "regimen": "config",
    "suggest": "config regimen shapes",
    "text": "config errors",
    "storage": "config errors metrics shapes text",
    # the training wing
    "network": "config errors",
    "training": "config errors metrics network storage text",
    # the reading wing
    "inference": "config shapes",
    "generation": "errors inference text",
    "analysis": "config errors escape inference metrics shapes storage text",
    "display": "analysis errors escape metrics shapes storage",
    "loading": "errors generation inference network storage text",
    "cli": "analysis config display errors escape generation inference loading metrics network shapes storage suggest "
    "text training",
}
"""Rooms, and those whose doors they may open; inside a room everything is open, as long as nothing goes round."""

TORCH_ROOMS = {"network", "training"}
TORCH_COMMANDS = {"announce", "launch", "resumption", "session", "train"}
FORBIDDEN_NAMES = {"inspect", "types", "random"}


def imports_of(path):
    """Names of everything that a module imports at any depth but for typing only."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            is_package = base == "charrnn" or (PACKAGE.parent / base.replace(".", "/")).is_dir()
            found |= {f"{base}.{alias.name}" for alias in node.names} if is_package else {base}
    return found - {"charrnn.__version__"}


MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py")])
}
"""Every module by its name inside the package, such as "text.corpus"."""


def room_of(name):
    return name.split(".")[0]


def test_the_table_names_every_room():
    assert set(ALLOWED) == {room_of(name) for name in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_a_room_imports_only_what_the_plan_allows(name):
    within = {module.removeprefix("charrnn.") for module in imports_of(MODULES[name]) if module.startswith("charrnn.")}
    assert {room_of(module) for module in within} <= {room_of(name), *ALLOWED[room_of(name)].split()}


def test_no_room_and_no_module_imports_in_a_circle():
    TopologicalSorter({room: doors.split() for room, doors in ALLOWED.items()}).prepare()
    TopologicalSorter({
        name: {module.removeprefix("charrnn.") for module in imports_of(path)} for name, path in MODULES.items()
    }).prepare()  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_only_the_training_wing_imports_torch_and_only_the_console_rich(name):
    packages = {module.split(".")[0] for module in imports_of(MODULES[name])}
    assert packages <= {"charrnn", "torch", "numpy", "rich", "typer", *sys.stdlib_module_names}
    assert ("torch" in packages) <= (room_of(name) in TORCH_ROOMS or name.removeprefix("cli.") in TORCH_COMMANDS)
    assert ("rich" in packages) <= (name == "display.console")
    assert ("typer" in packages) <= name.startswith("cli.")


def test_no_module_hides_one_of_the_standard_library():
    assert not FORBIDDEN_NAMES & {part for name in MODULES for part in name.split(".")}


def modules_after(arguments, folder):
    """Run a command in a fresh interpreter and list the modules it has loaded."""
    script = (
        "import sys\nsys.argv = ['charrnn', *sys.argv[1:]]\n"
        "from charrnn.cli import main\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert not leave.code, leave.code\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    return set(result.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--version"], ["train", "--help"], ["sample", "--help"], ["inspect", "--help"],
    ],
)  # fmt: skip
def test_help_loads_neither_torch_nor_numpy(arguments, tmp_path):
    assert not {"torch", "numpy"} & modules_after(arguments, tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "words.pt", "-n", "20"],
        ["sample", "words.pt", "-n", "20", "-N", "3"],
        ["inspect", "words.pt"],
        ["inspect", "words.pt", "--json"],
        ["inspect", "words.pt", "--verify"],
        ["inspect", "words.pt", "words.pt"],
        ["inspect", "words.pt", "--text", "Tin sole", "--top-k", "2"],
        ["inspect", "words.pt", "--neurons", "--cell", "0:7", "--gates", "--gradients"],
        ["inspect", "words.pt", "--html", "words.html"],
        ["inspect", "words.pt", "--export", "words.safetensors"],
        ["inspect", "words.pt", "--export", "slim.pt"],
        ["inspect", "words.pt", "--text", "Tin", "--svg", "tin.svg"],
        ["inspect", "words.pt", "--novelty", "100", "--embeddings"],
        ["inspect", "words.pt", "--score", "words.txt"],
        ["inspect", "words.pt", "--score", "words.txt", "--dynamic"],
        ["inspect", "words.pt", "--score", "words.txt", "--by", "line"],
    ],
)
def test_sample_and_inspect_do_not_load_torch(arguments, trained):
    loaded = modules_after(arguments, trained)
    assert "numpy" in loaded
    assert not {"torch", "rich"} & loaded


def test_completion_does_not_load_torch(tmp_path, charrnn):
    result = charrnn(env={"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": "charrnn tra", "COMP_CWORD": "1"})
    assert result.text.split() == ["train"]


def test_no_flag_is_compiled_from_text_at_the_start():
    compiled = [
        f"{command.__name__} {name}"
        for command in (train, sample, inspect)
        for name, annotation in command.__annotations__.items()
        if isinstance(annotation, str)
    ]
    assert not compiled, "typer evaluates each twice; leave `from __future__ import annotations` out of its module"


def test_training_does_not_load_the_compiler_of_torch(tmp_path):
    (tmp_path / "words.txt").write_text("Tin soles tone a stone. " * 40)
    flags = ["train", "words.txt", "--hidden-size", "8", "--quiet", "--max-steps"]
    loaded = modules_after([*flags, "2"], tmp_path) | modules_after([*flags, "4", "--resume"], tmp_path)
    assert "torch" in loaded
    assert not {"torch._dynamo", "torch._inductor"} & loaded
