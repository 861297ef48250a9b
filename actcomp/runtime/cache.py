"""The disk cache: single files under the digest of their key, each checked by its own digest when it is read.

``ACTCOMP_CACHE_DIR`` names the directory (else the platform's cache directory), ``ACTCOMP_CACHE_SIZE`` the limit in MB
(default 256; 0 turns the cache off). The directory must belong to the user and be closed to others (0700), since what
it holds is run. A file that is damaged, cut short or not ours counts as absent and is written anew.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import stat
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import CacheError

if TYPE_CHECKING:
    from pathlib import Path

try:  # Python's own SHA-256: importing hashlib loads OpenSSL, which takes longer than all digests of a warm start
    sha256 = importlib.import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256
except ImportError:
    from hashlib import sha256

MAGIC = b"actcomp cache 1\n"
DEFAULT_SIZE_MB = 256
_SUFFIX = ".actc"
_TEMPORARY = ".part"
_FOLDERS = ("calculus", "program", "elementary", "emit", "runtime", "cuda")  # what results depend on
_TOUCH_AFTER_S = 600.0  # a file's time of last use is kept to this precision, so that a hit seldom writes
_FORGET_TEMPORARY_AFTER_S = 3600.0


@dataclass(frozen=True)
class Entry:
    """What one file holds: a header of plain JSON values, and bytes."""

    header: dict[str, Any]
    payload: bytes


def directory() -> Path:
    """The cache directory in use, whether it exists yet or not."""
    from pathlib import Path  # 3 ms, which a warm start does without

    return Path(_root())


def _root() -> str:
    named = os.environ.get("ACTCOMP_CACHE_DIR")
    if named:
        return os.path.expanduser(named)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
        return os.path.join(local, "actcomp", "cache")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches/actcomp")
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "actcomp")


def size_limit() -> int:
    """The limit in bytes. Raises CacheError if ACTCOMP_CACHE_SIZE is no number of megabytes."""
    text = os.environ.get("ACTCOMP_CACHE_SIZE", "")
    try:
        megabytes = float(text) if text else float(DEFAULT_SIZE_MB)
        if not 0 <= megabytes < 1e9:
            raise ValueError
    except ValueError:
        raise CacheError(
            f"ACTCOMP_CACHE_SIZE is {text!r}, which is no number of megabytes",
            do="set it to 256, say, or to 0 for no cache",
        ) from None
    return int(megabytes * 1e6)


def size() -> int:
    """Bytes that the cache's files take."""
    return sum(status.st_size for _, status in _files(_root()))


def clear() -> int:
    """Removes every cached file, and says how many there were. Kernels already compiled keep working."""
    removed = 0
    for path, _ in _files(_root()):
        removed += _remove(path)
    return removed


def read(key: str) -> Entry | None:
    """What was last written under the key, or None."""
    root = _usable_directory(create=False)
    if root is None:
        return None
    path = _path(root, key)
    try:
        # No following of links: a link could name a file that others may write.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or not _is_ours(status):
                return None
            content = os.read(handle, status.st_size + 1)
        finally:
            os.close(handle)
    except OSError:
        return None
    entry = _decode(content, key)
    if entry is not None and time.time() - status.st_mtime > _TOUCH_AFTER_S:
        _touch(path)
    return entry


def write(key: str, header: dict[str, Any], payload: bytes = b"") -> None:
    """Stores under the key, replacing what was there; another process sees the old file or the new one, never a part.

    A disk that is full or read-only costs the cache, not the result: one warning is given. Raises CacheError as
    ``directory`` in ACTCOMP_CACHE_DIR cannot be used at all."""
    root = _usable_directory(create=True)
    if root is None:
        return
    path = _path(root, key)
    temporary = f"{path}.{os.getpid()}.{threading.get_ident()}{_TEMPORARY}"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(_encode(key, header, payload))
        os.replace(temporary, path)
    except OSError as fault:
        _remove(temporary)
        _warn_once(f"actcomp: nothing more is cached on disk: {fault}")
        return
    _trim(root, keep=path)


def _encode(key: str, header: dict[str, Any], payload: bytes) -> bytes:
    head = json.dumps({"key": _digest(key), "header": header}, sort_keys=True).encode()
    body = len(head).to_bytes(4, "little") + head + payload
    return MAGIC + sha256(body).digest() + body


