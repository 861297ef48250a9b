"""Native: a Program as machine code of this CPU, run on addresses. No arrays here; arrays.py is built on top.

Life of a kernel::

    target = cpu.host()                                  # emit.target.Target; ACTCOMP_CPU restricts it
    key    = native.cache_key(program, target)           # text; the same key has the same object code
    code   = native.compile_object(program, target)      # bytes, 5-15 ms; what a disk cache stores
    kernel = native.load(program, target, code)          # Native, about 1 ms

    kernel.run(addresses, shape, strides, uniforms)      # all shapes and strides, any number of threads, GIL released

Operands are, in this order, the element inputs and then the element outputs of the Program, each in the order of
declaration (``kernel.operands``). An element of type b takes one byte (0 or 1), i16 and f16 two, and so on
(``Operand.itemsize``). Nothing is checked: shapes, overlap, writability are the caller's business. In-place (an output
exactly on an input of the same itemsize, same strides) is safe; any other overlap is not. Addresses need no alignment.

Results larger than the last-level cache are stored past it by a second variant of the code, with the same bits:
``load(program, target, code, fetch)`` calls ``fetch()`` for its object code the first time that it is needed (default:
``compile_object(program, target, streaming=True)``; its key: ``cache_key(program, target, streaming=True)``).

Also: ``threads.set_limit(n)`` (None: no limit of ours), ``threads.limit()``, ``threads.attach()`` after a framework
with an OpenMP pool was imported. Fast calls on NumPy arrays with no Python in between: fastcall.Entry::

    entry = Entry("mish", fallback)             # fallback(*args, **kwargs) takes every call that is not plain
    entry.add(numpy.dtype("float32"), kernel, uniforms)   # after the first call with this dtype; at most 4 dtypes
    entry.call(x)  entry.call(x, buf)  entry.call(x, out=buf)      # a builtin function; itself holds the entry alive

A class whose ``__call__`` attribute is ``entry.call`` itself (builtins do not bind) has instances called at its speed.
"""

from __future__ import annotations

import ctypes
import math
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..emit.block import element_inputs, element_outputs, sum_outputs, uniform_inputs
from ..emit.target import Target
from ..program.interpreter import SUM_RUN
from ..program.program import Program

ITEMSIZE = {"b": 1, "i16": 2, "i32": 4, "i64": 8, "f16": 2, "f32": 4, "f64": 8}


@dataclass(frozen=True, slots=True)
class Operand:
    """One array that a kernel reads or writes."""

    name: str
    type: str
    is_output: bool

    @property
    def itemsize(self) -> int:
        return ITEMSIZE[self.type]


class Uniforms:
    """Values of the uniform inputs in memory that kernels read: one slot of 8 bytes each, at ``address``.

    Setting an item changes the value for later calls; keep the object alive as long as its address is in use."""

    def __init__(self, types: Sequence[str], values: Sequence[float]) -> None:
        ...

    def __setitem__(self, index: int, value: float) -> None:
        """The value is rounded once to the type; integers for integer types."""

    @property
    def address(self) -> int: ...


class Native:
    """A loaded kernel. Safe to call from several threads at once; lives as long as something refers to it."""

    program: Program
    target: Target
    operands: tuple[Operand, ...]      # element inputs, then element outputs
    uniforms: tuple[str, ...]          # names of the uniform inputs, in order
    sums: tuple[str, ...]              # names of the sum outputs, in order
    block_address: int                 # void block(void **pointers, int64 begin, int64 end): emit/block.py
    record_address: int                # the kernel's record for emit/driver.py's run: native frameworks' handlers use it

    def pack(self, values: Sequence[float]) -> Uniforms:
        """Memory with the values of the uniform inputs, in order, for many calls."""

    def run(
        self,
        addresses: Sequence[int],
        shape: Sequence[int],
        strides: Sequence[Sequence[int]] | None = None,
        uniforms: Uniforms | Sequence[float] = (),
    ) -> tuple[float, ...]:
        """Runs the kernel over all elements; returns the sums, in order of ``self.sums`` (empty if there are none).

        ``addresses``: one of each operand. ``shape``: lengths of the axes, outermost first (walk() of layout.py; at
        most 32 axes); ``strides[k]``: bytes from one element of operand k to the next along each axis, 0 to repeat;
        None: all operands are contiguous and the product of the shape counts. Sums go over C order of ``shape``."""
