import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unicodedata import normalize

import pytest
from conftest import lock

from charrnn.errors import ConfigError, CorpusError
from charrnn.text import keeping, sources
from charrnn.text.corpus import read_corpus
from charrnn.text.documents import begins_as, read_in_each, why_no_text
from charrnn.text.encoder import CharEncoder
from charrnn.text.left_out import BACKUP, BROKEN, ENDLESS, GONE, LINKED, LOCKED, NULS, Cause, LeftOut
from charrnn.text.options import PLAIN, TextOptions
from charrnn.text.read_options import ReadOptions
from charrnn.text.sources import find_documents

ODD = Cause("odd", "mend it")


def odd(number):
    return ODD if number % 2 else None


def against(document):
    return why_no_text(document, PLAIN)


def make(folder, **files):
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def names(found):
    return [document.name for document in found.documents]


def test_text_is_read_in_one_encoding_after_another_on_demand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, a="é".encode())
    texts = read_in_each("a", PLAIN, ["ascii", "utf-8", "no such", "latin-1"])
    assert next(texts) == "é", "what it is in the others is not known yet"
    with pytest.raises(ConfigError, match="no such"):
        next(texts)
    assert list(read_in_each("a", PLAIN, ["ascii", "utf-8", "latin-1"])) == ["é", "Ã©"]
    for encodings in (["ascii"], ["ascii", "utf-16"]):
        with pytest.raises(CorpusError, match=r"^a: not valid ASCII at byte 0"):
            list(read_in_each("a", PLAIN, encodings))


def test_text_with_many_nul_characters_is_skipped_unless_allowed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, wide="Тин сон ".encode("utf-16-le"), log=b"tin" * 400 + b"\0")
    encodings = ["utf-8", "utf-16-le"]
    assert list(read_in_each("wide", PLAIN, encodings, takes_nulls=False)) == ["Тин сон "]
    assert list(read_in_each("wide", PLAIN, encodings))[1:] == ["Тин сон "]
    assert list(read_in_each("log", PLAIN, ["utf-8"], takes_nulls=False)) == ["tin" * 400 + "\0"]
    names = "Тин\nСон\n"
    for order in ("utf-16-le", "utf-16-be"):
        make(tmp_path, wide=names.encode(order))
        assert list(read_in_each("wide", PLAIN, ["utf-8", order], takes_nulls=False)) == [names]
    of_bytes = TextOptions(unit="byte")
    make(tmp_path, bytes=bytes(3))
    assert list(read_in_each("bytes", of_bytes, ["utf-8"], takes_nulls=False)) == ["\0\0\0"]


@pytest.mark.parametrize("text", ["Anna\nBen\0\nCarl\n", "Anna\nBen\n\0Carl\n", "Anna\0", "Tin\0tin nap\n", "Anna\0\n"])
def test_short_text_with_one_nul_character_is_read(tmp_path, text):
    make(tmp_path, a=text.encode())
    assert list(read_in_each(str(tmp_path / "a"), PLAIN, ["utf-8"], takes_nulls=False)) == [text]


@pytest.fixture(autouse=True)
def close(monkeypatch):
    """Close what the tests find."""
    found = []
    find = sources.find_documents

    def remember(*arguments, **options):
        found.append(find(*arguments, **options))
        return found[-1]

    monkeypatch.setitem(globals(), "find_documents", remember)
    yield
    for each in found:
        each.close()


def read(document):
    return b"".join(document.chunks())


def test_files_come_in_the_given_order_and_folders_sorted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, z=b"1", d__b=b"2", d__a=b"3", d__c__x=b"4", d__B=b"5", y=b"6")
    assert names(find_documents(["z", "d", "y"])) == ["z", "d/B", "d/a", "d/b", "d/c/x", "y"]
    found = find_documents(["z", "d", "z"], held_out=["y"])  # twice is what weighs more, where another is held out
    assert names(found) == ["z", "d/B", "d/a", "d/b", "d/c/x", "z", "y"]


def test_repeated_file_of_a_training_is_repeated_at_its_resume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, a=b"xy")
    assert names(find_documents(["a", "a"], may_repeat=True)) == ["a", "a"]
    assert read_corpus(["a", "a"], ReadOptions(encoder=CharEncoder("xy"))).counts == [2, 2]
    for encoder in (None, CharEncoder("xy")):
        with pytest.raises(CorpusError, match=r"^a: is given twice"):
            read_corpus(["a", "a"], ReadOptions(known=encoder))


