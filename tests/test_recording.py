"""What `charrnn inspect` has its models read for --neurons, --gates and --gradients, and how it says so."""

import io
import json
import re
import sys
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_text, random_model, run_charrnn, save_like, train_briefly
from pages import data_of

from charrnn.analysis import neurons
from charrnn.analysis.neurons import Unit
from charrnn.cell_types import GATE_LETTERS
from charrnn.cli.inspector import gallery, recording
from charrnn.cli.inspector.gradient_view import num_read, require_length
from charrnn.cli.inspector.recording import Excerpt, Recording, choose_pieces, choose_texts
from charrnn.cli.inspector.subject import read_subjects
from charrnn.cli.inspector.surprise_view import surprise_view
from charrnn.cli.inspector.training_text import FoundText
from charrnn.cli.inspector.unit_views import neurons_view
from charrnn.config import ModelConfig
from charrnn.errors import CorpusError
from charrnn.text.documents import read_beginning
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import TextOptions


@pytest.fixture
def inspect(trained):
    def run(*arguments, **options):
        return run_charrnn(trained, "inspect", *arguments, text=True, **options)

    return run


def small_model(**shape):
    return random_model(ModelConfig(vocab_size=23, hidden_size=12, num_layers=1, embedding_dim=8, **shape))


def shown_in(folder, *arguments):
    """What a command prints where only few values can be held."""
    shown = run_charrnn(folder, "inspect", *arguments, text=True, prepare=hold_few)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def what_is_read(subject, given=None):
    (piece,) = choose_pieces([subject], choose_texts([subject], given), "count", keeps_activations=True)
    return piece


