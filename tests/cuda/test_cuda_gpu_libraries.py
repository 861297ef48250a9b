"""On a real CUDA device: arrays of CuPy, Numba and JAX have the bits of the CPU kernels."""

from __future__ import annotations

import numpy as np
import pytest

import actcomp as ac

pytestmark = pytest.mark.gpu


def device_of(library):
    if library == "cupy":
        cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
        try:
            if cupy.cuda.runtime.getDeviceCount() < 1:
                pytest.skip("CuPy sees no CUDA device")
        except cupy.cuda.runtime.CUDARuntimeError:
            pytest.skip("CuPy sees no CUDA device")
        return cupy.asarray, cupy.asnumpy
    if library == "numba":
        cuda = pytest.importorskip("numba.cuda", reason="Numba is not installed")
        if not cuda.is_available():
            pytest.skip("Numba sees no CUDA device")
        return cuda.to_device, lambda array: array.copy_to_host()
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    if jax.default_backend() != "gpu":
        pytest.skip("JAX sees no CUDA device")
    return jax.device_put, np.asarray


@pytest.mark.parametrize("library", ["cupy", "numba", "jax"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_arrays_of_other_libraries(library, dtype):
    there, back = device_of(library)
    kernel = ac.compile("mish")
    for shape in ((0,), (33,), (129, 65)):
        x, dy = ((np.random.default_rng(seed).standard_normal(shape) * 3).astype(dtype) for seed in (0, 1))
        on_device = there(x)
        if np.dtype(on_device.dtype) != x.dtype:
            pytest.skip(f"{library} is set up without {dtype}")
        for got, wanted in (
            (kernel(on_device), kernel(x)),
            (kernel.backward(on_device, there(dy)), kernel.backward(x, dy)),
        ):
            assert type(got) is type(on_device)
            np.testing.assert_array_equal(back(got), wanted)