@pytest.mark.parametrize(
    ("paths", "twice"),
    [("a d a", "a"), ("d d/x", "d/x"), ("d/x d", "d/x"), ("d d", "d/x"), ("a link", "link")],
)
def test_file_reached_by_two_paths_is_refused(tmp_path, monkeypatch, paths, twice):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, a=b"1", d__x=b"2", away__y=b"3")
    Path("link").symlink_to("a")
    Path("away/x").symlink_to("../a")
    with pytest.raises(
        CorpusError, match=f"^{twice}: is given twice, so that what is held out would be learned from; "
    ):
        find_documents(paths.split())
    assert names(find_documents(["away", "away"], held_out=["d"])) == [*2 * ["away/x", "away/y"], "d/x"], (
        "as it is asked for"
    )


@pytest.mark.parametrize(
    ("texts", "options", "read"),
    [
        ("d", {}, "d/far d/u/c d/x d/z"),
        ("d d/x", {"may_repeat": True}, "d/far d/u/c d/x d/z d/x"),
        ("d d/a", {"may_repeat": True}, "d/far d/u/c d/x d/z d/a"),
        ("out d", {}, "out/f d/u/c d/x d/z"),
        ("d out/f", {}, "d/u/c d/x d/z out/f"),
        ("d d/far", {}, "d/u/c d/x d/z d/far"),
        ("d", {"exclude": ["far", "./x"]}, "d/a d/u/c d/u/far2 d/z"),
        ("d", {"exclude": ["u/"]}, "d/far d/x d/y d/z"),
        ("d", {"include": ["a", "u/"]}, "d/a d/u/c d/u/far2"),
        ("d", {"include": ["*"], "held_out": ["d/x"]}, "d/far d/u/c d/z d/x"),
        ("d", {"held_out": ["v"]}, "d/u/c d/x v/f v/w v/z"),
        ("d v", {"held_out": ["out"]}, "d/u/c d/x d/z v/w out/f"),
    ],
)
def test_linked_file_in_folders_is_read_once_and_never_if_held_out(tmp_path, monkeypatch, texts, options, read):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, d__x=b"1", d__u__c=b"2", d__z=b"3", out__f=b"4", v__w=b"5")
    links = {"d/a": "x", "d/b": "a", "d/far": "../out/f", "d/u/far2": "../../out/f", "d/y": "u/c"}
    links |= {"v/f": "../out/f", "v/w2": "w", "v/z": "../d/z"}
    for link, target in links.items():
        Path(link).symlink_to(target)
    found = find_documents(texts.split(), **options)
    assert (names(found), found.skipped) == (read.split(), [])


def test_folder_of_only_links_to_other_inputs_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, d__x=b"1", e__y=b"2")
    Path("e/x").symlink_to("../d/x")
    assert names(find_documents(["e", "d"])) == ["e/y", "d/x"]
    Path("e/y").unlink()
    with pytest.raises(CorpusError, match=r"^e: all its files are links to what is read anyway; leave it out$"):
        find_documents(["e", "d"])
    Path("e/z").write_bytes(b"\0" * 9)
    with pytest.raises(CorpusError, match=r"^e: beside links to what is read anyway, holds no plain text \(1 file, "):
        find_documents(["e", "d"], why_not=against)
    with pytest.raises(CorpusError, match=r"^d: all its files are held out with --val-text; "):
        find_documents(["d"], held_out=["e"])


