"""NVPTX kernels over operands of any layout: one element a thread, its place by division by the lengths."""

from __future__ import annotations

from .nvptx_frame import Frame, Place
from .nvptx_sums import emit_runs
from .nvptx_writer import GLOBAL


def emit_strided(frame: Frame) -> None:
    """The code between ``start`` and ``finish``."""
    count = "%length0"
    for axis in range(1, frame.form.axes):
        count = frame.compute(f"mul i64 {count}, %length{axis}")
    is_small = frame.compute(f"icmp ule i64 {count}, {1 << 31}")
    short = [frame.compute(f"trunc i64 %length{axis} to i32") for axis in range(frame.form.axes)]
    place = _place(frame, is_small, short)
    if frame.sums:
        emit_runs(frame, count, place, is_wide=False)
    else:
        frame.elements("%first", count, place)


def _place(frame: Frame, is_small: str, short: list[str]) -> Place:
    def place(element: str) -> dict[int, str]:
        operands = (*frame.inputs, *frame.outputs)
        parts = _parts(frame, element, is_small, short)
        addresses = {}
        for operand in operands:
            address = operand.address
            for axis, part in enumerate(parts):
                offset = frame.compute(f"mul i64 {part}, %stride{operand.index}.{axis}")
                address = frame.compute(f"getelementptr i8, {GLOBAL} {address}, i64 {offset}")
            addresses[operand.index] = address
        return addresses

    return place


def _parts(frame: Frame, element: str, is_small: str, short: list[str]) -> list[str]:
    """The element's index along each axis. Division of 32 bits is several times faster than of 64."""
    axes = frame.form.axes
    if axes == 1:
        return [element]
    tag = frame.tag("parts")
    frame.line(f"br i1 {is_small}, label %{tag}.short, label %{tag}.long")
    found: list[list[str]] = []
    for label, type, lengths in (
        ("short", "i32", short),
        ("long", "i64", [f"%length{axis}" for axis in range(axes)]),
    ):
        frame.block(f"{tag}.{label}")
        rest = element if type == "i64" else frame.compute(f"trunc i64 {element} to i32")
        parts = []
        for axis in range(axes - 1, 0, -1):
            quotient = frame.compute(f"udiv {type} {rest}, {lengths[axis]}")
            product = frame.compute(f"mul {type} {quotient}, {lengths[axis]}")
            parts.append(frame.compute(f"sub {type} {rest}, {product}"))
            rest = quotient
        parts.append(rest)
        found.append([p if type == "i64" else frame.compute(f"zext i32 {p} to i64") for p in reversed(parts)])
        frame.line(f"br label %{tag}.done")
    frame.block(f"{tag}.done")
    pairs = zip(*found, strict=True)
    return [frame.compute(f"phi i64 [{a}, %{tag}.short], [{b}, %{tag}.long]") for a, b in pairs]
