"""Kernels on CUDA arrays, on the fake driver: values, gradients, streams, lifetimes, errors."""

from __future__ import annotations

import numpy as np
import pytest

import actcomp as ac
from actcomp.cuda import driver

RANDOM = np.random.default_rng(7)


def normal(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 1000, 4097])
def test_forward_and_backward(fake_cuda, size):
    kernel, x, dy = ac.compile("mish"), normal(size), normal(size)
    on_device, dy_on_device = fake_cuda.array(x), fake_cuda.array(dy)
    np.testing.assert_array_equal(fake_cuda.values(kernel(on_device)), kernel(x))
    np.testing.assert_array_equal(fake_cuda.values(kernel.backward(on_device, dy_on_device)), kernel.backward(x, dy))
    again = kernel.double_backward(on_device, dy_on_device, on_device)
    for got, wanted in zip(again, kernel.double_backward(x, dy, x), strict=True):
        np.testing.assert_array_equal(fake_cuda.values(got), wanted)


@pytest.mark.parametrize("dtype", ["f64", "f16", "bf16"])
def test_element_types(fake_cuda, dtype):
    kernel, x = ac.compile("gelu"), normal(257)
    if dtype == "bf16":
        ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs ml_dtypes")
        x = x.astype(ml_dtypes.bfloat16)
        bits = kernel(x).view(np.uint16)
        np.testing.assert_array_equal(fake_cuda.values(kernel(fake_cuda.array(x.view(np.uint16), "bf16"))), bits)
        return
    x = x.astype({"f64": np.float64, "f16": np.float16}[dtype])
    np.testing.assert_array_equal(fake_cuda.values(kernel(fake_cuda.array(x, dtype))), kernel(x))


def test_results_go_where_out_says_and_in_place(fake_cuda):
    kernel, x = ac.compile("silu"), normal(100)
    on_device, out = fake_cuda.array(x), fake_cuda.array(np.zeros(100, np.float32))
    assert kernel(on_device, out=out) is out
    np.testing.assert_array_equal(fake_cuda.values(out), kernel(x))
    kernel(on_device, out=on_device)
    np.testing.assert_array_equal(fake_cuda.values(on_device), kernel(x))