def test_patterns_choose_among_the_files_of_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, **{"d/a.py": b"", "d/b.txt": b"", "d/sub/c.py": b"", "d/test/d.py": b"", "d/.git/e.py": b""})
    make(tmp_path, **{"d/.hidden.py": b"", "b.txt": b""})
    assert names(find_documents(["d"], include=["*.py"])) == ["d/a.py", "d/sub/c.py", "d/test/d.py"]
    assert names(find_documents(["d"], include=["*.py"], exclude=["test"])) == ["d/a.py", "d/sub/c.py"]
    assert names(find_documents(["d"], include=["*.py"], outputs=[Path("d/a.py"), Path("c.py")])) == [
        "d/sub/c.py", "d/test/d.py",
    ]  # fmt: skip
    for included in ("sub/*", "sub/", "./sub/", "/sub/", "/*/c.py"):
        assert names(find_documents(["d"], include=[included, "*.txt"])) == ["d/b.txt", "d/sub/c.py"]
    for excluded in (["sub/", "./test/"], ["**/sub", "./test"], ["**/c.py", "**/test/*"], ["sub/**", "./test/d.py"]):
        assert names(find_documents(["d"], exclude=excluded)) == ["d/a.py", "d/b.txt"]
    assert names(find_documents(["d"], include=["**/*.py"])) == ["d/a.py", "d/sub/c.py", "d/test/d.py"]
    assert names(find_documents(["d"], include=["*/*.py"])) == ["d/sub/c.py", "d/test/d.py"]
    assert names(find_documents(["d"], include=["*/"])) == ["d/sub/c.py", "d/test/d.py"]
    assert names(find_documents(["d"], include=["a*"], exclude=["a**/.py"])) == ["d/a.py"], "no folders are meant"
    assert names(find_documents(["b.txt", "d"], include=["*.py"], exclude=["[!a]*.py", "sub", "test"])) == [
        "b.txt",
        "d/a.py",
    ]


