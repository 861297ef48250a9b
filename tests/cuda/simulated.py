"""Array kernels of emitted Python on Numba's simulator against the CPU kernels, bit for bit.

Run by itself with NUMBA_ENABLE_CUDASIM=1, for all cases at once: ``python simulated.py`` prints a JSON object, for each
case what differs, or "". Import it for CASES.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

import actcomp as ac
from actcomp.emit.entry import CHUNK_ROWS, Form
from actcomp.emit.interface import element_inputs, element_outputs, sum_outputs, uniform_inputs
from actcomp.emit.numba_kernels import TOTALS, emit_module
from actcomp.program.interpreter import SUM_RUN
from actcomp.program.program import Program

NUMPY = {"f32": np.float32, "f64": np.float64, "f16": np.int16, "i16": np.int16}
BIASED = "biased"  # (x + b)*sigmoid(x + b), b per channel
SIZES = (0, 1, 31, 32, 33, 4095, 4096, 4097)


@dataclass(frozen=True)
class Case:
    """``layouts``: for each element operand of a strided kernel how it lies; see ``laid_out``."""

    what: str
    variant: str
    dtype: str
    form: Form
    shape: tuple[int, ...]
    layouts: tuple[str, ...] = ()
    grid: tuple[int, int] = (2, 32)
    given: bool = False

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        words = [self.what, self.variant, self.dtype, str(self.form), shape, *self.layouts]
        return " ".join([*words, "given" if self.given else ""]).strip()


def _cases() -> list[Case]:
    dense, rows = Form("dense"), Form("rows")
    one, two, three = (Form("strided", axes) for axes in (1, 2, 3))
    cases = [Case("silu", "forward", "f32", dense, (size,)) for size in SIZES]
    cases += [Case("silu", "backward", dtype, dense, (33,)) for dtype in ("f32", "f64", "f16", "bf16")]
    cases += [Case(name, "forward", "f32", dense, (65,)) for name in ("snake", "gelu", "tanh", "mish")]
    cases += [
        Case("silu", "double_backward", "f32", dense, (65,)),
        Case("swiglu", "backward", "bf16", dense, (40,)),
        Case("a*b - c", "forward", "f32", dense, (100,)),
        Case("a*b - c", "backward", "f32", dense, (100,)),
        Case("swish", "forward", "f32", dense, (33,), given=True),
        *(Case("swish", "backward", "f32", dense, (size,), grid=(3, 64)) for size in (1, 33, 4096, 4097)),
        Case("swish", "backward", "bf16", dense, (2 * SUM_RUN + 5,), grid=(1, 64)),
        Case("silu", "forward", "f32", one, (37,), ("every other", "backwards")),
        Case("silu", "forward", "bf16", two, (7, 9), ("plain", "backwards")),
        Case("a*b - c", "forward", "f32", two, (8, 9), ("row", "column", "backwards", "plain")),
        Case("a*b - c", "backward", "f16", three, (3, 4, 5), ("transposed", "row", "point", *["backwards"] * 4)),
        Case("swish", "backward", "f32", two, (65, 64), ("transposed", "row", "plain"), (1, 64), given=True),
        Case("ef*sigmoid(ef_first)*y_value", "backward", "f32", two, (3, 4)),
        Case("np*fma*cuda - at1*x_at", "backward", "f64", dense, (40,)),
        Case("np*fma*cuda - at1*x_at", "forward", "bf16", two, (5, 3)),
        *(
            Case(BIASED, variant, dtype, rows, (70, 3))
            for variant in ("forward", "backward")
            for dtype in ("f32", "bf16")
        ),
        Case(BIASED, "backward", "f32", rows, (1, 40)),
        Case(BIASED, "backward", "f32", rows, (CHUNK_ROWS, 2), grid=(1, 1)),
        Case("swish", "backward", "f32", rows, (33, 2), given=True),
    ]
    return cases


CASES = {str(case): case for case in _cases()}


@cache
def kernel_of(what: str) -> ac.Kernel:
    if what == BIASED:
        return ac.compile(ac.activation("(x + b)*sigmoid(x + b)", parameters={"b": 0.0}))
    return ac.compile(what)


def channels_of(case: Case) -> frozenset[str]:
    return frozenset(kernel_of(case.what).parameters) if case.form.kind == "rows" and not case.given else frozenset()


def program_of(case: Case) -> Program:
    return kernel_of(case.what).program(case.variant, case.dtype, channels_of(case), case.form.kind == "rows")


def laid_out(shape: tuple[int, ...], layout: str, dtype: Any, fill: Any) -> tuple[Any, int, tuple[int, ...], Any]:
    """Memory, the item in it that is element 0, strides in bytes, and the elements as a view of the shape."""
    size = {"row": shape[-1], "column": shape[0], "point": 1, "every other": 2 * prod(shape)}.get(layout, prod(shape))
    memory = fill(size, dtype)
    if layout == "row":
        view = np.broadcast_to(memory, shape)
    elif layout == "column":
        view = np.broadcast_to(memory.reshape(-1, *(1 for _ in shape[1:])), shape)
    elif layout == "point":
        view = np.broadcast_to(memory.reshape((1,) * len(shape)), shape)
    elif layout == "transposed":
        view = memory.reshape(shape[::-1]).T
    elif layout == "backwards":
        view = memory.reshape(shape)[tuple(slice(None, None, -1) for _ in shape)]
    else:
        view = memory[:: 2 if layout == "every other" else 1].reshape(shape)
    first = (view.__array_interface__["data"][0] - memory.__array_interface__["data"][0]) // memory.itemsize
    return memory, first, view.strides, view


def floats(array: Any, dtype: str) -> Any:
    if array.dtype != np.int16:
        return array
    return array.view(np.float16) if dtype == "f16" else (array.astype(np.int32) << 16).view(np.float32)


def difference(found: Any, wanted: Any, dtype: str) -> str:
    found, wanted = np.ascontiguousarray(found), np.ascontiguousarray(wanted)
    bits = f"u{found.itemsize}"
    a, b = floats(found, dtype), floats(wanted, dtype)
    differs = (found.view(bits) != wanted.view(bits)) & ~(np.isnan(a) & np.isnan(b))
    return f"{differs.sum()} differ: {a[differs][:2]} for {b[differs][:2]}" if differs.any() else ""


def run(case: Case) -> str:
    program = program_of(case)
    scope: dict[str, Any] = {"__name__": "simulated"}
    exec(emit_module([("kernel", program, case.form)], tail=TOTALS), scope)
    random = np.random.default_rng(11)
    specials = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 100.0, -100.0, 3e38, -88.0, -110.0]

    def some(size: int, dtype: Any) -> Any:
        values = (random.normal(size=size) * 3).astype(np.float32)
        if not sum_outputs(program):
            values[: len(specials)] = np.array(specials, np.float32)[:size]
        if dtype != np.int16:
            return values.astype(dtype)
        return (
            values.astype(np.float16).view(np.int16)
            if case.dtype == "f16"
            else (values.view(np.int32) >> 16).astype(np.int16)
        )

    shape, kind = case.shape, case.form.kind
    layouts = iter(case.layouts)

    def operand(name: str, type: str, fill: Any) -> tuple[Any, int, tuple[int, ...], Any]:
        is_vector = kind == "rows" and name.startswith("p.")
        return laid_out(shape, "row" if is_vector else next(layouts, "plain"), NUMPY[type], fill)

    inputs = [operand(entry.name, entry.type, some) for entry in element_inputs(program)]
    outputs = [operand(o.name, program.type_of(o.value), np.zeros) for o in element_outputs(program)]
    values = [NUMPY[entry.type](0.75) for entry in uniform_inputs(program)]
    # the simulator
    tasks = -(-shape[0] // CHUNK_ROWS) * shape[-1] if kind == "rows" else -(-prod(shape) // SUM_RUN)
    partials = [np.full(tasks, np.nan) for _ in sum_outputs(program)]
    arguments: list[Any] = [memory for memory, *_ in inputs]
    for value in values:
        arguments += (
            [type(value)(9), np.array([value]), np.int64(1)]
            if case.given
            else [value, np.zeros(1, type(value)), np.int64(0)]
        )
    arguments += [memory for memory, *_ in outputs] + partials
    if kind == "rows":
        arguments += [np.int64(length) for length in shape]
    if kind == "strided":
        arguments += [np.int64(length) for length in shape]
        for _, first, strides, _ in (*inputs, *outputs):
            arguments += [np.int64(first), *map(np.int64, strides)]
    scope["kernel"][case.grid](*arguments)
    # the CPU, with parameters per channel as elements
    channels = channels_of(case)
    native = kernel_of(case.what).native(case.variant, case.dtype, channels)
    by_name = {o.name: np.zeros(shape, NUMPY[program.type_of(o.value)]) for o in program.outputs}
    wanted = [by_name[operand.name] for operand in native.operands if operand.is_output]
    views = [view for *_, view in inputs] + wanted
    addresses = [view.__array_interface__["data"][0] for view in views]
    sums = native.run(addresses, shape, [view.strides for view in views], values)
    faults = [
        difference(view, by_name[output.name], case.dtype)
        for (*_, view), output in zip(outputs, element_outputs(program), strict=True)
    ]
    if kind == "rows" and channels:
        for output, found in zip(sum_outputs(program), partials, strict=True):
            faults.append(rows_difference(scope, by_name[output.name], found))
    elif kind != "rows":
        for total, found in zip(sums, partials, strict=True):
            result = np.zeros(1)
            scope["add_runs"][1, 1](found, result)
            faults.append(difference(result, np.array([total]), "f64"))
    return "; ".join(fault for fault in faults if fault)


def rows_difference(scope: dict[str, Any], elements: Any, partials: Any) -> str:
    """Sums by columns, from the elements on the CPU: chunks of rows in order, then the chunks in order."""
    rows, columns = elements.shape
    totals = np.zeros(columns)
    wanted = []
    for start in range(0, rows, CHUNK_ROWS):
        part = np.zeros(columns)
        for row in elements[start : start + CHUNK_ROWS]:
            part = part + row.astype(np.float64)
        wanted.append(part)
        totals = totals + part
    found = np.zeros(columns)
    scope["add_chunks"][1, 2](partials, found)
    return difference(partials, np.concatenate(wanted), "f64") or difference(found, totals, "f64")


def main() -> None:
    warnings.simplefilter("ignore")  # overflow of NumPy scalars is what kernels mean
    found = {}
    for name, case in CASES.items():
        try:
            found[name] = run(case)
        except (ArithmeticError, LookupError, TypeError, ValueError, NameError, AttributeError):
            found[name] = traceback.format_exc()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
