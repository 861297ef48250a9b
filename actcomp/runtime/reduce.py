"""Sums back to a smaller shape, as gradients of broadcast operands need: float64, by the interpreter's fixed tree."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..program.interpreter import SUM_LANES, SUM_RUN
from .layout import Shape

_CHUNK_BYTES = 1 << 24  # the float64 copy of the values is made in pieces of about this size


def sum_to_axes(values: np.ndarray[Any, Any], kept: Sequence[int]) -> np.ndarray[Any, Any]:
    """The sums over all axes but the kept ones, float64, of shape ``[values.shape[axis] for axis in kept]``.

    Each sum runs over C order by the tree of program/interpreter.py, so that its bits depend neither on the layout of
    the values nor on threads."""
    dropped = [axis for axis in range(values.ndim) if axis not in kept]
    shape = tuple(values.shape[axis] for axis in kept)
    count = prod(values.shape[axis] for axis in dropped)
    # One row of values for each sum; a lone axis of length 1 stands for no kept axes.
    rows = values.transpose([*kept, *dropped])
    rows = rows if kept else rows[None]
    totals = np.zeros(rows.shape[: max(1, len(kept))])
    if count and totals.size:
        per_slab = count * prod(totals.shape[1:])
        step = max(1, _CHUNK_BYTES // (8 * per_slab))
        for first in range(0, len(totals), step):
            slab = rows[first : first + step]
            totals[first : first + step] = _tree(slab.reshape(-1, count)).reshape(-1, *totals.shape[1:])
    return totals.reshape(shape)


def _tree(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The sum of each row."""
    sums, count = rows.shape
    per_run = min(SUM_RUN, -(-count // SUM_LANES) * SUM_LANES)  # zeros do not change a sum that starts from 0.0
    runs = -(-count // per_run)
    padded = np.zeros((sums, runs * per_run))
    padded[:, :count] = rows
    parts = padded.reshape(sums, runs, per_run // SUM_LANES, SUM_LANES)
    lanes = np.zeros((sums, runs, SUM_LANES))
    for place in range(parts.shape[2]):
        lanes = lanes + parts[:, :, place, :]
    width = SUM_LANES
    while width > 1:
        width //= 2
        lanes = lanes[..., :width] + lanes[..., width : 2 * width]
    return np.add.accumulate(lanes[:, :, 0], axis=1)[:, -1]  # accumulate goes in order, sum would not


def sum_to_shape(values: np.ndarray[Any, Any], shape: Shape) -> np.ndarray[Any, Any]:
    """The gradient of an operand of the shape that was broadcast to the values' shape."""
    missing = values.ndim - len(shape)
    kept = [missing + axis for axis, length in enumerate(shape) if length == values.shape[missing + axis]]
    return sum_to_axes(values, kept).reshape(shape)
