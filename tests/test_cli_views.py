"""`charrnn inspect` with --text, --neurons, --cell, --gates, --gradients, --novelty and --embeddings."""

import fcntl
import itertools
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from dataclasses import fields, replace

import pytest
import torch
from conftest import clean_environment, make_text, random_model, read_terminal, run_charrnn, save_like, train_briefly
from pages import data_of
from reference_cells import REFERENCE

from charrnn.cell_types import CELLS
from charrnn.cli.inspector import novelty_view, surprise_view
from charrnn.cli.inspector.flags import VIEWS, InspectFlags
from charrnn.cli.inspector.gallery import show_views
from charrnn.cli.inspector.html_page import facts_section
from charrnn.cli.inspector.recording import Excerpt
from charrnn.cli.inspector.subject import read_subjects
from charrnn.cli.inspector.webpage import collect
from charrnn.config import ModelConfig

INPUTS, OUTPUTS = {"checkpoints", "score", "corpus"}, {"html", "svg", "as_json", "export", "verify"}
WAYS = {"by", "above", "dynamic", "unknown", "encoding", "top_k", "member"}
"""What is no view of the flags of `charrnn inspect`: what is read, what is made of it, and how."""

ASKED = {"text": "Tin", "text_file": "words.txt", "cell": ("0:1",), "novelty": "30"}
"""What the flags of views are given that are more than yes or no."""


@pytest.fixture
def inspect(trained):
    def run(*arguments, stdin="", cwd=trained, **environment):
        options = {"input": stdin, "text": True, "env": {**clean_environment(), **environment}}
        return run_charrnn(cwd, "inspect", trained / "words.pt", *arguments, **options)

    return run


def run_in(folder, *arguments):
    return run_charrnn(folder, *arguments, text=True)


