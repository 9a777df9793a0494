import dataclasses
import gzip
import hashlib
import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import CorpusError
from charrnn.surrogates import to_bytes
from charrnn.text import corpus as corpus_module
from charrnn.text import sources
from charrnn.text.cache import Cache
from charrnn.text.corpus import Corpus, read_corpus
from charrnn.text.decoding import prepare
from charrnn.text.documents import read_beginning, read_text
from charrnn.text.encoder import CharEncoder
from charrnn.text.line_reader import read_lines
from charrnn.text.meter import Meter
from charrnn.text.options import TextOptions
from charrnn.text.read_options import ReadOptions
from charrnn.text.sources import Document, Found
from charrnn.text.splitting import count_known
from charrnn.text.stream import TextStream

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter("\ufeff".__ne__)
"""But for a byte order mark alone, which leaves nothing."""


def write(folder, data, name="text.txt"):
    path = folder / name
    path.write_bytes(data)
    return str(path)


def decoded(corpus):
    return corpus.encoder.decode(corpus.ids)


def test_file_is_encoded_counted_and_hashed(tmp_path):
    data = "häh\r\nh\r".encode()
    corpus = read_corpus([write(tmp_path, data)])
    assert decoded(corpus) == "häh\r\nh\r"  # newlines untouched
    assert dict(zip(corpus.encoder.characters, corpus.counts, strict=True)) == {"\n": 1, "\r": 2, "h": 3, "ä": 1}
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()
    assert corpus.num_bytes == len(data)
    assert corpus.name == "text.txt"


def test_only_a_leading_byte_order_mark_is_dropped(tmp_path):
    assert decoded(read_corpus([write(tmp_path, "\ufeffa\ufeffb".encode())])) == "a\ufeffb"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "\ufeff\ufeffab"),
        ("utf-8-sig", "\ufeffab"),
        ("gb18030", "\ufeff\ufeffab"),
        ("utf-16-le", "\ufeff\ufeffab"),
        ("utf-16", "\ufeffab"),
        ("UTF32", "\ufeffab"),
    ],
)
def test_every_reader_drops_one_of_two_leading_marks(tmp_path, encoding, written):
    path, options = write(tmp_path, written.encode(encoding)), TextOptions(encoding=encoding)
    assert decoded(read_corpus([path], ReadOptions(options=options))) == "\ufeffab"
    assert read_text(path, options) == read_beginning(path, options, 9)[0] == "\ufeffab"
    if not options.is_wide:
        assert list(read_lines(path, options)) == [["\ufeffab"]]


@pytest.mark.parametrize("errors", ["strict", "replace", "surrogateescape"])
def test_twice_compressed_file_is_refused_by_every_reader(tmp_path, errors):
    path, options = write(tmp_path, gzip.compress(gzip.compress(b"ab\n"))), TextOptions(errors=errors)
    told = rf"^{path}: is compressed twice; unpack it once \(what comes then is still so, by gzip\)$"
    for read in (
        lambda: read_corpus([path], ReadOptions(options=options)),
        lambda: read_text(path, options),
        lambda: read_beginning(path, options, 9),
        lambda: list(read_lines(path, options)),
        lambda: list(read_lines(path, options, is_tolerant=True)),
    ):
        with pytest.raises(CorpusError, match=told):
            read()


def test_twice_compressed_file_is_read_as_bytes_by_every_reader(tmp_path):
    once, options = gzip.compress(b"ab\n"), TextOptions(unit="byte")
    path = write(tmp_path, gzip.compress(once))
    lines = itertools.chain.from_iterable(read_lines(path, options))
    for text in (read_text(path, options), read_beginning(path, options, 99)[0], "".join(lines)):
        assert to_bytes(text) == once


MIXED = st.text("abe\u0301\r\n", min_size=2, max_size=30)


