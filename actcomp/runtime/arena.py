"""Memory for large results, used again: a fresh page costs more at its first touch than the kernel that fills it.

malloc maps and unmaps everything beyond 32 MB anew (measured at 64 MB: .56 ns a float32 fresh, .27 reused). Here a
block comes back when the last array over it dies, whoever held it, and the next result of about its size takes it.
"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

FROM_BYTES = 32 << 20
KEPT_BYTES = 1 << 30  # free blocks beyond this go back to the system, those unused for longest first
ALIGNMENT = 64  # whole cache lines, which non-temporal stores need
_SLACK = 1.25  # a block serves what is at most so much smaller than it

Block = np.ndarray[Any, Any]

# Blocks come and go from any thread, also inside a garbage collection: only the deque's own operations are used, which
# are atomic, and no lock is held that the collector could wait for.
_free: collections.deque[Block] = collections.deque()


def take(nbytes: int) -> Block:
    """Uninitialised bytes, aligned to 64. Those of FROM_BYTES or more return here when no array over them is left."""
    if nbytes < FROM_BYTES:
        memory = np.empty(nbytes + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        return memory[start : start + nbytes]
    block = _reuse(nbytes + ALIGNMENT)
    return np.asarray(_Lease(np.empty(nbytes + ALIGNMENT, np.uint8) if block is None else block, nbytes))


def release() -> int:
    """Gives all free blocks back to the system; how many bytes they were."""
    freed = 0
    while (block := _pop()) is not None:
        freed += block.nbytes
    return freed


class _Lease:
    """Owner of a block while arrays lie over it."""

    def __init__(self, block: Block, nbytes: int) -> None:
        self.block = block
        start = block.ctypes.data
        address = start + -start % ALIGNMENT
        self.__array_interface__ = {"version": 3, "shape": (nbytes,), "typestr": "|u1", "data": (address, False)}

    def __del__(self) -> None:
        _free.append(self.block)
        while sum(block.nbytes for block in tuple(_free)) > KEPT_BYTES:
            _pop()


def _reuse(nbytes: int) -> Block | None:
    """A free block of about the size."""
    others = []
    found = None
    while found is None and (block := _pop()) is not None:
        if nbytes <= block.nbytes <= nbytes * _SLACK:
            found = block
        else:
            others.append(block)
    _free.extendleft(reversed(others))
    return found


def _pop() -> Block | None:
    try:
        return _free.popleft()
    except IndexError:
        return None
