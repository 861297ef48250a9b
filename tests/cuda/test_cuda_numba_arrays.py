"""Numba's arrays, by a stand-in with the few parts of them that kernels use."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import types

import numpy as np
import pytest

import actcomp as ac

ALIGNED = 256


class Block:
    """Memory of the host that counts as a device's."""

    def __init__(self, nbytes: int) -> None:
        self._buffer = ctypes.create_string_buffer(nbytes + ALIGNED)
        self.ptr = -(-ctypes.addressof(self._buffer) // ALIGNED) * ALIGNED


class Array:
    """What kernels use of a DeviceNDArray."""

    def __init__(self, shape, dtype, block=None, strides=None):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.data = block or Block(int(np.prod(shape, dtype=int)) * self.dtype.itemsize)
        dense = np.empty(self.shape, self.dtype).strides
        self.strides = dense if strides is None else tuple(strides)

    def host(self) -> np.ndarray:
        interface = {**self.__cuda_array_interface__, "data": (self.data.ptr, False)}
        return np.asarray(type("Holder", (), {"__array_interface__": interface, "owner": self})())  # keeps the memory

    @property
    def __cuda_array_interface__(self):
        return {"version": 3, "shape": self.shape, "strides": self.strides, "typestr": self.dtype.str,
                "data": (self.data.ptr, False), "stream": None}  # fmt: skip


@pytest.fixture
def numba_cuda(fake_cuda, monkeypatch):
    module = types.ModuleType("numba.cuda")
    module.gpus = {0: contextlib.nullcontext()}
    kind = type("DeviceNDArray", (Array,), {"__module__": "numba.cuda.cudadrv.devicearray"})

    def device_array(shape, dtype, strides, stream=0):
        made = kind(shape, dtype, strides=strides)
        fake_cuda.library.fake_register(ctypes.c_uint64(made.data.ptr), ctypes.c_uint64(1 << 16), 0)
        return made

    module.device_array, module.kind = device_array, kind
    monkeypatch.setitem(sys.modules, "numba.cuda", module)
    return module


def test_numba(fake_cuda, numba_cuda):
    kernel, values = ac.compile("gelu"), np.random.default_rng(2).standard_normal(70)
    x = numba_cuda.device_array(values.shape, values.dtype, values.strides)
    x.host()[...] = values
    y = kernel(x)
    assert type(y) is numba_cuda.kind
    np.testing.assert_array_equal(y.host(), kernel(values))
    kernel(x, out=x)
    np.testing.assert_array_equal(x.host(), kernel(values))
    with pytest.raises(ac.DTypeError, match="<i8"):
        kernel(numba_cuda.device_array((3,), np.int64, (8,)))
