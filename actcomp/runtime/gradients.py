"""What backward gives: gradients in the shapes of what they belong to, one by itself, several as a named tuple."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from .arrays import Array, load, store
from .layout import contiguous_strides
from .reduce import sum_to_axes, sum_to_shape


def together(fields: tuple[str, ...], values: Sequence[Any]) -> Any:
    """One value by itself, several as a named tuple."""
    return values[0] if len(values) == 1 else _tuple_type(fields)(*values)


def sum_to_axis(array: Array, axis: int) -> Any:
    return sum_to_axes(load(array), (axis,))


def back_to_shape(gradient: Array, operand: Array) -> Array:
    """The gradient of an operand that was broadcast: summed to its shape."""
    if gradient.shape == operand.shape:
        return gradient
    target = gradient.kind.empty(gradient, operand.shape, contiguous_strides(operand.shape, gradient.itemsize))
    store(target, sum_to_shape(load(gradient), operand.shape))
    return target


@functools.cache
def _tuple_type(fields: tuple[str, ...]) -> Any:
    return namedtuple("Gradients", fields, rename=True)
