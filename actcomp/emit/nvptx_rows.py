"""NVPTX kernels over matrices with a parameter for each column: a thread takes some columns of CHUNK_ROWS rows.

The parameters are loaded once, before the rows, and what their gradients sum is added up row by row in float64.
"""

from __future__ import annotations

from .convert import convert
from .entry import CHUNK_ROWS
from .llvm import vector
from .nvptx_frame import ACCESS_BYTES, Frame, alignment
from .nvptx_writer import GLOBAL


def emit_rows(frame: Frame) -> None:
    """The code between ``start`` and ``finish``: vectors of columns if all operands allow, else single columns."""
    more = frame.compute(f"add i64 %rows, {CHUNK_ROWS - 1}")
    chunks = frame.compute(f"sdiv i64 {more}, {CHUNK_ROWS}")
    bits = frame.compute(f"and i64 %columns, {frame.each - 1}")
    for operand in (*frame.inputs, *frame.outputs):
        address = frame.compute(f"ptrtoint {GLOBAL} {operand.address} to i64")
        odd = frame.compute(f"and i64 {address}, {alignment(frame.each, operand.type) - 1}")
        bits = frame.compute(f"or i64 {bits}, {odd}")
    is_wide = frame.compute(f"icmp eq i64 {bits}, 0")
    for lanes, prefix in ((frame.each, "wide"), (1, "single")):
        groups = frame.compute(f"sdiv i64 %columns, {lanes}")
        items = frame.compute(f"mul i64 {groups}, {chunks}")
        arms = f"i64 {items}, i64 0" if lanes > 1 else f"i64 0, i64 {items}"
        _emit(frame, lanes, prefix, groups, frame.compute(f"select i1 {is_wide}, {arms}"))


def _emit(frame: Frame, lanes: int, prefix: str, groups: str, items: str) -> None:
    values = frame.group(lanes, prefix)
    doubles = vector("double", values.each)
    zero = "zeroinitializer" if values.each > 1 else "0.0"
    sums = [(index, number) for index in range(len(frame.sums)) for number in range(len(values.parts))]
    # As many turns for each thread, so that a warp stays together.
    most = frame.compute(f"call i64 @llvm.smin.i64(i64 %rows, i64 {CHUNK_ROWS})")
    vectors = [operand for operand in frame.inputs if operand.name[:2] == "p."]
    matrices = [operand for operand in (*frame.inputs, *frame.outputs) if operand not in vectors]

    def body(turn: str, _: list[str]) -> list[str]:
        item = frame.compute(f"add i64 {turn}, %tid")
        exists = frame.compute(f"icmp slt i64 {item}, {items}")
        chunk = frame.compute(f"udiv i64 {item}, {groups}")
        before = frame.compute(f"mul i64 {chunk}, {groups}")
        group = frame.compute(f"sub i64 {item}, {before}")
        column = frame.compute(f"mul i64 {group}, {lanes}")
        frame.load(values, frame.contiguous(column, vectors), exists)
        row = frame.compute(f"mul i64 {chunk}, {CHUNK_ROWS}")
        left = frame.compute(f"sub i64 %rows, {row}")
        own = frame.compute(f"select i1 {exists}, i64 {left}, i64 0")
        above = frame.compute(f"mul i64 {row}, %columns")
        first = frame.compute(f"add i64 {above}, {column}")

        def one_row(number: str, totals: list[str]) -> list[str]:
            inside = frame.compute(f"icmp slt i64 {number}, {own}")
            offset = frame.compute(f"mul i64 {number}, %columns")
            addresses = frame.contiguous(frame.compute(f"add i64 {first}, {offset}"), matrices)
            frame.load(values, addresses, inside)
            frame.store(values, addresses, inside)
            results = []
            for (index, place), total in zip(sums, totals, strict=True):
                part, summed = values.parts[place], frame.sums[index].value
                value = convert(part, part.name(summed), frame.program.type_of(summed), "f64")
                kept = frame.compute(f"select i1 {inside}, {doubles} {value}, {doubles} {zero}")
                results.append(frame.compute(f"fadd {doubles} {total}, {kept}"))
            return results

        totals = frame.loop("0", "1", most, one_row, [(doubles, zero)] * len(sums))
        if totals:
            above = frame.compute(f"mul i64 {chunk}, %columns")
            place = frame.compute(f"add i64 {above}, {column}")
            with frame.only(exists):
                for (index, number), total in zip(sums, totals, strict=True):
                    base = frame.compute(f"getelementptr double, {GLOBAL} %t{index}, i64 {place}")
                    slot = frame.compute(f"getelementptr double, {GLOBAL} {base}, i64 {number * values.each}")
                    frame.line(f"store {doubles} {total}, {GLOBAL} {slot}, align {min(ACCESS_BYTES, 8 * values.each)}")
        return []

    frame.loop("%first", "%threads", items, body)