def values_of_page(folder, *names):
    result = run_charrnn(folder, "inspect", *names, "--html", "page.html", text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return data_of((folder / "page.html").read_text(encoding="utf-8"))


def hold_few():
    neurons.ACTIVATIONS_HELD = 1200 * 48 * 5


def test_several_models_read_the_same_text_as_far_as_the_largest_can(trained):
    save_like(trained, "tanh.pt", small_model(cell="rnn"))
    objects = json.loads(shown_in(trained, "words.pt", "tanh.pt", "--gradients", "--neurons", "--json"))
    for each in objects:
        for view in ("gradients", "neurons"):
            read = {name: each[view][name] for name in ("text", "characters", "of")}
            assert read == {"text": "the held-out end of words.txt", "characters": 1200, "of": 2000}
    shown = shown_in(trained, "words.pt", "tanh.pt", "--neurons")
    assert shown.count("the first 1,200 of 2,000 characters of the held-out end of words.txt\n") == 2


def test_gradients_alone_read_more_of_a_text(trained):
    (trained / "long.txt").write_text(make_text(3000, seed=1))
    for more, read in ([], "2,000"), (["--gates"], "1,200"):
        shown = shown_in(trained, "words.pt", "--gradients", *more, "--text-file", "long.txt")
        assert shown.startswith(f"the first {read} of 3,000 characters of long.txt\n")


def test_longer_text_is_not_suggested_if_the_model_cannot_read_it(trained, monkeypatch):
    save_like(trained, "two.pt", small_model(cell="lstm", members=2))
    monkeypatch.setattr(recording, "readable_length", lambda *_: 300)

    def note(name, given):
        (subject,) = read_subjects([str(trained / name)])
        piece = what_is_read(subject, given)
        return neurons_view(Recording(subject, piece)).data.get("note", "")

    for given in (None, Excerpt(make_text(3000), "a.txt", 3000)):
        assert note("words.pt", given) == ""
        assert re.match("300 characters are .*; one member alone reads more ", note("two.pt", given))
    assert "2,000 or more" in note("words.pt", Excerpt(make_text(250), "a.txt", 250))


@pytest.mark.parametrize(
    ("unit", "characters", "widest"),
    [
        ("character", "aé\u20ac", 1),
        ("byte", "ab", 1),
        ("byte", "a\xa9\xc3", 2),
        ("byte", "a\xe2", 3),
        ("byte", "a\xf0", 4),
    ],
)
def test_byte_model_reads_fewer_characters_by_their_bytes(trained, monkeypatch, unit, characters, widest):
    monkeypatch.setattr(neurons, "ACTIVATIONS_HELD", 5 * 48 * 1200)
    (subject,) = read_subjects([str(trained / "words.pt")])
    encoder = CharEncoder(characters, unit)
    subject = replace(subject, contents=replace(subject.contents, encoder=encoder))
    piece = what_is_read(subject, Excerpt("a" * 3000, "a.txt", 3000))
    assert len(piece.text) == 1200 // widest


def test_gates_are_counted_per_character_not_per_byte(trained):
    (subject,) = read_subjects([str(trained / "words.pt")])
    subject = replace(subject, contents=replace(subject.contents, encoder=CharEncoder("ab\xa9\xc3", "byte")))
    recording = Recording(subject, Excerpt("aébéé", "--text", 5))
    for gate in recording.gates:
        values = [recording.activations.of(Unit(0, n, GATE_LETTERS[gate.gate])) for n in range(48)]
        assert np.shape(values) == (48, 5)
        assert gate.mean == pytest.approx(np.mean(values), abs=1e-6)
        np.testing.assert_allclose(gate.open, np.mean(np.array(values) > 0.9, axis=1))


def test_single_model_says_how_much_it_read(inspect):
    for view in ("--gates", "--neurons", "--gradients"):
        shown = inspect("words.pt", view).done.stdout
        assert shown.startswith("2,000 characters of the held-out end of words.txt\n"), view


def test_given_text_is_read_equally_far_by_all_models(trained):
    (trained / "long.txt").write_text(make_text(3000, seed=1))
    save_like(trained, "tanh.pt", small_model(cell="rnn"))
    shown = shown_in(trained, "words.pt", "tanh.pt", "--neurons", "--text-file", "long.txt")
    assert shown.count("the first 1,200 of 3,000 characters of long.txt\n") == 2


@pytest.mark.parametrize("view", ["--gates", "--neurons", "--gradients", "--cell=0:3", "--cell=0:3:f"])
def test_unknown_characters_are_reported_as_left_out(inspect, view):
    text = make_text(400)
    told = "2 characters that it does not know are left out"
    assert told in " ".join(inspect("words.pt", view, "--text", f"{text[:9]}¿{text[9:]}¡").done.stdout.split())
    shown = inspect("words.pt", view, "--text", text + "¿").done.stdout
    assert "1 character that it does not know is left out" in " ".join(shown.split())
    whole = inspect("words.pt", view, "--text", text)
    assert (whole.returncode, "left out" in whole.stdout) == (0, False), whole.stderr
    values = json.loads(inspect("words.pt", view, "--text", text + "¿", "--json").done.stdout)
    assert (values["cells"][0] if "cells" in values else values[view[2:]])["left_out"] == 1


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """A folder with `words.txt`, `words.pt`, which tells no rare characters apart, and what it held out as a file.

    What stands for a rare character elsewhere stands in the text itself.
    """
    folder = tmp_path_factory.mktemp("rare")
    held_out = "¿\ufffdé" + make_text(400) + "1¡2" + make_text(800, seed=3) + "\ufffd" * 9 + "¿\n"
    text = "é" * 5 + make_text(9 * len(held_out), seed=1)[5:] + held_out
    (folder / "words.txt").write_text(text, encoding="utf-8")
    (folder / "given.txt").write_text(held_out, encoding="utf-8")
    train_briefly(folder, "words.txt", "--min-count", "5", "--hidden-size", "16", "--max-steps", "40")
    return folder


def test_rare_characters_of_the_held_out_text_are_left_out(rare):
    (subject,) = read_subjects([str(rare / "words.pt")])
    given = (rare / "given.txt").read_text(encoding="utf-8")
    assert (subject.training_text.held_out == subject.contents.encoder.unknown_id).sum() == 5
    piece, same = what_is_read(subject), what_is_read(subject, Excerpt(given, "given.txt", len(given)))
    assert piece == replace(same, source="the held-out end of words.txt")
    assert (piece.text, piece.whole, piece.left_out) == (re.sub("[¿¡12]", "", given), len(given) - 5, 5)


@pytest.mark.parametrize("view", ["--gates", "--neurons", "--gradients", "--cell=0:3"])
def test_views_of_the_held_out_text_equal_those_of_the_same_file(rare, view):
    def shown(*more):
        return run_charrnn(rare, "inspect", "words.pt", view, *more, "--json", text=True).done.stdout

    own, given = shown(), shown("--text-file", "given.txt")
    assert own.replace("the held-out end of words.txt", "given.txt") == given
    assert '"left_out": 5' in given


def test_page_leaves_rare_characters_out_of_recordings_but_counts_their_surprise(rare):
    given = (rare / "given.txt").read_text(encoding="utf-8")
    page, several = values_of_page(rare, "words.pt"), values_of_page(rare, "words.pt", "words.pt")
    told = "characters of the held-out end of words.txt; 5 characters that it does not know are left out"
    told = f"{len(given) - 5:,} {told}"
    assert page["gates"]["extent"] == page["gradients"]["extent"] == several["gradients"][1]["extent"] == told
    assert "".join(page["activations"]["characters"]) == re.sub("[¿¡12]", "", given)
    assert (page["surprise"]["unknown"], several["surprise"][0]["unknown"]) == (5, 4)


def test_page_of_only_rare_characters_shows_the_surprise_and_no_recordings(tmp_path):
    (tmp_path / "words.txt").write_text("ab" * 900 + "cd" * 100)
    train_briefly(tmp_path, "words.txt", "--max-vocab", "2", "--hidden-size", "8", "--max-steps", "1")
    told = "the held-out end of words.txt: no characters that words.pt knows"
    page, several = values_of_page(tmp_path, "words.pt"), values_of_page(tmp_path, "words.pt", "words.pt")
    assert page["absent"] == dict.fromkeys(("neurons", "gates", "gradients"), told)
    assert several["absent"] == {"gradients": told}
    assert page["surprise"]["unknown"] == several["surprise"][1]["unknown"] == 200
    part = values_of_page(tmp_path, "words.pt", "--embeddings")
    assert (part["surprise"]["unknown"], part["absent"]) == (200, {})
    for more in ([], ["--html", "gates.html"]):
        refused = run_charrnn(tmp_path, "inspect", "words.pt", "--gates", *more, text=True)
        assert (refused.returncode, refused.stderr) == (2, f"charrnn: {told}; give a text to read\n")


def test_single_character_is_singular(inspect):
    assert inspect("words.pt", "--gates", "--text", "T").done.stdout.startswith("1 character of --text\n")


def test_single_character_is_too_short_for_gradients(inspect):
    assert inspect("words.pt", "--gradients", "--text", "T").stderr.startswith(
        "charrnn: --text: 1 character is too little to go back 100 in; give --gradients at least "
    )


def test_beginning_of_an_excerpt_counts_only_its_own_gaps():
    piece = Excerpt("abcdef", "a.txt", 6, gaps=(0, 2, 2, 3, 6))
    assert (piece.left_out, piece.first(None), piece.first(6), piece.first(9)) == (5, piece, piece, piece)
    beginnings = {length: piece.first(length).left_out for length in (1, 2, 3, 4, 5)}
    assert beginnings == {1: 1, 2: 1, 3: 3, 4: 4, 5: 4}
    assert piece.first(2).extent.startswith("the first 2 of 6 characters of a.txt; 1 character")


def test_models_with_different_val_fractions_read_the_common_end(inspect, trained):
    save_like(trained, "more.pt", training={"config": {"val_fraction": 0.2}})
    words, more = json.loads(inspect("words.pt", "more.pt", "--gradients", "--json").done.stdout)
    assert {**words["gradients"], "checkpoint": 0} == {**more["gradients"], "checkpoint": 0}
    assert more["gradients"]["of"] == 2000


def test_models_of_different_texts_are_reported(inspect, trained):
    (trained / "foreign.txt").write_text(make_text(9_000, seed=3))
    train_briefly(trained, "foreign.txt", "--hidden-size", "16", "--max-steps", "3")
    note, shown = inspect("words.pt", "foreign.pt", "--gradients").done.stdout.split("\n\n")[:2]
    told = "these models learned from different texts, or were judged by different ones, and each reads its own:"
    assert " ".join(note.split()).startswith(told)
    assert shown.splitlines() == [
        "words: the first 900 of 2,000 characters of the held-out end of words.txt",
        "foreign: 900 characters of the held-out end of foreign.txt",
    ]
    given = inspect("words.pt", "foreign.pt", "--gradients", "--text", make_text(400)).done.stdout
    assert given.startswith("400 characters of --text\n")


def test_direction_of_the_update_gate_of_a_gru_is_reported(inspect, trained):
    save_like(trained, "gru.pt", small_model(cell="gru"))
    told = " ".join(inspect("gru.pt", "--gates").done.stdout.split())
    assert "update gate z keeps the state where it is open, h = (1 - z) * candidate + z * h before;" in told
    assert "keeps" not in inspect("words.pt", "--gates").done.stdout


def test_model_without_gates_says_so_beside_one_with_gates(inspect, trained):
    save_like(trained, "tanh.pt", small_model(cell="rnn"))
    for names in (["words.pt", "tanh.pt"], ["tanh.pt", "words.pt"]):
        result = inspect(*names, "--gates")
        assert (result.returncode, result.stderr) == (0, "")
        told = dict(re.findall(r"^# (\w+)\n\n([^#]*)", result.stdout, re.M))
        assert told["tanh"].strip() == "its cell is rnn, which has no gates; --neurons shows its states"
        assert "forget" in told["words"]
        gates = {each["checkpoint"]: len(each["gates"]["gates"]) for each in json.loads(
            inspect(*names, "--gates", "--json").done.stdout)}  # fmt: skip
        assert gates == {"words.pt": 3, "tanh.pt": 0}
    for more in ([], ["--neurons"], ["--html", "g.html"], ["--text", "Tin"]):
        alone = inspect("tanh.pt", "--gates", *more)
        assert (alone.returncode, alone.stdout) == (1, ""), "refused before anything is printed"
        assert alone.stderr.startswith("charrnn: tanh.pt: its cell is rnn, which has no gates; --neurons shows")


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (1, "1 character is too little to find much; 80 at least, and 2,000 or more, would do"),
        (30, "30 characters are too few to find much; 80 at least, and 2,000 or more, would do"),
        (1000, "1,000 characters are few; in 2,000 or more, more would be found"), (2000, ""),
    ],
)  # fmt: skip
def test_text_too_short_for_neurons_says_how_much_is_needed(inspect, length, told):
    text = make_text(length, seed=4)
    note = json.loads(inspect("words.pt", "--neurons", "--json", "--text", text).done.stdout)["neurons"].get("note", "")
    assert note == told
    shown = inspect("words.pt", "--neurons", "--text", text).done.stdout
    assert told in " ".join(shown.split())
    assert bool(told) == ("would" in shown)
    assert ("chosen by" in shown) == ("r is measured on" in shown), "figures and their meaning"


