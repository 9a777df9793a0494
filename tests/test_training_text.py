import dataclasses
import gzip
import hashlib
import math
import os
import re
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import make_text, train_briefly

from charrnn.analysis.ngrams import Baseline, NgramModel
from charrnn.cli.inspector import candidate_files, training_text
from charrnn.cli.inspector.cards import describe, describe_each
from charrnn.cli.inspector.comparison import show_comparison
from charrnn.cli.inspector.recording import choose_texts
from charrnn.cli.inspector.subject import LossPart, Subject, read_subjects, reading_key
from charrnn.cli.inspector.training_text import FoundText, describe_absence, find_text
from charrnn.display.card import card
from charrnn.errors import CorpusError, ForeignTextError
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.origin import Origin
from charrnn.text import corpus, documents
from charrnn.text.cache import Cache
from charrnn.text.encoder import CharEncoder
from charrnn.text.read_options import ReadOptions


@pytest.fixture
def contents(trained):
    return read_checkpoint(str(trained / "words.pt"))


def moved(contents, *texts, val_texts=()):
    return dataclasses.replace(contents, origin=Origin(texts=[*texts], val_texts=[*val_texts]))


def test_text_beside_the_checkpoint_is_found_and_split_as_in_training(contents, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = find_text(contents, str(trained / "words.pt"))
    text = (trained / "words.txt").read_text()
    assert contents.encoder.decode(found.train) == text[:18_000]
    assert contents.encoder.decode(found.held_out) == text[18_000:]


def test_found_text_is_split_by_the_stored_val_fraction(contents, trained):
    config = {**contents.training["config"], "val_fraction": 0.3}
    other = dataclasses.replace(contents, training={**contents.training, "config": config})
    found = find_text(other, str(trained / "words.pt"))
    assert (len(found.train), len(found.held_out)) == (14_000, 6_000)


def test_text_is_found_at_its_original_path_and_in_the_current_folder(contents, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nowhere = str(tmp_path / "other" / "words.pt")
    assert find_text(contents, nowhere) is None
    assert find_text(moved(contents, str(trained / "words.txt")), nowhere).label == str(trained / "words.txt")
    (tmp_path / "words.txt").write_bytes((trained / "words.txt").read_bytes())
    assert find_text(contents, nowhere).label == "words.txt"


def test_folder_given_as_a_dot_is_found_by_its_name(contents, trained, tmp_path, monkeypatch):
    for name in ("book", "apart"):
        (tmp_path / name).mkdir()
    (tmp_path / "book" / "words.txt").write_bytes((trained / "words.txt").read_bytes())
    monkeypatch.chdir(tmp_path / "book")
    name = corpus.read_corpus(["."]).name
    assert name == corpus.read_corpus(["../book/."]).name == "book"
    monkeypatch.chdir(tmp_path / "apart")
    dotted = dataclasses.replace(moved(contents, "."), corpus=dataclasses.replace(contents.corpus, name=name))
    assert dotted.origin.public.texts == ["."], "of an export"
    assert find_text(dotted, "../book/m.pt").label == "../book"
    monkeypatch.chdir(tmp_path / "book")
    subject = Subject("m.pt", "m", dotted)
    assert choose_texts([subject], None)[0].source == "the held-out end of book"
    several = Subject("m.pt", "m", dataclasses.replace(dotted, origin=Origin(texts=[".", "a.txt"])))
    object.__setattr__(several, "training_text", subject.training_text)
    assert choose_texts([several], None)[0].source == "the held-out end of book and 1 more"
    beside = dataclasses.replace(dotted, origin=dataclasses.replace(dotted.origin, val_texts=["."]))
    assert beside.origin.held_out_by_name == ".", "in which folder, nobody knows any more"


def test_different_text_of_the_same_name_and_size_is_rejected(contents, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = bytearray((trained / "words.txt").read_bytes())
    changed[:2] = changed[1::-1]
    (tmp_path / "words.txt").write_bytes(changed)
    assert find_text(contents, str(tmp_path / "words.pt")) is None
    with pytest.raises(CorpusError, match=r"words.txt: is not the text that m.pt learned from, .*20,000 bytes"):
        find_text(contents, "m.pt", "words.txt")


def test_file_of_another_size_is_not_read(contents, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("another text")
    monkeypatch.setattr(training_text, "read_corpus", None)
    assert find_text(contents, str(tmp_path / "words.pt")) is None


def test_grown_log_is_read_up_to_its_learned_length(contents, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (trained / "words.txt").read_bytes()
    for more in (b"a line more\n", b"\xff"):
        (tmp_path / "words.txt").write_bytes(text + more)
        for given in (None, "words.txt"):
            found = find_text(contents, "words.pt", given)
            assert contents.encoder.decode(np.concatenate([found.train, found.held_out])) == text.decode()
    (tmp_path / "words.txt").write_bytes(b"A" + text)
    monkeypatch.setattr(training_text, "read_corpus", None)
    assert find_text(contents, "words.pt") is None


@pytest.mark.parametrize("given", [None, "words.txt"])
def test_beginning_of_a_grown_log_is_hashed_once(contents, trained, tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_bytes((trained / "words.txt").read_bytes() + b"a line more\n")
    looked_at, real = [], documents._hash
    monkeypatch.setattr(documents, "_hash", lambda *arguments: looked_at.append(arguments) or real(*arguments))
    assert find_text(contents, "words.pt", given) is not None
    assert looked_at == [("words.txt", 20_000)]


def test_given_text_is_found_whatever_happened_to_the_val_text(contents, trained, tmp_path):
    (tmp_path / "val.txt").write_bytes(b"\xff")
    held_out = moved(contents, "a.txt", val_texts=[str(tmp_path / "val.txt")])
    assert find_text(held_out, "m.pt", str(trained / "words.txt")) is not None


@pytest.fixture
def cached(contents, trained, tmp_path, monkeypatch):
    """Where a large text that is given is mapped from, after a training with some flags; None for memory."""
    monkeypatch.setattr(corpus, "MAPPED_BYTES", 20_000)
    monkeypatch.setattr(training_text, "own_folder", lambda: tmp_path / "own")

    def find(**origin):
        kept = dataclasses.replace(contents, origin=Origin(texts=["words.txt"], **origin))
        found = find_text(kept, "m.pt", str(trained / "words.txt"))
        assert contents.encoder.decode(found.train) == (trained / "words.txt").read_text()[:18_000]
        return Path(found.train.filename).parent.name if isinstance(found.train, np.memmap) else None

    return find


def test_given_large_text_is_mapped_from_a_cache(contents, trained, tmp_path, cached, monkeypatch):
    reading = {"options": contents.text_options, "encoder": contents.encoder}
    corpus.read_corpus([str(trained / "words.txt")], ReadOptions(**reading, cache=Cache(tmp_path / "there")))
    assert cached(cache=str(tmp_path / "there")) == "there"
    assert not (tmp_path / "own").exists()
    assert cached(no_cache=True) is None
    assert cached(cache=str(tmp_path / "nowhere")) == cached(cache="\0") == cached() == "own"
    assert not (tmp_path / "nowhere").exists(), "a stranger's checkpoint may name any folder"
    monkeypatch.setattr(corpus, "MAPPED_BYTES", 20_001)
    assert cached() is None


def test_unwritable_cache_is_ignored(tmp_path, cached, monkeypatch):
    (tmp_path / "own").write_text("no folder")
    assert cached() is None
    monkeypatch.setattr(training_text, "own_folder", lambda: None)
    assert cached() is None


def test_rejected_text_is_not_cached(contents, trained, tmp_path, cached):
    text = (trained / "words.txt").read_text()
    (tmp_path / "other.txt").write_text(text[1:] + text[0])
    with pytest.raises(CorpusError, match="is not the text that"):
        find_text(contents, "m.pt", str(tmp_path / "other.txt"))
    assert not (tmp_path / "own").exists()


def test_damaged_cache_is_ignored(tmp_path, cached):
    assert cached() == "own"
    (kept,) = (tmp_path / "own").iterdir()
    kept.write_bytes(bytes([255]) * 20_000)
    assert cached() is None


def test_huge_text_is_not_searched_unasked(contents, trained, monkeypatch):
    for largest, is_sought in ((20_000, True), (19_999, False)):
        monkeypatch.setattr(training_text, "LARGEST_SOUGHT", largest)
        assert (find_text(contents, str(trained / "words.pt")) is not None) == is_sought
        assert find_text(contents, "m.pt", str(trained / "words.txt")) is not None


def test_text_with_other_character_counts_is_rejected(contents, trained):
    counts = contents.corpus.counts[::-1]
    other = dataclasses.replace(contents, corpus=dataclasses.replace(contents.corpus, counts=counts))
    assert find_text(other, str(trained / "words.pt")) is None


@pytest.mark.parametrize(
    "flags", [["b.txt"], ["b.txt", "--lines"], ["--lines", "b.txt"], ["--lines", "--val-text", "b.txt"]]
)
def test_several_texts_are_found_only_together(tmp_path, monkeypatch, flags):
    """For lines, each text ends in an unfinished line, which gets a line feed that is in no file."""
    monkeypatch.chdir(tmp_path)
    texts = {"a.txt": make_text(2000).rstrip("\n"), "b.txt": make_text(900, seed=1).rstrip("\n")}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    train_briefly(tmp_path, "a.txt", "--hidden-size", "8", *flags, "--max-steps", "1")
    contents = read_checkpoint("a.pt")
    found, are_learned = find_text(contents, "a.pt"), "--val-text" not in flags
    assert found.label == ("a.txt and 1 more" if are_learned else "a.txt")
    assert len(found.train) + len(found.held_out) == contents.corpus.characters
    if are_learned:
        with pytest.raises(CorpusError, match=r"a.txt: is not the text .*; give all that was read of it, in its order"):
            find_text(contents, "a.pt", "a.txt")
    (tmp_path / "b.txt").write_text("tin")
    assert find_text(contents, "a.pt") is None
    told = " and the others have not all" if are_learned else ", or what --val-text named, has not"
    assert describe_absence(contents, "a.pt").startswith(f"a.txt{told} been found as ")


def test_val_text_is_found_beside_the_checkpoint(contents, tmp_path):
    (tmp_path / "b.txt").write_text("b")
    told = moved(contents, "a.txt", val_texts=["gone/b.txt"])
    assert candidate_files.places_of_held_out(told, str(tmp_path / "m.pt")) == [str(tmp_path / "b.txt")]


def test_foreign_checkpoint_cannot_make_it_read_special_files(contents, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "words.txt")  # reading it would wait for ever
    for texts in (["words.txt"], [], [""], ["a\0/words.txt"], ["words.txt", "\0"]):
        assert find_text(moved(contents, *texts), str(tmp_path / "m.pt")) is None
    monkeypatch.setattr(training_text, "read_corpus", None)
    empty = dataclasses.replace(contents, corpus=dataclasses.replace(contents.corpus, bytes=0))
    assert find_text(moved(empty, "words.txt"), str(tmp_path / "m.pt")) is None, "its size is zero"


@pytest.mark.skipif(not os.path.exists("/proc/self/pagemap"), reason="only Linux has such files")
def test_foreign_checkpoint_cannot_make_it_read_endless_files(contents, trained, monkeypatch):
    """What the system makes as it is read is a regular file of no bytes: alone, and beside a text of the right size."""
    words, endless = str(trained / "words.txt"), "/proc/self/pagemap"
    read = []

    def refuse(paths, how):
        read.append((paths, how.val_texts))
        raise ForeignTextError("another")

    monkeypatch.setattr(training_text, "read_corpus", refuse)
    alone = dataclasses.replace(contents, corpus=dataclasses.replace(contents.corpus, name=endless, bytes=0))
    assert find_text(alone, "m.pt") is None
    for hostile in (moved(contents, words, endless), moved(contents, "x/words.txt", val_texts=[endless])):
        assert find_text(hostile, str(trained / "words.pt")) is None
        with pytest.raises(CorpusError):
            find_text(hostile, "m.pt", words)
    assert {paths[0] for paths, _ in read} == {words}
    assert endless not in str(read)


@pytest.mark.parametrize("root", [r"\\host\share", "//host/share", r"\/host\share"])
def test_foreign_checkpoint_cannot_make_it_contact_another_machine(contents, tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    asked = []
    for module, name in ((os, "stat"), (os.path, "isfile"), (os.path, "isdir")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, *_, real=real, **__: asked.append(os.fspath(path)) or real(path))
    elsewhere = moved(contents, f"{root}/words.txt", f"{root}/more.txt", val_texts=[f"{root}/val.txt"])
    named = dataclasses.replace(contents.corpus, name=f"{root}/words.txt")
    for changed in (elsewhere, dataclasses.replace(contents, corpus=named)):
        assert find_text(changed, "x.pt") is None
        describe_absence(changed, "x.pt")
    assert not [path for path in asked if "host" in path]
    assert any("words.txt" in path for path in asked)


def test_reason_for_a_missing_text_depends_on_its_origin(contents, deep_folder, monkeypatch):
    def told(name):
        corpus = dataclasses.replace(contents.corpus, name=name)
        return describe_absence(dataclasses.replace(moved(contents, name), corpus=corpus), str(deep_folder / "m.pt"))

    monkeypatch.chdir(deep_folder)
    (deep_folder / "letters").mkdir()
    assert told("stdin") == "its text came from standard input; --corpus FILE gives it"
    assert told("letters").startswith("letters: a folder without files; --corpus names it if it is the same, or ")
    for name in ("words.txt", "a" * 300):
        assert told(name) == f"{name} has not been found; --corpus says where it is"
    assert told("a\0") == "a\N{SYMBOL FOR NULL} has not been found; --corpus says where it is"
    (deep_folder / "other.txt").write_text("another text")
    assert told("other.txt") == "other.txt has changed, or is another text; --corpus says where the text is"
    (deep_folder / "packed.gz").write_bytes(gzip.compress(b"words"))
    assert told("packed.gz") == "packed.gz is compressed, which is not read unasked; --corpus names it"
    of_folder = dataclasses.replace(contents, corpus=dataclasses.replace(contents.corpus, name="letters"))
    with pytest.raises(CorpusError, match="give all that was read of it, in its order, as one file"):
        find_text(of_folder, "m.pt", "other.txt")


def with_training(contents, **changes):
    training = {**contents.training, "config": {**contents.training["config"], **changes}}
    return dataclasses.replace(contents, training=training)


@pytest.mark.parametrize("lines", [False, True])
def test_baseline_is_measured_over_the_characters_of_the_losses(contents, trained, lines):
    """The baseline of a lines model learns and reads each line by itself, like the model."""
    text = (trained / "words.txt").read_text()
    held_out = text[-2000:]
    contents = dataclasses.replace(contents, text_options=dataclasses.replace(contents.text_options, lines=lines))
    ids = contents.encoder.encode(text)
    found = FoundText("words.txt", ids[:-2000], ids[-2000:])
    spans = [match.span() for match in re.finditer(r"[^\n]*\n|[^\n]+$", held_out)]
    if lines:
        feed = contents.encoder.characters.index("\n")
        model = NgramModel(ids[:-2000], len(contents.encoder), line_end_id=feed)
        each = (contents.encoder.encode("\n" + held_out[slice(*span)]) for span in spans)
        whole = np.concatenate([model.surprisals(line)[1:] for line in each])
    else:
        whole = NgramModel(ids[:-2000], len(contents.encoder)).surprisals(ids[-2000:])
    for evaluated in (600, 10**6):
        subject = Subject("words.pt", "words", with_training(contents, evaluated=evaluated))
        object.__setattr__(subject, "training_text", found)
        if lines:
            count = round(len(spans) * min(1, evaluated / 2000))
            places = [i for k in range(count) for i in range(*spans[k * len(spans) // count])]
        else:
            places = range(1, min(2000, evaluated + 1))
        assert subject.counted.tolist() == list(places)
        assert subject.baseline.loss == pytest.approx(whole[list(places)].mean(), rel=1e-12)
        assert subject.part == (LossPart(0.1, 600, lines) if evaluated == 600 else LossPart(0.1, None, False))
        assert subject.baseline.counted == (len(list(places)) if evaluated == 600 else 0)


@pytest.mark.parametrize("lines", [False, True])
def test_long_held_out_text_is_cut_to_what_counts(contents, lines):
    contents = dataclasses.replace(contents, text_options=dataclasses.replace(contents.text_options, lines=lines))
    subject = Subject("words.pt", "words", with_training(contents, evaluated=600))
    held_out = np.tile(contents.encoder.encode("Tin " * 24 + "Tin\n"), 40_000)
    object.__setattr__(subject, "training_text", FoundText("words.txt", held_out[:5000], held_out))
    assert len(subject.counted) == 600
    tracemalloc.start()
    try:
        assert subject.baseline.loss < 0.1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * held_out.nbytes


def test_baseline_over_a_part_names_its_size(contents):
    assert " on the same 600 characters: this model is " in dict(card(contents, Baseline(1.5, counted=600)))["  6-gram"]
    assert " on the same text: this model is " in dict(card(contents, Baseline(1.5)))["  6-gram"]


def test_difference_to_the_baseline_is_given_per_unit(contents):
    loss = contents.best.val_loss
    row = dict(card(contents, Baseline(loss - 0.1 * math.log(2))))["  6-gram"]
    assert row.endswith("on the same text: this model is WORSE by 0.100 bits per character")


def test_share_of_rare_characters_is_reported(contents):
    """Rare characters lower the loss."""
    assert "  rare" not in dict(card(contents))
    known = CharEncoder(contents.encoder.characters[:-1], has_unknown=True)
    counts = [*contents.corpus.counts[:-1], 290]
    corpus = dataclasses.replace(contents.corpus, counts=counts, bytes=30_000)
    rare = dataclasses.replace(contents, encoder=known, corpus=corpus)
    assert dict(card(rare))["  rare"] == (
        "290 of 20,000 characters are rare, and count as one in these losses: those of a model that tells them apart "
        "do not compare"
    )
    counts[-1] = 0
    assert "  rare" not in dict(card(rare))


def test_baseline_trained_on_the_end_of_a_long_text_says_so(contents, trained, monkeypatch, capsys):
    paths = [str(trained / "words.pt")]
    assert read_subjects(paths)[0].baseline.learned == 0
    (subject,) = read_subjects(paths)
    monkeypatch.setattr("charrnn.cli.inspector.subject.MAX_LEARNED", 5000)
    assert subject.baseline.learned == 5000
    row = dict(card(contents, subject.baseline))["  6-gram"]
    assert " on the same text, learned from the last 5,000 characters alone: this model is " in row
    show_comparison([subject, subject])
    assert re.search("^  +learned from +the last 5,000 +the last 5,000$", capsys.readouterr().out, re.M)
    baseline = describe(subject)["baseline"]
    assert (baseline["learned_from"], baseline["learned_of"]) == (5000, 18_000)


@pytest.mark.parametrize("show", [show_comparison, describe_each])
@pytest.mark.parametrize("lines", [False, True])
def test_text_is_read_once_for_several_models(trained, monkeypatch, lines, show):
    subjects = [
        dataclasses.replace(subject, contents=dataclasses.replace(
            subject.contents, text_options=dataclasses.replace(subject.contents.text_options, lines=lines)
        ))
        for subject in read_subjects([str(trained / "words.pt")] * 3)
    ]  # fmt: skip
    read = []
    monkeypatch.setattr(
        "charrnn.cli.inspector.subject.find_text", lambda *arguments: read.append(1) or find_text(*arguments)
    )
    show(subjects)
    assert len(read) == 1


def test_error_handling_distinguishes_texts_only_with_invalid_bytes(contents):
    def subject(errors, characters=""):
        text = dataclasses.replace(contents.text_options, errors=errors)
        encoder = CharEncoder(contents.encoder.characters + characters)
        return Subject("m.pt", "m", dataclasses.replace(contents, text_options=text, encoder=encoder))

    assert reading_key(subject("strict")) == reading_key(subject("replace")) == reading_key(subject("surrogateescape"))
    assert reading_key(subject("replace", "\ufffd")) != reading_key(subject("surrogateescape", "\udce9"))
    lowered = dataclasses.replace(contents, text_options=dataclasses.replace(contents.text_options, lowercase=True))
    assert reading_key(Subject("m.pt", "m", lowered)) != reading_key(subject("strict"))


@pytest.fixture
def letters(contents, trained, tmp_path, monkeypatch):
    """What a checkpoint knows that learned from a folder, in which the files of its text lie, by how it was read."""
    monkeypatch.chdir(tmp_path)
    text = (trained / "words.txt").read_text()
    (tmp_path / "letters" / "b").mkdir(parents=True)
    (tmp_path / "letters" / "a.txt").write_text(text[:9000])
    (tmp_path / "letters" / "b" / "c.txt").write_text(text[9000:])
    corpus = dataclasses.replace(contents.corpus, name="letters")
    return lambda **origin: dataclasses.replace(contents, corpus=corpus, origin=Origin(texts=["letters"], **origin))


def assert_found(checkpoint, trained, given=None):
    found = find_text(checkpoint, "m.pt", given)
    assert checkpoint.encoder.decode(np.concatenate([found.train, found.held_out])) == (
        (trained / "words.txt").read_text()
    )


def test_folder_is_found_like_a_text(letters, trained, tmp_path):
    for given in (None, "letters"):
        assert_found(letters(), trained, given)
    (tmp_path / "letters" / "picture.txt").write_bytes(b"\x89PNG\0\0")
    (tmp_path / "letters" / "m.pt").write_bytes((trained / "words.pt").read_bytes())
    (tmp_path / "letters" / "m.log").write_text('{"run": "abcdef012345", "step": 1}\n')
    for given in (None, "letters"):
        assert_found(letters(), trained, given)
    (tmp_path / "letters" / "d.txt").write_text("new")
    assert find_text(letters(), "m.pt") is None
    assert describe_absence(letters(), "m.pt").startswith("letters is a folder with other text than was read; ")
    with pytest.raises(
        CorpusError, match=r"letters: is not the text that m.pt learned from, .* of 20,000 bytes; give "
    ):
        find_text(letters(), "m.pt", "letters")


def test_only_the_files_of_the_training_are_read_of_a_folder(letters, trained, tmp_path):
    (tmp_path / "letters" / "z.md").write_text("a note")
    for patterns in ({"include": ["*.txt"]}, {"exclude": ["z*"]}):
        for given in (None, "letters"):
            assert_found(letters(**patterns), trained, given)


@pytest.mark.parametrize("given", [None, "letters"])
@pytest.mark.parametrize("held_out", ["letters/a.txt", "letters/b", "letters/b/c.txt"])
def test_val_text_inside_the_folder_is_found(letters, trained, given, held_out):
    text, checkpoint = (trained / "words.txt").read_text(), letters(val_texts=[held_out])
    whole = text if "b" in held_out else text[9000:] + text[:9000]
    facts = dataclasses.replace(checkpoint.corpus, sha256=hashlib.sha256(whole.encode()).hexdigest())
    found = find_text(dataclasses.replace(checkpoint, corpus=facts), "m.pt", given)
    assert checkpoint.encoder.decode(np.concatenate([found.train, found.held_out])) == whole


@pytest.mark.parametrize("given", [None, "letters"])
def test_files_are_joined_by_the_separator_even_if_empty(letters, trained, tmp_path, given):
    text = (trained / "words.txt").read_text()
    (tmp_path / "letters" / "b" / "b.txt").touch()
    checkpoint = letters(separator=text[:5])
    whole = text[:9000] + 2 * text[:5] + text[9000:]
    counts = np.bincount(checkpoint.encoder.encode(whole), minlength=23).tolist()
    digest = hashlib.sha256(whole.encode()).hexdigest()
    facts = dataclasses.replace(checkpoint.corpus, bytes=len(whole), sha256=digest, counts=counts)
    found = find_text(dataclasses.replace(checkpoint, corpus=facts), "m.pt", given)
    assert checkpoint.encoder.decode(np.concatenate([found.train, found.held_out])) == whole


@pytest.mark.skipif(not os.path.exists("/proc/self/pagemap"), reason="only Linux has such files")
def test_proc_file_in_a_folder_is_not_opened(letters, trained, tmp_path, monkeypatch):
    """Such a file has size 0 and may be endless."""
    opened = []
    monkeypatch.setattr(candidate_files, "why_no_text", lambda document, *_: opened.append(document.name))
    (tmp_path / "letters" / "x.txt").symlink_to("/proc/self/pagemap")
    assert_found(letters(), trained)
    assert [Path(name).name for name in opened] == ["a.txt", "c.txt"]


@pytest.mark.parametrize("given", [None, "letters"])
@pytest.mark.parametrize("val_texts", [[], ["held"]])
def test_links_in_a_folder_are_read_once_as_in_training(letters, trained, tmp_path, given, val_texts):
    (tmp_path / "letters" / "again.txt").symlink_to("a.txt")
    (tmp_path / "letters" / "b" / "again.txt").symlink_to("c.txt")
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "c.txt").symlink_to("../letters/b/c.txt")
    assert_found(letters(val_texts=val_texts), trained, given)


def test_unreadable_folder_is_reported_with_the_reason(letters, tmp_path):
    shutil.rmtree(tmp_path / "letters")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a; b.txt").symlink_to("gone")
    file = Path("letters", "a; b.txt")
    told = f"letters: nothing of it that is to be read is there: {file} is a broken link; --corpus names it "
    assert describe_absence(letters(), "m.pt").startswith(told)


def test_folder_with_many_patterns_is_read_only_if_named(letters, trained):
    many = letters(exclude=[f"{number}.txt" for number in range(101)])
    assert find_text(many, "m.pt") is None
    assert_found(many, trained, "letters")


def test_large_folder_is_not_read_unasked(letters, trained, tmp_path, monkeypatch):
    (tmp_path / "letters" / "a.bin").write_bytes(b"\xff" * 1000)
    monkeypatch.setattr(candidate_files, "LARGEST_SOUGHT", 21_000)
    assert_found(letters(), trained)
    monkeypatch.setattr(candidate_files, "LARGEST_SOUGHT", 20_999)
    assert find_text(letters(), "m.pt") is None
    told = "letters: holds more than the 20,999 bytes that are read unasked; --corpus names it if it is the same, or "
    assert describe_absence(letters(), "m.pt").startswith(told)
    assert_found(letters(), trained, "letters")


def test_folder_of_many_files_is_not_walked_unasked(letters, trained, monkeypatch):
    monkeypatch.setattr(candidate_files, "MOST_ENTRIES", 4)  # two files, a folder, and itself
    assert_found(letters(), trained)
    with pytest.raises(CorpusError, match="holds more than the 4 files and folders that are looked through unasked"):
        candidate_files.find_candidate_files(["letters"] * 2, [], letters())
    monkeypatch.setattr(candidate_files, "MOST_ENTRIES", 3)
    monkeypatch.setattr(candidate_files, "find_documents", None)
    assert find_text(letters(), "m.pt") is None
    told = "letters: holds more than the 3 files and folders that are looked through unasked; --corpus names it "
    assert describe_absence(letters(), "m.pt").startswith(told)
    assert_found(letters(), trained, "letters")


def test_compressed_files_are_not_unpacked_unasked(letters, trained, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(candidate_files, "why_no_text", lambda document, *_: read.append(document.name))
    packed = gzip.compress((tmp_path / "letters" / "a.txt").read_bytes())
    (tmp_path / "letters" / "a.txt").write_bytes(packed)
    assert find_text(letters(), "m.pt") is None
    assert read == [str(Path("letters", "b", "c.txt"))]
    name = Path("letters", "a.txt")
    told = f"letters is a folder in which {name} is compressed, which is not read unasked; --corpus names it if "
    assert describe_absence(letters(), "m.pt").startswith(told)
    assert_found(letters(), trained, "letters")
    (tmp_path / "letters" / "a.gz").write_bytes(packed)
    told = f"letters is a folder in which {Path('letters', 'a.gz')} and 1 more are compressed, which is not read "
    assert describe_absence(letters(), "m.pt").startswith(told)
    (tmp_path / "words.txt").write_bytes(packed)
    corpus = dataclasses.replace(letters().corpus, name="words.txt", bytes=len(packed))
    monkeypatch.setattr(training_text, "read_corpus", None)
    assert find_text(dataclasses.replace(letters(), corpus=corpus), "m.pt") is None


@pytest.mark.parametrize("origin", [{"include": ["**/x" * 60]}, {"exclude": ["*"] * 10**5}, {"separator": "\udc80"}])
def test_foreign_checkpoint_cannot_make_it_work_forever_or_fail(letters, origin):
    assert find_text(letters(**origin), "m.pt") is None
    told = "letters: what the checkpoint says of the texts cannot be followed: its "
    assert describe_absence(letters(**origin), "m.pt").startswith(told)
    with pytest.raises(CorpusError, match="what the checkpoint says of the texts cannot be followed: its "):
        find_text(letters(**origin), "m.pt", "letters")
