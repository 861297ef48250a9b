"""The threads that large calls run on: the OpenMP team that is already in the process, never a pool of our own.

The number of threads is the least of OpenMP's own limit (OMP_NUM_THREADS, torch.set_num_threads, threadpoolctl: asked
for at each call, never changed), ``set_limit`` and the CPUs that the process may use. Results do not depend on it.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator

from ..emit.interface import SETTINGS

SERIAL_BELOW = 1 << 16  # elements; a sleeping team takes longer to wake than they take on one thread

_RUNTIMES = re.compile(r"/lib(?:gomp|iomp5|omp)[^/]*\.(?:so|dylib)[^/]*$")
_lock = threading.Lock()
_settings: ctypes.Array[ctypes.c_int64] | None = None
_limit: int | None = None
_library: ctypes.CDLL | None = None
_has_searched = False
_has_seen_torch = False
_has_forked = False


def set_limit(threads: int | None) -> None:
    """At most so many threads a call from now on, in the whole process; None takes the limit away again.

    Raises ValueError if it is less than 1."""
    global _limit
    if threads is not None and threads < 1:
        raise ValueError(f"a limit of {threads} threads; name at least 1, or None for no limit")
    _limit = threads
    _write()


def limit() -> int:
    """The most threads that we let a call use; OpenMP's own limit may be lower."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable if _limit is None else min(usable, _limit)


def bind(settings: ctypes.Array[ctypes.c_int64]) -> None:
    """The driver's settings, to be kept up to date from now on (runtime.native calls this once)."""
    global _settings
    _settings = settings
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    _write()


def attach() -> None:
    """Looks for the OpenMP runtime again. Call it after importing a framework that brings one, before large calls."""
    global _library, _has_searched
    if _has_forked:
        return
    with _lock:
        found = _find()
        if found is not None or not _has_searched:
            _library = found
        _has_searched = True
    _write()


def ensure() -> None:
    """Before a call that is large enough for threads: searches once, and says once if there are none.

    Searches again once torch is there: two runtimes in one process would keep two teams spinning."""
    global _has_seen_torch
    if _has_searched and (_has_seen_torch or "torch" not in sys.modules):
        return
    is_first = not _has_searched
    if not _has_forked:
        _has_seen_torch = "torch" in sys.modules
        attach()
        if is_first and _library is None and limit() > 1:
            warnings.warn(
                "actcomp: no OpenMP runtime is in this process or on this system (libgomp, libomp): large arrays are "
                "computed on one thread; install libgomp1, or import torch first",
                RuntimeWarning,
                stacklevel=3,
            )


def _write() -> None:
    if _settings is None:
        return
    _settings[SETTINGS["limit"]] = limit()
    _settings[SETTINGS["serial_below"]] = SERIAL_BELOW
    if _library is None:
        _settings[SETTINGS["gomp_parallel"]] = 0
    else:
        _settings[SETTINGS["max_threads"]] = _address(_library, "omp_get_max_threads")
        _settings[SETTINGS["gomp_parallel"]] = _address(_library, "GOMP_parallel")


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


def _after_fork() -> None:
    """The team's threads do not exist in a forked child, and OpenMP does not know: the child computes alone."""
    global _library, _has_forked, _lock
    _library, _has_forked, _lock = None, True, threading.Lock()
    _write()


def _find() -> ctypes.CDLL | None:
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
            if _address(library, "GOMP_parallel") and _address(library, "omp_get_max_threads"):
                return library
        except (OSError, AttributeError):  # not loadable here, or without GNU's entry points
            continue
    return None


def _candidates() -> Iterator[str]:
    """Runtimes in the process, torch's first; then the system's."""
    loaded = _loaded_runtimes()
    yield from sorted(loaded, key=lambda path: "torch" not in path)
    for name in ("gomp", "omp", "iomp5"):
        found = None
        if not sys.platform.startswith("linux"):
            import ctypes.util  # which imports subprocess: 4 ms

            found = ctypes.util.find_library(name)
        yield found or {"gomp": "libgomp.so.1", "omp": "libomp.so.5", "iomp5": "libiomp5.so"}[name]


def _loaded_runtimes() -> list[str]:
    try:
        with open("/proc/self/maps") as file:
            maps = file.read()
    except OSError:  # no Linux
        return []
    paths = (line.split(maxsplit=5)[5] for line in maps.splitlines() if line.count("/"))
    return list(dict.fromkeys(path for path in paths if _RUNTIMES.search(path)))
