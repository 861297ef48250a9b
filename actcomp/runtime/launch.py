"""From Arrays to a native kernel: what may be called together, where results go, and the walk over all of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DeviceError, DTypeError, ShapeError
from . import layout
from .arrays import HOST, ITEMSIZE, LONG_NAME, Array, is_weak, raw, read
from .layout import Shape

if TYPE_CHECKING:
    from .native import Native

MAX_AXES = 32  # the native engine's limit, after axes were joined
_OVERLAP_WORK = 10_000  # steps that NumPy may take to decide whether two interleaved arrays share memory


def read_all(values: Mapping[str, Any]) -> dict[str, Array]:
    """The operands of one call, of one library and one element type; Python numbers take that of the others.

    Raises DTypeError or DeviceError naming the first two that differ."""
    if all(map(is_weak, values.values())):
        return {name: read(value, name) for name, value in values.items()}
    arrays = {name: read(value, name) for name, value in values.items() if not is_weak(value)}
    first_name, first = next(iter(arrays.items()))
    for name, array in arrays.items():
        require_alike(first_name, first, name, array)
    if len(arrays) == len(values):
        return arrays
    return {name: arrays[name] if name in arrays else first.kind.number(first, value) for name, value in values.items()}


def require_alike(first_name: str, first: Array, name: str, array: Array) -> None:
    """Raises DeviceError if the two come from different libraries, DTypeError if their element types differ."""
    if array.kind.name != first.kind.name:
        raise DeviceError(
            f"{first_name} is an array of {first.kind.name}, {name} of {array.kind.name}",
            do="convert one to the other's library: numpy.asarray, torch.from_numpy, jax.numpy.asarray",
        )
    if array.device != first.device:
        places = ["the CPU" if one.device == HOST else f"CUDA device {one.device}" for one in (first, array)]
        fix = f"copy {name} to the device of {first_name}"
        raise DeviceError(f"{first_name} lives on {places[0]}, {name} on {places[1]}", do=fix)
    if array.dtype != first.dtype:
        name_of = LONG_NAME[first.dtype]
        fix = f"{name}.to(torch.{name_of})" if array.kind.name == "torch" else f'{name}.astype("{name_of}")'
        raise DTypeError(f"{first_name} is {name_of}, {name} is {LONG_NAME[array.dtype]}", do=fix)


def common_shape(arrays: Mapping[str, Array]) -> Shape:
    """The shape that all broadcast to. Raises ShapeError naming the arrays."""
    shapes = [array.shape for array in arrays.values()]
    if all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise not_together({name: array.shape for name, array in arrays.items()}) from None


def not_together(shapes: Mapping[str, Any]) -> ShapeError:
    """The error that says which shapes do not broadcast."""
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    fix = "make each axis, counted from the last, equal or 1"
    return ShapeError(f"shapes do not broadcast together: {listed}", do=fix)


def require_broadcast(name: str, array: Array, shape: Shape) -> None:
    """Raises ShapeError if the array does not broadcast to the shape of the result."""
    try:
        layout.broadcast_strides(array.shape, array.strides, shape)
    except ValueError:
        raise ShapeError(
            f"{name} has shape {array.shape}, the result {shape}", do=f"pass {name} with the shape of the result"
        ) from None


def check_out(out: Array, name: str, shape: Shape, inputs: Mapping[str, Array]) -> None:
    """Raises ShapeError, DTypeError or DeviceError if results of the shape cannot be written to ``out``.

    An input may lie exactly under ``out`` (in place); anything else that shares memory with it is refused."""
    for input_name, array in inputs.items():
        require_alike(input_name, array, name, out)
        break
    if out.shape != shape:
        raise ShapeError(f"{name} has shape {out.shape}, the result {shape}", do=f"pass {name} of shape {shape}")
    if not out.writable:
        fix = f"leave {name} out" if out.kind.name == "JAX" else f"pass a writable {name}, or leave it out"
        raise ShapeError(f"{name} is read-only", do=fix)
    if out.kind.name == "torch" and out.owner.requires_grad:
        raise ShapeError(f"{name} requires a gradient, which writing to it would spoil", do=f"pass {name}.detach()")
    if layout.overlaps_itself(out.shape, out.strides, out.itemsize):
        raise ShapeError(f"elements of {name} share memory (strides {out.strides})", do=f"pass {name} = a dense array")
    for input_name, array in inputs.items():
        if shares_memory(out, array) and not _is_same_memory(out, array):
            raise ShapeError(
                f"{name} overlaps {input_name} in memory without being the same array",
                do=f"pass a copy of {input_name}, or {input_name} itself as {name}",
            )


def _is_same_memory(a: Array, b: Array) -> bool:
    strides_agree = all(s == t for n, s, t in zip(a.shape, a.strides, b.strides, strict=False) if n != 1)
    return a.address == b.address and a.shape == b.shape and strides_agree


def shares_memory(a: Array, b: Array) -> bool:
    """Whether some byte belongs to both; True where that is too hard to say."""
    a_low, a_high = layout.extent(a.shape, a.strides, a.itemsize)
    b_low, b_high = layout.extent(b.shape, b.strides, b.itemsize)
    if a.address + a_high <= b.address + b_low or b.address + b_high <= a.address + a_low:
        return False
    try:
        return np.shares_memory(raw(a), raw(b), max_work=_OVERLAP_WORK)  # type: ignore[arg-type]  # stub knows -1 and 0
    except np.exceptions.TooHardError:
        return True


def fresh(like: Array, shape: Shape, inputs: Sequence[Array]) -> Array:
    """A new array of the library and element type of ``like``, laid out in memory as the inputs are."""
    return like.kind.empty(like, shape, _fresh_strides(shape, tuple(_lie(array) for array in inputs)))


def launch(native: Native, operands: Sequence[Array], shape: Shape, uniforms: Any) -> dict[str, float]:
    """Runs the kernel over the operands (its element inputs, then outputs) broadcast to the shape; gives the sums."""
    walked, strides, offsets = plan_of(operands, shape, bool(native.sums))
    addresses = [array.address + offset for array, offset in zip(operands, offsets, strict=True)]
    return dict(zip(native.sums, native.run(addresses, walked, strides, uniforms), strict=True))


def plan_of(operands: Sequence[Array], shape: Shape, ordered: bool) -> _Plan:
    """Shape and strides for Native.run (no strides: all contiguous), and what to add to the addresses."""
    plan = _plan(shape, tuple(_lie(array) for array in operands), ordered)
    if len(plan[0]) > MAX_AXES:
        raise ShapeError(f"{len(plan[0])} axes that cannot be joined; {MAX_AXES} are the most", do="pass copies")
    return plan


# How one operand lies in memory: shape, strides, size of an element.
_Lie = tuple[Shape, Shape, int]
_Plan = tuple[Shape, tuple[Shape, ...] | None, Shape]


def _lie(array: Array) -> _Lie:
    return array.shape, array.strides, ITEMSIZE[array.dtype]


# Programs call with few layouts, again and again; thinking about one takes longer than a small kernel.
@functools.lru_cache(maxsize=1024)
def _fresh_strides(shape: Shape, inputs: tuple[_Lie, ...]) -> Shape:
    strides = [layout.broadcast_strides(own, steps, shape) for own, steps, _ in inputs]
    return layout.result_strides(shape, strides, inputs[0][2])


@functools.lru_cache(maxsize=1024)
def _plan(shape: Shape, operands: tuple[_Lie, ...], ordered: bool) -> _Plan:
    strides = [layout.broadcast_strides(own, steps, shape) for own, steps, _ in operands]
    plan = layout.walk(shape, strides, ordered=ordered)
    flat = all(
        layout.is_contiguous(plan.shape, steps, itemsize)
        for steps, (_, _, itemsize) in zip(plan.strides, operands, strict=True)
    )
    return plan.shape or (1,), None if flat else plan.strides, plan.offsets
