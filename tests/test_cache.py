import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import make_text
from processes import map_all, train

from charrnn.cli.trainer import session
from charrnn.errors import CacheError, ConfigError, CorpusError
from charrnn.text import corpus
from charrnn.text.cache import ABANDONED_DAYS, KEPT_DAYS, Cache, cache_key, check_sound, default_folder, release_pages
from charrnn.text.places import count_lines
from charrnn.text.read_options import ReadOptions
from charrnn.training.lanes import Lanes
from charrnn.training.line_lanes import LineLanes

ON_LINUX = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="another system than Linux's")
ON_POSIX = pytest.mark.skipif(os.name == "nt", reason="a system without such rights")

IDS = np.arange(1000, dtype=np.uint16)
DAY = 86400


def age(path, days):
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def test_kept_ids_are_found_and_mapped(tmp_path):
    cache = Cache(tmp_path / "new" / "folder")
    assert cache.find("key", 1000, IDS.dtype) is None
    kept = cache.keep("key", [IDS[:10], IDS[10:]], IDS.dtype)
    found = cache.find("key", 1000, IDS.dtype)
    assert isinstance(kept, np.memmap)
    assert kept.tolist() == found.tolist() == IDS.tolist()
    assert not found.flags.writeable


@ON_POSIX
def test_cache_is_private_and_an_existing_folder_keeps_its_mode(tmp_path):
    Cache(tmp_path / "cache" / "charrnn").keep("key", [IDS], IDS.dtype)
    assert mode_of(tmp_path / "cache" / "charrnn") == 0o700
    assert mode_of(tmp_path / "cache" / "charrnn" / "key.ids") == 0o600
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o775)
    Cache(tmp_path / "shared").keep("key", [IDS], IDS.dtype)
    assert mode_of(tmp_path / "shared") == 0o775


@ON_POSIX
def test_two_users_of_one_folder_have_a_file_each(tmp_path, monkeypatch):
    (tmp_path / "t.txt").write_text("a text")
    monkeypatch.setattr(corpus, "MAPPED_BYTES", 1)
    files = []
    for user in (1000, 1001, 1000):
        monkeypatch.setattr(os, "getuid", lambda user=user: user)
        reading = ReadOptions(cache=Cache(tmp_path / "shared"))
        files.append(corpus.read_corpus([str(tmp_path / "t.txt")], reading).ids.filename)
    assert files[0] == files[2] != files[1]
    assert len([*(tmp_path / "shared").iterdir()]) == 2


def not_permitted(*_):
    raise PermissionError(1, "Operation not permitted")


@ON_POSIX
def test_file_or_link_of_another_user_is_not_used(tmp_path, monkeypatch):
    cache = Cache(tmp_path)
    planted = tmp_path / "key.ids"
    planted.write_bytes(bytes(IDS.nbytes))
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    for mode in (0o755, 0o1777):
        tmp_path.chmod(mode)
        assert cache.find("key", 1000, IDS.dtype) is None, "it may be the folder of the other user"
    assert cache.keep("key", [IDS], IDS.dtype).tolist() == IDS.tolist(), "it is replaced"
    monkeypatch.setattr(os, "replace", not_permitted)  # as in a folder like /tmp
    with pytest.raises(CacheError, match="choose another folder with --cache"):
        cache.keep("key", [IDS], IDS.dtype)
    monkeypatch.setattr(os, "geteuid", lambda: mine)
    assert cache.find("key", 1000, IDS.dtype).tolist() == IDS.tolist()
    (tmp_path / "other.ids").symlink_to("key.ids")
    assert cache.find("other", 1000, IDS.dtype) is None


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_file_of_another_size_is_not_used(tmp_path):
    cache = Cache(tmp_path)
    cache.keep("key", [IDS], IDS.dtype)
    assert cache.find("key", 999, IDS.dtype) is None
    assert cache.find("key", 1000, np.dtype(np.uint32)) is None


def test_kept_file_is_synced_before_its_rename(tmp_path, monkeypatch):
    fsync, replace, done = os.fsync, os.replace, []
    monkeypatch.setattr(os, "fsync", lambda file: done.append(os.fstat(file).st_size) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("renamed") or replace(*paths))
    Cache(tmp_path).keep("key", [IDS], IDS.dtype)
    assert done == [IDS.nbytes, "renamed"]


def test_concurrent_writers_each_get_all_ids(tmp_path):
    """Two containers that share a folder may have equal process ids."""
    cache, mapped = Cache(tmp_path), []

    def pieces():
        yield IDS[:500]
        mapped.append(cache.keep("key", [IDS], IDS.dtype))
        yield IDS[500:]

    mapped.append(cache.keep("key", pieces(), IDS.dtype))
    assert [ids.tolist() for ids in mapped] == [IDS.tolist()] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["key.ids"]