def in_terminal(folder, *arguments, columns=0, **environment):
    """What is shown on a terminal; one that reports no columns has 80 by the environment."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "charrnn", "inspect", "words.pt", *arguments],
        cwd=folder,
        stdout=slave,
        stderr=slave,
        env={**clean_environment(), "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    )
    os.close(slave)
    shown = read_terminal(master)
    assert process.wait(timeout=60) == 0, shown
    return shown.decode().replace("\r\n", "\n")


def test_every_flag_is_a_view_an_option_an_input_or_an_output():
    views = [view.name for view in VIEWS]
    assert sorted([*views, *WAYS, *INPUTS, *OUTPUTS]) == sorted(field.name for field in fields(InspectFlags))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_requested_view_is_printed_and_in_the_page(trained, monkeypatch, capsys, view):
    monkeypatch.chdir(trained)
    subjects = read_subjects(["words.pt"])
    none = {field.name: None for field in fields(InspectFlags)} | {"cell": (), "unknown": "count", "top_k": 0}
    flags = InspectFlags(**{**none, view.name: ASKED.get(view.name, True), "as_json": True})
    assert flags.views == [view]
    show_views(subjects, flags)
    shown = set(json.loads(capsys.readouterr().out)) - {"checkpoint"}
    assert len(shown) == 1, "that view alone"
    sections = set(collect(subjects[0], flags)) - {*facts_section(subjects[0]), "samples", "absent"}
    assert ({"surprise", "neurons"} <= sections) if view.gives_text else ({"surprise"} < sections)


def test_text_in_a_pipe_has_digits_and_guesses_below_each_character(inspect):
    text = "Banana tin\nsole"
    lines = inspect("--text", text, "--top-k", "2").done.stdout.splitlines()
    record = json.loads(inspect("--text", text, "--top-k", "2", "--json").done.stdout)["surprise"]
    assert "".join(one["char"] for one in record["characters"]) == text
    assert lines[0].startswith(f"{record['bits_per_char']:.3f} bits per character")
    assert lines[2] == "Banana tin↵"
    assert lines[3] == "".join(str(min(9, int(one["bits"]))) for one in record["characters"][:11])
    for rank in range(2):
        guesses = "".join(one["top"][rank][0] for one in record["characters"][:11])
        assert lines[4 + rank] == guesses.replace("\n", "↵").rstrip()
    for one in record["characters"]:
        shares = [share for _, share in one["top"]]
        assert shares == sorted(shares, reverse=True)
        if one["top"][0][0] == one["char"]:
            assert shares[0] == pytest.approx(2 ** -one["bits"], abs=1e-4)


def test_long_text_is_shown_by_its_beginning_with_a_note(trained, monkeypatch):
    (subject,) = read_subjects([str(trained / "words.pt")])
    text = make_text(50)
    beginning = surprise_view.surprise_view(subject, Excerpt(text[:20], "big.txt", 20), rule="count", top_k=1)
    monkeypatch.setattr(surprise_view, "MAX_VIEWED", 20)
    view = surprise_view.surprise_view(subject, Excerpt(text, "big.txt", 50), rule="count", top_k=1)
    assert view.data == {**beginning.data, "read": 20, "of": 50}
    told, *shown = view.lines(80, False)
    assert told == "the first 20 of 50 characters of big.txt; --score FILE --by line reads all of it"
    assert shown == beginning.lines(80, False)
    assert beginning.data["of"] == beginning.data["read"] == 20


def test_bits_of_the_view_equal_those_of_the_score(inspect):
    text = "Banana tin sole"
    view = json.loads(inspect("--text", text, "--json").done.stdout)["surprise"]["bits_per_char"]
    row = inspect("--score", "-", "--by", "line", stdin=text).done.stdout.split("\t")
    assert view == pytest.approx(float(row[0]), abs=1e-4)


def test_terminal_gets_colours_unless_disabled(trained):
    shown = in_terminal(trained, "--text", "Banana qqq [red]")
    assert "\x1b[38;5;16;48;5;197m" in shown
    assert "[red]" in re.sub(r"\x1b\[[0-9;]*m", "", shown)
    for term in ("xterm", "linux"):
        assert "\x1b[37;41m" in in_terminal(trained, "--text", "Banana qqq [red]", TERM=term), "one of its eight"
    assert in_terminal(trained, "--text", "Banana qqq [red]", TERM="of nobody's") == shown
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "vt100"}):
        plain = in_terminal(trained, "--text", "Banana qqq [red]", **environment)
        assert "\x1b" not in plain
        assert re.search(r"\n\d{16}\n", plain)


def test_pipe_gets_colours_on_request(trained):
    options = {"cwd": trained, "env": {**clean_environment(), "TERM": "xterm-256color", "FORCE_COLOR": "1"}}
    command = [sys.executable, "-m", "charrnn", "inspect", "words.pt", "--text", "Banana qqq"]
    for environment, is_coloured in ({}, True), ({"NO_COLOR": "1"}, False):
        options["env"] |= environment
        shown = subprocess.run(command, capture_output=True, check=True, **options).stdout
        assert (b"\x1b[38;5;16;48;5;197m" in shown) == is_coloured


@pytest.mark.parametrize("width", [20, 80])
def test_text_views_fit_the_terminal(trained, width):
    for view in (["--top-k", "1"], ["--cell", "0:3"]):
        shown = in_terminal(trained, "--text", make_text(300), *view, COLUMNS=str(width), NO_COLOR="1")
        rows = shown.splitlines()[2:]
        assert max(map(len, rows)) <= width
        assert len(rows) > 2 * 300 / width


@pytest.mark.parametrize("arguments", [[], ["--text", "sole tin " * 30], ["--help"]], ids=["card", "text", "help"])
@pytest.mark.parametrize(("told", "width"), [(132, 70), (66, 66)])
def test_output_is_no_wider_than_the_terminal_whatever_columns_says(trained, arguments, told, width):
    shown = in_terminal(trained, *arguments, columns=70, COLUMNS=str(told), NO_COLOR="1")
    laid_out = re.sub(r"\x1b\[[0-9;]*m", "", shown).partition("\nExamples:\n")[0]
    assert width - 10 < max(map(len, laid_out.splitlines())) <= width


def test_neurons_are_found_in_the_held_out_part_and_named_for_cell(inspect):
    result = json.loads(inspect("--neurons", "--json").done.stdout)["neurons"]
    assert result["text"] == "the held-out end of words.txt"
    assert (result["characters"], result["units"]) == (2000, 5 * 48)
    found = {one["feature"]: one for one in result["found"]}
    assert abs(found["line feed"]["effect"]) > 0.3
    assert all(one["p"] <= 0.05 for one in result["found"])
    effects = [abs(one["effect"]) for one in result["found"]]
    assert effects == sorted(effects, reverse=True)
    best = result["found"][0]
    cell = json.loads(inspect("--cell", best["unit"], "--json").done.stdout)["cells"][0]
    assert {"feature": best["feature"], "effect": best["effect"]} in cell["follows"]
    table = inspect("--neurons").done.stdout
    assert re.search(rf"^{re.escape(best['feature'])} +{re.escape(best['unit'])} +[+-]0\.\d\d", table, re.M)


def test_cell_view_colours_the_given_text(inspect):
    lines = inspect("--text", "Tin sole", "--cell", "0:7", "--cell", "0:8:h").done.stdout.splitlines()
    assert lines[0].startswith("cell 0:7, tanh of c, "), "an LSTM's cell has no bound"
    assert lines[2] == "Tin sole"
    assert re.fullmatch("[▁▂▃▄▅▆▇█]{8}", lines[3])
    assert any(re.match(r"cell 0:8:h, -?0\.\d\d to ", line) for line in lines)
    gate = json.loads(inspect("--text", "Tin sole", "--cell", "0:8:f", "--json").done.stdout)["cells"][0]
    assert gate["unit"] == "0:8:f"
    assert all(0 < value < 1 for value in gate["values"])


def test_too_short_or_missing_text_is_reported_before_any_output(trained, tmp_path):
    (tmp_path / "tiny.txt").write_text("tin nap " * 40)
    os.link(trained / "words.txt", tmp_path / "words.txt")
    train_briefly(tmp_path, "tiny.txt", "--hidden-size", "8", "--max-steps", "1")
    models = ["inspect", str(trained / "words.pt"), "tiny.pt"]
    short = run_in(tmp_path, *models, "--gates", "--gradients")
    told = "the held-out end of tiny.txt: 32 characters are too few to go back 100 in; give --gradients at least"
    assert (short.returncode, short.stdout) == (2, "")
    assert short.stderr.startswith(f"charrnn: {told} ")
    short = run_in(tmp_path, *models[:2], "--gates", "--gradients", "--text", "Tin nap")
    assert (short.returncode, short.stdout) == (2, "")
    other = run_in(tmp_path, *models, "--novelty", "20", "--corpus", "words.txt")
    assert other.stdout == ""
    assert other.stderr.startswith("charrnn: words.txt: is not the text that tiny.pt learned from")


def test_gates_gradients_novelty_and_embeddings_are_in_json(inspect):
    result = json.loads(inspect("--gates", "--gradients", "--novelty", "300", "--embeddings", "--json").done.stdout)
    assert [gate["gate"] for gate in result["gates"]["gates"]] == ["input", "forget", "output"]
    for gate in result["gates"]["gates"]:
        assert len(gate["open"]) == len(gate["shut"]) == 48
        assert gate["letter"] == gate["gate"][0]
        assert gate["open_share"] == pytest.approx(sum(gate["open"]) / 48, abs=1e-4)
        assert gate["shut_share"] == pytest.approx(sum(gate["shut"]) / 48, abs=1e-4)
    flows = {flow["part"]: flow for flow in result["gradients"]["flow"]}
    assert set(flows) == {"h", "c"}
    assert len(flows["h"]["norms"]) == 101
    norms = flows["h"]["norms"]
    assert norms[flows["h"]["half"]] <= norms[0] / 2 < min(norms[: flows["h"]["half"]])
    losses = [row["loss"] for row in result["gradients"]["loss_by_context"]]
    assert losses[0] > losses[3] > 0
    assert result["novelty"]["here"]["characters"] == result["novelty"]["held_out"]["characters"] == 300
    assert set(result["embeddings"]["places"]) == set(make_text(20_000))


def test_characters_in_json_have_unique_valid_names(trained):
    contents = torch.load(trained / "words.pt", weights_only=True)
    characters = contents["characters"][:-4] + "\udcc3\udce9\ufffd"
    alphabet = {"characters": "".join(sorted(characters)), "has_unknown": True}
    save_like(trained, "odd.pt", **alphabet, text={"errors": "surrogateescape"})
    asked = ["--text", "T\udce9n", "--top-k", "99"]
    run = run_charrnn(trained, "inspect", "odd.pt", "--embeddings", *asked, "--json")
    assert b"\\ud" not in run.stdout, "no lone surrogate"
    found = json.loads(run.stdout.decode("utf-8", "strict"))
    assert len(found["embeddings"]["places"]) == len(characters) + 1
    assert {"<0xC3>", "<0xE9>", "\ufffd", "<rare>"} < set(found["embeddings"]["places"])
    seen = found["surprise"]["characters"]
    assert [one["char"] for one in seen] == ["T", "<0xE9>", "n"]
    assert {name for name, _ in seen[0]["top"]} == set(found["embeddings"]["places"])
    cell = json.loads(run_in(trained, "inspect", "odd.pt", "--cell", "0:1", *asked[:2], "--json").done.stdout)["cells"][
        0
    ]
    assert cell["characters"] == ["T", "<0xE9>", "n"]
    rows = run_in(trained, "inspect", "odd.pt", *asked).done.stdout.splitlines()[4:-2]
    assert "".join(row[0] for row in rows).count("\ufffd") == 4, "one sign for each of two bytes, the mark, the rare"
    assert "<rare>" in run_in(trained, "inspect", "odd.pt", "--embeddings").done.stdout
    assert "most frequent" in run_in(trained, "inspect", "odd.pt").done.stdout
    described = run_in(trained, "inspect", "odd.pt", "--json").done.stdout
    assert "\\ud" not in described, "no lone surrogate"
    card = json.loads(described)
    assert len(card["characters"]) == len(characters)
    assert card["names"] == list(found["embeddings"]["places"])


def test_embeddings_of_a_one_unit_model_are_spread_out(inspect, trained):
    config = ModelConfig(vocab_size=23, cell="gru", hidden_size=1, num_layers=1, embedding_dim=8, layer_norm=False)
    save_like(trained, "one.pt", random_model(config))
    drawn = run_in(trained, "inspect", "one.pt", "--embeddings").done.stdout.split("\ncharacter ")[0]
    assert "from left to right only: the height means nothing" in " ".join(drawn.split())
    assert len([line for line in drawn.splitlines()[2:] if line.strip()]) > 10
    plane = inspect("--embeddings")
    assert (plane.returncode, "the height means" in plane.stdout) == (0, False), plane.stderr


def test_huge_shared_weights_do_not_change_similarities(trained):
    contents = torch.load(trained / "words.pt", weights_only=True)
    found = []
    for shared in (0.0, 2.0**127):  # their sum is more than float32 can hold
        contents["weights"]["head.weight"][:, 0] = shared
        torch.save(contents, trained / "huge.pt")
        found.append(
            json.loads(run_in(trained, "inspect", "huge.pt", "--embeddings", "--json").done.stdout)["embeddings"]
        )
    assert found[0] == found[1]


def test_novelty_finds_a_copied_file(inspect, trained):
    (trained / "copy.txt").write_text(make_text(20_000)[1000:1200])
    result = json.loads(inspect("--novelty", "copy.txt", "--json").done.stdout)["novelty"]
    assert result["here"]["longest"] == [make_text(20_000)[1000:1200]]
    assert result["here"]["copied"]["80"] == 1
    assert inspect("--novelty", "copy.txt").done.stdout.count("\n") < 15
    assert (result["text"], result["of"]) == ("copy.txt", 200)
    (trained / "new.txt").write_text("§§§")
    assert "the longest stretches here" not in inspect("--novelty", "new.txt").done.stdout


def test_novelty_number_that_is_also_a_file_name_is_noted(inspect, trained):
    (trained / "30").write_text(make_text(20_000)[1000:1200])
    number, file = inspect("--novelty", "30"), inspect("--novelty", "./30")
    told = "--novelty 30 is a number of characters to sample; for the file of that name, write ./30\n"
    assert number.stdout.startswith("here: the sample\n")
    assert file.stdout.startswith("here: ./30\n")
    assert (number.stderr, file.stderr) == (told, "")


def test_text_flag_that_is_also_a_file_name_is_noted(inspect, trained):
    (trained / "tin").write_text("tuna")
    name, word = inspect("--text", "tin"), inspect("--text", "tun")
    told = "--text tin is the text itself; for what stands in the file of that name, give --text-file\n"
    assert "\ntin\n" in name.stdout
    assert (name.stderr, word.stderr) == (told, "")


def test_novelty_of_a_fine_tuned_model_notes_the_unsearched_text(trained):
    told = "the text of the model that it began with is not searched"
    for init_from, is_told in (("old.pt", True), (None, False)):
        save_like(trained, "begun.pt", origin={"init_from": init_from})
        shown = " ".join(run_in(trained, "inspect", "begun.pt", "--novelty", "20").done.stdout.split())
        assert shown.endswith(told) == is_told
        found = json.loads(run_in(trained, "inspect", "begun.pt", "--novelty", "20", "--json").done.stdout)["novelty"]
        assert (found.get("note") == told) == is_told


def test_novelty_finds_a_copy_for_a_model_with_rare_characters(trained):
    train_briefly(trained, "words.txt", "-o", "few.pt", "--max-vocab", "9", "--hidden-size", "8", "--max-steps", "1")
    (trained / "copy.txt").write_text(make_text(20_000)[1000:1200])
    result = json.loads(run_in(trained, "inspect", "few.pt", "--novelty", "copy.txt", "--json").done.stdout)["novelty"]
    assert result["here"]["copied"]["80"] == 1


@pytest.mark.parametrize(
    ("form", "end", "flags"),
    [
        ("NFC", "\n", ["--lines"]),
        ("NFD", "\r\n", []),
        ("NFD", "\n", ["--unit", "byte"]),
        ("NFC", "\r\n", ["--max-vocab", "40"]),
    ],
)
def test_novelty_finds_a_copy_in_another_unicode_form_or_with_other_line_ends(tmp_path, form, end, flags):
    text = "".join(f"Người thầy {word} mua đường và bánh.\n" for word in make_text(4000).split())
    (tmp_path / "own.txt").write_text(unicodedata.normalize(form, text), newline=end)
    train_briefly(tmp_path, "own.txt", *flags, "--hidden-size", "8", "--max-steps", "1")
    found = []
    for other_form, other_end in itertools.product(("NFC", "NFD"), ("\n", "\r\n")):
        (tmp_path / "copy.txt").write_text(unicodedata.normalize(other_form, text[:1000]), newline=other_end)
        result = run_in(tmp_path, "inspect", "own.pt", "--novelty", "copy.txt", "--json")
        found.append(json.loads(result.stdout)["novelty"])
    assert found[0]["here"]["copied"]["20"] > 0.95, "of lines some are held out"
    assert found == found[:1] * 4


def test_novelty_of_a_lines_model_reports_copied_lines(trained, monkeypatch):
    train_briefly(trained, "words.txt", "-o", "list.pt", "--lines", "--hidden-size", "8", "--max-steps", "1")
    (trained / "some.txt").write_text("".join(make_text(20_000).splitlines(True)[:100]) + "\nTin tin\n" * 100)
    command = ("inspect", "list.pt", "--novelty")
    found = json.loads(run_in(trained, *command, "some.txt", "--json").done.stdout)["novelty"]
    assert found["here"]["lines"] == 200
    assert 0.4 < found["here"]["copied_lines"] <= 0.5, "some of the first hundred are held out"
    assert found["held_out"]["lines"] > 0
    assert found["held_out"]["copied_lines"] < 0.1
    told = run_in(trained, *command, "some.txt").done.stdout
    assert f"lines that stand in it       {found['here']['copied_lines']:.1%}" in told
    assert "\\n" not in told.partition("the longest stretches here")[2]
    judged = json.loads(run_in(trained, *command, "300", "--json").done.stdout)["novelty"]
    assert judged["here"]["characters"] == 300
    (subject,) = read_subjects([str(trained / "list.pt")])
    drawn, encoder = subject.sample(300), subject.contents.encoder
    for name, text in {"here": drawn, "held_out": encoder.decode(subject.training_text.held_out)[:300]}.items():
        *whole, last = text.split("\n")
        assert last, "the length cuts the last line"
        assert judged[name]["lines"] == len([line for line in whole if line])
    monkeypatch.setattr(novelty_view, "MAX_JUDGED", 5)
    found = replace(subject.training_text, held_out=encoder.encode("Tin\ns"))
    monkeypatch.setattr(novelty_view, "require_text", lambda _: found)
    for text, lines in (("Tin\nsole\n", [1, 2]), ("Tin\nso", [1, 2]), ("Tin\ns", [2, 2]), ("Tin\n", [1, 1])):
        (trained / "short.txt").write_text(text)
        judged = novelty_view.novelty_view(subject, str(trained / "short.txt")).data
        assert [judged[name]["lines"] for name in ("here", "held_out")] == lines


def test_several_checkpoints_are_shown_one_after_another(inspect, trained):
    (trained / "again.pt").write_bytes((trained / "words.pt").read_bytes())
    shown = inspect("again.pt", "--text", "Tin").done.stdout
    assert re.findall("^# (.*)", shown, re.M) == ["words", "again"]
    assert len(json.loads(inspect("again.pt", "--text", "Tin", "--json").done.stdout)) == 2


def test_gradients_of_several_models_share_a_table(inspect, trained):
    (trained / "again.pt").write_bytes((trained / "words.pt").read_bytes())
    shown = inspect("again.pt", "--gradients").done.stdout
    figures = r"([hc]) +(\d+|beyond 100) +(\d+|beyond 100) +([\d.e-]+ \([\d.e-]+ to [\d.e-]+\))$"
    rows = re.findall(rf"^(words|again) +0 +{figures}", shown, re.M)
    assert [row[:2] for row in rows] == [("words", "h"), ("words", "c"), ("again", "h"), ("again", "c")]
    assert rows[0][2:] == rows[2][2:]
    alone = re.findall(rf"^0 +{figures}", inspect("--gradients").done.stdout, re.M)
    assert alone == [row[1:] for row in rows[:2]]
    contexts = re.findall(r"^(\d+(?: to \d+)?) +(\d\.\d+) +(\d\.\d+)$", shown, re.M)
    assert len(contexts) == 9
    assert all(left == right for _, left, right in contexts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "7"], "--cell is '7'; write it as LAYER:UNIT, such as 0:7"),
        (["--cell", "0:7:z"], "--cell is 0:7:z, and a unit of this model has h, c, i, f, o; name one of them, or none"),
        (["--cell", "1:0"], "--cell is 1:0, and "),
        (["--text", "a", "--text-file", "b"], "--text and --text-file both give a text"),
        (["--text", "a", "--score", "b"], "--score does not go with other output"),
        (["--top-k", "3"], "--top-k goes with a text"),
        (["--text-file", "no.txt"], "no.txt: no such file"),
        (["--text", "§", "--gates"], "--text: no characters that "),
        (["--text-file", os.devnull, "--gates"], "/dev/null: no characters; give a text to read"),
        (
            ["--text", "Tin", "--gradients"],
            "--text: 3 characters are too few to go back 100 in; give --gradients at least 166 ",
        ),
        (["--text-file", "-", "--novelty", "-"], "standard input can be one thing only"),
        (["--score", "-", "--corpus", "-"], "standard input can be one thing only"),
        (["--text-file", ""], "a file's name is empty"),
        (["--novelty", ""], "a file's name is empty"),
        (["--novelty", "0"], "--novelty is 0; it must be at least 1 and at most 20,000"),
        (["--novelty", "20001"], "--novelty is 20001; it must be at least 1 and at most 20,000"),
        (["--novelty", "9999999999"], "--novelty is 9999999999; it must be at least 1 and at most 20,000"),
        (["--novelty", os.devnull], "/dev/null: no characters to look for; give more"),
        (["--novelty", "٣", "--encoding", "latin-1"], "٣: no such file"),
        (["--text", "Tin", "--top-k", "3", "--cell", "0:1"], "--top-k goes with a text that is coloured by surprise"),
        (["--verify", "--score", "words.txt"], "--verify does not go with other output; leave --score out"),
        (["--export", "w.pt", "--neurons"], "--export does not go with other output; leave --neurons out"),
        (["--score", "words.txt", "--by", "line", "--above", "nan"], "--above is not a number"),
        (["--html", "y.html", "--cell", "99:99"], "--cell is 99:99, and "),
        (
            ["--html", "y.html", "--gradients", "--text", "Tin"],
            "--text: 3 characters are too few to go back 100 in; give --gradients at least 166 ",
        ),
        (["--html", "y.html", "--json"], "--html writes a file; leave --json out"),
        (["--html", "-"], "--html -: it writes a file; name one"),
        (["--html", ""], "--html is empty: it writes a file; name one"),
        (["--html", "~/y.html"], "~: no such folder; the shell expands ~ only at the beginning of a word and"),
        (["--html", "nowhere/y.html"], "nowhere: no such folder; make it"),
        (
            ["words.pt", "--html", "y.html", "--neurons"],
            "--html compares losses, --text and --gradients of several checkpoints; give one for --neurons",
        ),
        (["words.pt", "--novelty", "-"], "--novelty is read for every checkpoint, and standard input only once"),
        (["words.pt", "--neurons", "--corpus", "-"], "--corpus is read for every checkpoint"),
        (["--text", ""], "--text: no characters to show; give a text to read"),
        (["--verify", "--member", "0"], "--verify reads all of a checkpoint; leave --member out"),
        (["--text", "Tin", "--novelty", "9", "--svg", "y.svg"], "--svg draws a text, coloured by its surprise or by a"),
        (["--score", "words.txt", "--corpus", "no.txt"], "--score does not read the text that the model learned from"),
        (["--gates", "--unknown", "skip"], "--unknown is about a text that you give; give --score FILE, --text or"),
        (["--score", "", "--by", "line"], "a file's name is empty; give a text file, or - for standard input"),
        (["--text", "Tin", "--svg", "-"], "--svg -: it writes a file; name one"),
    ],
)
def test_bad_input_is_reported_in_one_line(inspect, arguments, message):
    result = inspect(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"charrnn: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("flag", ["--novelty", "--corpus"])
def test_pipe_that_every_checkpoint_would_read_is_refused_unread(trained, tmp_path, flag):
    os.mkfifo(pipe := tmp_path / "pipe")
    command = ("inspect", "words.pt", "words.pt", "--neurons", flag, pipe)
    result = run_charrnn(trained, *command, text=True, timeout=60)  # to read it would wait for ever
    told = f"charrnn: {flag} is read for every checkpoint, and a pipe only once; give a file\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", told)


def test_cell_range_is_that_of_its_values(inspect):
    seen = json.loads(inspect("--text", "Tin", "--cell", "0:1:o", "--json").done.stdout)["cells"][0]
    lowest, highest = min(seen["values"]), max(seen["values"])
    assert 0 < lowest < highest
    assert inspect("--text", "Tin", "--cell", "0:1:o").done.stdout.startswith(
        f"cell 0:1:o, {lowest:.2f} to {highest:.2f}"
    )


@pytest.mark.parametrize("views", [["--text"], ["--cell", "0:1", "--text"], ["--neurons", "--text"]])
def test_unknown_nearest_works_in_every_view(inspect, views):
    result = inspect("--unknown", "nearest", *views, "Tín sölé kilo " * 9)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == inspect(*views, "Tin sole kilo " * 9).done.stdout


def test_unknown_nearest_may_replace_one_letter_by_two(inspect):
    result = inspect("--unknown", "nearest", "--text", "Tinß")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == inspect("--text", "Tinss").done.stdout


def test_each_model_reads_a_text_in_its_own_form(trained):
    save_like(trained, "lower.pt", text={"lowercase": True})

    def shown(*names):
        return json.loads(run_in(trained, "inspect", *names, "--text", "BANANA", "--json").done.stdout)

    assert shown("words.pt", "lower.pt") == [shown("words.pt"), shown("lower.pt")]
    assert shown("lower.pt", "words.pt") == [shown("lower.pt"), shown("words.pt")]


def test_guesses_are_limited_by_the_alphabet(inspect):
    few = inspect("--text", "Tin", "--top-k", "100000").done.stdout
    alphabet = json.loads(inspect("--json").done.stdout)["characters"]
    assert few.endswith("\n\ndigits: bits, 9 for nine or more\n")
    assert few.rstrip().count("\n") - 1 == 4 + len(alphabet), "a headline, the text, its digits, a row for each guess"


@pytest.mark.parametrize("flag", ["--neurons", "--gates", "--novelty=9", "--cell=0:0"])
def test_missing_training_text_suggests_corpus(trained, deep_folder, flag):
    (deep_folder / "m.pt").write_bytes((trained / "words.pt").read_bytes())
    result = run_in(deep_folder, "inspect", "m.pt", flag)
    assert (result.returncode, result.stdout) == (1, "")
    assert "words.txt has not been found; --corpus says where it is" in result.stderr


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_every_cell_type_can_be_inspected(inspect, trained, cell):
    config = ModelConfig(vocab_size=23, cell=cell, hidden_size=12, num_layers=2, embedding_dim=8)
    save_like(trained, f"{cell}.pt", random_model(config))
    asked = ["--neurons", "--cell", "1:3", "--gradients", "--embeddings", "--json"]
    shown = run_in(trained, "inspect", f"{cell}.pt", *asked)
    result = json.loads(shown.stdout)
    gated, states = REFERENCE[cell].gates, ["h", "c"][: CELLS[cell].states]
    assert result["neurons"]["units"] == 24 * (len(states) + len(gated))
    assert [flow["part"] for flow in result["gradients"]["flow"]] == [*states[:1] * 2, *states[1:] * 2]
    assert result["cells"][0]["unit"] == ("1:3" if "c" in states else "1:3:h")
    gates = run_in(trained, "inspect", f"{cell}.pt", "--gates")
    if gated:
        assert re.findall(r"^\d +(\w+)", gates.stdout, re.M) == [*gated] * 2
    else:
        assert (gates.returncode, gates.stdout) == (1, "")
        assert gates.stderr.startswith(f"charrnn: {cell}.pt: its cell is {cell}, which has no gates")
    page = run_in(trained, "inspect", f"{cell}.pt", "--html", f"{cell}.html")
    assert (page.returncode, page.stderr) == (0, "")


def test_skipped_characters_do_not_change_the_others(trained):
    """The model reads letters and marks composed: without the character between them, these would become one."""
    characters = torch.load(trained / "words.pt", weights_only=True)["characters"].replace("u", "\u0301")
    save_like(trained, "composed.pt", characters=characters, text={"normalize": "nfc"})
    given = ("--text", "Tin sole§\u0301 nap", "--unknown", "skip")
    seen = json.loads(run_in(trained, "inspect", "composed.pt", *given, "--json").done.stdout)["surprise"]
    assert run_in(trained, "inspect", "composed.pt", *given, "--html", "composed.html").returncode == 0
    shown = data_of((trained / "composed.html").read_text(encoding="utf-8"))["surprise"]
    for found in (seen, shown):
        assert "".join(one["char"] for one in found["characters"]) == "Tin sole\u0301 nap"
        assert (found["unknown"], found["left_out"]) == (0, 1)
    told = run_in(trained, "inspect", "composed.pt", *given).done.stdout.splitlines()[0]
    assert told == "1 character that it does not know is left out"
    assert "left out" not in run_in(trained, "inspect", "composed.pt", "--text", "Tin", *given[2:]).done.stdout


def test_unknown_characters_are_counted_beside_their_figure(inspect):
    typed = "Tin\\n§ sole"
    shown = json.loads(inspect("--text", typed, "--json").done.stdout)["surprise"]
    price = next(one["bits"] for one in shown["characters"] if one["char"] == "§")
    assert shown["unknown"] == 2
    told = " ".join(inspect("--text", typed).done.stdout.split())
    listed = r"'\' (U+005C), '§' (U+00A7)"
    assert f"2 characters that it does not know, at {price:.1f} bits each: {listed}; a line feed is typed" in told
    assert told.count(r"as $'...\n' in bash and zsh, or comes by --text-file") == 1
    assert "that it does not know" not in inspect("--text", "Tin sole").done.stdout
