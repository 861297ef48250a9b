"""NVPTX kernels over contiguous operands: 16 bytes a thread at a time, and single elements before and after.

Whole vectors start at the first element that stands at a 16-byte border in every operand, which there is if all are as
far from one; else all elements go singly. Single elements are done by the last blocks, which have the least to do.
"""

from __future__ import annotations

from .interface import BYTES
from .nvptx_frame import Frame
from .nvptx_writer import GLOBAL


def emit_dense(frame: Frame) -> None:
    """The code between ``start`` and ``finish``, without sums."""
    start, is_aligned = first_border(frame)
    shift = frame.each.bit_length() - 1
    rest = frame.compute(f"sub i64 %n, {start}")
    whole = frame.compute(f"ashr i64 {rest}, {shift}")
    groups = frame.compute(f"select i1 {is_aligned}, i64 {whole}, i64 0")
    wide = frame.group(frame.each, "wide")

    def body(turn: str, _: list[str]) -> list[str]:
        group = frame.compute(f"add i64 {turn}, %tid")
        inside = frame.compute(f"icmp slt i64 {group}, {groups}")
        offset = frame.compute(f"shl i64 {group}, {shift}")
        addresses = frame.contiguous(frame.compute(f"add i64 {offset}, {start}"))
        frame.load(wide, addresses, inside)
        frame.store(wide, addresses, inside)
        return []

    frame.loop("%first", "%threads", groups, body)
    done = frame.compute(f"shl i64 {groups}, {shift}")
    left = frame.compute(f"sub i64 %n, {done}")
    after = frame.compute("sub i64 %nctaid, %ctaid")
    last = frame.compute(f"sub i64 {after}, 1")
    first = frame.compute(f"mul i64 {last}, %ntid")

    def place(number: str) -> dict[int, str]:
        is_before = frame.compute(f"icmp slt i64 {number}, {start}")
        beyond = frame.compute(f"add i64 {number}, {done}")
        return frame.contiguous(frame.compute(f"select i1 {is_before}, i64 {number}, i64 {beyond}"))

    frame.elements(first, left, place)


def first_border(frame: Frame) -> tuple[str, str]:
    """The first element, or the count, where whole vectors may start; and whether there is one for all operands."""
    ahead: list[str] = []
    is_odd: list[str] = []
    for operand in (*frame.inputs, *frame.outputs):
        size = BYTES[operand.type]
        bits = frame.compute(f"ptrtoint {GLOBAL} {operand.address} to i64")
        negative = frame.compute(f"sub i64 0, {bits}")
        elements = frame.compute(f"lshr i64 {negative}, {size.bit_length() - 1}")
        ahead.append(frame.compute(f"and i64 {elements}, {frame.each - 1}"))
        if len(ahead) > 1 and ahead[-1] != ahead[0]:
            is_odd.append(frame.compute(f"icmp ne i64 {ahead[-1]}, {ahead[0]}"))
    is_none = "false"
    for other in is_odd:
        is_none = frame.compute(f"or i1 {is_none}, {other}")
    is_aligned = frame.compute(f"xor i1 {is_none}, true")
    start = frame.compute(f"call i64 @llvm.smin.i64(i64 {ahead[0]}, i64 %n)")
    return start, is_aligned