@given(MIXED, MIXED, st.integers(1, 7), st.sampled_from(["none", "nfc"]), st.sampled_from(["keep", "lf"]))
def test_val_text_is_split_off_where_it_begins(tmp_path_factory, learned, held_out, chunk, form, newline):
    folder = tmp_path_factory.mktemp("texts")
    options = TextOptions(normalize=form, newline=newline)
    expected = [prepare(learned + "..", options), prepare(held_out + "..", options)]
    paths = [write(folder, f"{learned}..".encode(), "a.txt"), write(folder, f"{held_out}..".encode(), "b.txt")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK", chunk)
        corpus = read_corpus(paths[:1], ReadOptions(options=options, separator="--", val_texts=(paths[1],)))
    assert (corpus.name, corpus.val_name, corpus.num_held_out) == ("a.txt", "b.txt", len(expected[1]))
    pieces = corpus.split(corpus.num_held_out / len(corpus.ids))
    assert [corpus.encoder.decode(piece) for piece in pieces] == expected


def test_val_text_of_lines_begins_a_line(tmp_path):
    paths = [write(tmp_path, text, name) for text, name in ((b"one\ntwo", "a"), (b"three\nfour", "b"))]
    corpus = read_corpus(paths[:1], ReadOptions(options=TextOptions(lines=True), val_texts=(paths[1],)))
    assert corpus.num_held_out == len("three\nfour"), "the line feed between them ends a line that is learned"
    pieces = corpus.split(corpus.num_held_out / len(corpus.ids))
    assert [corpus.encoder.decode(piece) for piece in pieces] == ["one\ntwo\n", "three\nfour"]


@pytest.mark.parametrize("lines", [False, True])
def test_val_fraction_zero_trains_on_all_and_evaluates_the_usual_part(tmp_path, lines):
    text = "".join(f"line {number}\n" for number in range(40))
    corpus = read_corpus([write(tmp_path, text.encode())], ReadOptions(options=TextOptions(lines=lines)))
    learned, evaluated = corpus.split(0.0, spread=lines, bounded=lines)
    assert corpus.encoder.decode(learned) == text
    np.testing.assert_array_equal(evaluated, corpus.split(0.1, spread=lines, bounded=lines)[1])


def test_val_text_is_not_trained_on(tmp_path):
    (tmp_path / "d" / "inner").mkdir(parents=True)
    for name in ("a", "b", "inner/c"):
        (tmp_path / "d" / name).write_bytes(name.encode() * 3)
    folder, inner, held_out = str(tmp_path / "d"), str(tmp_path / "d" / "inner"), str(tmp_path / "d" / "b")
    corpus = read_corpus([folder], ReadOptions(val_texts=(held_out, inner)))
    assert (decoded(corpus), corpus.num_held_out) == ("aaabbbinner/cinner/cinner/c", 24)
    for path in (held_out, str(tmp_path / "d" / "inner" / "c"), inner):
        with pytest.raises(CorpusError, match="is to be learned from and held out with --val-text; give it once"):
            read_corpus([folder, path], ReadOptions(val_texts=(held_out, inner)))


def test_val_text_begins_a_new_word_when_lowercased(tmp_path):
    """A capital sigma at the end of a word has another lowercase form."""
    paths = [write(tmp_path, text.encode(), name) for text, name in (("ΑΒ", "a"), ("Σ.", "b"))]
    options = TextOptions(lowercase=True)
    assert decoded(read_corpus(paths[:1], ReadOptions(options=options, val_texts=(paths[1],)))) == "αβσ."


def test_cache_distinguishes_one_text_from_two_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 0)
    paths = [write(tmp_path, text.encode(), name) for text, name in (("x\u0301", "a"), ("\u0323y", "b"))]
    reading = {"options": TextOptions(normalize="nfc"), "cache": Cache(tmp_path / "cache")}
    assert decoded(read_corpus(paths, ReadOptions(**reading))) == "x\u0323\u0301y"
    assert decoded(read_corpus(paths[:1], ReadOptions(**reading, val_texts=(paths[1],)))) == "x\u0301\u0323y"


