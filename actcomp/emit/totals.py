"""NVPTX kernels that belong to no Program: they add partials up, and arrays along axes, in the order that fixes bits.

``totals(target)``: one module with, for each dtype f64, f32, f16, bf16 of the results (doubles are rounded once):

- ``total_<dtype>(ptr partials, ptr result, i64 runs)``: result[0] = partials[0] + partials[1] + ..., in this order; one
  thread works, so that one block is enough;
- ``column_totals_<dtype>(ptr partials, ptr result, i64 chunks, i64 columns)``: result[c] = the sum of
  partials[chunk * columns + c] over chunks in order; a thread for each column;
- ``reduce_totals_<dtype>(ptr partials, ptr result, i64 runs, i64 kept)``: result[k] = the sum of
  partials[k * runs + run] over runs in order; a thread for each k.

``reduce(kept, dropped, dtype, target)``: one module with ``reduce_<dtype>``, the sums of runtime/reduce.py over the
dropped axes of a strided array of the dtype: ``(ptr values, ptr partials, i64 lengths of the kept axes, then of the
dropped ones, i64 strides in bytes of the kept axes, then of the dropped ones)``, each outermost first. A warp takes a
run of SUM_RUN elements of one kept index and writes partials[index * runs + run], where runs is the number of elements
along the dropped axes (1 if there are none) divided by SUM_RUN, rounded up; ``reduce_totals_<dtype>`` does the rest.

Any number of blocks of at most THREADS threads, a multiple of 32, computes the right thing.
"""

from __future__ import annotations

from collections.abc import Callable

from ..program.builder import Builder
from ..program.interpreter import SUM_LANES, SUM_RUN
from ..program.program import Program
from ..program.storage import STORAGE_TYPE, bfloat16_to_float32, float32_to_bfloat16
from .convert import narrow_to_odd
from .interface import BYTES
from .llvm import STORED
from .nvptx_sums import store_first, tree
from .nvptx_writer import GLOBAL, Values, Writer, module
from .target import Target

DTYPES = ("f64", "f32", "f16", "bf16")
BATCH = 16  # loads in flight while the batch before is added; additions have to wait for one another


def totals(target: Target) -> str:
    """The module of the kernels that add up partials."""
    functions: list[str] = []
    for dtype in DTYPES:
        functions += _ordered(target, f"total_{dtype}", dtype, ["runs"], lambda item: ("0", "1"))
        functions += _ordered(target, f"column_totals_{dtype}", dtype, ["chunks", "columns"], lambda c: (c, "%columns"))
        functions += _ordered(target, f"reduce_totals_{dtype}", dtype, ["runs", "kept"], lambda k: (k, ""))
    return module(target, [], functions)


def _ordered(
    target: Target, name: str, dtype: str, counts: list[str], place: Callable[[str], tuple[str, str]]
) -> list[str]:
    """A kernel whose thread adds ``counts[0]`` doubles in order, for each of ``counts[1]`` results (or one).

    ``place``: from the number of the result to the index of its first double and the step to the next; no step: they
    lie side by side, those of each result after the other."""
    writer = Writer(target)
    writer.head(name, [f"{GLOBAL} %partials", f"{GLOBAL} %result", *(f"i64 %{count}" for count in counts)])
    length = f"%{counts[0]}"

    def body(turn: str, _: list[str]) -> list[str]:
        item = writer.compute(f"add i64 {turn}, %tid")
        inside = writer.compute(f"icmp slt i64 {item}, {f'%{counts[1]}' if len(counts) > 1 else '1'}")
        with writer.only(inside):
            first, step = place(item)
            if not step:
                first, step = writer.compute(f"mul i64 {item}, {length}"), "1"
            total = _add_in_order(writer, first, step, length)
            _store_rounded(writer, total, dtype, item)
        return []

    writer.loop("%first", "%threads", "1" if len(counts) == 1 else f"%{counts[1]}", body)
    return writer.finish()


def _add_in_order(writer: Writer, first: str, step: str, length: str) -> str:
    """0.0 + partials[first] + partials[first + step] + ...: the next batch is on its way while one is added."""

    def load(number: str) -> str:
        offset = writer.compute(f"mul i64 {number}, {step}")
        index = writer.compute(f"add i64 {first}, {offset}")
        address = writer.compute(f"getelementptr double, {GLOBAL} %partials, i64 {index}")
        return writer.compute(f"load double, {GLOBAL} {address}")

    batches = writer.compute(f"sdiv i64 {length}, {BATCH}")
    whole = writer.compute(f"mul i64 {batches}, {BATCH}")
    before_last = writer.compute(f"sub i64 {whole}, {BATCH}")
    has_batch = writer.compute(f"icmp sgt i64 {batches}, 0")
    start, tag = writer.label, writer.tag("batch")
    writer.line(f"br i1 {has_batch}, label %{tag}, label %{tag}.done")
    writer.block(tag)
    ahead = [load(str(index)) for index in range(BATCH)]

    def batch(number: str, carried: list[str]) -> list[str]:
        # The last turn loads its own batch again, so that there is no branch.
        following = writer.compute(f"add i64 {number}, {BATCH}")
        following = writer.compute(f"call i64 @llvm.smin.i64(i64 {following}, i64 {before_last})")
        loaded = [load(writer.compute(f"add i64 {following}, {index}")) for index in range(BATCH)]
        total = carried[0]
        for value in carried[1:]:
            total = writer.compute(f"fadd double {total}, {value}")
        return [total, *loaded]

    carried = [("double", "0.0"), *(("double", value) for value in ahead)]
    total = writer.loop("0", str(BATCH), whole, batch, carried)[0]
    end = writer.label
    writer.line(f"br label %{tag}.done")
    writer.block(f"{tag}.done")
    joined = writer.compute(f"phi double [0.0, %{start}], [{total}, %{end}]")

    def single(number: str, carried: list[str]) -> list[str]:
        return [writer.compute(f"fadd double {carried[0]}, {load(number)}")]

    return writer.loop(whole, "1", length, single, [("double", joined)])[0]


