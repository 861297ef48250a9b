"""Kernels on arrays of libraries that they do not know: CuPy and whatever else exports DLPack."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

import actcomp as ac
from actcomp.errors import ArgumentError, DeviceError, DTypeError, ShapeError

_name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))


class Versioned:
    """An array of a library that follows DLPack 1.0, on top of NumPy's export."""

    capsule = b"dltensor_versioned"

    def __init__(self, array):
        self.array, self.dtype, self.asked = array, array.dtype, []

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        self.asked.append((stream, copy))
        return self._seen(self.array.__dlpack__(max_version=max_version))

    def _seen(self, capsule):
        assert _name_of(capsule) == self.capsule
        return capsule


class Legacy(Versioned):
    """Of a library from before it."""

    capsule = b"dltensor"

    def __dlpack__(self, stream=None):
        self.asked.append((stream, None))
        return self._seen(self.array.__dlpack__())


class Namespaced(Versioned):
    """Of a library that follows the array API standard too, as CuPy's do."""

    def __array_namespace__(self):
        return type(self)

    @classmethod
    def empty(cls, shape, dtype):
        return cls(np.empty(shape, dtype))


PRODUCERS = [Versioned, Legacy, Namespaced]


@pytest.fixture(scope="module")
def swish():
    return ac.compile("x*sigmoid(beta*x)", parameters={"beta": 1.0})


def samples(*shape, dtype="f4", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def plain(value):
    return value.array if isinstance(value, Versioned) else value


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("producer", PRODUCERS)
def test_values_and_gradients_are_those_of_numpy(producer, dtype, swish):
    arrays = [samples(20, 30, dtype=dtype, seed=k)[::2, ::-3] for k in range(3)]
    given = [producer(array) for array in arrays]
    results = [swish(given[0]), *swish.backward(*given[:2])[:1], *swish.double_backward(*given)[:2]]
    expected = [swish(arrays[0]), *swish.backward(*arrays[:2])[:1], *swish.double_backward(*arrays)[:2]]
    for one, other in zip(results, expected, strict=True):
        assert type(one) is (Namespaced if producer is Namespaced else np.ndarray)
        assert one.dtype == other.dtype and np.array_equal(plain(one), other)
    assert all(asked in ((None, None),) for array in given for asked in array.asked), "no stream, no copy on the CPU"


@pytest.mark.parametrize("producer", PRODUCERS)
def test_memory_is_written_where_it_lies(producer, swish):
    x, y = samples(7, 5), np.zeros((7, 10), np.float32)[:, ::2]
    out = producer(y)
    assert swish(producer(x), out=out) is out
    assert np.array_equal(y, swish(x))
    own = producer(x.copy())
    swish(own, out=own)
    assert np.array_equal(own.array, swish(x))


@pytest.mark.parametrize("producer", PRODUCERS)
def test_memory_is_handed_back(producer, swish):
    x = samples(50)
    value = producer(x)
    before = sys.getrefcount(x)
    for _ in range(5):
        swish(value)
        swish.backward(value, value)
    assert sys.getrefcount(x) == before


def test_parameters_may_be_such_arrays(swish):
    x, beta = samples(50), np.array(1.5, np.float32)
    found = swish.backward(Namespaced(x), Namespaced(x), beta=Namespaced(beta))
    expected = swish.backward(x, x, beta=beta)
    assert type(found.beta) is Namespaced and found.beta.array == expected.beta


def test_what_does_not_go_together_is_refused(swish):
    product = ac.compile("a*tanh(b)")
    x = samples(5)
    frozen = x.copy()
    frozen.flags.writeable = False
    cases = [
        (DeviceError, "numpy.asarray", lambda: product(Versioned(x), x)),
        (ShapeError, "read-only", lambda: swish(Versioned(x), out=Versioned(frozen))),
        (DTypeError, "cannot be exported", lambda: swish(Legacy(frozen))),
        (DTypeError, "int64", lambda: swish(Versioned(np.arange(5)))),
        (DTypeError, "complex128", lambda: swish(Legacy(np.ones(5, complex)))),
    ]
    for error, words, call in cases:
        with pytest.raises(error, match=words) as refusal:
            call()
        assert refusal.value.do


def test_other_devices_are_refused_before_they_are_touched(swish):
    class OnMetal:
        def __dlpack_device__(self):
            return (8, 0)

        def __dlpack__(self, **_):
            raise AssertionError("must not be asked for memory")

    with pytest.raises(DeviceError, match="lives on Metal; there are kernels for the CPU and for CUDA") as refusal:
        swish(OnMetal())
    assert "to the host" in refusal.value.do


def test_where_is_refused_with_what_does_it(swish):
    x, mask = samples(50), samples(50, seed=1) > 0
    with pytest.raises(ArgumentError, match=r"numpy\.where\(mask, f\(x\), other\)"):
        swish(x, where=mask)
    with pytest.raises(ArgumentError, match="where"):
        swish.backward(x, x, where=mask)
    chosen, in_place = np.where(mask, swish(x), x), x.copy()
    in_place[mask] = swish(x[mask])
    assert np.array_equal(chosen, in_place)
