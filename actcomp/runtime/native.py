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
    entry.call(x)  entry.call(x, out=buf)      # a builtin function; itself holds the entry alive

A class whose ``__call__`` attribute is ``entry.call`` itself (builtins do not bind) has instances called at its speed.
"""

from __future__ import annotations

import ctypes
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..emit.interface import BYTES, SETTINGS, element_inputs, element_outputs, sum_outputs, uniform_inputs
from ..emit.target import Target
from ..program.stored import StoredProgram, whole
from . import cache, cpu, threads
from .making import LOCK

if TYPE_CHECKING:
    from ..program.program import Program

STREAM_MB = (8, 32)  # results larger than the last-level cache are streamed, with the threshold kept in this range


@dataclass(frozen=True, slots=True)
class Operand:
    """One array that a kernel reads or writes."""

    name: str
    type: str
    is_output: bool

    @property
    def itemsize(self) -> int:
        return BYTES[self.type]


class Uniforms:
    """Values of the uniform inputs in memory that kernels read: one slot of 8 bytes each, at ``address``.

    Setting an item changes the value for later calls; keep the object alive as long as its address is in use."""

    def __init__(self, types: Sequence[str], values: Sequence[float]) -> None:
        if len(values) != len(types):
            raise TypeError(f"{len(values)} values for {len(types)} uniform inputs")
        self._types = tuple(types)
        self._slots = np.zeros(max(1, len(types)), dtype="<u8")
        self.address: int = self._slots.ctypes.data
        for index, value in enumerate(values):
            self[index] = value

    def __len__(self) -> int:
        return len(self._types)

    def __setitem__(self, index: int, value: float) -> None:
        """The value is rounded once to the type; integers for integer types."""
        from ..program.builder import constant_bits

        self._slots[index] = constant_bits(value, self._types[index])


class Native:
    """A loaded kernel. Safe to call from several threads at once; lives as long as something refers to it.

    ``operands``: element inputs, then element outputs. ``uniforms``, ``sums``: the names of uniform inputs and of sum
    outputs, in order. ``block_address``: the function of emit/block.py, named ``function`` in the code, which may be
    loaded already and hold other kernels' functions too. ``record_address``: the kernel's record for
    ``run`` of emit/driver.py (at ``run_address()``), which native handlers of frameworks call as well."""

    def __init__(
        self,
        program: Program | StoredProgram,
        target: Target,
        code: bytes | cpu.Code,
        fetch: Callable[[], bytes | cpu.Code] | None = None,
        function: str = "block",
    ) -> None:
        self.program, self.target = program, target
        inputs = [Operand(entry.name, entry.type, False) for entry in element_inputs(program)]
        outputs = [Operand(out.name, program.type_of(out.value), True) for out in element_outputs(program)]
        self.operands: tuple[Operand, ...] = (*inputs, *outputs)
        self.uniforms: tuple[str, ...] = tuple(entry.name for entry in uniform_inputs(program))
        self.sums: tuple[str, ...] = tuple(output.name for output in sum_outputs(program))
        self.input_count, self.output_count = len(inputs), len(outputs)
        self._uniform_types = tuple(entry.type for entry in uniform_inputs(program))
        self._fetch = fetch or (lambda: compile_object(whole(program), target, streaming=True))
        self._function = function
        self._code = code if isinstance(code, cpu.Code) else cpu.load(code, (function,))
        self._streaming: cpu.Code | None = None
        self.block_address: int = self._code.addresses[function]
        self.stored_bytes = sum(operand.itemsize for operand in outputs)
        sizes = [operand.itemsize for operand in self.operands]
        counts = [len(inputs), len(self.uniforms), len(outputs), len(self.sums)]
        self._record = np.array([self.block_address, 0, *counts, self.stored_bytes, 0, *sizes], dtype=np.int64)
        self.record_address: int = self._record.ctypes.data
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(run_address())  # lets go of the GIL
        self._last: tuple[tuple[float, ...], Uniforms] | None = None

    def pack(self, values: Sequence[float]) -> Uniforms:
        """Memory with the values of the uniform inputs, in order, for many calls."""
        return Uniforms(self._uniform_types, values)

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
        None: all operands are contiguous and the product of the shape counts. Sums go over C order of ``shape``.
        Raises TypeError if the numbers of addresses, strides or uniforms do not fit the kernel."""
        if len(addresses) != len(self.operands) or (strides is not None and len(strides) != len(self.operands)):
            raise TypeError(f"{len(addresses)} addresses for {len(self.operands)} operands")
        if not isinstance(uniforms, Uniforms):
            uniforms = self._packed_last(tuple(uniforms))
        if len(uniforms) != len(self.uniforms):
            raise TypeError(f"{len(uniforms)} values for {len(self.uniforms)} uniform inputs")
        count = math.prod(shape)
        if count == 0:
            return (0.0,) * len(self.sums)
        self.prepare(count)
        slots = [uniforms.address + 8 * index for index in range(len(self.uniforms))]
        if self.sums:
            from ..program.interpreter import SUM_RUN

            runs = -(-count // SUM_RUN)
            partials = np.empty((len(self.sums), runs))
            results = np.empty(len(self.sums))
            rows = [partials.ctypes.data + 8 * runs * index for index in range(len(self.sums))]
        else:
            rows = []
        pointers = [*addresses[: self.input_count], *slots, *addresses[self.input_count :], *rows]
        geometry = [] if strides is None or not shape else [len(shape), *shape, *(s for row in strides for s in row)]
        head = [self.record_address, 0, count, 0, results.ctypes.data if self.sums else 0, 0, 0, 0]
        job = array("q", head + pointers + geometry)  # side by side
        base = job.buffer_info()[0]
        job[1] = base + 8 * len(head)
        if geometry:
            job[3] = job[1] + 8 * len(pointers)
        self._run(base)
        return tuple(results.tolist()) if self.sums else ()

    def _packed_last(self, values: tuple[float, ...]) -> Uniforms:
        """The values packed; those of the call before are kept, since most calls bring the same."""
        last = self._last
        if last is None or last[0] != values or 0.0 in values:  # 0.0 == -0.0
            last = self._last = values, self.pack(values)
        return last[1]

    def prepare(self, count: int) -> None:
        """Before a call on so many elements from outside ``run``: finds the threads, compiles the streaming variant."""
        if count < threads.SERIAL_BELOW:
            return
        threads.ensure()
        self.prepare_streaming(count)

    def prepare_streaming(self, count: int) -> None:
        """The same for callers with threads of their own."""
        if self._streaming is None and self.output_count and count * self.stored_bytes > stream_threshold():
            with LOCK:
                if self._streaming is None:
                    code = self._fetch()
                    self._streaming = code if isinstance(code, cpu.Code) else cpu.load(code, (self._function,))
                    self._record[1] = self._streaming.addresses[self._function]


def cache_key(program: Program | StoredProgram, target: Target, streaming: bool = False) -> str:
    """Text that determines the object code, given this version of actcomp: target, variant, Program."""
    words = (cpu.llvm_version(), target, streaming, program.digest)
    return "native " + " ".join(str(word) for word in words)


def compile_object(program: Program, target: Target, streaming: bool = False) -> bytes:
    """The Program's object code. Raises ValueError if calls of elementary functions are left in it."""
    return compile_together({"block": program}, target, streaming)


def compile_together(programs: Mapping[str, Program], target: Target, streaming: bool = False) -> bytes:
    """One object with a function for each Program, by name."""
    from ..emit.block import emit_together

    return cpu.compile_ir(emit_together(programs, target, streaming), target)


def load(
    program: Program | StoredProgram, target: Target, code: bytes, fetch: Callable[[], bytes] | None = None
) -> Native:
    """The kernel of the object code, which compile_object made for the same Program and target."""
    return Native(program, target, code, fetch)


def run_address() -> int:
    """Of ``void run(int64_t *job)``, emit/driver.py."""
    return shared_code().addresses["run"]


def shared_code() -> cpu.Code:
    """The code that all kernels share: driver and fast entry, compiled once a process."""
    with LOCK:
        return _shared_code()


@lru_cache(maxsize=1)
def _shared_code() -> cpu.Code:
    names = ("run", "work", "plan", "total", "entry", "settings")
    code = cpu.load(cached_object("shared", _shared_text), names)
    settings = (ctypes.c_int64 * 16).from_address(code.addresses["settings"])
    settings[SETTINGS["stream_above"]] = stream_threshold()
    threads.bind(settings)
    return code


def _shared_text() -> str:
    from ..emit import driver
    from .entry_ir import ENTRY_TEXT

    return driver.emit_driver(cpu.host()) + ENTRY_TEXT + driver.footer(cpu.host())


def cached_object(name: str, text: Callable[[], str]) -> bytes:
    """The object code of a module of our own for this CPU, from the disk cache if it is there."""
    target = cpu.host()
    key = f"{name} {cpu.llvm_version()} {target}"
    found = cache.read(key)
    if found is not None:
        return found.payload
    code = cpu.compile_ir(text(), target)
    cache.write(key, {"kind": "object", "program": name}, code)
    return code


@lru_cache(maxsize=1)
def stream_threshold() -> int:
    """Bytes of results beyond which they are stored past the caches: the last-level cache's size, if it can be read."""
    low, high = (megabytes << 20 for megabytes in STREAM_MB)
    text = ""
    for index in (4, 3, 2):
        try:
            with open(f"/sys/devices/system/cpu/cpu0/cache/index{index}/size") as file:
                text = file.read().strip()
            break
        except OSError:
            continue
    unit = {"K": 10, "M": 20}.get(text[-1:], 0)
    digits = text.rstrip("KM")
    return min(max(int(digits) << unit, low), high) if digits.isdigit() else high
