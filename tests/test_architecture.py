"""Import rules: which module may import which, and what a command must not load."""

import ast
import shutil
import subprocess
import sys
import zipfile
from dataclasses import fields
from graphlib import TopologicalSorter
from types import GenericAlias
from typing import get_type_hints

import pytest
from conftest import ROOT, clean_environment

from charrnn.cli.inspection import inspect
from charrnn.cli.inspector.flags import InspectFlags
from charrnn.cli.sample import sample
from charrnn.cli.sampler.flags import SampleFlags
from charrnn.cli.train import train

PACKAGE = ROOT / "charrnn"

ALLOWED = {
    "": {
        "__init__": "",
        "__main__": "cli garbage",
        "surrogates": "",
        "arrays": "",
        "errors": "",
        "garbage": "",
        "escape": "surrogates",
        "paths": "escape",
        "disk": "",
        "metrics": "",
        "softmax": "arrays",
        "limits": "errors",
        "wording": "config metrics",
        "cell_types": "",
        "config": "cell_types errors limits",
        "shapes": "cell_types config",
        "hyperparameters": "config errors",
        "recall": "arrays config",
        "recall_memory": "arrays config recall",
        "budget": "config hyperparameters recall shapes",
        "suggest": "budget config hyperparameters",
        "loading": "arrays archive encoder errors mixing engine torch_engine",
    },
    "text": {
        "options": "config errors limits",
        "encoder": "arrays errors escape options surrogates",
        "unpacking": "errors",
        "kinds": "errors options unpacking",
        "misread": "guessing options",
        "guessing": "",
        "advice": "guessing kinds misread options surrogates",
        "decoding": "advice errors kinds misread options",
        "keeping": "errors unpacking",
        "globs": "escape",
        "left_out": "errors",
        "unreadable": "errors escape globs left_out paths unpacking",
        "walking": "globs left_out paths unreadable",
        "sources": "errors globs keeping left_out paths unpacking unreadable walking",
        "char_counter": "arrays config encoder",
        "stream": "decoding errors kinds meter options read_options sources surrogates unreadable",
        "read_options": "cache encoder options",
        "alphabet": "encoder errors escape options read_options char_counter wording",
        "cache": "arrays disk errors",
        "places": "arrays cache",
        "counted_places": "arrays cache places",
        "meter": "",
        "documents": "advice decoding errors keeping kinds left_out misread options sources unpacking unreadable",
        "splitting": "arrays encoder errors places wording",
        "corpus": "alphabet arrays cache config documents encoder errors left_out meter options paths read_options "
        "sources splitting stream char_counter",
        "likeness": "encoder",
        "unknowns": "arrays config encoder likeness",
        "line_reader": "advice decoding errors kinds misread options paths unpacking unreadable",
    },
    "network": {
        "dropout": "",
        "recurrence": "",
        "cells": "cell_types recurrence",
        "model": "cell_types cells config dropout recall",
        "ensemble": "config model",
        "torch_engine": "arrays cells config ensemble errors recall_memory model recall",
    },
    "training": {
        "recalled_text": "arrays config recall",
        "lanes": "arrays cache errors places recall recalled_text",
        "torchrun": "errors limits",
        "clock": "",
        "ranks": "clock",
        "line_lanes": "arrays cache errors lanes places",
        "heap": "",
        "health": "",
        "updates": "health",
        "pace": "",
        "lane_choice": "arrays config lanes line_lanes",
        "passes": "ensemble lanes model ranks updates",
        "precision": "config ensemble errors loop passes randomness",
        "evaluation": "arrays cache clock counted_places ensemble metrics model passes places ranks recall "
        "recalled_text",
        "rendezvous": "torchrun",
        "group": "clock config errors rendezvous ranks torchrun",
        "optimizers": "config shapes",
        "recovery": "ensemble errors health randomness run",
        "randomness": "config ensemble ranks",
        "run": "arrays config ensemble errors health lane_choice lanes metrics model optimizers pace randomness ranks "
        "recalled_text training_state updates",
        "validation": "ensemble evaluation health heap lanes metrics model recovery run",
        "timetable": "config hyperparameters run",
        "loop": "ensemble health heap metrics model optimizers pace passes recovery run timetable validation",
        "checkpoint": "archive cell_types config errors header outputs shapes tensorfile",
    },
    "storage": {
        "unpickling": "",
        "tensorfile": "unpickling",
        "origin": "errors paths",
        "header": "config encoder errors metrics options origin shapes unpickling",
        "mistaken": "escape kinds paths unpacking",
        "archive": "arrays config encoder errors header kinds likeness metrics mistaken paths shapes tensorfile",
        "outputs": "disk errors paths",
        "export": "archive cell_types",
        "training_state": "archive cell_types config errors header shapes",
        "verification": "archive errors paths tensorfile training_state wording",
    },
    "inference": {
        "folding": "arrays cell_types cell_updates config",
        "recall_logits": "arrays recall",
        "cell_updates": "arrays",
        "stepper": "arrays cell_types cell_updates config folding recall recall_logits",
        "numpy_network": "arrays config folding recall recall_logits stepper",
        "engine": "arrays cell_types config numpy_network recall_memory recall shapes softmax stepper",
        "tape": "arrays cell_types config numpy_network recall recall_logits",
        "backprop": "arrays cell_types config recall tape",
    },
    "generation": {
        "sample_progress": "",
        "filters": "arrays errors limits",
        "choosing": "arrays sample_progress errors filters",
        "patterns": "errors",
        "automaton": "patterns",
        "batch_sampling": "arrays choosing sample_progress filters",
        "sampling": "arrays choosing sample_progress errors filters batch_sampling",
        "matching": "automaton encoder errors options patterns",
        "rules": "",
        "endings": "rules surrogates",
        "story": "arrays sampling",
        "samples": "sample_progress encoder endings filters options sampling softmax surrogates",
        "batch_samples": "arrays encoder endings rules samples sampling batch_sampling softmax",
        "mixing": "arrays encoder numpy_network recall_memory engine recall softmax",
    },
    "analysis": {
        "losses": "arrays config counted_places errors engine recall",
        "ngrams": "arrays",
        "dynamic": "arrays backprop config losses recall shapes tape",
        "surprise": "arrays encoder losses engine recall softmax unknowns",
        "features": "surrogates",
        "neurons": "cell_types config features shapes tape",
        "gradients": "arrays backprop cell_types config losses engine recall shapes tape",
        "novelty": "",
        "embeddings": "arrays",
        "verdict": "config hyperparameters metrics suggest wording",
        "amounts": "",
    },
    "display": {
        "json_line": "surrogates",
        "messages": "escape json_line",
        "plain": "escape json_line metrics messages wording",
        "echo": "",
        "widths": "escape",
        "frame": "echo messages widths",
        "console": "echo escape frame metrics messages plain widths wording",
        "heatmap": "curves widths",
        "page": "",
        "svg": "escape widths",
        "curves": "metrics ngrams options widths",
        "card": "amounts archive config encoder escape metrics ngrams options shapes splitting verdict widths wording",
    },
}
"""What each module may import, by the room that it lies in; "" is the ground floor. Names are unique in the house."""

