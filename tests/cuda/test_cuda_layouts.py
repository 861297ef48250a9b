"""CUDA arrays that lie oddly or are used on other streams: views as parameters and out=, addresses between elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import actcomp as ac

RANDOM = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def bias() -> ac.Kernel:
    return ac.compile("silu(x + b)", inputs=["x"], parameters={"b": ac.Parameter(0.0, axis=-1)})


def view(base: Any, shape: tuple, strides: tuple, offset: int = 0, stream: int = 1) -> Any:
    """Memory of a CudaArray as another library would show it."""
    interface = {**base.__cuda_array_interface__, "shape": shape, "strides": strides, "stream": stream}
    interface["data"] = (base.address + offset, False)
    return type("View", (), {"__cuda_array_interface__": interface, "base": base})()


def test_a_column_as_the_parameter_of_rows(fake_cuda):
    x, wide = normal(6, 4), normal(4, 3)
    got = bias()(fake_cuda.array(x), b=view(fake_cuda.array(wide), (4,), (12,)))
    np.testing.assert_array_equal(fake_cuda.values(got), bias()(x, b=wide[:, 0]))


def test_out_in_another_order_than_the_rows(fake_cuda):
    x, b, dy = normal(6, 4), normal(4), normal(6, 4)
    on_device = [fake_cuda.array(one) for one in (x, dy, b)]
    out = fake_cuda.array(np.zeros((4, 6), np.float32))
    bias()(on_device[0], b=on_device[2], out=view(out, (6, 4), (4, 24)))
    np.testing.assert_array_equal(fake_cuda.values(out).T, bias()(x, b=b))
    got = bias().backward(*on_device[:2], b=on_device[2], out=view(out, (6, 4), (4, 24)))
    wanted = bias().backward(x, dy, b=b)
    np.testing.assert_array_equal(fake_cuda.values(out).T, wanted[0])
    np.testing.assert_allclose(fake_cuda.values(got[1]), wanted[1], rtol=1e-6)


@pytest.mark.parametrize("strides", [(4, 2), (6, 0)])
def test_elements_between_places_are_refused(fake_cuda, strides):
    step, offset = strides
    base = fake_cuda.array(normal(20))
    with pytest.raises(ac.ArgumentError, match="multiples of their 4 bytes") as raised:
        ac.compile("silu")(view(base, (5,), (step,), offset))
    assert raised.value.do == "pass a copy of x"
    assert not fake_cuda.launches()


def test_a_number_and_channels_together(fake_cuda):
    kernel = ac.compile("c*silu(x + b)", inputs=["x"], parameters={"b": ac.Parameter(0.0, axis=-1), "c": 1.0})
    x, dy, b = normal(70, 13), normal(70, 13), normal(13)
    x_there, dy_there, b_there = (fake_cuda.array(one) for one in (x, dy, b))
    for c in (2.0, view(fake_cuda.array(np.float32(2.0)), (), ())):
        got = kernel.backward(x_there, dy_there, b=b_there, c=c)
        for one, wanted in zip(got, kernel.backward(x, dy, b=b, c=2.0), strict=True):
            np.testing.assert_allclose(fake_cuda.values(one), wanted, rtol=1e-5)


def order(log: list[str]) -> list[str]:
    """The streams of records, waits and launches, in order."""
    found = []
    for line in log:
        name, *words = line.split()
        if name in ("cuEventRecord", "cuStreamWaitEvent"):
            found.append(f"{name[2:]} {words[-1] if name == 'cuEventRecord' else words[0]}")
        elif name == "cuLaunchKernel":
            found.append(f"Launch {words[-1]}")
    return found


def test_out_and_parameters_of_other_streams_are_waited_for_and_wait(fake_cuda):
    kernel = ac.compile("swish")
    (name,) = kernel.parameters
    x = view(fake_cuda.array(normal(50)), (50,), (4,), stream=0x44)
    out = view(fake_cuda.array(normal(50)), (50,), (4,), stream=0x55)
    value = view(fake_cuda.array(np.float32(1.5)), (), (), stream=0x66)
    kernel(x, out=out, **{name: value})
    fake_cuda.clear_log()
    kernel(x, out=out, **{name: value})
    assert order(fake_cuda.log) == [
        "EventRecord 0x66", "StreamWaitEvent 0x44", "EventRecord 0x55", "StreamWaitEvent 0x44", "Launch 0x44",
        "EventRecord 0x44", "EventRecord 0x44", "StreamWaitEvent 0x55",
    ]  # fmt: skip
    gradient = kernel.backward(x, x, **{name: value})[1]
    assert gradient.stream == 0x66
    assert order(fake_cuda.log)[-2:] == ["EventRecord 0x44", "StreamWaitEvent 0x66"]


@pytest.fixture
def shown_as_host(fake_cuda, monkeypatch):
    """CudaArrays say by DLPack that they are memory of the host, which on the fake driver is true."""
    from actcomp.cuda import memory

    monkeypatch.setattr(memory, "_DLPACK_CUDA", 1)
    return memory


def test_what_a_capsule_hands_over_is_given_back(fake_cuda, shown_as_host):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    values, before = normal(3, 5), fake_cuda.library.fake_live_memory()
    array = fake_cuda.array(values)
    tensor = torch.from_dlpack(array)
    del array
    np.testing.assert_array_equal(tensor.numpy(), values)
    assert fake_cuda.library.fake_live_memory() == before + 1
    del tensor
    assert fake_cuda.library.fake_live_memory() == before and not shown_as_host._exported


def test_what_outlives_python_is_not_given_back_by_it(fake_cuda, shown_as_host):
    """A deleter of ctypes would be called when there is no interpreter any more."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    before = fake_cuda.library.fake_live_memory()
    tensor = torch.from_dlpack(fake_cuda.array(normal(4)))
    shown_as_host._leave_behind()
    del tensor
    assert fake_cuda.library.fake_live_memory() == before + 1
    (address,) = shown_as_host._exported
    shown_as_host._delete(address)