@pytest.mark.parametrize(("of_names", "typed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_pattern_matches_names_in_the_other_unicode_form(tmp_path, monkeypatch, of_names, typed):
    monkeypatch.chdir(tmp_path)
    every = [normalize(of_names, f"d/{name}") for name in ("sách1.txt", "trê/a", "ê")]
    make(tmp_path, **dict.fromkeys(every, b""))
    for pattern, fitting in {"sá*": every[:1], "trê/": every[1:2], "?": every[1:], "[éê]": every[2:]}.items():
        pattern = normalize(typed, pattern)
        left = sorted(set(every) - set(fitting))
        assert sorted(names(find_documents(["d"], include=[pattern]))) == sorted(fitting)
        assert sorted(names(find_documents(["d"], exclude=[pattern]))) == left


def test_editor_backups_in_folders_are_left_out_and_reported_unless_included(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = ("d/a.txt", "d/a.txt~", "d/#b.txt#", "d/c#", "d/#e", "d/~f", "d/sub/a.bak~")
    make(tmp_path, **dict.fromkeys(files, b"x"))
    told = [LeftOut(f"d/{name}", BACKUP) for name in ("#b.txt#", "a.txt~", "sub/a.bak~")]
    for include in ([], ["*"], ["*.txt*", "sub/", "*#*", "~*"]):
        found = find_documents(["d"], include=include)
        assert (found.skipped, "d/a.txt" in names(found)) == (told, True)
        assert {"d/a.txt~", "d/#b.txt#", "d/sub/a.bak~"}.isdisjoint(names(found))
    assert "d/~f" in names(find_documents(["d"]))
    assert find_documents(["d"], include=["*.txt"]).skipped == []
    for pattern, read in {"*~": ["d/a.txt~", "d/sub/a.bak~"], "#*#": ["d/#b.txt#"], "./a.txt~": ["d/a.txt~"]}.items():
        found = find_documents(["d"], include=[pattern])
        assert (names(found), found.skipped) == (read, [])
    assert names(find_documents(["d/a.txt~"])) == ["d/a.txt~"]
    assert find_documents(["d"], exclude=["*~", "#*#"]).skipped == [], "who leaves them out hears nothing"
    with pytest.raises(CorpusError, match=r"^d/sub: holds no plain text \(1 file, d/sub/a\.bak~: kept by an editor as"):
        find_documents(["d/sub"])


def test_binary_files_in_folders_are_left_out_and_reported(tmp_path):
    make(tmp_path, a=b"x", b=b"y")
    found = find_documents([str(tmp_path)], why_not=lambda document: None if document.name.endswith("a") else ODD)
    assert names(found) == [str(tmp_path / "a")]
    assert found.skipped == [LeftOut(str(tmp_path / "b"), ODD)]


def test_one_nul_character_in_a_thousand_makes_a_file_binary(tmp_path):
    make(tmp_path, a=b"text", b=b"te\0xt", c=b"\0\0" + b"x" * 1998, d=b"x" * 1000 + b"\0\0" + b"x" * 999, e=b"")
    make(tmp_path, f=b"\0" + b"x" * 999 + "é".encode(), g=b"\0" + "é".encode() * 999)
    documents = find_documents([str(tmp_path)]).documents
    assert [why_no_text(document, PLAIN) for document in documents] == [None, NULS, NULS, None, None, None, NULS]
    as_bytes = TextOptions(unit="byte")
    assert not any(why_no_text(document, as_bytes) for document in documents)


@pytest.mark.parametrize("how", [{"held_out": ["d/sub"]}, {"held_out": ["d/e"], "may_repeat": True}])
def test_what_is_left_out_on_two_ways_is_told_once(tmp_path, monkeypatch, how):
    make(tmp_path, d__a=b"1", d__sub__b=b"2", d__e=b"3", **{"d/sub/b~": b"4"})
    monkeypatch.chdir(tmp_path)
    Path("d/sub/gone").symlink_to("nowhere")
    Path("d/sub/up").symlink_to("/usr", target_is_directory=True)
    found = find_documents(["d", "d/sub"] if "may_repeat" in how else ["d"], **how)
    assert [left.name for left in found.skipped] == ["d/sub/b~", "d/sub/gone", "d/sub/up"]


def test_link_back_to_a_folder_is_read_once_and_dangling_links_are_skipped(tmp_path):
    make(tmp_path, a=b"x")
    (tmp_path / "back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "through").symlink_to("a/b")
    (tmp_path / ".hidden").symlink_to("missing")
    found = find_documents([str(tmp_path)])
    assert names(found) == [str(tmp_path / "a")]
    told = [LeftOut(str(tmp_path / name), BROKEN) for name in ("itself", "nowhere", "through")]
    assert found.skipped == told, "and told of"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_in_a_folder_is_left_out_and_reported(tmp_path):
    make(tmp_path, a=b"x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    found = find_documents([str(tmp_path)])
    assert names(found) == [str(tmp_path / "a")]
    assert found.skipped == [LeftOut(str(tmp_path / name), ENDLESS) for name in ("link", "pipe")]
    (tmp_path / "a").unlink()
    with pytest.raises(CorpusError, match=r"holds no plain text \(.*link.* no end.*; name a pipe itself to read it$"):
        find_documents([str(tmp_path)])


def test_linked_folder_is_left_out_and_reported_unless_excluded_or_read_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, d__a=b"x", d__sub__b=b"x", far__c=b"x", far__in__e=b"x", **{"d/.hidden/f": b"x"})
    for name, target in {"lk": "far", "twin": "d/sub", "sub/deep": "far/in", "up": ".", ".hid": "far"}.items():
        (tmp_path / "d" / name).symlink_to(tmp_path / target)

    def left_out(*texts, **options):
        found = find_documents([*texts], **options)
        assert {"d/a", "d/sub/b"} <= set(names(found))
        return [left.name for left in found.skipped if left.cause == LINKED]

    assert left_out("d") == ["d/lk", "d/sub/deep", "d/up"]
    assert left_out("d", exclude=["lk/", "deep"]) == ["d/up"]
    assert find_documents(["d"], exclude=["lk/", "deep"]).told_of_patterns == ""
    assert left_out("d", "d/lk") == ["d/up"]
    assert left_out("d", held_out=["far"]) == ["d/up"]
    assert left_out("d", exclude=["lk", "deep", "up"]) == []
    (tmp_path / "d" / "store").symlink_to(tmp_path / "d" / ".hidden")
    assert left_out("d", exclude=["lk", "deep", "up"]) == ["d/store"], "what it leads to is hidden there"
    (tmp_path / "d" / "raw").mkdir()
    (tmp_path / "d" / "data").symlink_to(tmp_path / "d" / "raw")
    assert left_out("d", exclude=["lk", "deep", "up", "store", "raw/"]) == ["d/data"]
    for name in ("store", "data"):
        (tmp_path / "d" / name).unlink()
    with pytest.raises(CorpusError, match=r"names and with paths below the folder$"):
        find_documents(["d"], exclude=["up", "lk", "twin/", "sub/", "a"])


@pytest.mark.parametrize(
    ("patterns", "fitting"),
    [
        (["src/**/*.py"], ["src/b.py", "src/deep/c.py"]),
        (["src/**/**/c.py", "**/src/**/b.py"], ["src/b.py", "src/deep/c.py"]),
        (["./test"], ["test/d.py"]),
        (["./src/**/test"], ["src/test"]),
        (["*/"], ["src/b.py", "src/deep/c.py", "src/test", "test/d.py"]),
        (["test/"], ["test/d.py"]),
        (["test"], ["src/test", "test/d.py"]),
        (["./a.py", "./b.py", "d/src/"], ["a.py"]),
        (["/a.py", "/b.py"], ["a.py"]),
        (["/test/", "/deep/"], ["test/d.py"]),
        (["./", "/"], []),
    ],
)
def test_exclude_pattern_matches_exactly_what_it_says(tmp_path, monkeypatch, patterns, fitting):
    monkeypatch.chdir(tmp_path)
    every = ["a.py", "src/b.py", "src/deep/c.py", "src/test", "test/d.py"]
    make(tmp_path, **{f"d/{name}": b"" for name in every})
    left = names(find_documents(["d"], exclude=patterns))
    assert left == [f"d/{name}" for name in every if name not in fitting]


HOW = "patterns choose among the files of folders, by names and by paths below the folder"
HIDDEN = "hidden files are never read from a folder: name the file itself"


@pytest.mark.parametrize(
    ("include", "exclude", "told"),
    [
        ([], [], ""),
        (["*.py", "b.txt", "test/"], ["sub/", "/c", "*.py/"], ""),
        (["*.py", "d/sub/"], ["d/test/", "no *"], f"--include d/sub/, --exclude d/test/, --exclude 'no *'; {HOW}"),
        (["*.py", ".git/*"], [], f"--include '.git/*'; {HIDDEN}"),
        (["*.py", "./.git/"], ["test"], f"--include ./.git/; {HIDDEN}"),
        ([], [".git", ".*", "sub/.cache/"], ""),
    ],
)
def test_patterns_without_a_match_are_reported(tmp_path, monkeypatch, include, exclude, told):
    monkeypatch.chdir(tmp_path)
    every = ("a.py", "sub/c", "test/d.py", "x.py/e")
    make(
        tmp_path,
        **{f"d/{name}": b"" for name in every},
        **{"e/b.txt": b"", "e/c": b"", "e/f": b"", "g/f": b"", "g/test/h": b""},
    )
    found = find_documents(["d", "e"], held_out=["g"], include=[*include, *["f"] * bool(include)], exclude=exclude)
    assert found.told_of_patterns == (told and f"nothing fits {told}")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_file_is_recognized_by_content_and_read_like_the_plain_one(tmp_path, pack):
    data = os.urandom(5000) + b"text " * 5000
    make(tmp_path, packed=pack(data))
    document = find_documents([str(tmp_path / "packed")]).documents[0]
    assert read(document) == data
    assert read(document) == data, "and again"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compressed_file_is_one_clear_error(tmp_path, pack):
    make(tmp_path, short=pack(b"text " * 5000)[:-20])
    with pytest.raises(CorpusError, match=r"short: is compressed, and damaged \(.*\); get it again"):
        read(find_documents([str(tmp_path / "short")]).documents[0])


def test_archive_and_damaged_file_in_a_folder_are_left_out(tmp_path):
    make(tmp_path, a=b"x", damaged=gzip.compress(b"text " * 999)[:-20])
    with tarfile.open(tmp_path / "all.tgz", "w:gz") as archive:
        archive.add(tmp_path / "a", "a")
    found = find_documents([str(tmp_path)], why_not=against)
    assert names(found) == [str(tmp_path / "a")]
    packed = Cause("a tar archive", "unpack it (tar -xf) and give the folder")
    damaged = Cause(
        "compressed, and damaged (Compressed file ended before the end-of-stream marker was reached)", "get it again"
    )
    damaged = LeftOut(str(tmp_path / "damaged"), damaged)
    assert found.skipped == [LeftOut(str(tmp_path / "all.tgz"), packed), damaged]
    as_bytes = TextOptions(unit="byte")
    assert find_documents([str(tmp_path)], why_not=lambda document: why_no_text(document, as_bytes)).skipped == [
        damaged
    ]


def test_folder_is_read_without_files_that_no_library_unpacks(tmp_path, monkeypatch):
    for library in ("zstandard", "compression.zstd"):
        monkeypatch.setitem(sys.modules, library, None)
    make(tmp_path, a=b"x", packed=b"\x28\xb5\x2f\xfd")
    found = find_documents([str(tmp_path)], why_not=against)
    assert names(found) == [str(tmp_path / "a")]
    assert [left.name for left in found.skipped] == [str(tmp_path / "packed")]
    assert found.skipped[0].cause.why.endswith("needs a library: pip install zstandard, or unpack it with zstd -d")


def test_unreadable_pipe_is_not_reported_as_a_full_folder(tmp_path, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > keeping.HELD_BYTES:
                raise OSError(5, "Input/output error")
            return super().read(size)

    monkeypatch.setattr(keeping, "HELD_BYTES", 3)
    monkeypatch.setattr(keeping, "CHUNK", 4)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Broken(b"text" * 9)))
    with pytest.raises(CorpusError, match=r"standard input: cannot be read \(Input/output error\)"):
        find_documents(["-"], copies_in=tmp_path)


@pytest.mark.parametrize(("folder", "mend"), [("new", "choose another folder with --cache"), (None, "let TMPDIR name")])
def test_large_stdin_is_kept_in_a_folder_whose_errors_are_reported(tmp_path, monkeypatch, folder, mend):
    monkeypatch.setattr(keeping, "HELD_BYTES", 3)
    monkeypatch.setattr(keeping.tempfile, "tempdir", str(tmp_path))
    place = tmp_path / folder if folder else None

    def read_stdin():
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text")))
        return find_documents(["-"], copies_in=place).documents[0]

    assert read(read_stdin()) == b"text"
    assert place is None or (place.is_dir() and (os.name == "nt" or place.stat().st_mode & 0o777 == 0o700))

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeping.tempfile, "TemporaryFile", lambda **_: Full())
    told = f"standard input: cannot be kept in {place or tmp_path} while it is read (No space left on device); {mend}"
    with pytest.raises(CorpusError, match=re.escape(told)):
        read_stdin()


def test_missing_temporary_folder_is_reported(monkeypatch):
    def find_none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(keeping, "HELD_BYTES", 3)
    monkeypatch.setattr(keeping.tempfile, "tempdir", None)
    monkeypatch.setattr(keeping.tempfile, "gettempdir", find_none)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text")))
    told = "standard input: cannot be kept in a temporary folder while it is read (No usable temporary directory found "
    with pytest.raises(CorpusError) as caught:
        find_documents(["-"])
    assert str(caught.value) == f"{told}in ['/tmp']); let TMPDIR name another folder"


@pytest.mark.parametrize("held", [10, 1 << 20])
def test_stdin_is_read_once_and_kept(monkeypatch, held):
    monkeypatch.setattr(keeping, "HELD_BYTES", held)
    monkeypatch.setattr(keeping, "CHUNK", 256)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe" * 100)))
    kept = []
    document = find_documents(["-"], advance=kept.append).documents[0]
    assert document.name == "standard input"
    assert (sum(kept), len(kept) > 4, max(kept)) == (1100, True, 256), "told of while it comes"
    assert read(document) == read(document) == b"from a pipe" * 100


def test_compressed_stdin_is_read(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b"from a pipe"))))
    assert read(find_documents(["-"]).documents[0]) == b"from a pipe"