def test_ids_cached_by_other_rules_or_python_are_rebuilt(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 0)
    path, reading = write(tmp_path, b"text"), ReadOptions(cache=Cache(tmp_path / "cache"))
    for name, value in (("RULES", corpus_module.RULES), ("RULES", -1), ("sys", SimpleNamespace(version_info=(4, 0)))):
        monkeypatch.setattr(corpus_module, name, value)
        read_corpus([path], reading)
        read_corpus([path], reading)
    assert len(list(tmp_path.glob("cache/*"))) == 3


@pytest.mark.parametrize(("texts", "short"), [((b"abc", b"d"), "b"), ((b"a", b"bcd"), "a")])
def test_too_short_part_is_refused_by_name(tmp_path, texts, short):
    paths = [write(tmp_path, text, name) for text, name in zip(texts, "ab", strict=True)]
    with pytest.raises(CorpusError, match=f"^{short}: fewer than 2 characters; give a longer text$"):
        read_corpus(paths[:1], ReadOptions(val_texts=(paths[1],)))


@given(st.lists(ANY_TEXT, min_size=1, max_size=4), st.integers(1, 7))
def test_texts_in_chunks_of_any_size_are_joined_in_order(tmp_path_factory, texts, chunk):
    folder = tmp_path_factory.mktemp("texts")
    paths = [write(folder, text.encode(), f"{number}.txt") for number, text in enumerate(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK", chunk)
        corpus = read_corpus(paths, ReadOptions(separator="<|>"))
    whole = "<|>".join(text.removeprefix("\ufeff") for text in texts)
    assert decoded(corpus) == whole
    assert corpus.counts == [whole.count(character) for character in corpus.encoder.characters]
    assert corpus.ids.dtype == corpus.encoder.dtype
    assert corpus.num_documents == len(texts)


@given(ANY_TEXT)
def test_mapped_text_equals_one_in_memory(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("cache")
    path = write(folder, text.encode())
    held = read_corpus([path])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus_module, "MAPPED_BYTES", 0)
        made = read_corpus([path], ReadOptions(cache=Cache(folder / "cache")))
        found = read_corpus([path], ReadOptions(cache=Cache(folder / "cache")))
    assert isinstance(made.ids, np.memmap)
    assert isinstance(found.ids, np.memmap)
    for mapped in (made, found):
        assert mapped.ids.dtype == held.ids.dtype
        assert mapped.ids.tolist() == held.ids.tolist()
        assert mapped.counts == held.counts
        assert mapped.sha256 == held.sha256


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (([b"abba"], {}), ([b"abab"], {})),
        (([b"abbccc+-"], {"min_count": 2}), ([b"abbccc+-"], {"min_count": 3})),
        (([b"a+-", b"b"], {"separator": "+"}), ([b"a+-", b"b"], {"separator": "-"})),
        ((["a\ufeffb".encode(), "\ufeffc".encode()], {}), ([b"a", "\ufeffb\ufeffc".encode()], {})),
    ],
    ids=["another text", "another alphabet", "another separator", "the mark in another place"],
)
def test_cached_ids_are_reused_only_for_the_same_ids(tmp_path, monkeypatch, one, other):
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 0)
    for number, (texts, options) in enumerate((one, other)):
        paths = [write(tmp_path, data, f"{number}-{place}") for place, data in enumerate(texts)]
        mapped = read_corpus(paths, ReadOptions(cache=Cache(tmp_path / "cache"), **options))
        assert mapped.ids.tolist() == read_corpus(paths, ReadOptions(**options)).ids.tolist()


def test_encoding_alias_is_the_same_encoding(tmp_path, monkeypatch):
    def is_costly(encoding):
        reading = ReadOptions(options=TextOptions(encoding=encoding))
        return TextStream(Found([], [], None, ""), reading, Meter(None)).is_costly

    assert [is_costly(name) for name in ("utf-8", "UTF8", "latin-1")] == [False, False, True]
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 0)
    path, cache = write(tmp_path, "naïve".encode()), Cache(tmp_path / "cache")
    for encoding in ("utf-8", "UTF8", "cp1252", "windows-1252"):
        read_corpus([path], ReadOptions(options=TextOptions(encoding=encoding), cache=cache))
    assert len(list(cache.folder.iterdir())) == 2


