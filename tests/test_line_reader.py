import gzip
import os
import tarfile
import threading
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import CorpusError, DecodingError
from charrnn.text import line_reader
from charrnn.text.line_reader import read_lines
from charrnn.text.options import TextOptions


def read_pieces(pieces, monkeypatch, **options):
    """Read standard input that comes in these pieces."""
    left = iter(pieces)
    stream = types.SimpleNamespace(read1=lambda _: next(left, b""))
    monkeypatch.setattr(line_reader.sys, "stdin", types.SimpleNamespace(buffer=stream))
    return read_lines("-", **options)


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")), cut=st.integers(1, 9))
def test_lines_joined_are_the_text_for_any_pieces(text, cut):
    data = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        groups = list(read_pieces([data[i : i + cut] for i in range(0, len(data), cut)], patch))
    found = [line for group in groups for line in group]
    assert "".join(found) == text
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in found[:-1])


def test_line_is_passed_on_as_soon_as_it_is_there(monkeypatch):
    def come():
        yield from (b"one\ntw", b"o\n")
        raise AssertionError("it waited for more than it needed")

    reader = read_pieces(come(), monkeypatch)
    assert next(reader) == ["one\n"]
    assert next(reader) == ["two\n"]


def test_first_lines_come_early_and_pieces_never_exceed_a_chunk(monkeypatch):
    sizes = []

    def read1(size):
        sizes.append(size)
        return b"a\n" * (size // 2) if len(sizes) < 12 else b""

    monkeypatch.setattr(line_reader.sys, "stdin", types.SimpleNamespace(buffer=types.SimpleNamespace(read1=read1)))
    groups = list(read_lines("-"))
    assert len(groups[0]) == line_reader.FIRST_PIECE // 2 == 4096
    assert sizes == sorted(sizes)
    assert sizes[-1] == max(sizes) == line_reader.CHUNK


def test_share_of_the_file_read_is_reported_after_its_lines(tmp_path):
    data = b"Tin sole mare\n" * 50_000
    for name, packed in (("plain", data), ("packed.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(packed)
        told = []
        groups = [len(told) for _ in read_lines(str(tmp_path / name), advance=told.append)]
        assert sum(told) == len(packed)
        assert groups == list(range(len(groups))), "each after its lines"


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = tmp_path / "odd.txt"
    path.write_bytes("\ufeffa\rb\u2028c\x0bd\r\nlast".encode())
    assert list(read_lines(str(path))) == [["a\rb\u2028c\x0bd\r\n"], ["last"]]


def test_compressed_pipe_is_reported(monkeypatch):
    with pytest.raises(CorpusError, match="standard input: compressed by gzip; pass it through a program that unpacks"):
        list(read_pieces([gzip.compress(b"a\nb\n")], monkeypatch))


def test_only_the_first_piece_tells_the_file_type(monkeypatch):
    assert list(read_pieces([b"one ", b"%PDF-\n"], monkeypatch)) == [["one %PDF-\n"]]


def test_leading_mark_is_dropped_from_characters_and_kept_in_bytes(tmp_path):
    path = tmp_path / "marked.txt"
    path.write_bytes(b"\xef\xbb\xbfa\nb\n")
    assert list(read_lines(str(path))) == [["a\n", "b\n"]]
    assert list(read_lines(str(path), TextOptions(unit="byte"))) == [["\ufeffa\n", "b\n"]]


def test_leading_mark_is_dropped_even_before_an_invalid_line(monkeypatch):
    reader = read_pieces([b"\xef\xbb\xbfa\nb\nc\xff\n"], monkeypatch)
    assert next(reader) == ["a\n", "b\n"]
    with pytest.raises(CorpusError, match=r"line 3 is not valid UTF-8 at byte 1"):
        next(reader)


def test_mark_inside_the_text_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(line_reader, "CHUNK", 4)
    (tmp_path / "marked.txt").write_bytes("\ufeffa\n\ufeffb\n".encode())
    assert [line for lines in read_lines(str(tmp_path / "marked.txt")) for line in lines] == ["a\n", "\ufeffb\n"]


def test_invalid_line_is_named_after_all_before_it_were_passed_on(monkeypatch):
    reader = read_pieces([b"a\nb\n", b"c\nd\xff\xfee\nf\n"], monkeypatch)
    assert [next(reader), next(reader)] == [["a\n", "b\n"], ["c\n"]]
    told = r"standard input: line 4 is not valid UTF-8 at byte 1 \(0xff\); name its own encoding with --encoding"
    with pytest.raises(CorpusError, match=told):
        next(reader)


def test_invalid_line_is_reported_with_its_encoding(monkeypatch):
    with pytest.raises(CorpusError, match=r"line 1 is not valid SHIFT_JIS .*; name its own encoding with --encoding"):
        next(read_pieces([b"\x80\n"], monkeypatch, options=TextOptions(encoding="shift_jis")))


@pytest.mark.parametrize(("encoding", "data"), [("gb18030", b"a\xe18\nb\n"), ("euc_jp", b"a\x8f\n")])
def test_character_cut_by_a_line_end_does_not_swallow_the_line_feed(encoding, data, monkeypatch):
    for errors in ("replace", "surrogateescape"):
        found = next(read_pieces([data], monkeypatch, options=TextOptions(encoding=encoding, errors=errors)))
        assert "".join(found) == (data + b"end").decode(encoding, errors).removesuffix("end")
    with pytest.raises(CorpusError, match=rf"line 1 is not valid {encoding.upper()} at byte 1 \(0x..\); "):
        next(read_pieces([data], monkeypatch, options=TextOptions(encoding=encoding)))


def test_binary_file_is_reported_but_a_later_line_with_nul_bytes_is_not(monkeypatch):
    with pytest.raises(CorpusError, match=r"line 1 .*; it holds NUL bytes, so that it is no text"):
        next(read_pieces([b"\xff\0\0\x07\0\n"], monkeypatch))
    with pytest.raises(CorpusError, match=r"standard input: is a picture \(PNG\), not text; give a text file"):
        next(read_pieces([b"\x89PNG\r\n\x1a\n\0"], monkeypatch))
    with pytest.raises(CorpusError, match=r"standard input: is a picture \(PNG\), not text; give a text file"):
        next(read_pieces([b"\x89PNG\r\n\x1a\n\0"], monkeypatch, is_tolerant=True))
    assert next(read_pieces([b"a\xffb\n"], monkeypatch, is_tolerant=True)) == ["a\udcffb\n"]
    reader = read_pieces([b"a\n\xff\0\0\x07\0\n"], monkeypatch)
    assert next(reader) == ["a\n"]
    with pytest.raises(CorpusError, match=r"line 2 .*; name its own encoding with --encoding"):
        next(reader)


@pytest.mark.parametrize("encoding", ["utf-16", "cp037", "iso2022_jp", "iso2022_kr", "hz", "utf-7"])
def test_encoding_without_byte_line_feeds_is_refused_with_a_remedy(encoding):
    told = f"is read as {encoding}, whose lines cannot be read one by one; convert it to UTF-8 \\(iconv\\), and give"
    with pytest.raises(CorpusError, match=told):
        next(read_lines("-", TextOptions(encoding=encoding)))


def test_compressed_file_is_unpacked_and_a_pipe_read_as_it_comes(tmp_path):
    (tmp_path / "lines.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    assert [line for group in read_lines(str(tmp_path / "lines.gz")) for line in group] == ["one\n", "two\n"]
    (tmp_path / "damaged.gz").write_bytes(gzip.compress(b"one\ntwo\n")[:-9])
    with pytest.raises(CorpusError, match=r"damaged\.gz: is compressed, and damaged"):
        list(read_lines(str(tmp_path / "damaged.gz")))
    with tarfile.open(tmp_path / "lines.tgz", "w:gz") as archive:
        archive.add(tmp_path / "lines.gz")
    with pytest.raises(DecodingError, match=r"lines\.tgz: is a tar archive"):
        list(read_lines(str(tmp_path / "lines.tgz")))
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"one\n",))
    writer.start()
    assert list(read_lines(str(tmp_path / "pipe"))) == [["one\n"]]
    writer.join()


@pytest.mark.parametrize(("name", "reason"), [("no.txt", "no such file"), (".", "is a folder")])
def test_unreadable_input_is_named(name, reason):
    with pytest.raises(CorpusError, match=reason):
        next(read_lines(name))


def test_empty_input_has_no_lines(monkeypatch):
    assert list(read_pieces([], monkeypatch)) == []