@pytest.mark.parametrize("unit", ["character", "byte"])
def test_long_held_out_text_is_decoded_only_as_far_as_read(trained, unit):
    (subject,) = read_subjects([str(trained / "words.pt")])
    encoder = CharEncoder(subject.contents.encoder.characters, unit)
    held_out = np.tile(encoder.encode("Tin sole\n"), 300_000)
    subject = replace(subject, contents=replace(subject.contents, encoder=encoder))
    object.__setattr__(subject, "training_text", FoundText("words.txt", held_out, held_out))
    tracemalloc.start()
    try:
        piece = what_is_read(subject)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (piece.text, piece.whole) == (("Tin sole\n" * 9999)[:20_000], len(held_out))
    assert peak < (held_out.nbytes if unit == "character" else 6 * held_out.nbytes)


class Endless(io.RawIOBase):
    """A pipe that never ends, and gives a few hundred lines at a time."""

    line, given = b"Banana tin sole\n", 0

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = (self.line * 300)[: len(buffer)]
        buffer[: len(piece)] = piece
        self.given += len(piece)
        return len(piece)


def test_pipe_is_read_only_as_far_as_shown(trained, monkeypatch):
    pipe = Endless()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(pipe)))
    (subject,) = read_subjects([str(trained / "words.pt")])
    given = gallery.read_given([subject], SimpleNamespace(text_file="-", unknown="count", encoding=None))
    assert (given.text, given.whole) == (("Banana tin sole\n" * 9999)[:20_000], None)
    assert pipe.given < 40_000
    piece = what_is_read(subject, given)
    assert piece.extent == f"the first {len(piece.text):,} characters of standard input"
    assert piece.fields["of"] is None
    assert surprise_view(subject, given, rule="count", top_k=0).cut.startswith("the first 20,000 characters of ")


