"""Program to loaded machine code of this machine, by way of the disk cache."""

from __future__ import annotations

import time
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


def _object(program: Program | StoredProgram, target: Target, streaming: bool) -> bytes:
    from . import native

    title = f"machine code of {program.name}{' past the caches' if streaming else ''}"
    key = native.cache_key(program, target, streaming=streaming)
    found = cache.read(key)
    if found is not None:
        debug.say(debug.CACHE, f"{title}: from the cache")
        return found.payload
    start = time.perf_counter()
    code = native.compile_object(whole(program), target, streaming=streaming)
    debug.say(debug.CACHE, f"{title}: compiled in {1e3 * (time.perf_counter() - start):.1f} ms")
    cache.write(key, {"kind": "object", "program": program.name}, code)
    return code
