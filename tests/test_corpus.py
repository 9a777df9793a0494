import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn import corpus as corpus_module
from charrnn.corpus import decode_text, read_corpus
from charrnn.errors import CorpusError


def write(folder, data):
    path = folder / "text.txt"
    path.write_bytes(data)
    return str(path)


def test_a_file_is_encoded_counted_and_hashed(tmp_path):
    data = "häh\r\nh\r".encode()
    corpus = read_corpus(write(tmp_path, data))
    assert corpus.encoder.decode(corpus.ids) == "häh\r\nh\r"  # newlines untouched
    assert dict(zip(corpus.encoder.characters, corpus.counts, strict=True)) == {"\n": 1, "\r": 2, "h": 3, "ä": 1}
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()
    assert corpus.num_bytes == len(data)
    assert corpus.name == "text.txt"


def test_only_a_leading_byte_order_mark_is_left_out(tmp_path):
    corpus = read_corpus(write(tmp_path, "\ufeffa\ufeffb".encode()))
    assert corpus.encoder.decode(corpus.ids) == "a\ufeffb"


def test_chunks_equal_the_whole(tmp_path, monkeypatch):
    text = "añ漢🎺" * 57
    whole = read_corpus(write(tmp_path, text.encode()))
    monkeypatch.setattr(corpus_module, "_CHUNK", 10)
    pieces = read_corpus(write(tmp_path, text.encode()))
    assert pieces.ids.tolist() == whole.ids.tolist()
    assert pieces.counts == whole.counts == [57, 57, 57, 57]


def test_text_that_is_not_utf8_is_refused_with_place_and_remedy():
    with pytest.raises(CorpusError, match=r"notes.txt: not valid UTF-8 at byte 3 \(0xe9\).*iconv -f latin1 -t utf8"):
        decode_text("caf\xe9 noir".encode("latin-1"), "notes.txt")


def test_utf16_is_recognised_by_its_mark():
    with pytest.raises(CorpusError, match="if it is UTF-16, convert it: iconv -f utf-16 -t utf8"):
        decode_text("hello".encode("utf-16"), "notes.txt")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "no characters"),
        (lambda path: path.write_bytes(b"\xef\xbb\xbf"), "no characters"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(tmp_path, make, message):
    path = tmp_path / "text.txt"
    make(path)
    with pytest.raises(CorpusError, match=f"text.txt: {message}") as caught:
        read_corpus(str(path))
    assert caught.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_clear_error(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("secret")
    path.chmod(0)
    with pytest.raises(CorpusError, match="cannot be read"):
        read_corpus(str(path))


@given(st.integers(4, 400), st.floats(0.01, 0.5))
def test_split_is_two_contiguous_pieces(num_chars, fraction):
    text = "".join(chr(0x100 + i) for i in range(num_chars))
    ids, encoder, counts = corpus_module._encode_alphabet(text)
    corpus = corpus_module.Corpus("t", ids, encoder, counts, 0, "")
    train, val = corpus.split(fraction)
    assert [*train, *val] == list(range(num_chars))
    assert len(val) == max(2, round(num_chars * fraction))


def test_a_text_too_short_to_split_says_how_much_is_needed(tmp_path):
    with pytest.raises(CorpusError, match="3 characters, but at least 4 are needed"):
        read_corpus(write(tmp_path, b"abc")).split(0.1)
