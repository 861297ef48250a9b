"""CudaNative: a Program as kernels of CUDA devices, run on addresses. What runtime/native.py is for the CPU.

A kernel is made for each *form* (emit/entry.py) and compute capability when it is first needed. Nothing is checked and
nothing waits: shapes, overlap, lifetimes are the caller's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from ..emit.entry import Form
from ..emit.interface import element_inputs, element_outputs, sum_outputs, uniform_inputs
from ..runtime.making import LOCK
from ..runtime.native import Operand
from . import code, devices, driver
from .launcher import Launch

if TYPE_CHECKING:
    from ..program.program import Program
    from ..program.stored import StoredProgram

DENSE, ROWS = Form("dense"), Form("rows")


class CudaNative:
    """One of the Programs that are compiled together into a module, by name.

    ``operands``: element inputs, then element outputs. ``uniforms``, ``sums``: names, in order."""

    def __init__(self, programs: Mapping[str, Program | StoredProgram], name: str, backend: str) -> None:
        program = programs[name]
        self.programs, self.name, self.backend = programs, name, backend
        inputs = [Operand(entry.name, entry.type, False) for entry in element_inputs(program)]
        outputs = [Operand(out.name, program.type_of(out.value), True) for out in element_outputs(program)]
        self.operands: tuple[Operand, ...] = (*inputs, *outputs)
        self.uniforms: tuple[str, ...] = tuple(entry.name for entry in uniform_inputs(program))
        self.sums: tuple[str, ...] = tuple(output.name for output in sum_outputs(program))
        self._launches: dict[tuple[int, Form], Launch] = {}

    def launch_of(self, device: int, form: Form) -> Launch:
        """The prepared launch on a device, made once."""
        found = self._launches.get((device, form))
        if found is None:
            with LOCK:
                found = self._launches.get((device, form))
                if found is None:
                    where = devices.device(device)
                    with code.at_work(where):
                        entry, handle = code.kernels(self.programs, form, where.capability, self.backend)[self.name]
                        driver.get().prepare(handle)
                    found = self._launches[device, form] = Launch(entry, handle, where)
        return found

    def run(
        self,
        device: int,
        stream: int,
        addresses: Sequence[int],
        shape: Sequence[int],
        strides: Sequence[Sequence[int]] | None,
        uniforms: Sequence[float | int],
        partials: Sequence[int] = (),
    ) -> None:
        """Launches over all elements. ``addresses``, ``shape``, ``strides`` as for Native.run. ``uniforms``: for each
        uniform input a float, its value, or an int, the address of one in device memory. ``partials``: for each sum
        the address of a double for each run."""
        count = prod(shape)
        if count == 0:
            return
        form = DENSE if strides is None else Form("strided", len(shape))
        self.launch_of(device, form).run(
            stream, addresses, uniforms, partials, count=count, shape=shape, strides=strides or ()
        )

    def run_rows(
        self,
        device: int,
        stream: int,
        addresses: Sequence[int],
        rows: int,
        columns: int,
        uniforms: Sequence[float | int],
        partials: Sequence[int] = (),
    ) -> None:
        """The form ``rows``."""
        if rows * columns:
            self.launch_of(device, ROWS).run(
                stream, addresses, uniforms, partials, count=rows * columns, rows=rows, columns=columns
            )
