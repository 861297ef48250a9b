"""torch.func, torch.compile, torch.export, tracing: everything that sees operators."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch import nn  # noqa: E402
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

import actcomp as ac  # noqa: E402
import actcomp.torch as act  # noqa: E402

mish = act.function("mish")
swiglu = act.function("swiglu")
swish = act.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
snake = act.function("x + sin(a*x)**2/a", parameters={"a": ac.Parameter(1.0, axis=1)})


def total(f):
    return lambda *x: f(*x).sum()


# torch.func -----------------------------------------------------------------------------------------------------------


def test_vmap():
    x = torch.randn(5, 4, 3)
    for f in (vmap(mish), vmap(vmap(mish)), vmap(mish, in_dims=2, out_dims=2), vmap(vmap(mish, in_dims=1, out_dims=1))):
        assert torch.equal(f(x), mish(x))
    a, b = torch.randn(5, 4), torch.randn(3, 4)
    assert torch.equal(vmap(swiglu, in_dims=(None, 0))(a, b), torch.stack([swiglu(a, row) for row in b]))
    assert torch.equal(vmap(swiglu, in_dims=(1, 0))(a, torch.ones(4)), swiglu(a.T, torch.ones(4, 1)))


def test_derivatives_of_every_kind():
    v = torch.randn(6, dtype=torch.float64)
    slope, curve, third = (mish.slope(*["x"] * k)(v) for k in (1, 2, 3))
    close = torch.testing.assert_close
    close(grad(total(mish))(v), slope)
    close(vmap(grad(total(mish)))(v.reshape(2, 3)).reshape(6), slope)
    close(jacrev(mish)(v), torch.diag(slope))
    close(jacfwd(mish)(v), torch.diag(slope))
    close(jvp(mish, (v,), (torch.full_like(v, 2.0),))[1], 2 * slope)
    close(vjp(mish, v)[1](torch.full_like(v, 2.0))[0], 2 * slope)
    for both in (hessian, lambda f: jacrev(jacrev(f)), lambda f: jacfwd(jacfwd(f)), lambda f: jacrev(jacfwd(f))):
        close(both(total(mish))(v), torch.diag(curve))
    for last in (grad, lambda f: jacfwd(f)):
        close(torch.diag(jacrev(last(total(mish)))(v)), curve)
        close(last(lambda u: grad(lambda w: grad(total(mish))(w).sum())(u).sum())(v), third)
    (batched,) = torch.autograd.grad(
        mish(leaf := v.clone().requires_grad_()), leaf, torch.eye(6, dtype=v.dtype), is_grads_batched=True
    )
    close(batched, torch.diag(slope))


def test_gradients_of_parameters_for_each_sample():
    x, beta = torch.randn(5, 4), torch.tensor(1.2)
    per_sample = vmap(grad(lambda b, v: swish(v, beta=b).sum()), in_dims=(None, 0))
    expected = [grad(lambda b, v=v: swish(v, beta=b).sum())(beta) for v in x]
    torch.testing.assert_close(per_sample(beta, x), torch.stack(expected))
    betas = torch.rand(5)
    both = vmap(grad(lambda b, v: swish(v, beta=b).sum(), argnums=(0, 1)))(betas, x)
    for place in range(5):
        alone = grad(lambda b, v: swish(v, beta=b).sum(), argnums=(0, 1))(betas[place], x[place])
        torch.testing.assert_close((both[0][place], both[1][place]), alone)


def test_vmap_leaves_channels_where_they_are():
    z, a = torch.randn(5, 3, 4, 2), torch.rand(4) + 0.5
    torch.testing.assert_close(vmap(lambda q: snake(q, a=a))(z), torch.stack([snake(q, a=a) for q in z]))
    found = vmap(grad(lambda a, q: snake(q, a=a).sum()), in_dims=(None, 0))(a, z)
    expected = torch.stack([grad(lambda a, q=q: snake(q, a=a).sum())(a) for q in z])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_vmap_of_bfloat16_rounds_once():
    x, betas = torch.randn(5, 64).bfloat16(), torch.rand(5) + 0.5
    y = vmap(lambda v, b: swish(v, beta=b))(x, betas)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, torch.stack([swish(v, beta=b) for v, b in zip(x, betas, strict=True)]))


def test_functional_call():
    module = act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    x = torch.randn(7)
    slope = grad(lambda p: functional_call(module, p, x).sum())({"beta": torch.tensor(2.0)})["beta"]
    torch.testing.assert_close(slope, swish.slope("beta")(x, beta=2.0).sum())


# torch.compile --------------------------------------------------------------------------------------------------------


@pytest.fixture
def compiled():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    return lambda f: torch.compile(f, fullgraph=True, dynamic=True)


@pytest.mark.slow
def test_compile_whole_with_dynamic_shapes(compiled):
    model = nn.Sequential(
        nn.Linear(6, 6), act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.0}), act.Module("mish")
    )
    f = compiled(model)
    for size in (4, 9, 17):
        x = torch.randn(size, 6, requires_grad=True)
        f(x).square().sum().backward()
        got = [x.grad, *(p.grad.clone() for p in model.parameters())]
        model.zero_grad()
        y = model(z := x.detach().requires_grad_())
        y.square().sum().backward()
        torch.testing.assert_close(f(x), y)
        torch.testing.assert_close(got, [z.grad, *(p.grad for p in model.parameters())])
        model.zero_grad()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]


@pytest.mark.slow
def test_compile_layouts_autocast_and_transforms(compiled):
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    y = compiled(lambda x: mish(x))(images)
    assert torch.equal(y, mish(images)) and y.stride() == images.stride()
    a, b = torch.randn(3, 6).bfloat16(), torch.randn(3, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(compiled(lambda p, q: swiglu(p, q))(a, b), swiglu(a, b))
    x = torch.randn(5, 4)
    each = lambda z: vmap(grad(total(mish)))(z)  # noqa: E731
    torch.testing.assert_close(compiled(each)(x), each(x))
    assert not torch._dynamo.utils.counters["graph_break"]


@pytest.mark.slow
def test_compile_forward_mode(compiled):
    """There the level of forward mode is known to torch alone, not to torch.autograd.forward_ad."""
    x, beta = torch.randn(3), torch.tensor(1.2)
    curve = lambda v: hessian(lambda w: swish(w, beta=beta).sum())(v)  # noqa: E731
    torch.testing.assert_close(torch.compile(curve, fullgraph=True, backend="aot_eager")(x), curve(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_autograd(compiled):
    x, beta = torch.randn(4, requires_grad=True), torch.tensor(1.2, requires_grad=True)
    with torch._dynamo.config.patch(compiled_autograd=True):

        @torch.compile(backend="eager")
        def step():
            (mish(x).sum() + swish(x, beta=beta).sum()).backward()

        step()
    found = x.grad.clone(), beta.grad.clone()
    expected = torch.autograd.grad(mish(x).sum() + swish(x, beta=beta).sum(), (x, beta))
    torch.testing.assert_close(found, expected)


# torch.export and tracing ---------------------------------------------------------------------------------------------

LOADS = """
import json, sys, torch, actcomp.torch
program = torch.export.load(sys.argv[1])
x = torch.linspace(-3, 3, 30).reshape(5, 6)
print(json.dumps(program.module()(x).tolist()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
def test_export(strict, tmp_path):
    star = ac.adversary("silu", rule="inverse")
    model = nn.Sequential(nn.Linear(6, 6), act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.3}), act.Module(star))
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (torch.randn(8, 6),), dynamic_shapes=({0: batch},), strict=strict)
    x = torch.linspace(-3, 3, 30).reshape(5, 6)
    assert torch.equal(program.module()(x), model(x))
    if strict:
        return
    torch.export.save(program, tmp_path / "model.pt2")
    answer = subprocess.run(
        [sys.executable, "-c", LOADS, str(tmp_path / "model.pt2")], capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout.splitlines()[-1]) == model(x).tolist()


def test_make_fx_and_symbolic_trace():
    x = torch.randn(4)
    assert torch.ops.actcomp.forward.default in [node.target for node in make_fx(lambda v: mish(v))(x).graph.nodes]
    traced = torch.fx.symbolic_trace(nn.Sequential(act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.5})))
    assert torch.equal(traced(x), swish(x, beta=1.5))


@pytest.mark.filterwarnings("ignore")
def test_jit_trace():
    module = torch.jit.trace(act.Module("mish"), (torch.randn(4),))
    x = torch.randn(4)
    assert torch.equal(module(x), mish(x))
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    assert torch.equal(torch.jit.load(file)(x), mish(x))
