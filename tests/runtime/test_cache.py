"""The disk cache: what was written comes back, anything else counts as absent, and nobody else can write to it."""

import os
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from actcomp.errors import CacheError
from actcomp.runtime import cache

posix = pytest.mark.skipif(os.name != "posix", reason="file modes and owners are POSIX's")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache directory of the test's own."""
    root = tmp_path / "cache"
    monkeypatch.setenv("ACTCOMP_CACHE_DIR", str(root))
    monkeypatch.delenv("ACTCOMP_CACHE_SIZE", raising=False)
    monkeypatch.setattr(cache, "_checked", {})
    monkeypatch.setattr(cache, "_warned", set())
    return root


def files(root):
    return sorted(root.iterdir())


def test_what_was_written_comes_back(home):
    assert cache.read("key") is None
    assert not home.exists(), "reading makes no directory"
    cache.write("key", {"kind": "object", "n": [1, 2]}, b"\0\xff" * 1000)
    assert cache.read("key") == cache.Entry({"kind": "object", "n": [1, 2]}, b"\0\xff" * 1000)
    assert cache.read("other key") is None
    cache.write("key", {})
    assert cache.read("key") == cache.Entry({}, b"")
    assert len(files(home)) == 1


def test_directory_size_and_clear(home):
    assert cache.directory() == home
    assert cache.size() == 0 and cache.clear() == 0
    for n in range(3):
        cache.write(f"key {n}", {}, bytes(100))
    assert 300 < cache.size() == sum(path.stat().st_size for path in files(home))
    (home / "notes.txt").write_text("not ours")
    assert cache.clear() == 3
    assert cache.size() == 0 and cache.read("key 0") is None
    assert [path.name for path in files(home)] == ["notes.txt"], "files that are not the cache's stay"


def test_a_damaged_file_counts_as_absent_and_is_rewritten(home):
    cache.write("key", {"a": 1}, b"payload")
    (path,) = files(home)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert cache.read("key") is None, f"a flipped bit in byte {place} was not seen"
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert cache.read("key") is None, f"cut to {length} bytes, and not seen"
    path.write_bytes(good + b"x")
    assert cache.read("key") is None
    cache.write("key", {"a": 1}, b"payload")
    assert path.read_bytes() == good


def test_a_file_under_a_foreign_name_counts_as_absent(home):
    cache.write("key", {}, b"of key")
    cache.write("other", {}, b"of other")
    one, two = files(home)
    os.replace(one, two)
    assert [cache.read("key"), cache.read("other")].count(None) == 2


def test_a_changed_compiler_finds_nothing(monkeypatch):
    cache.write("key", {}, b"old")
    monkeypatch.setattr(cache, "_build", lambda: "another state of the sources")
    assert cache.read("key") is None


@posix
def test_the_directory_is_private(home):
    cache.write("key", {})
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files(home))


@posix
def test_an_open_directory_is_refused_and_the_advice_helps(home):
    home.mkdir()
    home.chmod(0o755)
    with pytest.raises(CacheError, match="others may enter it") as refusal:
        cache.write("key", {})
    command = refusal.value.do.split()
    assert command[0] == "chmod"
    subprocess.run(command, check=True)
    cache.write("key", {}, b"now")
    assert cache.read("key").payload == b"now"


@posix
def test_a_link_is_not_followed(home, tmp_path):
    cache.write("key", {}, b"payload")
    (path,) = files(home)
    os.replace(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.read("key") is None


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_others_is_refused(home):
    cache.write("key", {}, b"payload")
    (path,) = files(home)
    os.chown(path, 12345, 12345)
    assert cache.read("key") is None
    cache._checked.clear()
    os.chown(home, 12345, 12345)
    with pytest.raises(CacheError, match="belongs to another user"):
        cache.read("key")


def test_a_named_directory_that_cannot_be_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ACTCOMP_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match="ACTCOMP_CACHE_SIZE=0"):
        cache.write("key", {})
    monkeypatch.setenv("ACTCOMP_CACHE_SIZE", "0")
    cache.write("key", {})
    assert cache.read("key") is None


def test_a_default_directory_that_cannot_be_only_warns_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.delenv("ACTCOMP_CACHE_DIR")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="nothing is cached"):
        cache.write("key", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.write("key", {})
        assert cache.read("key") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG is Linux's")
def test_default_directory_follows_the_platform(monkeypatch):
    monkeypatch.delenv("ACTCOMP_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    assert cache.directory() == Path("/some/cache/actcomp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.directory() == Path("/home/someone/.cache/actcomp")


def test_the_least_recently_used_go_first(home, monkeypatch):
    monkeypatch.setenv("ACTCOMP_CACHE_SIZE", "0.01")
    for n in range(4):
        cache.write(f"key {n}", {}, bytes(2000))
        (newest,) = (p for p in files(home) if cache._path(str(home), f"key {n}") == str(p))
        os.utime(newest, (time.time() - 10_000 + n,) * 2)
    assert cache.read("key 0") is not None, "a hit makes it recent"
    cache.write("key 4", {}, bytes(2000))
    present = [n for n in range(5) if cache.read(f"key {n}") is not None]
    assert present == [0, 2, 3, 4]
    assert cache.size() <= 10_000
    cache.write("big", {}, bytes(20_000))
    assert cache.read("big") is not None, "the file just written stays"


def test_a_size_that_is_no_number_is_an_error(monkeypatch):
    for text in ("much", "-1", "nan"):
        monkeypatch.setenv("ACTCOMP_CACHE_SIZE", text)
        with pytest.raises(CacheError, match="megabytes"):
            cache.write("key", {})


def test_left_over_temporary_files_go(home):
    cache.write("key", {})
    old, new = home / "old.part", home / "new.part"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (time.time() - 10_000,) * 2)
    cache.write("other", {})
    assert not old.exists() and new.exists()


def test_a_full_disk_costs_only_the_cache(home, monkeypatch):
    cache.write("key", {}, b"payload")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        cache.write("key", {}, b"new")
    assert cache.read("key").payload == b"payload"
    assert len(files(home)) == 1, "the temporary file is removed"


def test_processes_and_threads_write_the_same_key_at_once(home):
    body = """
from concurrent.futures import ThreadPoolExecutor
from actcomp.runtime import cache

def work(_):
    for n in range(60):
        cache.write("key", {"n": 1}, b"p" * 5000)
        found = cache.read("key")
        assert found is not None and found.payload == b"p" * 5000

with ThreadPoolExecutor(3) as pool:
    list(pool.map(work, range(3)))
"""
    workers = [subprocess.Popen([sys.executable, "-W", "error", "-c", body]) for _ in range(2)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    assert len(files(home)) == 1
