"""The plan of the house: who may import whom, and what must not be loaded."""

import ast
import subprocess
import sys

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
    "text_options": "config errors",
    "encoder": "errors text_options",
    "decoding": "errors text_options",
    "sources": "errors",
    "alphabet": "encoder errors text_options",
    "cache": "encoder errors",
    "read_text": "decoding errors sources text_options",
    "corpus": "alphabet cache decoding encoder errors sources text_options read_text",
    "lanes": "encoder errors",
    "torchrun": "",
    "ranks": "",
    "line_lanes": "encoder errors lanes",
    "displays": "escape metrics",
    "log": "errors",
    "echo": "",
    "console": "displays echo escape metrics",
    "regimen": "config",
    "suggest": "config regimen shapes",
    # the training wing
    "dropout": "",
    "recurrence": "",
    "heap": "",
    "cells": "config recurrence",
    "model": "cells config dropout",
    "ensemble": "config model",
    "updates": "",
    "pace": "",
    "gpu_lanes": "config encoder lanes line_lanes",
    "passes": "ensemble lanes model ranks updates",
    "precision": "ensemble errors passes",
    "evaluation": "encoder ensemble lanes line_lanes metrics model passes ranks",
    "group": "ranks torchrun",
    "optimizers": "config",
    "recovery": "errors",
    "resuming": "errors optimizers recovery",
    "run": "config encoder ensemble errors gpu_lanes lanes line_lanes metrics model optimizers pace ranks recovery "
    "resuming updates",
    "training": "config ensemble evaluation heap metrics model optimizers pace passes recovery run",
    "checkpoint": "archive config encoder errors header metrics tensorfile text_options",
    "torch_engine": "config ensemble errors model",
    # the reading wing
    "tensorfile": "",
    "header": "config encoder errors metrics shapes tensorfile text_options",
    "archive": "config encoder errors header metrics shapes tensorfile text_options",
    "folding": "config",
    "stepper": "config folding",
    "engine": "config stepper",
    "numpy_ensemble": "config engine shapes",
    "filters": "errors",
    "patterns": "errors",
    "automaton": "patterns",
    "sampling": "errors filters",
    "matching": "text_options automaton encoder errors filters patterns sampling",
    "endings": "",
    "loading": "archive encoder errors mixing numpy_ensemble sampling text_options torch_engine",
    "samples": "encoder endings filters sampling text_options",
    "mixing": "numpy_ensemble encoder filters sampling",
    "analysis": "config numpy_ensemble",
    "unknowns": "encoder errors",
    "line_reader": "errors sources text_options",
    "heldout": "archive corpus encoder errors escape",
    "ngrams": "",
    "tape": "config",
    "backprop": "config tape",
    "dynamic": "analysis backprop config tape",
    "surprise": "analysis numpy_ensemble encoder text_options unknowns",
    "heatmap": "escape",
    "features": "",
    "neurons": "config features shapes tape",
    "gradients": "analysis numpy_ensemble backprop config errors shapes tape",
    "novelty": "",
    "embeddings": "",
    "page": "errors outputs",
    "outputs": "errors",
    "svg": "escape",
    "export": "archive header",
    "verdict": "metrics",
    "curves": "metrics",
    "verification": "archive errors tensorfile",
    "report": "archive displays escape metrics shapes verdict",
}
TORCH_ROOMS = {
    "dropout", "recurrence", "cells", "model", "ensemble", "passes", "pace", "updates", "gpu_lanes", "precision",
    "evaluation", "group", "optimizers", "recovery", "resuming", "run", "training", "checkpoint", "torch_engine",
}  # fmt: skip
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
            found |= {f"charrnn.{alias.name}" for alias in node.names} if base == "charrnn" else {base}
    return found - {"charrnn.__version__"}


MODULES = {path.stem: path for path in PACKAGE.glob("*.py")}
COMMANDS = {path.stem: path for path in (PACKAGE / "cli").glob("*.py")}


def test_the_table_names_every_room():
    assert set(ALLOWED) == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_room_imports_only_what_the_plan_allows(name):
    rooms = {module.split(".")[1] for module in imports_of(MODULES[name]) if module.startswith("charrnn.")}
    assert rooms <= set(ALLOWED[name].split())


@pytest.mark.parametrize(("name", "path"), [*MODULES.items(), *((f"cli.{n}", p) for n, p in COMMANDS.items())])
def test_only_the_training_wing_imports_torch_and_only_the_console_rich(name, path):
    packages = {module.split(".")[0] for module in imports_of(path)}
    assert packages <= {"charrnn", "torch", "numpy", "rich", "typer", *sys.stdlib_module_names}
    assert ("torch" in packages) <= (name in TORCH_ROOMS or name.removeprefix("cli.") in TORCH_COMMANDS)
    assert ("rich" in packages) <= (name == "console")
    assert ("typer" in packages) <= name.startswith("cli.")


def test_no_module_hides_one_of_the_standard_library():
    assert not FORBIDDEN_NAMES & {*MODULES, *COMMANDS}


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