def test_file_kept_and_mapped_by_another_is_not_replaced(tmp_path):
    """On a network disk a mapped file that is replaced disappears, and a process that reads on in it is killed."""
    inodes = []
    for ids in (IDS, IDS, IDS[:500]):
        assert Cache(tmp_path).keep("key", [ids], IDS.dtype).tolist() == ids.tolist()
        inodes.append((tmp_path / "key.ids").stat().st_ino)
    assert inodes[0] == inodes[1] != inodes[2], "one of another size is no whole one"


def test_temporary_file_of_a_killed_writer_is_removed_and_of_a_living_one_kept(tmp_path):
    cache, seen = Cache(tmp_path), []
    key, meanwhile, following = (cache_key(name=name) for name in ("key", "meanwhile", "following"))

    def pieces():
        seen.extend(tmp_path.iterdir())
        cache.keep(meanwhile, [IDS], IDS.dtype)
        yield IDS

    assert cache.keep(key, pieces(), IDS.dtype).tolist() == IDS.tolist()
    (unfinished,) = seen
    unfinished.touch()
    age(unfinished, ABANDONED_DAYS + 1)
    cache.keep(following, [IDS], IDS.dtype)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.ids" for name in (key, meanwhile, following)}


def map_all_and_fail_as_a_gpu_does():
    map_all()
    train_on = session.train_on

    def train_there(*given):
        try:
            train_on(*given)
        except IndexError:
            raise RuntimeError("CUDA error: device-side assert triggered") from None

    session.train_on = train_there


@pytest.mark.slow
@pytest.mark.parametrize(("recall", "prepare"), [(0, map_all), (1000, map_all), (0, map_all_and_fail_as_a_gpu_does)])
def test_damaged_cached_text_is_one_line_that_names_it(tmp_path, recall, prepare):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    flags = ["--hidden-size", 16, "--max-steps", 5, "--cache", "cache", "-q", "--overwrite", "--recall", recall]
    assert train(folder, *flags, prepare=map_all).process.exitcode == 0
    (kept,) = (folder / "cache").iterdir()
    kept.write_bytes(b"\xff" * kept.stat().st_size)
    training = train(folder, *flags, prepare=prepare)
    told = f"charrnn: {kept}: this encoded text is damaged; delete it, and the text is encoded again\n"
    assert (training.process.exitcode, training.stderr) == (2, told)


def test_id_beyond_the_alphabet_shows_damage_wherever_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("charrnn.text.cache.PIECE", 300)
    kept = Cache(tmp_path).keep(cache_key(text="a"), [IDS], IDS.dtype)
    check_sound(kept, 1000)
    with pytest.raises(CacheError, match="this encoded text is damaged"):
        check_sound(kept, 999)


def test_error_while_writing_leaves_nothing_behind(tmp_path):
    def pieces():
        yield IDS
        raise CorpusError("no more")

    with pytest.raises(CorpusError, match="no more"):
        Cache(tmp_path).keep("key", pieces(), IDS.dtype)
    assert list(tmp_path.iterdir()) == []


def test_long_unused_files_are_deleted_when_another_is_written(tmp_path):
    cache = Cache(tmp_path)
    old, used, new, another = (cache_key(name=name) for name in ("old", "used", "new", "another"))
    for key in (old, used, new):
        cache.keep(key, [IDS], IDS.dtype)
    (tmp_path / f"{old}.ids.7.tmp").touch()
    (tmp_path / f"{new}.ids.8.tmp").touch()
    for key in (old, used):
        age(tmp_path / f"{key}.ids", KEPT_DAYS + 1)
    age(tmp_path / f"{old}.ids.7.tmp", 2)
    cache.find(used, 1000, IDS.dtype)
    cache.keep(another, [IDS], IDS.dtype)
    kept = {f"{used}.ids", f"{new}.ids", f"{another}.ids", f"{new}.ids.8.tmp"}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_other_files_in_the_cache_folder_are_never_deleted(tmp_path):
    own = {"notes.txt", "train.ids", "train.ids.1.tmp", f"{cache_key(name='old')}.ids.bak", "cafe.ids"}
    for name in own:
        (tmp_path / name).touch()
        age(tmp_path / name, KEPT_DAYS + 1)
    Cache(tmp_path).keep(cache_key(name="new"), [IDS], IDS.dtype)
    assert {path.name for path in tmp_path.iterdir()} == {*own, f"{cache_key(name='new')}.ids"}


