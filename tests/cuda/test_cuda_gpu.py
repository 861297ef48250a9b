"""On a real CUDA device: torch's tensors have the bits of the CPU kernels."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import actcomp as ac

pytestmark = pytest.mark.gpu

BITS = {"float32": "int32", "float64": "int64", "float16": "int16", "bfloat16": "int16"}
BIAS = {"inputs": ["x"], "parameters": {"b": ac.Parameter(0.0, axis=-1)}}


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return torch


@pytest.fixture(params=["nvptx", "numba"])
def backend(request):
    if request.param == "numba" and importlib.util.find_spec("numba_cuda") is None:
        pytest.skip('numba-cuda is not installed: pip install "actcomp[cuda]"')
    return request.param


def drawn(torch, *shape, dtype="float32", seed=0):
    """Normal numbers times 3 on the CPU; special values first, in arrays that have room."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(shape, generator=generator, dtype=torch.float64) * 3).to(getattr(torch, dtype))
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-40, -1e-7, 200.0, -200.0, 6e4])
    if x.numel() > 50:
        x.view(-1)[seed : seed + 10] = special.to(x.dtype)
    return x


def same(torch, got, wanted):
    """Same type, shape and bits; NaN equals NaN."""
    if isinstance(wanted, tuple):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            same(torch, one, other)
        return
    wanted = torch.as_tensor(wanted, dtype=torch.float64 if isinstance(wanted, float) else None)
    assert got.is_cuda and got.dtype == wanted.dtype and got.shape == wanted.shape
    got, wanted = got.detach().cpu().contiguous(), wanted.detach().contiguous()
    kind = getattr(torch, BITS[str(wanted.dtype).removeprefix("torch.")])
    unlike = (got.view(kind) != wanted.view(kind)) & ~(got.isnan() & wanted.isnan())
    assert not unlike.any(), f"{int(unlike.sum())} of {unlike.numel()} elements differ"


def on_both(torch, call, *tensors):
    same(torch, call(*(t.cuda() for t in tensors)), call(*tensors))


# Kernels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", list(BITS))
@pytest.mark.parametrize("name", list(ac.CATALOG))
def test_catalog(torch, name, dtype):
    kernel = ac.compile(name)
    count = len(kernel.inputs)
    for size in (0, 1, 33, 4097):
        arrays = [drawn(torch, size, dtype=dtype, seed=seed) for seed in range(2 * count + 1)]
        on_both(torch, kernel, *arrays[:count])
        on_both(torch, kernel.backward, *arrays[: count + 1])
        on_both(torch, kernel.double_backward, *arrays)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["silu", "gelu", "mish", "swish", "snake", "swiglu"])
def test_the_other_backend(torch, name, dtype):
    pytest.importorskip("numba_cuda", reason='numba-cuda is not installed: pip install "actcomp[cuda]"')
    kernel = ac.compile(name, backend="numba")
    count = len(kernel.inputs)
    for size in (1, 4097, 1 << 20):
        arrays = [drawn(torch, size, dtype=dtype, seed=seed) for seed in range(count + 1)]
        on_both(torch, kernel, *arrays[:count])
        on_both(torch, kernel.backward, *arrays)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_all_values_of_16_bits(torch, backend, dtype):
    x = torch.arange(-(2**15), 2**15).to(torch.int16).view(getattr(torch, dtype))
    for name in ("silu", "gelu", "tanh"):
        on_both(torch, ac.compile(name, backend=backend), x)


def test_parameters_and_their_gradients(torch, backend):
    kernel = ac.compile("x*sigmoid(beta*x)", parameters={"beta": 1.0}, backend=backend)
    x, dy = torch.randn(70_001), torch.randn(70_001)
    wanted = kernel.backward(x, dy, beta=1.5)
    got = kernel.backward(x.cuda(), dy.cuda(), beta=1.5)
    same(torch, tuple(got), tuple(wanted))
    as_tensor = kernel.backward(x.cuda(), dy.cuda(), beta=torch.tensor(1.5, device="cuda"))
    same(torch, as_tensor[0], wanted[0])
    assert as_tensor[1].dtype == torch.float32 and float(as_tensor[1]) == float(np.float32(wanted[1]))


@pytest.mark.parametrize("shape", [(3, 1024), (1000, 13), (5, 33, 64), (1, 1)])
def test_bias_and_activation(torch, backend, shape):
    kernel = ac.compile("silu(x + b)", backend=backend, **BIAS)
    x, dy, b = torch.randn(shape), torch.randn(shape), torch.randn(shape[-1])
    same(torch, kernel(x.cuda(), b=b.cuda()), kernel(x, b=b))
    got, wanted = kernel.backward(x.cuda(), dy.cuda(), b=b.cuda()), kernel.backward(x, dy, b=b)
    same(torch, got[0], wanted[0])
    torch.testing.assert_close(got[1].cpu(), wanted[1], rtol=1e-6, atol=1e-6)
    again = kernel.backward(x.cuda(), dy.cuda(), b=b.cuda())
    assert torch.equal(again[1], got[1])


