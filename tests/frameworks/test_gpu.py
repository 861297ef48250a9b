"""JAX on a CUDA device: the bits of the CPU kernel. torch: tests/cuda/test_cuda_gpu.py."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import actcomp as ac

pytestmark = pytest.mark.gpu


SIZES = (0, 1, 33, 4095, 4096 * 3 + 5, (1 << 20) + 3)


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    if jax.default_backend() != "gpu":
        pytest.skip("JAX sees no CUDA device")
    return jax


def same_on_both(jax, f, *arrays):
    """Runs the function of arrays on the CPU and on the CUDA device; the results must have the same bits."""
    results = []
    for device in (jax.devices("cpu")[0], jax.devices("gpu")[0]):
        found = jax.tree.leaves(f(*jax.device_put(arrays, device)))
        assert all(array.devices() == {device} for array in found)
        results.append([np.asarray(array) for array in found])
    for on_cpu, on_cuda in zip(*results, strict=True):
        assert on_cpu.dtype == on_cuda.dtype
        assert on_cpu.shape == on_cuda.shape
        assert on_cpu.tobytes() == on_cuda.tobytes()


def drawn(shape, dtype, seed=0):
    import ml_dtypes

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    return (np.random.default_rng(seed).standard_normal(shape) * 3).astype(kind)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_jax_values_and_gradients(jax, dtype):
    import actcomp.jax as acj

    swish = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})

    def outputs(beta, x, g):
        y, pull = jax.vjp(lambda beta, x: swish({"beta": beta}, x), beta, x)
        return y, pull(g)

    with jax.enable_x64(dtype == "float64") if hasattr(jax, "enable_x64") else contextlib.nullcontext():
        if dtype == "float64" and jax.numpy.ones(1, "float64").dtype != np.float64:
            pytest.skip("this JAX has no way to switch to float64 for a while")
        beta = np.asarray(1.25, np.float64 if dtype == "float64" else np.float32)
        for size in SIZES:
            arrays = beta, drawn(size, dtype), drawn(size, dtype, 1)
            same_on_both(jax, outputs, *arrays)
            same_on_both(jax, jax.jit(outputs), *arrays)


def test_jax_second_derivatives_and_several_inputs(jax):
    import actcomp.jax as acj

    swiglu = acj.function("swiglu")

    def second(a, b, g, h):
        def first(a, b):
            return jax.vjp(swiglu, a, b)[1](g)

        return jax.vjp(first, a, b)[1]((h, g))

    same_on_both(jax, jax.jit(second), *(drawn((129, 65), "float32", seed) for seed in range(4)))


def test_jax_loops_and_vmap(jax):
    """XLA may record what a program repeats into a CUDA graph: new inputs must be read, and sums be those of now."""
    import actcomp.jax as acj

    swish = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})

    def steps(beta, x, g):
        def step(beta, _):
            change = jax.vjp(lambda beta: swish({"beta": beta}, x), beta)[1](g)[0]
            return change, change

        return jax.lax.scan(step, beta, length=5)[1]

    loop = jax.jit(steps)
    for seed in range(4):
        same_on_both(jax, loop, np.float32(0.5), drawn(9000, "float32", seed), drawn(9000, "float32", 9) / 1000)
    mapped = jax.jit(jax.vmap(lambda beta, x: swish({"beta": beta}, x)))
    same_on_both(jax, mapped, drawn(5, "float32"), drawn((5, 1000), "float32"))


def test_jax_channels(jax):
    import actcomp.jax as acj

    prelu = acj.function("where(x > 0, x, a*x)", parameters={"a": ac.Parameter(0.25, axis=1)})
    same_on_both(jax, jax.jit(lambda a, x: prelu({"a": a}, x)), drawn(7, "float32"), drawn((33, 7), "float32"))


def test_jax_exports_for_cuda(jax):
    import actcomp.jax as acj

    f = acj.function("mish")
    jitted, x = jax.jit(f), drawn(100, "float32")
    exported = jax.export.export(jitted, platforms=("cpu", "cuda"), disabled_checks=acj.export_checks(jitted, x))(x)
    loaded = jax.export.deserialize(exported.serialize())
    acj.provide(loaded, f)
    same_on_both(jax, loaded.call, x)
