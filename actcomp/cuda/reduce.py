"""Sums on a device: of partials that kernels left, and of arrays over axes, by the order that fixes their bits.

The kernels are those of emit/totals.py; everything is launched on the stream and nothing waits.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

from ..emit.cuda_target import cuda_target
from ..emit.entry import Argument, Entry, Form
from ..program.interpreter import SUM_LANES, SUM_RUN
from ..runtime import cpu
from ..runtime.arrays import Array
from ..runtime.layout import Shape
from ..runtime.making import LOCK
from . import code, devices
from .launcher import Launch

_POINTERS = (Argument("operand", "ptr", 0), Argument("operand", "ptr", 1))
_PLAIN = Form("dense")


def total(partials: int, result: Array, runs: int, stream: int) -> None:
    """result[()] = the doubles at the address, added up in order, rounded once."""
    launch = _totals(f"total_{result.dtype}", result.device)
    launch.run(stream, (partials, result.address), (), (), count=runs, blocks=1)


def column_totals(partials: int, result: Array, chunks: int, columns: int, stream: int) -> None:
    """result[c] = the sum over chunks, in order, of the doubles at chunk * columns + c."""
    if columns:
        launch = _totals(f"column_totals_{result.dtype}", result.device)
        launch.run(stream, (partials, result.address), (), (), count=columns, rows=chunks, columns=columns)


def partials_bytes(shape: Shape, kept: tuple[int, ...]) -> int:
    """Bytes of scratch that sum_to_axes wants."""
    sums = prod(shape[axis] for axis in kept)
    return 8 * sums * _runs(shape, kept)


def _runs(shape: Shape, kept: tuple[int, ...]) -> int:
    return -(-prod(length for axis, length in enumerate(shape) if axis not in kept) // SUM_RUN)


def sum_to_axes(values: Array, kept: tuple[int, ...], result: Array, partials: int, stream: int) -> None:
    """result, contiguous = the sums over all axes but the kept ones, as runtime/reduce.py has them, rounded once."""
    sums, runs = prod(values.shape[axis] for axis in kept), _runs(values.shape, kept)
    if not sums:
        return
    if runs:
        axes = (*kept, *(axis for axis in range(len(values.shape)) if axis not in kept))
        lengths = [values.shape[axis] for axis in axes]
        strides = [[values.strides[axis] for axis in axes]]
        launch = _reduce(len(kept), len(axes) - len(kept), values.dtype, values.device)
        warps = sums * runs * SUM_LANES
        launch.run(stream, (values.address,), (), (partials,), count=warps, shape=lengths, strides=strides)
    launch = _totals(f"reduce_totals_{result.dtype}", result.device)
    launch.run(stream, (partials, result.address), (), (), count=sums, rows=runs, columns=sums)


@lru_cache(maxsize=256)
def _totals(name: str, device: int) -> Launch:
    counts: tuple[Argument, ...] = (Argument("rows", "i64"), Argument("columns", "i64"))
    if name.startswith("total_"):
        counts = (Argument("count", "i64"),)
    return Launch(Entry(name, _PLAIN, (*_POINTERS, *counts)), handle(name, device), devices.device(device))


def handle(name: str, device: int) -> int:
    """The CUkernel of a kernel that totals() of emit/totals.py describes, in code for the device."""
    from ..emit import totals

    where = devices.device(device)
    target = cuda_target(where.capability)
    with LOCK, code.at_work(where):
        made = code.library(f"totals {target}", lambda: cpu.assembly(totals.totals(target), target), where.capability)
        found = made.kernel(name)
        made.driver.prepare(found)
    return found


@lru_cache(maxsize=256)
def _reduce(kept: int, dropped: int, dtype: str, device: int) -> Launch:
    from ..emit import totals

    where = devices.device(device)
    target = cuda_target(where.capability)
    axes = range(kept + dropped)
    arguments = (
        Argument("operand", "ptr", 0),
        Argument("partials", "ptr", 0),
        *(Argument("length", "i64", axis=axis) for axis in axes),
        *(Argument("stride", "i64", axis=axis) for axis in axes),
    )
    name = f"reduce_{dtype}"
    with LOCK, code.at_work(where):
        made = code.library(
            f"{name} {kept} {dropped} {target}",
            lambda: cpu.assembly(totals.reduce(kept, dropped, dtype, target), target),
            where.capability,
        )
        found = made.kernel(name)
        made.driver.prepare(found)
    return Launch(Entry(name, _PLAIN, arguments), found, where)
