"""NVPTX kernels with sums: a warp takes a run of SUM_RUN elements, its lanes are those of the fixed tree.

Lane l adds elements l, l + 32, ... of the run in order, so that a vector of neighbours, as it is loaded and stored,
belongs to several lanes: what is added up goes through shared memory, written as vectors, read back across.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..program.interpreter import SUM_LANES, SUM_RUN
from .convert import convert
from .entry import THREADS, WARP
from .interface import BYTES
from .llvm import SCALAR
from .nvptx_dense import first_border
from .nvptx_frame import ACCESS_BYTES, Frame, Group, Place, alignment
from .nvptx_writer import GLOBAL, Writer

SHARED = "ptr addrspace(3)"


def emit_runs(frame: Frame, count: str, place: Place, is_wide: bool) -> None:
    """The code between ``start`` and ``finish`` with sums; ``is_wide``: whole vectors where all operands allow."""
    warp = frame.compute("add i64 %first, %tid")
    warp = frame.compute(f"lshr i64 {warp}, 5")
    warps = frame.compute("lshr i64 %threads, 5")
    full = frame.compute(f"add i64 {count}, {SUM_RUN - 1}")
    runs = frame.compute(f"sdiv i64 {full}, {SUM_RUN}")
    single = frame.group(1, "single")
    tile, multiple = frame.each * WARP, ""
    if is_wide:
        start, is_aligned = first_border(frame)
        is_first = frame.compute(f"icmp eq i64 {start}, 0")
        is_usable = frame.compute(f"and i1 {is_first}, {is_aligned}")
        multiple = frame.compute(f"select i1 {is_usable}, i64 -{tile}, i64 0")
        wide = frame.group(frame.each, "wide")
        across = _Across(frame)
    sums = range(len(frame.sums))

    zeros = [("double", "0.0")] * len(frame.sums)

    def body(run: str, _: list[str]) -> list[str]:
        begin = frame.compute(f"mul i64 {run}, {SUM_RUN}")
        left = frame.compute(f"sub i64 {count}, {begin}")
        length = frame.compute(f"call i64 @llvm.smin.i64(i64 {left}, i64 {SUM_RUN})")
        end = frame.compute(f"add i64 {begin}, {length}")
        totals, middle = zeros, begin
        if is_wide:
            whole = frame.compute(f"and i64 {length}, {multiple}")
            middle = frame.compute(f"add i64 {begin}, {whole}")
            mine = frame.compute(f"mul i64 %lane, {frame.each}")

            def vectors(base: str, accumulated: list[str]) -> list[str]:
                addresses = frame.contiguous(frame.compute(f"add i64 {base}, {mine}"))
                frame.load(wide, addresses, None)
                frame.store(wide, addresses, None)
                return [across.add(wide, index, accumulated[index]) for index in sums]

            totals = [("double", name) for name in frame.loop(begin, str(tile), middle, vectors, zeros)]

        def elements(base: str, accumulated: list[str]) -> list[str]:
            element = frame.compute(f"add i64 {base}, %lane")
            inside = frame.compute(f"icmp slt i64 {element}, {end}")
            addresses = place(element)
            frame.load(single, addresses, inside)
            frame.store(single, addresses, inside)
            results = []
            for output, total in zip(frame.sums, accumulated, strict=True):
                type = frame.program.type_of(output.value)
                value = convert(single.parts[0], single.parts[0].name(output.value), type, "f64")
                kept = frame.compute(f"select i1 {inside}, double {value}, double 0.0")
                results.append(frame.compute(f"fadd double {total}, {kept}"))
            return results

        added = frame.loop(middle, str(WARP), end, elements, totals)
        store_first(frame, run, {f"%t{index}": tree(frame, total) for index, total in enumerate(added)})
        return []

    frame.loop(warp, warps, runs, body)


class _Across:
    """The values of a vector of each thread, turned to the lanes that add them."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        bytes = WARP * frame.each * max(BYTES[frame.program.type_of(output.value)] for output in frame.sums)
        name = f"@across.{frame.name}"
        whole = f"[{THREADS // WARP * bytes} x i8]"
        frame.shared[name] = f"{name} = internal addrspace(3) global {whole} undef, align {ACCESS_BYTES}"
        warp = frame.compute("lshr i64 %tid, 5")
        offset = frame.compute(f"mul i64 {warp}, {bytes}")
        self.base = frame.compute(f"getelementptr i8, {SHARED} {name}, i64 {offset}")
        self.single = frame.group(1, "across").parts[0]

    def add(self, group: Group, index: int, total: str) -> str:
        """The total and one value more of each row of WARP elements, in order."""
        frame, value = self.frame, self.frame.sums[index].value
        type = frame.program.type_of(value)
        scalar = SCALAR[type]
        frame.line("call void @llvm.nvvm.bar.warp.sync(i32 -1)")
        first = frame.compute(f"mul i64 %lane, {group.lanes}")
        for number, part in enumerate(group.parts):
            mine = frame.compute(f"add i64 {first}, {number * part.lanes}")
            slot = frame.compute(f"getelementptr {scalar}, {SHARED} {self.base}, i64 {mine}")
            words = f"store {part.type_text(type)} {part.name(value)}, {SHARED} {slot}"
            frame.line(f"{words}, align {alignment(part.lanes, type)}")
        frame.line("call void @llvm.nvvm.bar.warp.sync(i32 -1)")
        for row in range(group.lanes):
            place = frame.compute(f"add i64 %lane, {row * WARP}")
            at = frame.compute(f"getelementptr {scalar}, {SHARED} {self.base}, i64 {place}")
            one = frame.compute(f"load {scalar}, {SHARED} {at}")
            total = frame.compute(f"fadd double {total}, {convert(self.single, one, type, 'f64')}")
        return total


def tree(writer: Writer, total: str) -> str:
    """The sum of the lanes' totals, in lane 0: lane j + lane j+16, then 8, 4, 2, 1."""
    width = SUM_LANES
    while width > 1:
        width //= 2
        bits = writer.compute(f"bitcast double {total} to i64")
        low = writer.compute(f"trunc i64 {bits} to i32")
        shifted = writer.compute(f"lshr i64 {bits}, 32")
        high = writer.compute(f"trunc i64 {shifted} to i32")
        halves = []
        for half in (low, high):
            moved = writer.compute(f"call i32 @llvm.nvvm.shfl.sync.down.i32(i32 -1, i32 {half}, i32 {width}, i32 31)")
            halves.append(writer.compute(f"zext i32 {moved} to i64"))
        upper = writer.compute(f"shl i64 {halves[1]}, 32")
        joined = writer.compute(f"or i64 {upper}, {halves[0]}")
        other = writer.compute(f"bitcast i64 {joined} to double")
        total = writer.compute(f"fadd double {total}, {other}")
    return total


def store_first(writer: Writer, place: str, results: Mapping[str, str]) -> None:
    """Lane 0 stores each double at the place of an array of doubles: results by name of the array."""
    with writer.only(writer.compute("icmp eq i64 %lane, 0")):
        for array, result in results.items():
            slot = writer.compute(f"getelementptr double, {GLOBAL} {array}, i64 {place}")
            writer.line(f"store double {result}, {GLOBAL} {slot}")
