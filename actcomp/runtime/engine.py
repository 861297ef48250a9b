"""Program to loaded machine code of this machine, by way of the disk cache."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .. import debug
from ..program.stored import StoredProgram, whole
from . import cache

if TYPE_CHECKING:
    from ..emit.target import Target
    from ..program.program import Program
    from .native import Native


def load(program: Program | StoredProgram) -> Native:
    """The kernel of the Program: its object code from the cache if it is there, else compiled and cached."""
    from . import cpu, native

    if debug.level() >= debug.SOURCE:
        debug.say(debug.SOURCE, cpu.intermediate_text(whole(program)))
    if debug.level() >= debug.ASSEMBLY:
        debug.say(debug.ASSEMBLY, cpu.assembly_text(whole(program)))
    target = cpu.host()
    return native.load(program, target, _object(program, target, False), lambda: _object(program, target, True))


def load_together(programs: Mapping[str, Program | StoredProgram]) -> dict[str, Native]:
    """The kernels of several Programs, by name, from one image: LLVM runs once, and what they share is there once.

    Names are those of the functions: letters. The image is freed when no kernel of it is left."""
    from . import cpu, native

    target = cpu.host()

    @functools.cache
    def code(streaming: bool) -> cpu.Code:
        return cpu.load(_object_together(programs, target, streaming), tuple(programs))

    return {
        name: native.Native(program, target, code(False), lambda: code(True), name)
        for name, program in programs.items()
    }


def _object_together(programs: Mapping[str, Program | StoredProgram], target: Target, streaming: bool) -> bytes:
    from . import native

    keys = (f"{name}: {native.cache_key(program, target, streaming)}" for name, program in programs.items())
    key = "\n".join(("natives", *keys))
    title = " and ".join(_title(program, streaming) for program in programs.values())
    return _cached(
        key, title, lambda: native.compile_together({n: whole(p) for n, p in programs.items()}, target, streaming)
    )


def _title(program: Program | StoredProgram, streaming: bool) -> str:
    return f"machine code of {program.name}{' past the caches' if streaming else ''}"


def _object(program: Program | StoredProgram, target: Target, streaming: bool) -> bytes:
    from . import native

    title = _title(program, streaming)
    key = native.cache_key(program, target, streaming=streaming)
    return _cached(key, title, lambda: native.compile_object(whole(program), target, streaming=streaming))


def _cached(key: str, title: str, compile: Callable[[], bytes]) -> bytes:
    found = cache.read(key)
    if found is not None:
        debug.say(debug.CACHE, f"{title}: from the cache")
        return found.payload
    start = time.perf_counter()
    code = compile()
    debug.say(debug.CACHE, f"{title}: compiled in {1e3 * (time.perf_counter() - start):.1f} ms")
    cache.write(key, {"kind": "object", "program": title}, code)
    return code