def _store_rounded(writer: Writer, total: str, dtype: str, index: str) -> None:
    """result[index] = the double, rounded once to the dtype."""
    program = _rounding(dtype)
    values = Values(writer, program, 1, "rounded", votes=False)
    values.inputs["x"] = narrow_to_odd(values, total) if dtype == "bf16" else total
    values.demand([program.outputs[0].value])
    stored = STORED[STORAGE_TYPE[dtype]]
    address = writer.compute(f"getelementptr {stored}, {GLOBAL} %result, i64 {index}")
    writer.line(f"store {stored} {values.name(program.outputs[0].value)}, {GLOBAL} {address}")


def _rounding(dtype: str) -> Program:
    builder = Builder(f"round_{dtype}")
    x = builder.input("x", "f32" if dtype == "bf16" else "f64")
    builder.output("y", float32_to_bfloat16(x) if dtype == "bf16" else x.convert(STORAGE_TYPE[dtype]))
    return builder.build()


def _widening(dtype: str) -> Program:
    builder = Builder(f"widen_{dtype}")
    x = builder.input("x", STORAGE_TYPE[dtype])
    builder.output("y", (bfloat16_to_float32(x) if dtype == "bf16" else x).convert("f64"))
    return builder.build()


def reduce(kept: int, dropped: int, dtype: str, target: Target) -> str:
    """The module of ``reduce_<dtype>`` for so many kept and dropped axes."""
    names = [*(f"k{axis}" for axis in range(kept)), *(f"d{axis}" for axis in range(dropped))]
    writer = Writer(target)
    arguments = [f"i64 %length.{name}" for name in names] + [f"i64 %stride.{name}" for name in names]
    writer.head(f"reduce_{dtype}", [f"{GLOBAL} %values", f"{GLOBAL} %partials", *arguments])
    counts = []
    for part in (names[:kept], names[kept:]):
        count = "1"
        for name in part:
            count = writer.compute(f"mul i64 {count}, %length.{name}")
        counts.append(count)
    sums, count = counts
    full = writer.compute(f"add i64 {count}, {SUM_RUN - 1}")
    runs = writer.compute(f"sdiv i64 {full}, {SUM_RUN}")
    items = writer.compute(f"mul i64 {sums}, {runs}")
    thread = writer.compute("add i64 %first, %tid")
    warp = writer.compute(f"lshr i64 {thread}, 5")
    warps = writer.compute("lshr i64 %threads, 5")
    program, type = _widening(dtype), STORAGE_TYPE[dtype]

    def body(item: str, _: list[str]) -> list[str]:
        index = writer.compute(f"udiv i64 {item}, {runs}")
        before = writer.compute(f"mul i64 {index}, {runs}")
        run = writer.compute(f"sub i64 {item}, {before}")
        base = _address(writer, "%values", index, names[:kept])
        begin = writer.compute(f"mul i64 {run}, {SUM_RUN}")
        stop = writer.compute(f"add i64 {begin}, {SUM_RUN}")
        end = writer.compute(f"call i64 @llvm.smin.i64(i64 {stop}, i64 {count})")

        def row(number: str, totals: list[str]) -> list[str]:
            element = writer.compute(f"add i64 {number}, %lane")
            inside = writer.compute(f"icmp slt i64 {element}, {end}")
            outside, tag = writer.label, writer.tag("load")
            writer.line(f"br i1 {inside}, label %{tag}, label %{tag}.done")
            writer.block(tag)
            address = _address(writer, base, element, names[kept:])
            loaded = writer.compute(f"load {STORED[type]}, {GLOBAL} {address}, align {BYTES[type]}")
            values = Values(writer, program, 1, "wide", votes=False)
            values.inputs["x"] = loaded
            values.demand([program.outputs[0].value])
            inner = writer.label
            writer.line(f"br label %{tag}.done")
            writer.block(f"{tag}.done")
            value = values.name(program.outputs[0].value)
            wide = writer.compute(f"phi double [0.0, %{outside}], [{value}, %{inner}]")
            return [writer.compute(f"fadd double {totals[0]}, {wide}")]

        total = writer.loop(begin, str(SUM_LANES), end, row, [("double", "0.0")])[0]
        store_first(writer, item, {"%partials": tree(writer, total)})
        return []

    writer.loop(warp, warps, items, body)
    return module(target, [], writer.finish())


def _address(writer: Writer, base: str, index: str, names: list[str]) -> str:
    """The address of the element with the number in C order of the axes."""
    for name, part in zip(names, writer.split(index, [f"%length.{name}" for name in names]), strict=True):
        offset = writer.compute(f"mul i64 {part}, %stride.{name}")
        base = writer.compute(f"getelementptr i8, {GLOBAL} {base}, i64 {offset}")
    return base