def test_named_pipe_can_be_read_twice(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(b"once",), daemon=True).start()
    document = find_documents([str(pipe)]).documents[0]
    assert read(document) == read(document) == b"once"


@pytest.mark.parametrize(
    ("paths", "options", "message"),
    [
        (["http://x.org/a"], {}, "http://x.org/a: is an address, and charrnn fetches nothing; download it, and give"),
        (["missing"], {}, "missing: no such file; give a text file, or - for standard input"),
        (["empty"], {}, "empty: a folder without files"),
        (["hidden"], {}, "hidden: has nothing but hidden files and what this training writes; name a file itself"),
        (["links"], {}, "links: has no file to be read, but links/away is a link to a folder, which is not followed;"),
        (["links"], {"include": ["away/"]}, "below the folder, or name links/away itself, a link to a folder, which"),
        (["full"], {"outputs": [Path("full/a")]}, "full: has nothing but hidden files and what this training writes;"),
        (["full"], {"held_out": ["full/a"]}, "full: all its files are held out with --val-text; give another, or hold"),
        (
            ["lost"],
            {},
            "lost: nothing of it that is to be read is there: lost/a is a broken link; fetch or mount what it names",
        ),
        (["lost/a"], {}, "lost/a: is a link to {}/gone, which is not there; fetch or mount that, or give another"),
        (["full"], {"include": ["*.py"]}, "full: a folder in which no file fits --include and --exclude; change them,"),
        (
            ["full"],
            {"exclude": ["*"]},
            "full: a folder in which no file fits --include and --exclude; change them, which",
        ),
        (["full"], {"include": [".b/*"]}, "--exclude; hidden files are never read from a folder: name the file itself"),
        *(
            (["hidden"], {"include": [pattern]}, "--exclude; hidden/.b/c would, but what is hidden is never read from")
            for pattern in ("c", ".b/*", ".b/")
        ),
        (["hidden"], {"include": ["d"]}, "hidden: a folder in which no file fits --include and --exclude; change"),
        (["full"], {"why_not": lambda document: ODD}, "full: holds no plain text (1 file, full/a: odd); mend it"),
        (
            ["two"],
            {"why_not": lambda document: NULS},
            "two: holds no plain text (2 files, such as two/a: with many NUL",
        ),
        (["two"], {"why_not": lambda document: GONE}, "two/a: gone before all was read); give a folder or a file of p"),
        (["a\0b"], {}, "cannot be read"),
        (["x" * 300], {}, "x: cannot be read (File name too long)"),
        (["loop"], {}, "loop: cannot be read (Too many levels of symbolic links)"),
        (["loop"], {"held_out": ["full"]}, "loop: cannot be read (Too many levels of symbolic links)"),
        (["full"], {"held_out": ["loop/x"]}, "loop/x: cannot be read (Too many levels of symbolic links)"),
    ],
)
def test_missing_path_is_one_clear_error(tmp_path, monkeypatch, paths, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "away").symlink_to(tmp_path / "full")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "a").symlink_to("../gone")
    make(tmp_path, full__a=b"x", **{"hidden/.b/c": b"x"}, two__a=b"x", two__b=b"x")
    with pytest.raises(CorpusError) as caught:
        find_documents(paths, **options)
    assert message.format(os.path.realpath(tmp_path)) in str(caught.value)
    assert caught.value.exit_code == 2


