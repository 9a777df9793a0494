import bz2
import gzip
import io
import lzma
import sys
from types import SimpleNamespace

import pytest

from charrnn.errors import CorpusError
from charrnn.text.keeping import Pipe
from charrnn.text.unpacking import DAMAGE, UnpackingReader, compression_of, decompressed

zstandard = pytest.importorskip("zstandard", reason="the zstandard library is not installed")
PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "Zstandard": zstandard.compress}


def unpack(data, size=-1):
    with decompressed(io.BytesIO(data), "t") as plain:
        return b"".join(iter(lambda: plain.read(size), b"")) if size > 0 else plain.read()


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("data", [b"", b"a", b"some text " * 9999])
def test_compressed_data_is_recognized_and_unpacked(kind, data):
    packed = PACKERS[kind](data)
    assert compression_of(packed) == kind
    assert unpack(packed) == unpack(packed, size=7) == data


@pytest.mark.parametrize("kind", [*PACKERS, None])
@pytest.mark.parametrize("data", [b"", b"a", b"some text " * 9999])
def test_unseekable_data_is_unpacked(kind, data):
    packed = PACKERS[kind](data) if kind else data
    with decompressed(Pipe(io.BufferedReader(io.BytesIO(packed))), "a pipe") as plain:
        assert b"".join(iter(lambda: plain.read(1000), b"")) == data


@pytest.mark.parametrize("kind", PACKERS)
def test_concatenated_streams_are_read_as_one(kind):
    assert unpack(PACKERS[kind](b"one ") + PACKERS[kind](b"two")) == b"one two"


@pytest.mark.parametrize("text", [b"BZhang is a name.", b"BZh", b"\x1f\x8bell", b"(\xb5", b""])
def test_text_with_a_similar_beginning_is_not_compressed(text):
    assert compression_of(text) is None
    assert unpack(text) == text


@pytest.mark.parametrize("kind", PACKERS)
def test_zeros_between_and_after_streams_are_padding(kind):
    one, two = map(PACKERS[kind], (b"one ", b"two"))
    assert unpack(one + bytes(4) + two + bytes(5000)) == b"one two"


@pytest.mark.parametrize("kind", PACKERS)
def test_truncated_file_is_damaged(kind):
    packed = PACKERS[kind](bytes(range(256)) * 999)
    for end in (len(packed) // 2, len(packed) - 1):
        with pytest.raises(EOFError):
            unpack(packed[:end])


@pytest.mark.parametrize("kind", PACKERS)
def test_trailing_data_is_damage(kind):
    one, two = map(PACKERS[kind], (b"one ", b"two"))
    for rest in (b"and more", bytes(4) + b"and more", b"?" + two, bytes([two[0] ^ 1]) + two[1:]):
        with pytest.raises(DAMAGE):
            unpack(one + rest)


@pytest.mark.parametrize("kind", ["bzip2", "xz", "Zstandard"])
def test_unpacking_proceeds_in_small_pieces(monkeypatch, kind):
    sizes = []
    unpack_piece = UnpackingReader._unpack
    monkeypatch.setattr(UnpackingReader, "_unpack", lambda reader: sizes.append(len(p := unpack_piece(reader))) or p)
    assert len(unpack(PACKERS[kind](bytes(1 << 26)), size=1 << 20)) == 1 << 26
    assert max(sizes) <= 1 << 25


def test_skippable_frame_may_come_first():
    assert unpack(b"\x5a\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(b"text")) == b"text"


@pytest.mark.parametrize("window", [27, 28, 31])
def test_any_window_size_is_unpacked(window):
    """As by `zstd --long=31`: a frame of one plain block, whose head names the window."""
    block = (len(b"text") << 3 | 1).to_bytes(3, "little") + b"text"
    assert unpack(b"\x28\xb5\x2f\xfd\0" + bytes([(window - 10) << 3]) + block) == b"text"


def test_zstd_of_the_standard_library_is_preferred(monkeypatch):
    """As from Python 3.14 on: one that has no object for each frame, since it is one itself."""

    class Unpacker:
        needs_input, eof, unused_data = True, False, b""

        def __init__(self, options):
            assert options == {"window": 31}

        def decompress(self, data, max_length):
            self.eof = True
            return data[4:].upper()

    library = type(sys)("compression.zstd")
    library.ZstdDecompressor, library.ZstdError = Unpacker, ValueError
    library.DecompressionParameter = SimpleNamespace(window_log_max="window")
    monkeypatch.setitem(sys.modules, "compression", type(sys)("compression"))
    monkeypatch.setitem(sys.modules, "compression.zstd", library)
    assert unpack(b"\x28\xb5\x2f\xfdtext") == b"TEXT"


def test_missing_zstd_library_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(CorpusError, match=r"^t: compressed by Zstandard.*pip install zstandard"):
        decompressed(io.BytesIO(zstandard.compress(b"text")), "t")
