"""CuPy's arrays, by a stand-in that has as much of CuPy as is asked for, on the fake driver."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import types
from typing import Any

import numpy as np
import pytest

import actcomp as ac

RANDOM = np.random.default_rng(13)


class Pointer:
    """cupy.cuda.MemoryPointer, of memory of the host."""

    def __init__(self, nbytes: int) -> None:
        self.buffer = ctypes.create_string_buffer(nbytes)
        self.ptr = ctypes.addressof(self.buffer)


class Arrays:
    """cupy.ndarray(shape, dtype, memptr, strides)."""

    __module__ = "cupy"

    def __init__(self, shape: tuple, dtype: Any, memptr: Pointer, strides: tuple | None = None) -> None:
        self.data, self.device = memptr, types.SimpleNamespace(id=0)
        self.host = np.ndarray(shape, dtype, memoryview(memptr.buffer), 0, strides)
        self.shape, self.dtype, self.strides = self.host.shape, self.host.dtype, self.host.strides

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3, "shape": self.shape, "typestr": self.dtype.str, "data": (self.data.ptr, False),
            "strides": None if self.host.flags.c_contiguous else self.strides, "stream": 1,
        }  # fmt: skip

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("a capsule is not needed")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


@pytest.fixture
def cupy(fake_cuda, monkeypatch):
    streams = {0: 0x21}
    cuda = types.SimpleNamespace(
        Device=lambda ordinal: contextlib.nullcontext(),
        alloc=Pointer,
        get_current_stream=lambda ordinal=-1: types.SimpleNamespace(ptr=streams[ordinal]),
    )
    module = types.SimpleNamespace(cuda=cuda, ndarray=Arrays, streams=streams)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def put(values: Any) -> Arrays:
    values = np.asarray(values)
    made = Arrays(values.shape, values.dtype, Pointer(max(1, values.nbytes)))
    made.host[...] = values
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_results_and_gradients_are_cupys(fake_cuda, cupy, dtype):
    kernel = ac.compile("c*silu(x + b)", inputs=["x"], parameters={"b": ac.Parameter(0.0, axis=-1), "c": 1.0})
    x, dy = (RANDOM.standard_normal((40, 6)).astype(dtype) for _ in range(2))
    b, c = RANDOM.standard_normal(6).astype(np.float32), np.float64(1.5)
    got = kernel.backward(put(x), put(dy), b=put(b), c=put(c))
    wanted = kernel.backward(x, dy, b=b, c=np.asarray(c))
    assert not fake_cuda.faults, fake_cuda.faults
    for one, expected in zip(got, wanted, strict=True):
        assert isinstance(one, Arrays) and one.dtype == expected.dtype and one.shape == expected.shape
        np.testing.assert_allclose(one.host, expected, rtol=1e-6 if dtype is not np.float16 else 2e-3)
    np.testing.assert_array_equal(got[0].host, wanted[0])
    assert all(line.endswith("stream 0x21") for line in fake_cuda.launches())
    assert not any("Event" in line for line in fake_cuda.log)  # its pool knows what is in use on its stream


def test_transposed_arrays_give_transposed_results_on_the_stream_of_the_moment(fake_cuda, cupy):
    kernel, x = ac.compile("a*sigmoid(b)"), RANDOM.standard_normal((5, 7)).astype(np.float32)
    turned = put(x)
    turned.host, turned.shape, turned.strides = turned.host.T, (7, 5), (4, 28)
    kernel(turned, 0.5)
    cupy.streams[0] = 2
    y = kernel(turned, 0.5)
    assert y.strides == (4, 28)
    np.testing.assert_array_equal(y.host, kernel(x.T, 0.5))
    assert fake_cuda.launches()[-1].endswith("stream 0x2")
    assert not fake_cuda.faults, fake_cuda.faults


def test_one_number_and_no_events(fake_cuda, cupy):
    kernel, values = ac.compile("swish"), RANDOM.standard_normal((40, 3)).astype(np.float32)
    x = put(values)
    y = kernel(x)
    assert type(y) is Arrays
    np.testing.assert_array_equal(y.host, kernel(values))
    got, wanted = kernel.backward(x, x), kernel.backward(values, values)
    np.testing.assert_array_equal(got[0].host, wanted[0])
    assert type(got[1]) is Arrays and got[1].shape == () and got[1].host == wanted[1]
    assert {line.split("stream ")[1] for line in fake_cuda.launches()} == {"0x21"}
    assert not any(line.startswith("cuEvent") for line in fake_cuda.log)
    turned = Arrays((3, 40), np.float32, x.data, (4, 12))
    y = kernel(turned)
    assert y.strides == (4, 12)
    np.testing.assert_array_equal(y.host, kernel(values.T))