def test_unreadable_entries_of_a_folder_are_left_out_and_reported(tmp_path, monkeypatch):
    files = ("all/a", "all/b.lock", "all/c.lock/d", "all/e/f.lock", "all/g", "own.lock/x.lock", "own.lock/y")
    make(tmp_path, **dict.fromkeys(files, b"x"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all" / "h").symlink_to(tmp_path / "own.lock" / "y")
    lock(monkeypatch)
    found = find_documents(["all"], why_not=against)
    assert names(found) == ["all/a", "all/g"]
    folder, *files = [LeftOut(f"all/{name}", LOCKED) for name in ("c.lock", "h", "b.lock", "e/f.lock")]
    assert found.skipped == [replace(folder, kind="folder"), *files]
    with pytest.raises(CorpusError, match=r"all: nothing in it may be read, all/c\.lock for one; check the perm"):
        find_documents(["all"], include=["*lock"], why_not=against)
    for name in ("all/b.lock", "own.lock"):
        with pytest.raises(CorpusError, match=rf"^{name}: cannot be read \(Permission denied\); check its permissions"):
            find_documents([name]).documents[0].is_packed()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("mybook", "did you mean mybook.txt?"), ("mybok.txt", "did you mean mybook.txt?"),
        ("MyBook.txt", "did you mean mybook.txt?"), ("texts/poem", "did you mean texts/poem.md?"),
        ("other.txt", "give a text file, or - for"), ("model", "give a text file"), ("none/mybook", "give a text file"),
        ("~/mybook.txt", "the shell expands ~ only at the beginning of a word and outside quotes, if at all; write /"),
        ("~mybook.txt", "did you mean mybook.txt?"), ("my poem", "did you mean 'my poem.txt'?"),
    ],
)  # fmt: skip
def test_missing_text_suggests_one_beside_it(tmp_path, monkeypatch, typed, told):
    files = ("mybook.pdf", "mybook.txt", "mybook.pt", "model.pt", "texts/poem.md", "my poem.txt")
    make(tmp_path, **dict.fromkeys(files, b""))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError) as caught:
        find_documents([typed])
    assert str(caught.value).startswith(f"{typed}: no such file; {told}")