def test_numbers_beside_arrays_and_broadcasting(fake_cuda):
    kernel, a, b = ac.compile("a*sigmoid(b)"), normal(5, 7), normal(7)
    on_device = fake_cuda.array(a), fake_cuda.array(b)
    np.testing.assert_array_equal(fake_cuda.values(kernel(*on_device)), kernel(a, b))
    np.testing.assert_array_equal(fake_cuda.values(kernel(on_device[0], 0.3)), kernel(a, 0.3))
    dy = normal(5, 7)
    for got, wanted in zip(kernel.backward(*on_device, fake_cuda.array(dy)), kernel.backward(a, b, dy), strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_array_equal(fake_cuda.values(got), wanted)


def test_a_parameter_is_a_number_or_an_array_of_the_device(fake_cuda):
    kernel, x, dy = ac.compile("swish"), normal(5000), normal(5000)
    (name,) = kernel.parameters
    on_device, dy_on_device = fake_cuda.array(x), fake_cuda.array(dy)
    wanted = kernel.backward(x, dy, **{name: 1.5})
    got = kernel.backward(on_device, dy_on_device, **{name: 1.5})
    np.testing.assert_array_equal(fake_cuda.values(got[0]), wanted[0])
    assert got[1].shape == () and got[1].dtype == "float64" and fake_cuda.values(got[1]) == wanted[1]
    for given, dtype in ((np.float32(1.5), "f32"), (np.float64(1.5), "f64"), (np.float16(1.5), "f16")):
        got = kernel.backward(on_device, dy_on_device, **{name: fake_cuda.array(np.asarray(given), dtype)})
        np.testing.assert_array_equal(fake_cuda.values(got[0]), wanted[0])
        assert fake_cuda.values(got[1]) == np.asarray(wanted[1]).astype(given.dtype)


@pytest.mark.parametrize("shape", [(6, 4), (70, 13), (3, 33, 8), (1, 1)])
def test_bias_and_activation_by_rows(fake_cuda, shape):
    kernel = ac.compile("silu(x + b)", inputs=["x"], parameters={"b": ac.Parameter(0.0, axis=-1)})
    x, dy, b = normal(*shape), normal(*shape), normal(shape[-1])
    on_device = [fake_cuda.array(one) for one in (x, dy, b)]
    np.testing.assert_array_equal(fake_cuda.values(kernel(on_device[0], b=on_device[2])), kernel(x, b=b))
    got, wanted = kernel.backward(*on_device[:2], b=on_device[2]), kernel.backward(x, dy, b=b)
    np.testing.assert_array_equal(fake_cuda.values(got[0]), wanted[0])
    assert got[1].shape == b.shape
    np.testing.assert_allclose(fake_cuda.values(got[1]), wanted[1], rtol=1e-6)


def test_channels_in_front(fake_cuda):
    kernel = ac.compile("where(x < 0, a*x, x)", inputs=["x"], parameters={"a": ac.Parameter(0.25, axis=1)})
    x, dy, a = normal(2, 5, 9), normal(2, 5, 9), normal(5)
    on_device = [fake_cuda.array(one) for one in (x, dy, a)]
    got, wanted = kernel.backward(*on_device[:2], a=on_device[2]), kernel.backward(x, dy, a=a)
    np.testing.assert_array_equal(fake_cuda.values(got[0]), wanted[0])
    np.testing.assert_array_equal(fake_cuda.values(got[1]), wanted[1])


def test_pair(fake_cuda):
    pair, x = ac.compile_pair("mish"), normal(300)
    on_device = fake_cuda.array(x)
    for layer in (0, 1):
        np.testing.assert_array_equal(fake_cuda.values(pair(on_device, layer=layer)), pair(x, layer=layer))
    assert sum(line.startswith("cuLibraryLoadData") for line in fake_cuda.log) == 1
    for got, wanted in zip(pair.both(on_device), pair.both(x), strict=True):
        np.testing.assert_array_equal(fake_cuda.values(got), wanted)


def test_strides(fake_cuda):
    from actcomp.cuda.memory import CudaArray

    class View:
        def __init__(self, base: CudaArray, shape: tuple, strides: tuple, offset: int = 0) -> None:
            interface = dict(base.__cuda_array_interface__)
            interface.update(shape=shape, strides=strides, data=(base.address + offset, True))
            self.__class__ = type("View", (), {"__cuda_array_interface__": interface, "base": base})

    kernel, x = ac.compile("gelu"), normal(12, 10)
    base = fake_cuda.array(x)
    for view, strides in ((x[::2, 1::3], (80, 12)), (x.T[1:], (4, 40))):
        offset = view.__array_interface__["data"][0] - x.__array_interface__["data"][0]
        got = kernel(View(base, view.shape, strides, offset))
        np.testing.assert_array_equal(fake_cuda.values(got), kernel(view))


def test_stream_and_order(fake_cuda):
    kernel = ac.compile("silu")
    x = fake_cuda.array(normal(100), stream=0x77)
    fake_cuda.clear_log()
    y = kernel(type("Other", (), {"__cuda_array_interface__": x.__cuda_array_interface__})())
    assert [line.split("stream ")[1] for line in fake_cuda.launches()] == ["0x77"]
    assert y.stream == 0x77
    assert not any("Synchronize" in line for line in fake_cuda.log)
    capsule = y.__dlpack__(stream=5)
    assert any(line == "cuStreamWaitEvent 0x5 0" for line in fake_cuda.log)
    del capsule


def test_memory_is_given_back(fake_cuda):
    before = fake_cuda.library.fake_live_memory()
    kernel, x = ac.compile("silu"), fake_cuda.array(normal(100))
    for _ in range(20):
        y = kernel(x)
        y.__dlpack__(stream=-1)
    fake_cuda.library.fake_events_are_done(0)
    held = fake_cuda.library.fake_live_memory()
    z = kernel(kernel(x))
    assert fake_cuda.library.fake_live_memory() >= held + 2  # the array between is read until its launch has ended
    fake_cuda.library.fake_events_are_done(1)
    del y, z
    kernel(x)
    assert fake_cuda.library.fake_live_memory() <= before + 3
    assert fake_cuda.library.fake_live_events() <= 1


def test_calls_while_a_graph_is_captured(fake_cuda):
    """Code is loaded in the relaxed mode; no event is made, which would be one of the graph's."""
    kernel, x = ac.compile("x*exp(-x**2)"), fake_cuda.array(normal(10))
    fake_cuda.library.fake_capture(1)
    fake_cuda.clear_log()
    y = kernel(x)
    fake_cuda.library.fake_capture(0)
    words = [line.split()[0] for line in fake_cuda.log]
    mode, load = words.index("cuThreadExchangeStreamCaptureMode"), words.index("cuLibraryLoadData")
    assert mode < load < len(words) - 1 - words[::-1].index("cuThreadExchangeStreamCaptureMode")
    assert not any("Event" in word or "Synchronize" in word for word in words)
    assert fake_cuda.values(y).shape == (10,)


def test_two_devices(fake_cuda):
    fake_cuda.configure(devices=2)
    kernel, x = ac.compile("a*sigmoid(b)"), normal(64)
    first, second = fake_cuda.array(x, device=0), fake_cuda.array(x, device=1)
    np.testing.assert_array_equal(fake_cuda.values(kernel(second, second)), kernel(x, x))
    with pytest.raises(ac.DeviceError, match="a lives on CUDA device 0, b on CUDA device 1"):
        kernel(first, second)
    with pytest.raises(ac.DeviceError, match="CUDA"):
        kernel(first, x)


def test_a_stream_of_another_device_is_refused(fake_cuda):
    fake_cuda.configure(devices=2)
    kernel, x = ac.compile("silu"), fake_cuda.array(normal(10), device=0, stream=1)
    own, other = ({**x.__cuda_array_interface__, "stream": stream} for stream in (0x10007, 0x20007))
    kernel(type("Own", (), {"__cuda_array_interface__": own})())
    with pytest.raises(ac.DeviceError, match="stream 0x20007 belongs to CUDA device 1, the arrays live on 0"):
        kernel(type("Other", (), {"__cuda_array_interface__": other})())


def test_a_parameter_beyond_float32_is_infinite(fake_cuda):
    kernel, x = ac.compile("x*sigmoid(beta*x)", parameters={"beta": 1.0}), np.array([-1.0, 2.0], np.float32)
    np.testing.assert_array_equal(fake_cuda.values(kernel(fake_cuda.array(x), beta=1e300)), kernel(x, beta=1e300))


def test_wrong_arrays(fake_cuda):
    kernel, x = ac.compile("silu"), fake_cuda.array(normal(10))
    integers = type("Integers", (), {"__cuda_array_interface__": {**x.__cuda_array_interface__, "typestr": "<i4"}})()
    with pytest.raises(ac.DTypeError, match="<i4"):
        kernel(integers)
    stray = {**x.__cuda_array_interface__, "data": (64, False)}
    with pytest.raises(ac.DeviceError, match="no memory of a CUDA device"):
        kernel(type("Stray", (), {"__cuda_array_interface__": stray})())
    with pytest.raises(ac.ShapeError):
        kernel(x, out=fake_cuda.array(normal(11)))
    with pytest.raises(ac.ArgumentError, match="backend"):
        ac.compile("silu", backend="triton")


@pytest.mark.parametrize(
    ("function", "status", "error"),
    [
        ("cuMemAllocAsync", 2, ac.OutOfMemory),
        ("cuLaunchKernel", 701, ac.LaunchError),
        ("cuLaunchKernel", 700, ac.LaunchError),
        ("cuLaunchKernel", 400, ac.DeviceError),
        ("cuLibraryLoadData", 200, ac.AssemblyError),
        ("cuLibraryLoadData", 209, ac.AssemblyError),
    ],
)
def test_the_drivers_errors_are_typed(fake_cuda, function, status, error):
    kernel, x = ac.compile("silu"), fake_cuda.array(normal(10))
    fake_cuda.fail(function, status)
    with pytest.raises(error) as raised:
        kernel(x)
    assert raised.value.do
    np.testing.assert_array_equal(fake_cuda.values(kernel(x)).shape, (10,))


def test_no_driver_and_old_ones(fake_cuda, monkeypatch):
    from fake import forget

    x = fake_cuda.array(normal(4))
    interface = x.__cuda_array_interface__
    plain = type("Plain", (), {"__cuda_array_interface__": interface})()
    cases = (
        ({"version": 11080}, "CUDA 11.8; 12.0 is the oldest"),
        ({"devices": 0}, "CUDA_ERROR_100"),
        ({"capability": (6, 1)}, "compute capability 6.1; 7.5 is the oldest"),
    )
    for options, words in cases:
        forget()
        fake_cuda.configure(**options)
        with pytest.raises(ac.DeviceError, match=words):
            ac.compile("silu")(plain)
    forget()
    monkeypatch.setenv(driver.ENVIRONMENT, "/nowhere/libcuda.so")
    with pytest.raises(ac.DeviceError, match="cannot be loaded") as raised:
        ac.compile("silu")(plain)
    assert driver.ENVIRONMENT in raised.value.do
    x._memory.address = 0


def test_the_other_backend(fake_cuda):
    """Its PTX is not run here, but launched: Numba's seven parameters for an array."""
    import ctypes

    pytest.importorskip("numba.cuda.cudadrv.nvrtc", reason='numba-cuda is not installed: pip install "actcomp[cuda]"')
    found = []

    def note(name, image, grid, block, stream, parameters):
        slots = (ctypes.c_void_p * 14).from_address(parameters)
        found.append((name, b".entry forward_f32" in image, [ctypes.c_uint64.from_address(s).value for s in slots]))

    callback = type(fake_cuda._callback)(note)
    fake_cuda.library.fake_on_launch(callback)
    x, y = fake_cuda.array(normal(100)), fake_cuda.array(normal(100))
    ac.compile("silu", backend="numba")(x, out=y)
    ((name, is_there, values),) = found
    assert name == b"forward_f32" and is_there
    assert values == [0, 0, 100, 4, x.address, 100, 4, 0, 0, 100, 4, y.address, 100, 4]


def test_two_threads_launch_one_kernel(fake_cuda):
    import threading

    kernel, inputs = ac.compile("silu"), [fake_cuda.array(np.full(64, k, np.float32)) for k in range(8)]
    wanted = [kernel(np.full(64, k, np.float32)) for k in range(8)]
    kernel(inputs[0])
    wrong = []

    def work(k):
        for _ in range(20):
            if not np.array_equal(fake_cuda.values(kernel(inputs[k])), wanted[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_drivers_assembler_serves_where_there_is_no_other(fake_library, monkeypatch, tmp_path):
    """And what it made is kept: another process' call asks no assembler."""
    import ctypes

    from fake import FakeCuda, forget

    from actcomp.cuda import code, toolchain

    monkeypatch.setenv(driver.ENVIRONMENT, str(fake_library))
    monkeypatch.setenv("ACTCOMP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(toolchain, "find_tool", lambda name: None)
    forget()
    fake = FakeCuda(ctypes.CDLL(str(fake_library)))
    fake.reset()
    fake.library.fake_on_launch(None)
    kernel, x = ac.compile("silu"), fake.array(normal(10))
    kernel(x)
    assert [line.split()[0] for line in fake.log if line.startswith("cuLink")] == [
        "cuLinkCreate_v2", "cuLinkAddData_v2", "cuLinkComplete", "cuLinkDestroy",
    ]  # fmt: skip
    code.forget()
    kernel._on_cuda.clear()
    fake.clear_log()
    kernel(x)
    assert any(line.startswith("cuLaunchKernel") for line in fake.log)
    assert not any(line.startswith("cuLink") for line in fake.log)
    code.forget()
    kernel._on_cuda.clear()
    fake.fail("cuLibraryLoadData", 200)  # as for a file that another driver made
    kernel(x)
    with pytest.raises(ac.AssemblyError, match="what the assembler says"):
        fake.fail("cuLinkComplete", 218)
        ac.compile("x*exp(-x**4)")(x)
    assert sum(line.startswith("cuLibraryLoadData") for line in fake.log) == 3
    del x
    forget()


@pytest.fixture
def torch_on_cuda(fake_cuda, monkeypatch):
    """torch, whose CPU tensors count as those of CUDA device 0: as far as memory goes, they are."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    import dataclasses

    from actcomp.cuda import arrays as cuda_arrays
    from actcomp.cuda import recipe
    from actcomp.runtime import arrays

    def read(value, name):
        made = arrays._read_torch(value, name)
        return dataclasses.replace(made, kind=cuda_arrays.TORCH_CUDA, device=0)

    monkeypatch.setitem(arrays._readers, torch.Tensor, read)
    for module in (cuda_arrays, recipe):
        monkeypatch.setattr(module, "torch_stream", lambda ordinal: 0x99)
    return torch


def test_torch(fake_cuda, torch_on_cuda):
    torch = torch_on_cuda
    kernel, x, dy = ac.compile("mish"), torch.randn(50, 3), torch.randn(50, 3)
    wanted = ac.compile("mish")(x.numpy())
    slope = ac.compile("mish").backward(x.numpy(), dy.numpy())
    for _ in range(3):  # the second call goes by the recipe of the first
        y, dx = kernel(x), kernel.backward(x, dy)
        assert not fake_cuda.faults, fake_cuda.faults
        np.testing.assert_array_equal(y.numpy(), wanted)
        np.testing.assert_array_equal(dx.numpy(), slope)
    assert all(line.endswith("stream 0x99") for line in fake_cuda.launches()) and len(fake_cuda.launches()) == 6
    out, version = torch.empty(50, 3), 0
    for _ in range(3):
        out.zero_()
        version = out._version
        assert kernel(x, out=out) is out and out._version == version + 1
        np.testing.assert_array_equal(out.numpy(), wanted)
    for _ in range(3):
        out.zero_()
        assert kernel.backward(x, dy, out=out) is out
        np.testing.assert_array_equal(out.numpy(), slope)
    assert kernel.backward(x, dy, out=x.clone()).shape == (50, 3)
    wide = torch.randn(51 * 3)
    inside = wide[:150].view(50, 3)
    kernel(inside, out=out)
    expected = ac.compile("mish")(wide[:150].numpy())
    with pytest.raises(ac.ShapeError, match="overlaps"):
        kernel(inside, out=wide[3:].view(50, 3))
    kernel(inside, out=inside)
    np.testing.assert_array_equal(inside.numpy().ravel(), expected)
    with pytest.raises(ac.ShapeError, match="requires a gradient"):
        kernel(x, out=torch.zeros(50, 3, requires_grad=True))


def test_torch_parameters_stay_on_the_device(fake_cuda, torch_on_cuda):
    torch = torch_on_cuda
    kernel, x, dy = ac.compile("swish"), torch.randn(5000), torch.randn(5000)
    (name,) = kernel.parameters
    value = torch.tensor(1.25, dtype=torch.bfloat16)
    got = kernel.backward(x, dy, **{name: value})
    wanted = ac.compile("swish").backward(x.numpy(), dy.numpy(), **{name: 1.25})
    assert not fake_cuda.faults, fake_cuda.faults
    np.testing.assert_array_equal(got[0].numpy(), wanted[0])
    assert got[1].dtype == torch.bfloat16 and got[1].shape == ()
    assert got[1] == torch.tensor(wanted[1], dtype=torch.float64).to(torch.bfloat16)
