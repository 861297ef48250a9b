"""Frameworks on a CUDA device: until there are kernels for it, every adapter says so, and computes nothing."""

from __future__ import annotations

import pytest

import actcomp as ac

pytestmark = pytest.mark.gpu


def test_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    import actcomp.torch as act

    x = torch.randn(8, device="cuda", requires_grad=True)
    for call in (act.function("mish"), act.Module("mish"), torch.compile(act.function("mish"))):
        with pytest.raises(Exception, match="kernels for the CPU alone"):
            call(x)
    with pytest.raises(ac.DeviceError, match="a lives on cpu, b on cuda"):
        act.function("swiglu")(torch.randn(8), x)


def test_jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    if jax.default_backend() != "gpu":
        pytest.skip("JAX sees no CUDA device")
    import actcomp.jax as acj

    with pytest.raises(ac.DeviceError, match="CPU"):
        acj.function("mish")(jax.numpy.ones(8))
    cpu = jax.devices("cpu")[0]
    assert acj.function("mish")(jax.device_put(jax.numpy.ones(8), cpu)).devices() == {cpu}
