"""JAX arrays as Arrays, and fresh ones; JAX is never imported here."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import Any

import numpy as np

from ..errors import DeviceError, DTypeError
from . import arena
from .arrays import NUMPY_DTYPES, Array, Kind, address_of, numpy_dtype
from .layout import Shape, contiguous_strides


def read_jax(value: Any, name: str) -> Array:
    jax = sys.modules["jax"]
    if isinstance(value, jax.core.Tracer):
        raise DeviceError(f"{name} is traced by JAX and has no memory", do="call outside jit, grad and vmap")
    if value.is_deleted():
        raise DeviceError(f"{name} is deleted and has no memory", do="do not donate it, or make it again")
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
        raise DTypeError(f"{name} has the type {value.dtype}", do="pass numbers; jax.random.key_data has those of keys")
    devices = value.devices()
    platform = next(iter(devices)).platform if len(devices) == 1 else ""
    if platform in ("gpu", "cuda"):
        from ..cuda.arrays import read_dlpack

        return read_dlpack(value, name)
    if platform != "cpu":
        where = ", ".join(sorted(str(device) for device in devices))
        fix = f"jax.device_put({name}, jax.devices('cpu')[0])"
        raise DeviceError(f"{name} lives on {where}; a kernel runs on one CPU or CUDA device", do=fix)
    view = np.asarray(value)  # no copy; read-only
    dtype = NUMPY_DTYPES.get(view.dtype) or numpy_dtype(view.dtype, name)
    # The view keeps the JAX array alive; the array itself is kept to know its device.
    return Array(address_of(view), view.shape, view.strides, dtype, False, JAX, (value, view))


def _empty_jax(like: Array, shape: Shape, strides: Shape) -> Array:
    """JAX arrays are C-contiguous whatever the strides of the operands are."""
    source, view = like.owner
    # jax.device_put copies what is not aligned to 64 bytes.
    owner = arena.take(prod(shape) * like.itemsize).view(view.dtype).reshape(shape)
    own_strides = contiguous_strides(shape, like.itemsize)
    return Array(address_of(owner), shape, own_strides, like.dtype, True, JAX, (source, owner))


def _jax_result(array: Array) -> Any:
    jax = sys.modules["jax"]
    source, buffer = array.owner
    (device,) = source.devices()
    target = None if device == jax.devices()[0] else device
    with as_it_is(array.dtype):
        return jax.device_put(buffer, target, may_alias=True)


def as_it_is(dtype: str) -> AbstractContextManager[Any]:
    """While JAX takes an array of the type over: it would round float64 to float32 where its x64 mode is off."""
    jax = sys.modules["jax"]
    is_rounded = dtype == "f64" and not jax.config.jax_enable_x64
    return jax.enable_x64(True) if is_rounded else nullcontext()


JAX = Kind("JAX", _empty_jax, _jax_result)