def _decode(content: bytes, key: str) -> Entry | None:
    start = len(MAGIC) + 32
    if not content.startswith(MAGIC) or len(content) < start + 4:
        return None
    body = memoryview(content)[start:]
    if sha256(body).digest() != content[len(MAGIC) : start]:
        return None
    length = int.from_bytes(body[:4], "little")
    fields = json.loads(bytes(body[4 : 4 + length]))
    if fields["key"] != _digest(key):
        return None
    return Entry(fields["header"], bytes(body[4 + length :]))


def _digest(key: str) -> str:
    return sha256(f"{_build()}\n{key}".encode()).hexdigest()


@functools.cache
def _build() -> str:
    """Tells this compiler from another one, also where only a source file was edited and the version kept."""
    digest = sha256()
    folders = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    while folders:
        with os.scandir(folders.pop()) as listing:
            for item in sorted(listing, key=lambda item: item.name):
                if item.name.endswith(".py"):
                    status = item.stat()
                    digest.update(f"{item.path} {status.st_size} {status.st_mtime_ns}\n".encode())
                elif item.name in _FOLDERS:
                    folders.append(item.path)
    return digest.hexdigest()


def _path(root: str, key: str) -> str:
    return os.path.join(root, _digest(key) + _SUFFIX)


_VARIABLES = ("ACTCOMP_CACHE_DIR", "ACTCOMP_CACHE_SIZE", "XDG_CACHE_HOME", "LOCALAPPDATA", "HOME")
_checked: dict[str, str | None] = {}
_warned: set[str] = set()


def _usable_directory(create: bool) -> str | None:
    """The directory once it is known to be private, None to run without.

    Raises CacheError if the user named it and it cannot be used; the default directory only warns, once."""
    named = os.environ.get("ACTCOMP_CACHE_DIR", "")
    known = repr([os.environ.get(name) for name in _VARIABLES])
    if known in _checked:
        root = _checked[known]
        if root is None or os.path.isdir(root):
            return root
    if size_limit() == 0:
        _checked[known] = None
        return None
    root = _root()
    if not create and not os.path.exists(root):
        return None
    fault, fix = _fault_of(root)
    if fault is None:
        _checked[known] = root
        return root
    if named:
        raise CacheError(f"ACTCOMP_CACHE_DIR is {named!r}: {fault}", do=fix)
    _warn_once(f"actcomp: nothing is cached on disk, since {root}: {fault} ({fix})")
    _checked[known] = None
    return None


def _fault_of(root: str) -> tuple[str | None, str]:
    elsewhere = "name another directory in ACTCOMP_CACHE_DIR, or set ACTCOMP_CACHE_SIZE=0 for no cache"
    try:
        os.makedirs(os.path.dirname(os.path.abspath(root)), exist_ok=True)
        if not os.path.isdir(root):
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.mkdir(root, mode=0o700)
        status = os.stat(root)
    except OSError as fault:
        return f"it cannot be made: {fault.strerror or fault}", elsewhere
    if not stat.S_ISDIR(status.st_mode):
        return "it is no directory", elsewhere
    if not _is_ours(status):
        return "it belongs to another user", elsewhere
    if os.name == "posix" and status.st_mode & 0o077:
        return f"others may enter it (mode {stat.S_IMODE(status.st_mode):04o})", f"chmod 700 {root}"
    if not os.access(root, os.W_OK | os.X_OK):
        return "it cannot be written", elsewhere
    return None, ""


def _is_ours(status: os.stat_result) -> bool:
    return os.name != "posix" or status.st_uid == os.geteuid()


def _files(root: str) -> list[tuple[str, os.stat_result]]:
    """Our files and their state, left-over temporary ones too; what vanishes meanwhile is left out."""
    found = []
    try:
        with os.scandir(root) as listing:
            for item in listing:
                if item.name.endswith((_SUFFIX, _TEMPORARY)):
                    try:
                        found.append((item.path, item.stat(follow_symlinks=False)))
                    except FileNotFoundError:
                        continue
    except (FileNotFoundError, NotADirectoryError):
        return []
    return found


def _trim(root: str, keep: str) -> None:
    """Removes the files unused for longest until the rest fits the limit; the one just written stays."""
    files = _files(root)
    now = time.time()
    total, limit = sum(status.st_size for _, status in files), size_limit()
    for path, status in sorted(files, key=lambda file: file[1].st_mtime):
        stale = path.endswith(_TEMPORARY) and now - status.st_mtime > _FORGET_TEMPORARY_AFTER_S
        if stale or (total > limit and path != keep and path.endswith(_SUFFIX)):
            _remove(path)
            total -= status.st_size


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:  # another process was faster, or the directory is read-only
        return False
    return True


def _touch(path: str) -> None:
    try:
        os.utime(path)
    except OSError:  # a read-only cache still serves
        return


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=3)