def test_ids_found_in_another_folder_are_not_kept_again(tmp_path):
    other, cache = Cache(tmp_path / "other"), Cache(tmp_path / "own", others=(tmp_path / "other",))
    other.keep("key", [IDS], IDS.dtype)
    np.testing.assert_array_equal(cache.find("key", len(IDS), IDS.dtype), IDS)
    assert not (tmp_path / "own").exists()
    cache.keep("second", [IDS], IDS.dtype)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["key.ids"]
    assert cache.find("second", len(IDS), IDS.dtype) is not None
    assert other.find("second", len(IDS), IDS.dtype) is None


def test_read_only_cache_is_used(tmp_path, monkeypatch):
    def refuse(path, times=None):
        raise OSError(30, "Read-only file system")

    Cache(tmp_path).keep("key", [IDS], IDS.dtype)
    monkeypatch.setattr(os, "utime", refuse)
    np.testing.assert_array_equal(Cache(tmp_path).find("key", len(IDS), IDS.dtype), IDS)


def test_unwritable_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="choose another folder with --cache, or keep it in memory with --no-cache"):
        Cache(tmp_path / "file").keep("key", [IDS], IDS.dtype)


def test_keys_differ_in_every_part():
    keys = {cache_key(a=1, b="x"), cache_key(a=2, b="x"), cache_key(a=1, b="y"), cache_key(a=1)}
    assert len(keys) == 4
    assert cache_key(a=1, b=2) == cache_key(b=2, a=1)


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "{value}/charrnn"),
        ("linux", None, "{home}/.cache/charrnn"),
        ("darwin", None, "{home}/Library/Caches/charrnn"),
        ("win32", "LOCALAPPDATA", "{value}/charrnn/Cache"),
    ],
)
def test_default_folder_follows_the_platform(tmp_path, monkeypatch, platform, variable, expected):
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "value"))
    assert str(default_folder()) == expected.format(value=tmp_path / "value", home=tmp_path / "home")


@ON_LINUX
def test_released_memory_map_takes_no_memory_and_keeps_its_ids(tmp_path):
    ids = np.resize(np.arange(200, dtype=np.uint8), 20_000_000)
    ids.tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", dtype=np.uint8, mode="r")
    before = mapped_memory()
    np.testing.assert_array_equal(mapped, ids)
    read = mapped_memory()
    assert read > before + 15_000, "kilobytes"
    release_pages(mapped[1000:])
    assert mapped_memory() < read - 15_000
    release_pages(ids[1000:])  # not mapped: nothing to do
    np.testing.assert_array_equal(mapped, ids)


@ON_LINUX
def test_checking_a_mapped_text_takes_constant_memory(tmp_path):
    with open(tmp_path / "ids", "wb") as file:
        file.truncate(100_000_000)  # of zeros that take no space
    ids = np.memmap(tmp_path / "ids", dtype=np.uint8, mode="r")
    before = mapped_memory()
    check_sound(ids, 1)
    assert mapped_memory() - before < 30_000, "kilobytes"


@ON_LINUX
def test_reading_a_mapped_text_takes_constant_memory(tmp_path):
    with open(tmp_path / "ids", "wb") as file:
        file.truncate(200_000_000)  # of zeros that take no space
    lanes = Lanes(np.memmap(tmp_path / "ids", dtype=np.uint8, mode="r"), batch_size=16, seq_len=64, stretch=256)
    assert largest_while(lanes, 1600) < 30_000, "kilobytes"


@ON_LINUX
def test_reading_lines_of_a_mapped_text_takes_constant_memory(tmp_path):
    with open(tmp_path / "ids", "wb") as file:
        for start in range(0, 60_000_000, 1000):  # lines of zeros, which end with a one
            file.seek(start + 999)
            file.write(b"\1")
    ids = np.memmap(tmp_path / "ids", dtype=np.uint8, mode="r")
    release_pages(ids)
    before = mapped_memory()
    assert count_lines(ids, 1) == 60_000
    assert mapped_memory() - before < 30_000, "kilobytes"
    assert largest_while(LineLanes(ids, 1, batch_size=16, seq_len=1000, seed=0), 1600) < 30_000, "kilobytes"


def largest_while(lanes, times):
    """Kilobytes of mapped memory, beyond those before, that so many windows take at most."""
    before, largest = mapped_memory(), 0
    for _ in range(times):
        next(lanes)
        largest = max(largest, mapped_memory() - before)
    return largest


def mapped_memory():
    with open("/proc/self/status") as status:
        held = (line.split() for line in status if line.startswith(("RssFile", "RssShmem")))  # a tmpfs is the latter
        return sum(int(kilobytes) for _, kilobytes, _ in held)


def test_missing_home_folder_suggests_a_remedy(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert default_folder() == Path("/there/charrnn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(ConfigError, match=r"no home folder .*; give a folder with --cache, or --no-cache"):
        default_folder()