def test_missing_home_folder_is_not_mentioned_in_errors(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where HOME is not set and the user is unknown
    with pytest.raises(CorpusError, match=r"^~/mybook.txt: no such file; give a text file, or - for standard input$"):
        find_documents(["~/mybook.txt"])


def test_stdin_can_be_given_once():
    with pytest.raises(ConfigError, match="give it once"):
        find_documents(["-", "-"])


def test_file_deleted_while_its_folder_is_listed_is_ignored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, d__a=b"1", d__b=b"2")
    find = os.scandir

    def find_before_one_vanishes(folder):
        found = list(find(folder))
        os.remove("d/b")
        return found

    monkeypatch.setattr(os, "scandir", find_before_one_vanishes)
    found = find_documents(["d"])
    assert names(found) == ["d/a"]
    assert found.skipped == []


@pytest.mark.parametrize("remains", ["nothing", "a file", "a link to nothing"])
def test_folder_deleted_before_it_is_listed_is_left_out_and_reported(tmp_path, monkeypatch, remains):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, d__a=b"1", d__sub__b=b"2", d__sub__deep__c=b"3", d__z__e=b"4")
    find = os.scandir

    def find_once_it_is_gone(folder):
        if str(folder) == "d/sub":
            shutil.rmtree("d/sub")
            if remains == "a file":
                Path("d/sub").write_bytes(b"5")
            elif remains != "nothing":
                Path("d/sub").symlink_to("missing")
        return find(folder)

    monkeypatch.setattr(os, "scandir", find_once_it_is_gone)
    found = find_documents(["d"])
    assert (names(found), found.skipped) == (["d/a", "d/z/e"], [LeftOut("d/sub", GONE, kind="folder")])


