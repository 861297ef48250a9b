"""Where the elements of arrays lie: broadcasting, few long axes instead of many short ones, overlap. Pure integers.

Shapes count elements; strides and addresses are bytes. Python integers do not overflow, so that arrays beyond 2**31
elements need no care here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """How to visit all elements of several arrays at once, outermost axis first.

    ``shape`` has no axis of length 1, and no two neighbours that could be one axis; it is ``()`` for one element.
    ``strides[k]`` are those of operand k, ``offsets[k]`` what to add to its address (axes walked backwards).
    """

    shape: Shape
    strides: tuple[Shape, ...]
    offsets: Shape

    @property
    def size(self) -> int:
        return prod(self.shape)


def broadcast_strides(shape: Shape, strides: Shape, target: Shape) -> Shape:
    """The strides of an array of the shape seen as the target shape (0 along axes that repeat).

    Raises ValueError if the shape does not broadcast to the target."""
    missing = len(target) - len(shape)
    if missing < 0 or any(n not in (1, m) for n, m in zip(shape, target[missing:], strict=True)):
        raise ValueError(f"shape {shape} does not broadcast to {target}")
    kept = (s if n == m else 0 for n, s, m in zip(shape, strides, target[missing:], strict=True))
    return (0,) * missing + tuple(kept)


def contiguous_strides(shape: Shape, itemsize: int) -> Shape:
    """Strides of a C-contiguous array."""
    strides, step = [], itemsize
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def is_contiguous(shape: Shape, strides: Shape, itemsize: int) -> bool:
    """Whether the elements lie side by side in C order; axes of length 1 and empty arrays do not matter."""
    step = itemsize
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length == 0:
            return True
        if length != 1:
            if stride != step:
                return False
            step *= length
    return True


def memory_order(shape: Shape, operands: Sequence[Shape]) -> tuple[int, ...]:
    """The axes from the slowest to the fastest in memory: NumPy's order "K".

    An axis moves inwards only past an axis that it should follow by some operand and by none should precede; zero
    strides say nothing. This is the insertion sort of NumPy's iterator, and gives its layouts."""
    order: list[int] = []  # from the fastest to the slowest
    for axis in range(len(shape) - 1, -1, -1):
        place = len(order)
        for position in range(len(order) - 1, -1, -1):
            precedes = _is_faster(axis, order[position], shape, operands)
            if precedes is False:
                break
            if precedes:
                place = position
        order.insert(place, axis)
    return tuple(reversed(order))


def _is_faster(axis: int, other: int, shape: Shape, operands: Sequence[Shape]) -> bool | None:
    """Whether steps along the axis are shorter than along the other; None if no operand can tell."""
    shorter: bool | None = None
    for strides in operands:
        a, b = abs(strides[axis]), abs(strides[other])
        if a and b and shape[axis] != 1 and shape[other] != 1:
            if a >= b:
                return False
            shorter = True
    return shorter


def result_strides(shape: Shape, operands: Sequence[Shape], itemsize: int) -> Shape:
    """Strides of a dense fresh array whose axes lie in memory as those of the operands do."""
    strides, step = [0] * len(shape), itemsize
    for axis in reversed(memory_order(shape, operands)):
        strides[axis] = step
        step *= max(1, shape[axis])
    return tuple(strides)


def walk(shape: Shape, operands: Sequence[Shape], *, ordered: bool = False) -> Walk:
    """The shortest walk over the operands, given by their strides for the common shape.

    ``ordered`` keeps to C order, which a sum by a fixed tree needs; else axes are taken in memory order, and backwards
    where no operand runs forwards."""
    axes: Sequence[int] = range(len(shape)) if ordered else memory_order(shape, operands)
    lengths: list[int] = []
    steps: list[list[int]] = []
    offsets = [0] * len(operands)
    for axis in axes:
        length = shape[axis]
        if length == 1:
            continue
        step = [strides[axis] for strides in operands]
        if not ordered and length and min(step, default=0) < 0 and max(step) <= 0:
            offsets = [offset + (length - 1) * s for offset, s in zip(offsets, step, strict=True)]
            step = [-s for s in step]
        if steps and all(outer == inner * length for outer, inner in zip(steps[-1], step, strict=True)):
            lengths[-1] *= length
            steps[-1] = step
        else:
            lengths.append(length)
            steps.append(step)
    by_operand = tuple(tuple(step[k] for step in steps) for k in range(len(operands)))
    return Walk(tuple(lengths), by_operand, tuple(offsets))


def extent(shape: Shape, strides: Shape, itemsize: int) -> tuple[int, int]:
    """First byte and one past the last byte that the array touches, relative to its address; (0, 0) if empty."""
    if 0 in shape:
        return 0, 0
    reach = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
    return sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + itemsize


def overlaps_itself(shape: Shape, strides: Shape, itemsize: int) -> bool:
    """Whether two elements of one array may share a byte. Refuses a few odd layouts that do not, and nothing dense."""
    if 0 in shape:
        return False
    reach = itemsize
    for stride, length in sorted((abs(s), n) for s, n in zip(strides, shape, strict=True) if n != 1):
        if stride < reach:
            return True
        reach += (length - 1) * stride
    return False
