"""NVPTX kernels over operands of any layout: one element a thread, its place by division by the lengths.

LLVM divides by a 32-bit division, several times faster, where both numbers turn out to be that short.
"""

from __future__ import annotations

from .nvptx_frame import Frame
from .nvptx_sums import emit_runs
from .nvptx_writer import GLOBAL


def emit_strided(frame: Frame) -> None:
    """The code between ``start`` and ``finish``."""
    count = "%length0"
    for axis in range(1, frame.form.axes):
        count = frame.compute(f"mul i64 {count}, %length{axis}")

    def place(element: str) -> dict[int, str]:
        parts = frame.split(element, [f"%length{axis}" for axis in range(frame.form.axes)])
        addresses = {}
        for operand in (*frame.inputs, *frame.outputs):
            address = operand.address
            for axis, part in enumerate(parts):
                offset = frame.compute(f"mul i64 {part}, %stride{operand.index}.{axis}")
                address = frame.compute(f"getelementptr i8, {GLOBAL} {address}, i64 {offset}")
            addresses[operand.index] = address
        return addresses

    if frame.sums:
        emit_runs(frame, count, place, is_wide=False)
    else:
        frame.elements("%first", count, place)
