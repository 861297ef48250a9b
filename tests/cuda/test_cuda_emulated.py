"""The index arithmetic, sums and rounding of the NVPTX kernels, run on the host: the CPU kernel's bits everywhere."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import emulation
import ml_dtypes
import numpy as np
import pytest

import actcomp as ac
from actcomp.emit.cuda_target import cuda_target
from actcomp.emit.entry import CHUNK_ROWS, Argument, Entry, Form
from actcomp.emit.nvptx import emit_cuda, entry_of
from actcomp.emit.totals import reduce, totals
from actcomp.program.builder import Builder
from actcomp.program.interpreter import SUM_RUN
from actcomp.program.program import Program
from actcomp.runtime.reduce import sum_to_axes

pytestmark = pytest.mark.skipif(not emulation.has_compiler(), reason="the emulation needs a C compiler, cc")

TARGET = cuda_target((9, 0))
NUMPY = {"f64": np.float64, "f32": np.float32, "f16": np.uint16, "bf16": np.uint16, "b": np.uint8}
SIZES = (0, 1, 31, 32, 33, 127, 128, 1023, 4095, 4096, 4097)
GUARD = 0x5A


@functools.cache
def kernel(expression: str, *parameters: str) -> ac.Kernel:
    return ac.compile(expression, parameters=dict.fromkeys(parameters, 0.75))


@functools.cache
def made(program: Program, form: Form) -> tuple[str, Entry]:
    return emit_cuda({"k": program}, TARGET, form), entry_of(program, "k", form)


def values(dtype: str, count: int, seed: int = 0, finite: bool = False) -> np.ndarray[Any, Any]:
    """Usual values with some that take slow paths, as the bits of the dtype. ``finite``: for sums, which would be NaN,
    whose sign is not defined."""
    random = np.random.default_rng(seed)
    drawn = random.standard_normal(count) * 2.0
    rare = random.random(count) < 0.02
    special = [150.0, -150.0, 0.0, -0.0, 1e-30, 88.0]
    drawn[rare] = random.choice(special if finite else [*special, np.inf, -np.inf, np.nan], rare.sum())
    if dtype == "bf16":
        return drawn.astype(ml_dtypes.bfloat16).view(np.uint16)
    return drawn.astype(np.float16).view(np.uint16) if dtype == "f16" else drawn.astype(NUMPY[dtype])


class Buffer:
    """Elements that begin so many elements after a 64-byte border, between guards."""

    def __init__(self, content: np.ndarray[Any, Any], offset: int = 0) -> None:
        size = content.itemsize
        self.memory = np.full(content.nbytes + 256, GUARD, np.uint8)
        self.start = -self.memory.ctypes.data % 64 + 64 + offset * size
        self.array = self.memory[self.start : self.start + content.nbytes].view(content.dtype)
        self.array[:] = content.ravel()
        self.address: int = self.array.ctypes.data

    def is_guarded(self) -> bool:
        end = self.start + self.array.nbytes
        return bool((self.memory[: self.start] == GUARD).all() and (self.memory[end:] == GUARD).all())


def bits(array: np.ndarray[Any, Any]) -> bytes:
    return array.tobytes()


def check_dense(
    k: ac.Kernel, variant: str, dtype: str, count: int, offsets: Sequence[int], blocks: int, in_place: bool = False
) -> None:
    """Dense kernel against the CPU: element outputs and partials."""
    native, program = k.native(variant, dtype), k.program(variant, dtype)
    text, entry = made(program, Form("dense"))
    inputs = [values(dtype, count, seed, finite=bool(native.sums)) for seed in range(native.input_count)]
    outputs = [np.zeros(count, NUMPY[dtype]) for _ in range(native.output_count)]
    settings = [0.75] * len(native.uniforms)
    sums = native.run([a.ctypes.data for a in (*inputs, *outputs)], [count], uniforms=settings)
    buffers = [Buffer(a, o) for a, o in zip(inputs, itertools.cycle(offsets), strict=False)]
    results = [Buffer(np.zeros_like(a), o) for a, o in zip(outputs, itertools.cycle(offsets[::-1]), strict=False)]
    if in_place:
        results[0] = buffers[0]
    runs = -(-count // SUM_RUN)
    partials = [np.full(runs + 1, 7.0) for _ in sums]
    arguments = emulation.argument_values(
        entry,
        operands=[b.address for b in (*buffers, *results)],
        uniforms=settings,
        partials=[p.ctypes.data for p in partials],
        count=count,
    )
    emulation.run_emulated(text, entry, arguments, blocks)
    for result, expected in zip(results, outputs, strict=True):
        assert bits(result.array) == bits(expected), (k.name, variant, dtype, count, offsets, blocks)
        assert result.is_guarded()
    for rows, total in zip(partials, sums, strict=True):
        added = 0.0
        for part in rows[:runs]:
            added += part
        assert np.float64(added).tobytes() == np.float64(total).tobytes(), (k.name, dtype, count)
        assert rows[runs] == 7.0


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16"])
@pytest.mark.parametrize("count", SIZES)
def test_dense_sizes(dtype: str, count: int) -> None:
    for blocks in (1, 3):
        check_dense(kernel("x*sigmoid(x)"), "forward", dtype, count, [0, 0], blocks)
    check_dense(kernel("x*sigmoid(x)"), "backward", dtype, count, [0, 0, 0], 2)


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16"])
def test_dense_heads(dtype: str) -> None:
    """Operands as far from a border, by each number of elements, and differently far."""
    k = kernel("x*sigmoid(x)")
    for offset in range(8):
        check_dense(k, "forward", dtype, 2077, [offset], 2)
        check_dense(k, "forward", dtype, 5, [offset], 1)
    for offsets in ([0, 1], [3, 1], [1, 2]):
        check_dense(k, "forward", dtype, 2077, offsets, 2)


def test_dense_in_place_and_more_inputs() -> None:
    for dtype in ("f32", "bf16"):
        check_dense(kernel("x*sigmoid(x)"), "forward", dtype, 3001, [1], 2, in_place=True)
        check_dense(kernel("a*b*sigmoid(b)"), "forward", dtype, 3001, [2], 40)
        check_dense(kernel("a*b*sigmoid(b)"), "backward", dtype, 3001, [1, 0], 2)
        check_dense(kernel("a*b*tanh(c)"), "forward", dtype, 3001, [0], 1)


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16"])
def test_sums(dtype: str) -> None:
    """Gradients of parameters: whole runs, parts of them, aligned or not, and element outputs in the same pass."""
    k = kernel("x*sigmoid(b*x) + c", "b", "c")
    for count, offsets, blocks in ((0, [0], 1), (1, [0], 1), (33, [0], 2), (4095, [0], 1), (12289, [0], 1)):
        check_dense(k, "backward", dtype, count, offsets, blocks)
    check_dense(k, "backward", dtype, 9000, [1], 3)
    check_dense(k, "backward", dtype, 9000, [0, 1], 1)


def check_strided(k: ac.Kernel, variant: str, dtype: str, views: Sequence[np.ndarray[Any, Any]], blocks: int) -> None:
    native, program = k.native(variant, dtype), k.program(variant, dtype)
    shape = np.broadcast_shapes(*(v.shape for v in views))
    text, entry = made(program, Form("strided", len(shape)))
    inputs = [np.broadcast_to(v, shape) for v in views]
    expected = [np.zeros(shape, NUMPY[dtype]) for _ in range(native.output_count)]
    found = [np.zeros(shape[::-1], NUMPY[dtype]).T for _ in range(native.output_count)]
    settings = [0.75] * len(native.uniforms)
    arrays = (*inputs, *expected)
    sums = native.run([a.ctypes.data for a in arrays], shape, [a.strides for a in arrays], settings)
    arrays = (*inputs, *found)
    partials = [np.zeros(max(1, -(-math.prod(shape) // SUM_RUN))) for _ in sums]
    arguments = emulation.argument_values(
        entry,
        operands=[a.ctypes.data for a in arrays],
        uniforms=settings,
        partials=[p.ctypes.data for p in partials],
        length=shape,
        stride=[a.strides for a in arrays],
    )
    emulation.run_emulated(text, entry, arguments, blocks)
    for result, right in zip(found, expected, strict=True):
        assert bits(np.ascontiguousarray(result)) == bits(right)
    for rows, total in zip(partials, sums, strict=True):
        assert np.add.accumulate(rows)[-1].tobytes() == np.float64(total).tobytes()


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "f64"])
def test_strided(dtype: str) -> None:
    """Steps, reversed axes, repeated axes, one to four axes, length 0."""
    x = values(dtype, 24 * 10 * 9).reshape(24, 10, 9)
    k = kernel("x*sigmoid(x)")
    for view in (x[::2, :, ::3], x[::-1, 1:, ::-2], x.transpose(2, 0, 1), x[:, 0, 0], x[:0], x.reshape(4, 6, 10, 9)):
        check_strided(k, "forward", dtype, [view], 2)
    two = kernel("a*sigmoid(b)")
    check_strided(two, "forward", dtype, [x, x[0, :, :1]], 3)
    check_strided(two, "backward", dtype, [x[:, :1], x[0], x[0, 0]], 1)
    x = values(dtype, 24 * 10 * 9, finite=True).reshape(24, 10, 9)
    with_sums = kernel("x*sigmoid(b*x) + c", "b", "c")
    check_strided(with_sums, "backward", dtype, [np.concatenate([x] * 5)[::2], x[:1, ::-1]], 2)
    check_strided(with_sums, "backward", dtype, [x.reshape(-1, 2).T, x[0, 0, :1]], 1)


def test_uniform_inputs_by_address() -> None:
    k = kernel("x*sigmoid(b*x) + c", "b", "c")
    x, y = values("f32", 300), np.zeros(300, np.float32)
    expected = k(x, b=1.5, c=-2.0)
    text, entry = made(k.program("forward", "f32"), Form("dense"))
    cells = np.array([1.5, -2.0], np.float32)
    for addresses in ([cells.ctypes.data, cells.ctypes.data + 4], [cells.ctypes.data, 0]):
        arguments = emulation.argument_values(
            entry, operands=[x.ctypes.data, y.ctypes.data], uniforms=[9.0, -2.0], addresses=addresses, count=300
        )
        emulation.run_emulated(text, entry, arguments, 1)
        assert bits(y) == bits(expected)


def test_truths_and_mixed_widths() -> None:
    """Operands of one, two, four and eight bytes in one kernel."""
    builder = Builder("mixed")
    half, single, double = (builder.input(name, type) for name, type in (("h", "f16"), ("s", "f32"), ("d", "f64")))
    wide = half.convert("f64") + single.convert("f64") * double
    for name, value in (("t", wide < 0.0), ("n", wide.convert("f32")), ("w", wide)):
        builder.output(name, value)
    program = builder.build()
    count = 517
    inputs = [values(dtype, count, seed) for seed, dtype in enumerate(("f16", "f32", "f64"))]
    with np.errstate(all="ignore"):
        exact = inputs[0].view(np.float16).astype(np.float64) + inputs[1].astype(np.float64) * inputs[2]
        expected = [(exact < 0).astype(np.uint8), exact.astype(np.float32), exact]
    text, entry = made(program, Form("dense"))
    for offset in (0, 1):
        buffers = [Buffer(a, offset) for a in inputs]
        results = [Buffer(np.zeros_like(a), offset) for a in expected]
        operands = [b.address for b in (*buffers, *results)]
        emulation.run_emulated(text, entry, emulation.argument_values(entry, operands=operands, count=count), 1)
        for result, right in zip(results, expected, strict=True):
            assert np.array_equal(result.array, right, equal_nan=result.array.dtype != np.uint8)
            assert result.is_guarded()


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "f64"])
@pytest.mark.parametrize("columns", [1, 3, 4, 7, 64, 4097])
def test_rows(dtype: str, columns: int) -> None:
    """A parameter for each column: elements as the CPU has them, and sums of CHUNK_ROWS rows in order."""
    k = kernel("(x + c)*sigmoid(b*x)", "b", "c")
    names = frozenset("bc")
    wide = np.float64 if dtype == "f64" else np.float32
    for rows, blocks in ((0, 1), (1, 1), (33, 2)) if columns > 1000 else ((0, 1), (1, 2), (31, 1), (70, 3)):
        x, dy = (values(dtype, rows * columns, seed).reshape(rows, columns) for seed in (0, 1))
        settings = {name: values("f64", columns, seed).astype(wide) for seed, name in enumerate("bc")}
        program = k.program("backward", dtype, names, rows=True)
        text, entry = made(program, Form("rows"))
        chunks = -(-rows // CHUNK_ROWS)
        named = {"x": x, "g.y": dy, "p.b": settings["b"], "p.c": settings["c"]}
        ordered = [named[i.name] for i in program.inputs if i.role == "element"]
        element = k.native("backward", dtype, names)
        expected = {
            o.name: np.zeros((rows, columns), wide if o.name[:4] == "d.p." else NUMPY[dtype])
            for o in element.operands
            if o.is_output
        }
        arrays = [np.broadcast_to(named[o.name], (rows, columns)) for o in element.operands if not o.is_output]
        arrays += expected.values()
        element.run([a.ctypes.data for a in arrays], (rows, columns), [a.strides for a in arrays])
        buffers, result = [Buffer(a) for a in ordered], Buffer(np.zeros((rows, columns), NUMPY[dtype]))
        partials = [Buffer(np.zeros(chunks * columns)) for _ in names]
        arguments = emulation.argument_values(
            entry,
            operands=[b.address for b in (*buffers, result)],
            partials=[p.address for p in partials],
            rows=rows,
            columns=columns,
        )
        emulation.run_emulated(text, entry, arguments, blocks)
        assert bits(result.array) == bits(expected["d.x"])
        gradients = [o.name for o in program.outputs if o.reduction == "sum"]
        for name, found in zip(gradients, partials, strict=True):
            assert found.is_guarded()
            right = np.zeros((chunks, columns))
            for row in range(rows):
                with np.errstate(invalid="ignore"):
                    right[row // CHUNK_ROWS] += expected[name][row]
            assert np.array_equal(found.array.reshape(chunks, columns), right, equal_nan=True)


def test_more_elements_than_32_bits_count() -> None:
    """2^32 + 3 elements of a strided kernel, all of which fall on seven: the blocks with the last ones are run."""
    text, entry = made(kernel("x*sigmoid(x)").program("forward", "f32"), Form("strided", 2))
    x, y = values("f32", 7), np.zeros(7, np.float32)
    lengths = (613566757, 7)  # 7 * 613566757 = 2^32 + 3
    arguments = emulation.argument_values(
        entry, operands=[x.ctypes.data, y.ctypes.data], length=lengths, stride=[[0, 4], [0, 4]]
    )
    # 2^24 blocks of 256 threads do 2^32 elements in a turn; the last three are in the second turn of the first block.
    emulation.run_emulated(text, entry, arguments, blocks=1 << 24, threads=256, only=[0, (1 << 24) - 1])
    assert bits(y) == bits(kernel("x*sigmoid(x)")(x))


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
def test_totals(dtype: str) -> None:
    """Sums of partials in order, rounded once."""
    text = totals(TARGET)
    pointers = [Argument("constant", "ptr"), Argument("constant", "ptr")]
    numbers = [Argument("count", "i64"), Argument("count", "i64")]
    size = {"f64": np.float64, "f32": np.float32}.get(dtype, np.uint16)
    for length in (0, 1, 15, 16, 17, 48, 100):
        for columns in (1, 5, 300):
            drawn = np.random.default_rng(length).standard_normal((length, columns)) * 300.0
            sums = np.zeros(columns)
            for row in drawn:
                sums = sums + row
            expected = rounded(sums, dtype)
            across = np.ascontiguousarray(drawn.T)
            for name, data in (("column_totals", drawn), ("reduce_totals", across)):
                found = np.zeros(columns + 1, size)
                arguments = [data.ctypes.data, found.ctypes.data, length, columns]
                emulation.launch(text, f"{name}_{dtype}", [*pointers, *numbers], arguments, 1, 32)
                assert bits(found[:-1]) == bits(expected), (name, length, columns)
                assert found[-1] == 0
            found = np.zeros(1, size)
            arguments = [across.ctypes.data, found.ctypes.data, length]
            emulation.launch(text, f"total_{dtype}", [*pointers, *numbers[:1]], arguments, 2, 32)
            assert bits(found) == bits(expected[:1])


def rounded(values: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    """Doubles rounded once to the dtype: for bf16 by exact comparison with the neighbours."""
    if dtype != "bf16":
        result = values.astype({"f64": np.float64, "f32": np.float32, "f16": np.float16}[dtype])
        return result.view(np.uint16) if dtype == "f16" else result
    down = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    down = down - (np.abs(down.view(ml_dtypes.bfloat16).astype(np.float64)) > np.abs(values))
    low, high = (np.uint16(down + step).view(ml_dtypes.bfloat16).astype(np.float64) for step in (0, 1))
    below, above = np.abs(values - low), np.abs(high - values)
    return np.where((above < below) | ((above == below) & (down & 1 == 1)), down + 1, down).astype(np.uint16)


def test_rounding_of_doubles_next_to_a_tie() -> None:
    """A double just beside the middle of two bf16 values, so near that f32 would say that it is the middle."""
    exact = np.array([1 + 2**-8, 1 + 2**-8 + 2**-40, 1 + 2**-8 - 2**-40, -(1 + 3 * 2**-8) + 2**-40, np.inf, 0.0])
    pointers = [Argument("constant", "ptr"), Argument("constant", "ptr")]
    counts = [Argument("count", "i64"), Argument("count", "i64")]
    found = np.zeros(len(exact), np.uint16)
    arguments = [exact.ctypes.data, found.ctypes.data, 1, len(exact)]
    emulation.launch(totals(TARGET), "column_totals_bf16", [*pointers, *counts], arguments, 1, 32)
    assert found.tolist() == [0x3F80, 0x3F81, 0x3F80, 0xBF81, 0x7F80, 0]


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
def test_reduce(dtype: str) -> None:
    """Sums along axes, of strided arrays: the CPU's bits."""
    base = np.abs(values("f32", 6 * 70 * 130)).clip(0, 9)
    base = np.nan_to_num(base).astype(ml_dtypes.bfloat16).astype(np.float64).reshape(6, 70, 130)
    array = base.astype({"f64": "f8", "f32": "f4", "f16": "f2", "bf16": ml_dtypes.bfloat16}[dtype])
    for view, kept in (
        (array, (1,)), (array, ()), (array[::-1, ::2, :40], (0, 2)), (array.transpose(2, 0, 1)[::3, :2], (1, 2)),
        (array[0, 0, :33], ()), (array[:2, :3, ::20], (0, 1, 2)),
    ):  # fmt: skip
        dropped = [axis for axis in range(view.ndim) if axis not in kept]
        axes = [*kept, *dropped]
        text = reduce(len(kept), len(dropped), dtype, TARGET)
        sums = math.prod(view.shape[axis] for axis in kept)
        runs = -(-math.prod(view.shape[axis] for axis in dropped) // SUM_RUN)
        partials, found = np.zeros(sums * runs), np.zeros(sums)
        pointers = [Argument("constant", "ptr"), Argument("constant", "ptr")]
        arguments = [view.ctypes.data, partials.ctypes.data]
        arguments += [view.shape[axis] for axis in axes] + [view.strides[axis] for axis in axes]
        kinds = [*pointers, *[Argument("length", "i64")] * (2 * len(axes))]
        emulation.launch(text, f"reduce_{dtype}", kinds, arguments, 2, 64)
        numbers = [Argument("count", "i64"), Argument("count", "i64")]
        arguments = [partials.ctypes.data, found.ctypes.data, runs, sums]
        emulation.launch(totals(TARGET), "reduce_totals_f64", [*pointers, *numbers], arguments, 2, 64)
        assert bits(found) == bits(np.ascontiguousarray(sum_to_axes(view.astype(np.float64), kept)))