@pytest.mark.parametrize("unit", ["character", "byte"])
def test_pipe_is_read_by_characters_not_bytes(monkeypatch, unit):
    pipe = Endless()
    pipe.line = "é\u20ac\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(pipe)))
    assert read_beginning("-", TextOptions(unit=unit), 2000) == (("é\u20ac\n" * 2000)[:2000], False)
    assert pipe.given < 6_000


def test_text_that_grows_when_prepared_is_cut_and_marked(tmp_path):
    (tmp_path / "capitals.txt").write_text("\u0130" * 5, encoding="utf-8")  # its small letter is of two characters
    options = TextOptions(lowercase=True)
    assert read_beginning(str(tmp_path / "capitals.txt"), options, 7) == (("i\u0307" * 5)[:7], False)
    assert read_beginning(str(tmp_path / "capitals.txt"), options, 10) == ("i\u0307" * 5, True)


def test_text_is_prepared_only_as_far_as_read(trained, monkeypatch):
    (subject,) = read_subjects([str(trained / "words.pt")])
    monkeypatch.setattr(recording, "readable_length", lambda *_: 100)
    prepared = []
    real = recording.fit_text
    monkeypatch.setattr(recording, "fit_text", lambda *args: prepared.append(len(args[1])) or real(*args))
    piece = what_is_read(subject, Excerpt(make_text(5_000), "a.txt", 5_000))
    assert prepared == [400]
    assert piece.extent == "the first 100 of 5,000 characters of a.txt"


@pytest.mark.parametrize("order", [1, -1])
def test_model_that_reads_too_little_is_named_among_byte_and_character_models(trained, order):
    (subject,) = read_subjects([str(trained / "words.pt")])
    encoders = [CharEncoder("\xa9\xc3", "byte"), CharEncoder("é")][::order]
    models = [replace(subject, contents=replace(subject.contents, encoder=encoder)) for encoder in encoders]
    text = Excerpt("é" * 100, "--text", 100)
    with pytest.raises(CorpusError, match="--text: 100 characters are too few to go back"):
        require_length([(model, text) for model in models])
    assert sorted(num_read(model, text) for model in models) == [100, 200]