TORCH_MODULES = {
    "cells", "checkpoint", "dropout", "ensemble", "evaluation", "group", "lane_choice", "loop", "model",
    "optimizers", "pace", "passes", "precision", "randomness", "recovery", "recurrence", "rendezvous", "run",
    "torch_engine", "updates", "validation",
}  # fmt: skip
TORCH_COMMANDS = {"fine_tuning", "machine", "resume_state", "run_saver", "session", "threads"}
FORBIDDEN_NAMES = {"inspect", "types", "random"}


def is_module(name):
    path = PACKAGE.parent / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports_of(path, even_for_typing=False):
    """Names of everything that a module imports at any depth, without what it imports for typing only, or with it."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only and not even_for_typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            found |= {f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base for alias in node.names}
    return found - {"charrnn"}  # its version


MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
"""Every module by its name inside the package, such as "text.corpus"."""


def room_of(name):
    """The top folder of a module, with all of `cli` as one; a top-level module is a room by itself."""
    return name.split(".")[0]


def chamber_of(name):
    """The same, with the folders of `cli` distinguished."""
    return name.rpartition(".")[0] if room_of(name) == "cli" else room_of(name)


def own_imports(name, even_for_typing=False):
    """What a module imports of the package itself, as `MODULES` names it."""
    imported = imports_of(MODULES[name], even_for_typing)
    return {module.removeprefix("charrnn.") for module in imported if module.partition(".")[0] == "charrnn"}


def test_table_names_every_module_in_its_room():
    listed = {f"{room}.{module}" if room else module for room, modules in ALLOWED.items() for module in modules}
    inits = {f"{room}.__init__" for room in ALLOWED if room}
    assert listed | inits == {name for name in MODULES if room_of(name) != "cli"}
    assert len(listed) == len({name.rpartition(".")[2] for name in listed}), "names are unique"
    assert all(not own_imports(name) for name in inits)


@pytest.mark.parametrize(
    ("room", "module"), [(room, module) for room, modules in ALLOWED.items() for module in modules]
)
def test_module_imports_only_what_the_plan_allows(room, module):
    imported = own_imports(f"{room}.{module}" if room else module)
    assert imported <= {*MODULES, "cli"}
    assert {name.rpartition(".")[2] for name in imported} == set(ALLOWED[room][module].split())


def test_no_imports_are_circular():
    """Imports for typing count too: what two modules need of each other belongs in a module below both."""
    by_module = {name: own_imports(name, even_for_typing=True) for name in MODULES}
    by_room = {chamber_of(name): set() for name in MODULES}
    for name, imported in by_module.items():
        by_room[chamber_of(name)] |= {chamber_of(other) for other in imported} - {chamber_of(name)}
    for graph in (by_module, by_room):
        assert set(graph) <= set(TopologicalSorter(graph).static_order()), "CycleError names the circle"


TRAINING_WING, READING_WING = {"network", "training"}, {"inference", "generation", "analysis"}
COMMANDS_ROOMS = {"cli.trainer", "cli.sampler", "cli.inspector"}
FREE_OF_TORCH = {"cli.sample", "cli.sampler", "cli.inspection", "cli.inspector", "cli.common"}


@pytest.mark.parametrize("name", MODULES)
def test_wings_and_command_rooms_do_not_import_each_other(name):
    imported = own_imports(name)
    for wing, other in ((TRAINING_WING, READING_WING), (READING_WING, TRAINING_WING)):
        assert room_of(name) not in wing or not other & set(map(room_of, imported))
    if name in FREE_OF_TORCH or chamber_of(name) in FREE_OF_TORCH:
        assert not TRAINING_WING & set(map(room_of, imported))
    if chamber_of(name) in COMMANDS_ROOMS:
        assert {chamber_of(module) for module in imported if room_of(module) == "cli"} <= {
            chamber_of(name),
            "cli.common",
        }


@pytest.mark.parametrize("name", MODULES)
def test_only_the_training_wing_imports_torch_and_only_the_console_rich(name):
    packages = {module.split(".")[0] for module in imports_of(MODULES[name])}
    assert packages <= {"charrnn", "torch", "numpy", "rich", "typer", *sys.stdlib_module_names}
    assert ("torch" in packages) == (
        name.rpartition(".")[2] in (TORCH_COMMANDS if room_of(name) == "cli" else TORCH_MODULES)
    )
    assert ("rich" in packages) == (name == "display.console")
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
        ["inspect", "words.pt", "words.pt", "--html", "words.html"],
        ["inspect", "words.pt", "--export", "words.safetensors"],
        ["inspect", "words.pt", "--export", "slim.pt"],
        ["inspect", "words.pt", "--text", "Tin", "--svg", "tin.svg"],
        ["inspect", "words.pt", "--novelty", "100", "--embeddings"],
        ["inspect", "words.pt", "--score", "words.txt"],
        ["inspect", "words.pt", "--score", "words.txt", "--dynamic"],
        ["inspect", "words.pt", "--score", "words.txt", "--by", "line"],
    ],
)
def test_sample_and_inspect_do_not_load_torch(arguments, trained, tmp_path):
    for name in ("words.pt", "words.txt"):
        shutil.copy(trained / name, tmp_path)
    loaded = modules_after(arguments, tmp_path)
    assert "numpy" in loaded
    assert not {"torch", "rich"} & loaded
    assert "charrnn.cli.train" not in loaded, "nor another command's flags"


@pytest.mark.parametrize(
    ("line", "word"),
    [("charrnn tra", "train"), ("charrnn train --cell l", "lstm"), ("charrnn sample a.pt --unknown s", "skip")],
)
def test_completion_loads_neither_torch_nor_numpy(line, word):
    script = "import sys\nsys.modules['torch'] = sys.modules['numpy'] = None\nfrom charrnn.cli import main\nmain()"
    told = {"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**clean_environment(), **told}
    )
    assert (result.returncode, result.stdout.split(), result.stderr) == (0, [word], "")


def test_no_flag_has_an_annotation_compiled_from_text():
    compiled = [
        f"{command.__name__} {name}"
        for command in (train, sample, inspect)
        for name, annotation in command.__annotations__.items()
        if isinstance(annotation, str)
    ]
    assert not compiled, "typer evaluates each twice; leave `from __future__ import annotations` out of its module"


@pytest.mark.parametrize("command", [train, sample, inspect])
def test_parameter_callbacks_have_types_that_python_3_10_accepts(command):
    callbacks = [
        callback
        for annotation in command.__annotations__.values()
        for given in getattr(annotation, "__metadata__", ())
        if (callback := given.callback) is not None
    ]
    types = [hint for callback in callbacks for hint in get_type_hints(callback).values()]
    assert not [hint for hint in types if isinstance(hint, GenericAlias)], "typer asks there whether it is a subclass"


AS_GIVEN = {list[str]: tuple[str, ...], list[str] | None: tuple[str, ...]}
"""What a command is given more than one of is a tuple in `context.params`, which may be empty."""


@pytest.mark.parametrize(("command", "flags"), [(sample, SampleFlags), (inspect, InspectFlags)])
def test_flags_dataclass_equals_the_parameters_of_its_command(command, flags):
    parameters = {name: hint for name, hint in get_type_hints(command).items() if name not in ("context", "return")}
    handed_on, hints = [field.name for field in fields(flags)], get_type_hints(flags)
    assert handed_on == list(parameters)
    assert [hints[name] for name in handed_on] == [AS_GIVEN.get(hint, hint) for hint in parameters.values()]


def test_training_does_not_load_the_torch_compiler(tmp_path):
    (tmp_path / "words.txt").write_text("Tin soles tone a stone. " * 40)
    flags = ["train", "words.txt", "--hidden-size", "8", "--quiet", "--max-steps"]
    loaded = modules_after([*flags, "2"], tmp_path) | modules_after([*flags, "4", "--resume"], tmp_path)
    assert "torch" in loaded
    assert not {"torch._dynamo", "torch._inductor"} & loaded


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothere.txt"], "nothere.txt: no such file"),
        (["latin.txt"], "latin.txt: not valid UTF-8 at byte 3"),
        (["empty.txt"], "empty.txt: no characters"),
        (["words.txt"], "words.pt: exists"),
        (["words.txt", "--out", "no/such.pt"], "no: no such folder"),
        (["words.txt", "--resume-from", "words.txt", "--out", "new.pt"], "words.txt: is a text; "),
    ],
)
def test_invalid_names_and_texts_are_reported_before_torch_loads(arguments, told, tmp_path):
    (tmp_path / "words.txt").write_text("Tin soles tone a stone. " * 40)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 40)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "words.pt").touch()
    script = "import sys\nsys.modules['torch'] = None\nfrom charrnn.cli import main\nmain()"
    result = subprocess.run(
        [sys.executable, "-c", script, "train", *arguments],
        cwd=tmp_path, capture_output=True, text=True, env=clean_environment(),
    )  # fmt: skip
    assert result.returncode == (1 if "--resume-from" in arguments else 2), "1: a checkpoint that cannot be used"
    assert result.stderr.startswith(f"charrnn: {told}")
    assert len(result.stderr.splitlines()) == 1


def test_wheel_holds_exactly_the_files_of_the_package(tmp_path):
    """As pip builds it, which leaves out what `.gitignore` names."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT, capture_output=True, text=True, env=clean_environment(),
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(*tmp_path.iterdir()) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and not {"__pycache__", ".DS_Store"} & {*path.parts})
    assert packed == {path.relative_to(ROOT).as_posix() for path in files}
    assert "charrnn/display/assets/page.html" in packed
