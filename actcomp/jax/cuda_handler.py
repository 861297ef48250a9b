"""A loaded handler of cuda_handler_ir.py with its table: which kernels it launches, with what."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..emit.entry import WARP, Entry
from ..program.interpreter import SUM_RUN
from ..runtime import cpu, native
from .cuda_handler_ir import (
    ARGUMENT,
    CONSTANT,
    COUNT,
    LAUNCH_WORDS,
    PARTIALS,
    RESULT,
    RUNS,
    TABLE_WORDS,
    cuda_handler_text,
)


@dataclass(frozen=True)
class Launch:
    """One kernel of a custom call: a CUkernel handle for each device, elements of a block (0: one block, whatever the
    count), threads of a block, and the parameters as pairs of a kind of cuda_handler_ir.py and a value."""

    handles: tuple[int, ...]
    each: int
    threads: int
    parameters: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class DriverFunctions:
    """Addresses of three functions of the CUDA driver."""

    launch_kernel: int
    get_device: int
    get_function: int


def launch_of(entry: Entry, handles: Sequence[int], inputs: int) -> Launch:
    """The launch of a ``dense`` entry, whose custom call has so many element inputs, then the uniform inputs as arrays
    of one element; its results are the element outputs, a number for each sum, and the memory for the partials."""
    parameters = []
    for argument in entry.arguments:
        match argument.role:
            case "operand" if argument.index < inputs:
                parameters.append((ARGUMENT, argument.index))
            case "operand":
                parameters.append((RESULT, argument.index - inputs))
            case "address":
                parameters.append((ARGUMENT, inputs + argument.index))
            case "uniform":
                parameters.append((CONSTANT, 0))  # not read: the address is there
            case "count":
                parameters.append((COUNT, 0))
            case "partials":
                parameters.append((PARTIALS, argument.index))
            case "constant":
                parameters.append((CONSTANT, argument.value))
            case role:
                raise ValueError(f"no dense kernel has an argument {role}")
    each = SUM_RUN * (entry.threads // WARP) if entry.has_sums else entry.each * entry.threads
    return Launch(tuple(handles), each, entry.threads, tuple(parameters))


def total_launch(handles: Sequence[int], index: int, result: int) -> Launch:
    """The launch of a kernel ``total_<dtype>`` of emit/totals.py: the partials of a sum to the number, that result."""
    return Launch(tuple(handles), 0, WARP, ((PARTIALS, index), (RESULT, result), (RUNS, 0)))


class Handler:
    """Alive as long as XLA may call ``address``. ``most_blocks``: to launch at most, for each device."""

    def __init__(
        self,
        launches: Sequence[Launch],
        most_blocks: Sequence[int],
        functions: DriverFunctions,
        arguments: int,
        results: int,
        minor_version: int,
    ) -> None:
        self._kept: list[Any] = [cpu.load(_object(), ("handler", "table"))]
        addresses = self._kept[0].addresses
        self.address: int = addresses["handler"]
        records = []
        for launch in launches:
            words = self._words([word for pair in launch.parameters for word in pair])
            records += [self._words(launch.handles), launch.each, launch.threads, len(launch.parameters), words]
        assert len(records) == LAUNCH_WORDS * len(launches)
        calls = [functions.launch_kernel, functions.get_device, functions.get_function]
        table = (ctypes.c_int64 * TABLE_WORDS).from_address(addresses["table"])
        table[:] = [
            *calls, minor_version, len(most_blocks), self._words(most_blocks),
            arguments, results, len(launches), self._words(records),
        ]  # fmt: skip

    def _words(self, values: Sequence[int]) -> int:
        """The address of memory that holds them."""
        memory = (ctypes.c_int64 * max(1, len(values)))(*values)
        self._kept.append(memory)
        return ctypes.addressof(memory)


@lru_cache(maxsize=1)
def _object() -> bytes:
    text = cuda_handler_text(cpu.host())
    return native.cached_object(f"jax cuda handler {hashlib.sha256(text.encode()).hexdigest()}", lambda: text)