def test_pair(torch, backend):
    pair = ac.compile_pair("mish", backend=backend)
    x, dy = drawn(torch, 4097), drawn(torch, 4097, seed=1)
    for layer in (0, 1, 2):
        same(torch, pair(x.cuda(), layer=layer), pair(x, layer=layer))
        same(torch, pair.backward(x.cuda(), dy.cuda(), layer=layer), pair.backward(x, dy, layer=layer))


def test_layouts(torch, backend):
    kernel, base = ac.compile("gelu", backend=backend), drawn(torch, 6, 10, 8, 12)
    there = base.cuda()
    views = (
        lambda t: t[::2, 1::3],
        lambda t: t.transpose(0, 3),
        lambda t: t.to(memory_format=torch.channels_last),
        lambda t: t[:, :, 3].expand(2, 6, 10, 12),
        lambda t: t.view(-1)[1:],  # a head that is not aligned
        lambda t: t[..., 0],
    )
    for view in views:
        same(torch, kernel(view(there)), kernel(view(base)))
        same(torch, kernel.backward(view(there), view(there)), kernel.backward(view(base), view(base)))


def test_broadcasting(torch, backend):
    kernel = ac.compile("swiglu", backend=backend)
    a, b, dy = torch.randn(33, 65), torch.randn(65), torch.randn(33, 65)
    on_both(torch, kernel, a, b)
    on_both(torch, kernel.backward, a, b, dy)
    same(torch, kernel(a.cuda(), 0.3), kernel(a, 0.3))


def test_out_and_in_place(torch, backend):
    kernel, x = ac.compile("silu", backend=backend), drawn(torch, 5000)
    wanted, there = kernel(x), x.cuda()
    for _ in range(3):
        out = torch.full((5000,), 7.0, device="cuda")
        version = out._version
        assert kernel(there, out=out) is out and out._version > version
        same(torch, out, wanted)
    kernel(there, out=there)
    same(torch, there, wanted)
    wide = torch.zeros(100, device="cuda")
    with pytest.raises(ac.ShapeError, match="overlaps"):
        kernel(wide[:90], out=wide[5:95])


def test_far_elements(torch):
    """Indices beyond 32 bits."""
    if torch.cuda.mem_get_info()[0] < 12 << 30:
        pytest.skip("needs 12 GiB of the device's memory")
    x = torch.zeros((1 << 31) + 5, dtype=torch.bfloat16, device="cuda")
    tail = drawn(torch, 4096, dtype="bfloat16")
    x[-4096:] = tail.cuda()
    kernel = ac.compile("silu")
    kernel(x, out=x)
    same(torch, x[-4096:], kernel(tail))
    del x
    torch.cuda.empty_cache()


# Order, graphs, devices -------------------------------------------------------------------------------------------


def test_side_stream(torch, backend):
    """What is read was written on the same stream a moment before, after a long wait of the device."""
    kernel, side = ac.compile("silu", backend=backend), torch.cuda.Stream()
    wanted = kernel(torch.full((10_000,), 2.0))
    x = torch.zeros(10_000, device="cuda")
    kernel(x)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)
        x.fill_(2.0)
        y = kernel(x)
        out = torch.empty_like(x)
        kernel(x, out=out)
    side.synchronize()
    same(torch, y, wanted)
    same(torch, out, wanted)


def test_graphs(torch, backend):
    kernel = ac.compile("mish", backend=backend)
    swish = ac.compile("x*sigmoid(beta*x)", parameters={"beta": 1.0}, backend=backend)
    x, dy = torch.randn(70_000, device="cuda"), torch.randn(70_000, device="cuda")
    out, beta = torch.empty_like(x), torch.tensor(1.5, device="cuda")

    def work():
        kernel(x, out=out)
        return kernel(x), kernel.backward(x, dy), swish.backward(x, dy, beta=beta), swish.backward(x, dy, beta=0.5)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work()
    for seed in range(3):
        x.copy_(torch.randn(70_000, generator=torch.Generator().manual_seed(seed)))
        graph.replay()
        wanted = work()
        assert torch.equal(out, wanted[0])
        for got, right in zip(results, wanted, strict=True):
            pairs = zip(got, right, strict=True) if isinstance(got, tuple) else [(got, right)]
            assert all(torch.equal(one, other) for one, other in pairs)