def test_several_files_are_hashed_as_one_stream(tmp_path):
    paths = [write(tmp_path, b"one\n", "a"), write(tmp_path, b"two\n", "b")]
    assert read_corpus(paths).sha256 == hashlib.sha256(b"one\ntwo\n").hexdigest()


def test_compressed_text_has_size_and_hash_of_the_plain_one(tmp_path):
    plain = read_corpus([write(tmp_path, b"plain text\n" * 50, "a")])
    packed = read_corpus([write(tmp_path, gzip.compress(b"plain text\n" * 50), "b")])
    assert (packed.sha256, packed.num_bytes, packed.counts) == (plain.sha256, plain.num_bytes, plain.counts)


def test_byte_unit_takes_any_file(tmp_path):
    data = bytes(range(256)) * 3 + "naïve 漢字".encode()
    path = write(tmp_path, data)
    corpus = read_corpus([path], ReadOptions(options=TextOptions(unit="byte")))
    assert corpus.encoder.decode(corpus.ids).encode("utf-8", "surrogateescape") == data
    assert len(corpus.ids) == len(data)
    again = corpus.encoder.encode(read_text(path, TextOptions(unit="byte")))
    assert again.tolist() == corpus.ids.tolist()


def test_rare_characters_share_the_last_id(tmp_path):
    corpus = read_corpus([write(tmp_path, b"aaaabbbccd\n\n")], ReadOptions(min_count=3))
    assert corpus.encoder.characters == "ab"
    assert corpus.ids.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2]
    assert corpus.counts == [4, 3, 5]
    assert corpus.num_distinct == 5


def test_given_alphabet_is_kept(tmp_path):
    encoder = CharEncoder("abcx", has_unknown=True)
    corpus = read_corpus([write(tmp_path, b"abcd")], ReadOptions(encoder=encoder))
    assert corpus.encoder is encoder
    assert corpus.ids.tolist() == [0, 1, 2, 4]
    assert corpus.counts == [1, 1, 1, 0, 1]


def change_between_passes(monkeypatch, path, after):
    """Let a text be long, so that it is read twice, and another when it is read again."""
    os.utime(path, (1, 1))  # where the clock of files ticks slowly, what is written soon after has the same time
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 4)
    settle = corpus_module.settle_alphabet

    def change(*arguments):
        path.write_bytes(after)
        return settle(*arguments)

    monkeypatch.setattr(corpus_module, "settle_alphabet", change)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("after", [b"be", b"BEFORES", b"", b"befoore", "béforg".encode()])
def test_file_changed_between_passes_is_refused_and_not_cached(tmp_path, monkeypatch, after, cached):
    path = Path(write(tmp_path, "béfore".encode()))
    change_between_passes(monkeypatch, path, after)
    cache = Cache(tmp_path / "cache")
    with pytest.raises(CorpusError, match="was changed while it was read"):
        read_corpus([str(path)], ReadOptions(cache=cache if cached else None))
    assert not list(tmp_path.glob("cache/*"))


def test_file_with_fewer_characters_is_refused_though_its_signature_is_equal(tmp_path, monkeypatch):
    """A file copied over another may have the same size and time."""
    path = Path(write(tmp_path, b"befoore"))
    change_between_passes(monkeypatch, path, "béfore".encode())
    monkeypatch.setattr(Document, "signature", lambda document: (1, 1, 1))
    with pytest.raises(CorpusError, match="was changed while it was read"):
        read_corpus([str(path)])


def test_file_grown_between_passes_is_read_as_it_was(tmp_path, monkeypatch):
    path, other = Path(write(tmp_path, b"before")), write(tmp_path, b"other", "other.txt")
    change_between_passes(monkeypatch, path, b"before and after")
    corpus = read_corpus([str(path), other], ReadOptions(separator="|"))
    assert decoded(corpus) == "before|other"
    assert corpus.sha256 == hashlib.sha256(b"before|other").hexdigest()


@pytest.mark.parametrize("length", [3, 4, 6, 8, 99])
def test_length_reads_only_the_first_bytes_of_a_grown_text(tmp_path, monkeypatch, length):
    monkeypatch.setattr(sources, "CHUNK", 4)
    text = "0123456789abcdef"
    assert decoded(read_corpus([write(tmp_path, text.encode())], ReadOptions(length=length))) == text[:length]


