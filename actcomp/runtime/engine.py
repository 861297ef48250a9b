"""Program to loaded machine code of this machine, by way of the disk cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program.stored import StoredProgram, whole
from . import cache

if TYPE_CHECKING:
    from ..emit.target import Target
    from ..program.program import Program
    from .native import Native


def load(program: Program | StoredProgram) -> Native:
    """The kernel of the Program: its object code from the cache if it is there, else compiled and cached."""
    from . import cpu, native

    target = cpu.host()
    return native.load(program, target, _object(program, target, False), lambda: _object(program, target, True))


def _object(program: Program | StoredProgram, target: Target, streaming: bool) -> bytes:
    from . import native

    key = native.cache_key(program, target, streaming=streaming)
    found = cache.read(key)
    if found is not None:
        return found.payload
    code = native.compile_object(whole(program), target, streaming=streaming)
    cache.write(key, {"kind": "object", "program": program.name}, code)
    return code