def test_a_first_call_may_be_captured(torch):
    """Code is made and loaded while a graph is being captured."""
    x = torch.randn(1000, device="cuda")
    graph = torch.cuda.CUDAGraph()
    kernel = ac.compile("x*exp(-x**2/7)")
    with torch.cuda.graph(graph):
        y = kernel(x)
    graph.replay()
    same(torch, y, kernel(x.cpu()))


def test_nothing_waits(torch, backend):
    import actcomp.torch as act

    kernel, function = ac.compile("silu", backend=backend), act.function("silu")
    swish = ac.compile("x*sigmoid(beta*x)", parameters={"beta": 1.0}, backend=backend)
    x = torch.randn(70_000, device="cuda")
    leaf, beta, out = x.clone().requires_grad_(), torch.tensor(1.5, device="cuda"), torch.empty_like(x)

    def work():
        kernel(x, out=out)
        kernel.backward(x, kernel(x))
        swish.backward(x, x, beta=beta)
        swish.backward(x, x, beta=0.5)
        function(leaf).backward(x)

    work()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # torch hears of its own waits only: a kernel that takes long must not have ended when the calls return
    end = torch.cuda.Event()
    torch.cuda._sleep(200_000_000)
    work()
    end.record()
    assert not end.query()
    torch.cuda.synchronize()


def test_inference_mode(torch):
    kernel, x = ac.compile("silu"), drawn(torch, 1000)
    with torch.inference_mode():
        there = x.cuda()
        for _ in range(2):
            same(torch, kernel(there), kernel(x))
            same(torch, kernel(there, out=torch.empty_like(there)), kernel(x))


def test_devices_are_not_mixed(torch):
    import actcomp.torch as act

    kernel, x = ac.compile("swiglu"), torch.randn(8)
    with pytest.raises(ac.DeviceError, match="lives on"):
        kernel(x, x.cuda())
    with pytest.raises(ac.DeviceError, match="a lives on cpu, b on cuda"):
        act.function("swiglu")(x, x.cuda())
    with pytest.raises(ac.ActcompError):
        ac.compile("silu")(x.cuda(), out=torch.empty(8))
    with pytest.raises(ac.DTypeError):
        ac.compile("silu")(torch.arange(8, device="cuda"))


def test_two_devices(torch):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    kernel, x = ac.compile("silu"), drawn(torch, 4097)
    for ordinal in (1, 0, 1):
        y = kernel(x.to(f"cuda:{ordinal}"))
        assert y.device.index == ordinal
        same(torch, y, kernel(x))
    with pytest.raises(ac.DeviceError, match="CUDA device 0, b on CUDA device 1"):
        ac.compile("swiglu")(x.to("cuda:0"), x.to("cuda:1"))


# actcomp.torch ----------------------------------------------------------------------------------------------------


def test_autograd(torch):
    import actcomp.torch as act

    for source in ("mish", "gelu", "silu"):
        function, x, dy = act.function(source), drawn(torch, 1000), drawn(torch, 1000, seed=1)
        results = []
        for device in ("cpu", "cuda"):
            leaf = x.to(device).requires_grad_()
            y = function(leaf)
            (dx,) = torch.autograd.grad(y, leaf, dy.to(device))
            results.append((y, dx))
        same(torch, results[1], results[0])


def test_gradcheck(torch):
    import actcomp.torch as act

    generator = torch.Generator(device="cuda").manual_seed(0)

    def leaf(*shape):
        return torch.randn(shape, dtype=torch.float64, device="cuda", generator=generator).requires_grad_()

    swish = act.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    beta = torch.tensor(1.5, dtype=torch.float64, device="cuda", requires_grad=True)
    for f, arguments in (
        (act.function("mish"), (leaf(4, 3),)),
        (act.function("swiglu"), (leaf(4, 3), leaf(3))),
        (lambda x, beta: swish(x, beta=beta), (leaf(9), beta)),
    ):
        assert torch.autograd.gradcheck(f, arguments)
        assert torch.autograd.gradgradcheck(f, arguments)


def test_module(torch):
    import actcomp.torch as act

    module = act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.5})
    x, found = torch.randn(1000), []
    for device in ("cpu", "cuda"):
        module.to(device)
        module.zero_grad()
        y = module(x.to(device))
        y.sum().backward()
        found.append((y, module.get_parameter("beta").grad.clone()))
    same(torch, found[1], found[0])


def test_torch_compile(torch):
    pytest.importorskip("triton", reason="torch.compile on CUDA needs Triton")
    import actcomp.torch as act

    function, x = act.function("mish"), torch.randn(1000, device="cuda")
    compiled = torch.compile(lambda x: function(x * 2) + 1, fullgraph=True)
    results = []
    for call in (lambda x: function(x * 2) + 1, compiled):
        leaf = x.clone().requires_grad_()
        y = call(leaf)
        (dx,) = torch.autograd.grad(y.square().sum(), leaf)
        results.append((y, dx))
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted)