def test_misread_text_is_listed_once_though_read_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 1)
    path = write(tmp_path, "naïve, café".encode())
    assert read_corpus([path], ReadOptions(options=TextOptions(encoding="latin-1"))).misread == {path: "utf-8"}


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (gzip.compress(b"before", mtime=0), {}),
        (b"before", {"normalize": "nfc"}),
        (b"before", {"newline": "lf"}),
        ("before".encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
def test_short_slow_text_is_read_once(tmp_path, monkeypatch, data, options):
    path = Path(write(tmp_path, data))
    change_between_passes(monkeypatch, path, b"another")
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 200)
    assert decoded(read_corpus([str(path)], ReadOptions(options=TextOptions(**options)))) == "before"


@pytest.mark.parametrize("step", ["_count", "settle_alphabet"])
def test_file_deleted_before_reading_is_reported_as_changed(tmp_path, monkeypatch, step):
    for name in ("text1.txt", "text2.txt"):
        write(tmp_path, b"text", name)
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 1)  # it is read twice
    take_step = getattr(corpus_module, step)

    def vanish(*arguments):
        (tmp_path / "text2.txt").unlink()
        return take_step(*arguments)

    monkeypatch.setattr(corpus_module, step, vanish)
    told = "text2.txt: is gone, so that the text was changed while it was read; try again when nothing changes it"
    with pytest.raises(CorpusError) as caught:
        read_corpus([str(tmp_path / "text2.txt")])
    assert str(caught.value) == f"{tmp_path}/{told}"


def test_touched_file_is_compared_and_read(tmp_path, monkeypatch):
    path = Path(write(tmp_path, b"before"))
    change_between_passes(monkeypatch, path, b"before")
    assert decoded(read_corpus([str(path)])) == "before"


def change_within_the_second_pass(monkeypatch, path, after):
    os.utime(path, (1, 1))
    monkeypatch.setattr(corpus_module, "MAPPED_BYTES", 4)
    look_up = CharEncoder.look_up

    def change(*arguments):
        path.write_bytes(after)
        return look_up(*arguments)

    monkeypatch.setattr(CharEncoder, "look_up", change)


@pytest.mark.parametrize("after", [b"behind", b"befor\xc3"])
def test_file_changed_during_the_second_pass_is_refused(tmp_path, monkeypatch, after):
    path = Path(write(tmp_path, b"before"))
    change_within_the_second_pass(monkeypatch, path, after)
    with pytest.raises(CorpusError, match="was changed while it was read"):
        read_corpus([str(path)])


@pytest.mark.parametrize("cached", [True, False])
def test_file_grown_during_the_second_pass_is_read_as_it_was(tmp_path, monkeypatch, cached):
    path = Path(write(tmp_path, b"before"))
    change_within_the_second_pass(monkeypatch, path, b"before and after")
    corpus = read_corpus([str(path)], ReadOptions(cache=Cache(tmp_path / "cache") if cached else None))
    assert decoded(corpus) == "before"
    assert corpus.sha256 == hashlib.sha256(b"before").hexdigest()