def test_jax_takes_float64_as_it_is(fake_cuda, shown_as_host):
    jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    from actcomp.cuda import arrays
    from actcomp.runtime.arrays import Array

    values = RANDOM.standard_normal(64)
    owner = fake_cuda.array(values, "f64")
    result = Array(owner.address, (64,), (8,), "f64", True, arrays.JAX_CUDA, arrays._Held(owner, None), 0)
    with jax.enable_x64(False):
        taken = arrays._jax_result(result)
    assert taken.dtype == np.float64
    np.testing.assert_array_equal(np.asarray(taken), values)


@pytest.mark.parametrize("status", [3, 4, 201, 709])
def test_nothing_is_given_back_to_a_driver_that_is_gone(fake_cuda, monkeypatch, status):
    import sys

    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    array = fake_cuda.array(normal(4))
    fake_cuda.fail("cuCtxPushCurrent_v2", status)
    del array
    assert not unraisable


def test_the_interface_names_the_legacy_stream_by_its_number(fake_cuda):
    array = fake_cuda.array(normal(4), stream=0)
    assert array.__cuda_array_interface__["stream"] == 1


@pytest.mark.parametrize(
    ("value", "dtype"), [(0.1, "bfloat16"), (1e300, "float32"), (-1e300, "float16"), (3, "float64")]
)
def test_numbers_beside_torch_tensors_are_filled_in_on_the_device(monkeypatch, value, dtype):
    """A copy from the host waits for the device, and a graph that is being captured refuses it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    from actcomp.torch.arguments import _scalar

    devices, full, element = [], torch.full, getattr(torch, dtype)

    def on_the_host(size, value, dtype, device):
        devices.append(str(device))
        return full(size, value, dtype=dtype)

    monkeypatch.setattr(torch, "full", on_the_host)
    made = _scalar(value, element, torch.device("cuda", 0))
    assert devices == ["cuda:0"]
    assert torch.equal(made, torch.tensor(value, dtype=element))


def test_own_arrays_stay_on_their_stream(fake_cuda):
    """A graph that is captured there would break off if another stream waited."""
    kernel, x = ac.compile("silu"), normal(50)
    wanted = kernel(kernel(x))
    first = kernel(view(fake_cuda.array(x), (50,), (4,), stream=0x44))
    fake_cuda.clear_log()
    second = kernel(first)
    assert first.stream == second.stream == 0x44
    assert not any("StreamWaitEvent" in line for line in fake_cuda.log)
    assert order(fake_cuda.log)[0] == "Launch 0x44"
    np.testing.assert_array_equal(fake_cuda.values(second), wanted)


def test_out_may_not_lie_on_a_parameter(fake_cuda):
    x = fake_cuda.array(normal(4, 4))
    with pytest.raises(ac.ShapeError, match="out overlaps the parameter b") as raised:
        bias()(x, b=view(x, (4,), (4,)), out=x)
    assert raised.value.do == "pass a copy of b"
    kernel = ac.compile("swish")
    (name,) = kernel.parameters
    with pytest.raises(ac.ShapeError, match=f"out overlaps the parameter {name}"):
        kernel.backward(x, x, out=x, **{name: view(x, (), (), 12)})
    assert not fake_cuda.launches()