def test_file_deleted_while_others_are_read_is_left_out_and_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, d__a=b"1", d__b=b"2", d__c=b"3", d__d=b"4")

    def read_while_others_go(document):
        if document.name == "d/b":
            Path("d/a").unlink()
            Path("d/c").unlink()
        return against(document)

    found = find_documents(["d"], why_not=read_while_others_go)
    assert (names(found), found.skipped) == (["d/b", "d/d"], [LeftOut("d/c", GONE), LeftOut("d/a", GONE)])


def test_file_deleted_just_before_reading_is_left_out_and_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, d__a=b"1", d__b=b"2")

    def read_too_late(document):
        Path("d/a").unlink(missing_ok=True)
        return against(document)

    found = find_documents(["d"], why_not=read_too_late)
    assert (names(found), found.skipped) == (["d/b"], [LeftOut("d/a", GONE)])


def test_missing_text_is_found_before_a_pipe_is_read(monkeypatch):
    class Unread(io.BytesIO):
        def read(self, size=-1):
            raise AssertionError("what can be read only once is lost")

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Unread()))
    for paths, held_out in ((["-"], ["missing"]), (["-", "missing"], []), (["missing"], ["-"])):
        with pytest.raises(CorpusError, match=r"^missing: no such file"):
            find_documents(paths, held_out=held_out)


def test_folder_of_many_files_is_walked_once(tmp_path):
    for number in range(50):
        (tmp_path / f"{number:02}").write_text("x")
    asked = []
    found = find_documents([str(tmp_path)], why_not=lambda document: asked.append(document.name) or odd(len(asked)))
    assert len(asked) == len(set(asked)) == 50
    assert [document.name for document in found.documents] == asked[1::2]
    assert found.skipped == [LeftOut(name, ODD) for name in asked[::2]]


@pytest.mark.parametrize(("data", "begins"), [(b"ab", False), (b"abc", False), (b"abcd", True), (b"abdc", False)])
def test_grown_file_is_distinguished_from_an_unchanged_one(tmp_path, data, begins):
    (tmp_path / "log").write_bytes(data)
    known = str(tmp_path / "log"), 3, hashlib.sha256(b"abc").hexdigest()
    assert begins_as(*known) == begins