@pytest.mark.parametrize("newline", ["keep", "lf"])
@pytest.mark.parametrize("unit", ["character", "byte"])
def test_lines_mode_ends_a_line_at_the_end_of_each_file(tmp_path, newline, unit):
    paths = [write(tmp_path, data, name) for name, data in {"a": b"x\ny", "b": b"z\n", "c": b"", "d": b"w"}.items()]
    how = TextOptions(lines=True, newline="keep" if unit == "byte" else newline, unit=unit)
    assert decoded(read_corpus(paths, ReadOptions(options=how))) == "x\ny\nz\nw"
    assert decoded(read_corpus(paths)) == "x\nyz\nw"
    assert decoded(read_corpus(paths, ReadOptions(options=how, separator="\n\n"))).count("\n\n") == 3
    ended = decoded(read_corpus(paths[:2], ReadOptions(options=how, separator="\r\n--\n")))
    assert ended.replace("\r", "") == "x\ny\n--\nz\n", "the separator's own line end is one"
    empty = [write(tmp_path, b"", name) for name in ("d", "e")]
    assert decoded(read_corpus([paths[0], *empty, paths[1]], ReadOptions(options=how))) == "x\ny\nz\n"
    assert decoded(read_corpus(paths[:2], ReadOptions(options=how, separator=" "))) == "x\ny\n z\n"


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("separator", ["", "\n", "\n\n", "\r\n", "\n-", "-"])
def test_separator_does_not_join_a_preceding_carriage_return(tmp_path, separator, lines):
    how = ReadOptions(options=TextOptions(newline="lf", lines=lines), separator=separator)
    texts = (b"a\nb\n", b"c\n", b"", b"d", b"e\n\n")
    with_feeds = [write(tmp_path, text, f"{number}.txt") for number, text in enumerate(texts)]
    with_returns = [write(tmp_path, text.replace(b"\n", b"\r"), f"{n}.mac") for n, text in enumerate(texts)]
    assert decoded(read_corpus(with_returns, how)) == decoded(read_corpus(with_feeds, how))


def test_lines_without_line_feeds_suggest_newline_lf(tmp_path):
    path = write(tmp_path, b"a\rb\rc\r")
    with pytest.raises(CorpusError, match="no line feed, and --lines needs lines; give --newline lf"):
        read_corpus([path], ReadOptions(options=TextOptions(lines=True)))
    assert decoded(read_corpus([path], ReadOptions(options=TextOptions(lines=True, newline="lf")))) == "a\nb\nc\n"
    with pytest.raises(CorpusError, match=r"needs lines; turn its carriage returns into line feeds first \(tr '\\r'"):
        read_corpus([path], ReadOptions(options=TextOptions(lines=True, unit="byte")))


def test_odd_one_of_several_encodings_suggests_a_conversion(tmp_path):
    """Otherwise each file would suggest its own encoding in turn."""
    verse = "“So,” he said, “it is café noir.” " * 9
    for name, encoding in {"a": "utf-8", "b": "cp1252", "c": "utf-16-le"}.items():
        (tmp_path / name).write_bytes(verse.encode(encoding))
    (tmp_path / "d").write_bytes("Так сказал он".encode("cp1251"))
    (tmp_path / "e").write_bytes("나는".encode("euc_kr"))
    (tmp_path / "f").write_bytes("\ufeffSo he said".encode("utf-16-be"))
    a, b, c, d, e, f = (str(tmp_path / name) for name in "abcdef")
    usual, latin, korean, wide = (
        ReadOptions(options=TextOptions(encoding=name)) for name in ("utf-8", "windows-1252", "euc_kr", "utf-16-le")
    )
    for texts, reading, told in (
        ([a, b], usual, "convert this one (iconv -f cp1252 -t utf-8), or if each is Windows-1252 or Latin-1, give "),
        ([a, c], usual, "convert this one (iconv -f utf-16le -t utf-8), or if each is UTF-16 without a mark, give "),
        ([a, d], usual, "convert this one with iconv, or name that of each with --encoding, such as gb18030, "),
        ([b, a], latin, "convert those in windows-1252 (iconv -f cp1252 -t utf-8) and give --encoding utf-8"),
        ([e, a], korean, "convert those in euc_kr (iconv -f euc-kr -t utf-8) and give --encoding utf-8"),
        ([c, f], wide, "convert this one (iconv -f utf-16 -t utf-16le) or, if each has a mark, give --encoding utf-16"),
    ):
        with pytest.raises(CorpusError) as caught:
            read_corpus(texts, reading)
        assert str(caught.value).startswith((f"{texts[1]}: not valid ", f"{texts[1]}: is marked at its beginning as "))
        assert f"all texts need one encoding: {told}" in str(caught.value)


