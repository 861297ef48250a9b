"""torch's own judges on every function: gradcheck, gradgradcheck, opcheck."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import actcomp as ac  # noqa: E402
import actcomp.torch as act  # noqa: E402

ADVERSARIES = [
    ("silu", "reflect"),
    ("gelu", "inverse"),
    ("tanh", "reciprocal"),
    ("softplus", "inverse"),
    ("elu", "negate"),
]
LIFTED = [("silu", None), ("gelu", "product"), ("tanh", "parts"), ("mish", None)]
PARAMETRISED = [
    ("x*sigmoid(beta*x)", {"beta": 1.0}),
    ("x + sin(a*x)**2/a", {"a": ac.Parameter(1.5, axis=-1)}),
    ("max(x, 0) + slope*min(x, 0) + b*tanh(x)", {"slope": 0.2, "b": ac.Parameter(0.5, axis=1)}),
]
CHECKS = {"test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic"}


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()


def judge(function: act.ActivationFunction, tensors: list[torch.Tensor], names: tuple[str, ...] = ()) -> None:
    """First and second derivatives, backward and forward mode, batched gradients; then the operators."""
    count = len(function.inputs)

    def call(*given: torch.Tensor) -> torch.Tensor:
        return function(*given[:count], **dict(zip(names, given[count:], strict=True)))

    assert torch.autograd.gradcheck(call, tensors, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, tensors, check_fwd_over_rev=True, check_rev_over_rev=True)
    inputs, parameters = tensors[:count], tensors[count:]
    y = call(*tensors)
    dy = torch.randn_like(y).requires_grad_()
    dds = [torch.randn_like(t).requires_grad_() for t in inputs]
    for name, extra in (("forward", ()), ("backward", (dy,)), ("double_backward", (dy, dds))):
        operator = getattr(torch.ops.actcomp, name).default
        assert set(torch.library.opcheck(operator, (inputs, parameters, *extra, function.key))) == CHECKS


@pytest.mark.parametrize("name", list(ac.CATALOG))
def test_catalog(name: str) -> None:
    function = act.function(name)
    judge(function, [random(3, 4, seed=k) for k in range(len(function.inputs))])


@pytest.mark.parametrize(("name", "rule"), ADVERSARIES)
def test_adversaries(name: str, rule: str) -> None:
    judge(act.function(ac.adversary(name, rule=rule)), [random(3, 4)])


@pytest.mark.parametrize(("name", "cut"), LIFTED)
def test_lifted_gates(name: str, cut: str | None) -> None:
    lifted = ac.decompose(name, cut).lifted
    judge(act.function(lifted), [random(3, 4, seed=k) for k in range(len(lifted.inputs))])


@pytest.mark.parametrize(("formula", "parameters"), PARAMETRISED)
def test_parameters(formula: str, parameters: dict[str, float | ac.Parameter]) -> None:
    function = act.function(formula, parameters=parameters)
    values = [
        random(*([] if getattr(p, "axis", None) is None else [4]), seed=k).detach().abs().add(0.5).requires_grad_()
        for k, p in enumerate(parameters.values())
    ]
    judge(function, [random(3, 4), *values], tuple(parameters))


def test_broadcast_inputs() -> None:
    judge(act.function("swiglu"), [random(3, 1), random(2, 1, 4, seed=1)])
    judge(act.function("swiglu"), [random(), random(3, 4, seed=1)])


def test_third_and_fourth_derivative() -> None:
    function = act.function("mish")
    x = random(5)
    value = function(x)
    for order in range(1, 5):
        (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        expected = function.slope(*["x"] * order)(x)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-13)


def test_third_derivative_with_a_parameter() -> None:
    function = act.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    x, beta = random(6), torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def second(x: torch.Tensor, beta: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first = torch.autograd.grad(function(x, beta=beta).sum(), (x, beta), create_graph=True)
        return torch.autograd.grad(first[0].square().sum() + first[1] * 3, (x, beta), create_graph=True)

    assert torch.autograd.gradcheck(second, (x, beta))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_and_gradients_are_the_kernels(dtype: torch.dtype) -> None:
    function = act.function("gelu")
    x, dy = random(513, dtype=dtype), random(513, seed=1, dtype=dtype).detach()
    y = function(x)
    (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
    (ddx,) = torch.autograd.grad(dx, x, dy)
    kernel = function.kernel
    plain = x.detach()
    assert torch.equal(y, kernel(plain)) and torch.equal(dx, kernel.backward(plain, dy))
    assert torch.equal(ddx, kernel.double_backward(plain, dy, dy).x)