def test_utf16_is_recognized_by_its_mark(tmp_path):
    path = write(tmp_path, "hello".encode("utf-16"))
    with pytest.raises(CorpusError, match="if it is UTF-16, give --encoding utf-16"):
        read_corpus([path])
    assert decoded(read_corpus([path], ReadOptions(options=TextOptions(encoding="utf-16")))) == "hello"


@pytest.mark.parametrize(("pack", "passes"), [(gzip.compress, 1), (bytes, 2)])
def test_progress_counts_every_byte_of_every_pass(tmp_path, pack, passes):
    seen = []
    read_corpus([write(tmp_path, pack(b"x" * 1000))], progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == passes * 1000


def test_progress_counts_bytes_of_a_folder_while_it_is_checked(tmp_path):
    seen = []
    for name in ("a", "b"):
        write(tmp_path, b"x" * 1000, name)
    read_corpus([str(tmp_path)], progress=seen.append)
    assert (seen[:2], seen[-1]) == ([1000, 2000], 6000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "a folder without files"),
        (lambda path: path.write_bytes(b""), "no characters"),
        (lambda path: path.write_bytes(b"\xef\xbb\xbf"), "no characters"),
    ],
)
def test_unreadable_path_is_one_clear_error(tmp_path, make, message):
    path = tmp_path / "text.txt"
    make(path)
    with pytest.raises(CorpusError, match=f"text.txt: {message}") as caught:
        read_corpus([str(path)])
    assert caught.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_one_clear_error(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("secret")
    path.chmod(0)
    with pytest.raises(CorpusError, match="cannot be read"):
        read_corpus([str(path)])


def corpus_of(text, **options):
    encoder = CharEncoder(text)
    counts = [text.count(character) for character in encoder.characters]
    return Corpus("t", encoder.encode(text), encoder, counts, 0, "", TextOptions(**options), 1, (), len(counts))


@given(st.integers(4, 400), st.floats(0.01, 0.5))
def test_split_gives_two_contiguous_parts(num_chars, fraction):
    train, val = corpus_of("".join(chr(0x100 + i) for i in range(num_chars))).split(fraction)
    assert [*train, *val] == list(range(num_chars))
    assert len(val) == max(2, round(num_chars * fraction))


@given(st.lists(st.text("ab", max_size=5), min_size=4, max_size=30), st.floats(0.01, 0.5), st.booleans())
def test_split_of_lines_falls_between_two_lines(lines, fraction, ends):
    text = "\n".join(lines) + "\n" * ends
    if len(text) < 8 or text.count("\n") < 2:
        return
    corpus = corpus_of(text, lines=True)
    train, val = corpus.split(fraction)
    assert corpus.encoder.decode([*train, *val]) == text
    assert corpus.encoder.decode(train)[-1] == "\n"
    assert len(val)


@given(st.lists(st.text("ab", max_size=5), min_size=4, max_size=60), st.floats(0.01, 0.99), st.booleans())
def test_spread_split_holds_out_lines_all_over_the_text(lines, fraction, ends):
    text = "\n".join(lines) + "\n" * ends
    whole = text.splitlines(keepends=True)
    if len(text) < 8 or len(whole) < 2:
        return
    corpus = corpus_of(text, lines=True)
    assert corpus.is_spread
    train, val = (corpus.encoder.decode(ids).splitlines(keepends=True) for ids in corpus.split(fraction, spread=True))
    assert sorted(train + val) == sorted(whole)
    rest = iter(whole)
    assert all(line in rest for line in train), "in their order"
    assert len(val) == min(max(1, round(len(whole) * fraction)), len(whole) - 1)


def test_spread_split_holds_out_one_varying_line_of_ten():
    corpus = corpus_of("".join(f"{number:04}\n" for number in range(1000)), lines=True)
    held_out = [int(line) for line in corpus.encoder.decode(corpus.split(0.1, spread=True)[1]).split()]
    assert [number // 10 for number in held_out] == list(range(100))
    of_each = np.bincount([number % 10 for number in held_out], minlength=10)
    assert of_each.min() >= 8
    assert of_each.max() <= 12


@pytest.mark.parametrize("place", [0, 1, 16, 39])
def test_line_longer_than_the_held_out_part_is_trained_on(place):
    lines = [f"{number:02}\n" for number in range(40)]
    corpus = corpus_of("".join([*lines[:place], "0" * 500 + "\n", *lines[place:]]), lines=True)
    train, val = corpus.split(0.1, spread=True, bounded=True)
    assert (len(train), len(val)) == (501 + 36 * 3, 4 * 3)
    others = corpus_of("".join(lines), lines=True)
    assert corpus.encoder.decode(val) == others.encoder.decode(others.split(0.1, spread=True)[1])
    if place == 0:
        assert len(corpus.split(0.1, spread=True)[1]) == 501 + 3 * 3, "as before there was such a bound"


@pytest.mark.parametrize("lines", [
    ["0123"] * 40, ["0123", "012", "01"] * 3, ["a" * 500, "b"], ["a", "b" * 500], ["0" * 12, *["12"] * 39],
])  # fmt: skip
def test_bounded_split_equals_unbounded_for_lines_of_similar_length(lines):
    corpus = corpus_of("\n".join(lines) + "\n", lines=True)
    bounded, free = (corpus.split(0.1, spread=True, bounded=bounded) for bounded in (True, False))
    assert [piece.tolist() for piece in bounded] == [piece.tolist() for piece in free]


def test_split_is_not_spread_for_large_texts_and_val_texts(monkeypatch):
    small = corpus_of("ab\n" * 40, lines=True)
    assert not dataclasses.replace(small, num_held_out=12).is_spread
    assert not corpus_of("ab\n" * 40).is_spread, "one stream"
    monkeypatch.setattr("charrnn.text.corpus.MAPPED_BYTES", 120)
    assert not small.is_spread


def test_known_held_out_lines_are_counted(monkeypatch):
    encoder = CharEncoder("abc\n ")
    train, held_out = (encoder.encode(text) for text in ("aa\nab\n\nabc\nbc\n", "ab\nb\n \n\nbc\nabc\n"))
    assert count_known(train, held_out, encoder) == (4, 3)
    rare = CharEncoder("ab\n", has_unknown=True)
    assert count_known(rare.encode("ab\nac\n"), rare.encode("ad\nab\n"), rare) == (1, 1), "what is rare may differ"
    monkeypatch.setattr("charrnn.text.splitting.MOST_LOOKED_AT", 300)
    lines = [*map("".join, itertools.product("abc", repeat=6))]
    train, held_out = (encoder.encode("".join(f"{line}\n" for line in part)) for part in (lines, lines[::9]))
    assert count_known(train, held_out, encoder) == (5, 4), "the same share of both; the last line is cut"
    assert count_known(held_out[:70], train, encoder) == (43, 5), "nor more of what is held out: 300 characters"


def test_single_line_cannot_be_split_into_lines():
    with pytest.raises(CorpusError, match="one line, and --lines needs at least two"):
        corpus_of("a single line\n", lines=True).split(0.1)
    with pytest.raises(CorpusError, match="one line, and --lines needs at least two"):
        corpus_of("a single line\n", lines=True).split(0.1, spread=True)
    with pytest.raises(CorpusError, match="3 characters, but at least 4 are needed"):
        corpus_of("a\n\n", lines=True).split(0.1, spread=True)
    assert [*map(len, corpus_of("abcdef\nghi\n", lines=True).split(0.96, spread=True))] == [4, 7]


def test_too_short_text_reports_the_length_needed():
    with pytest.raises(CorpusError, match=r"3 characters, but at least 4 are needed .*; give a longer text$"):
        corpus_of("abc").split(0.1)
    with pytest.raises(CorpusError, match=r"4 characters, but at least 5 are needed .*; lower --val-fraction$"):
        corpus_of("abcd").split(0.8)


def test_line_feed_is_kept_however_rare(tmp_path):
    corpus = read_corpus(
        [write(tmp_path, b"aaaab\naaabb\nc" * 5)], ReadOptions(options=TextOptions(lines=True), max_vocab=2)
    )
    assert corpus.encoder.characters == "\na"
    assert corpus.counts[corpus.line_end_id] == 10
