"""JAX's own checker on both orders in both modes; orders beyond against JAX's derivatives of a formula."""

import functools

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is an extra")

import jax.numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

import actcomp as ac  # noqa: E402
import actcomp.jax as acj  # noqa: E402

# Away from kinks and from places where a slope vanishes.
POINTS = np.array([-4.3, -2.2, -1.3, -0.7, 0.23, 0.62, 1.37, 4.1])


def judge(f):
    arrays = tuple(np.roll(POINTS, index) for index in range(len(f.inputs)))
    arguments = ({name: np.float64(1.1 * value) for name, value in f.parameters.items()}, *arrays)
    with jax.enable_x64(True):
        check_grads(f, arguments if f.parameters else arrays, order=2, modes=("fwd", "rev"), atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("name", sorted(ac.CATALOG))
def test_check_grads_of_the_catalog(name):
    judge(acj.function(name))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ac.adversary("silu", rule="inverse"),
        lambda: ac.adversary("tanh", rule="reciprocal"),
        lambda: ac.adversary("swish", rule="reflect", differentiate_image=True),
        lambda: ac.adversary("gelu", mode="split"),
        lambda: ac.decompose("gelu").lifted,
        lambda: ac.decompose("snake").lifted,
        lambda: ac.activation("a*sigmoid(k*b) + c*tanh(a)", parameters={"k": 0.7, "c": 0.3}),
    ],
    ids=["inverse", "reciprocal", "reflect", "split", "lifted product", "lifted sum", "two inputs, two parameters"],
)
def test_check_grads_of_adversaries_and_gates(make):
    judge(acj.function(make()))


def swish(params, x):
    return x * jax.nn.sigmoid(params["beta"] * x)


def total(f):
    return lambda params, x: jnp.sum(jnp.sin(f(params, x)))


BOTH = (0, 1)
TRANSFORMS = {
    "grad": lambda f: jax.grad(total(f), BOTH),
    "hessian": lambda f: jax.hessian(total(f), BOTH),
    "reverse over reverse": lambda f: jax.jacrev(jax.jacrev(total(f), BOTH), BOTH),
    "forward over forward": lambda f: jax.jacfwd(jax.jacfwd(total(f), BOTH), BOTH),
    "reverse over forward": lambda f: jax.jacrev(jax.jacfwd(total(f), BOTH), BOTH),
    "third": lambda f: jax.jacrev(jax.jacfwd(jax.jacrev(total(f), BOTH), BOTH), BOTH),
    "third in reverse": lambda f: jax.grad(lambda p, x: jnp.sum(jax.jacrev(jax.jacrev(total(f), 1), 1)(p, x)), BOTH),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_order_with_parameters(name):
    f = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    with jax.enable_x64(True):
        params, x = {"beta": jnp.asarray(1.3)}, jnp.linspace(-3.0, 3.0, 5)
        mine, theirs = (jax.jit(TRANSFORMS[name](g))(params, x) for g in (f, swish))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12), mine, theirs)


def test_fourth_order():
    with jax.enable_x64(True):
        mine, theirs = (
            functools.reduce(lambda g, _: jax.grad(g), range(4), g) for g in (acj.function("tanh"), jnp.tanh)
        )
        np.testing.assert_allclose(mine(0.3), theirs(0.3), rtol=1e-12)


@pytest.mark.parametrize("order, variants", [(1, ["backward"]), (2, ["double_backward"])])
def test_a_gradient_is_one_kernel_that_reads_the_inputs(order, variants):
    f = acj.function("mish")
    g = f
    for _ in range(order):
        g = jax.grad(lambda x, g=g: jnp.sum(g(x)))
    text = jax.jit(g).lower(jnp.ones(8)).as_text()
    called = [line.split("/")[2] for line in text.splitlines() if "custom_call" in line]
    assert called == variants


def test_gradients_are_the_kernels_bit_for_bit():
    f = acj.function("mish")
    x, dy = np.random.default_rng(0).normal(size=(2, 999)).astype(np.float32)
    _, pull = jax.vjp(f, jnp.asarray(x))
    assert np.array_equal(pull(jnp.asarray(dy))[0], f.kernel.backward(x, dy))
    _, push = jax.linearize(f, jnp.asarray(x))
    assert np.array_equal(push(jnp.asarray(dy)), f.kernel.backward(x, dy))


def test_the_gradient_of_a_parameter_is_the_fixed_sum():
    f = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.25})
    x, dy = np.random.default_rng(1).normal(size=(2, 1 << 17)).astype(np.float32)
    _, pull = jax.vjp(f, {"beta": jnp.float32(1.25)}, jnp.asarray(x))
    params, dx = pull(jnp.asarray(dy))
    wanted = f.kernel.backward(x, dy, beta=1.25)
    assert float(params["beta"]) == np.float32(wanted.beta)
    assert np.array_equal(dx, wanted.x)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradients_of_parameters_beside_16_bit_inputs(dtype):
    f = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    x = jnp.linspace(-3, 3, 64).astype(dtype)
    params = {"beta": jnp.asarray(1.5, dtype)}
    found = jax.grad(lambda p, x: jnp.sum(f(p, x).astype(jnp.float32)), BOTH)(params, x)
    wanted = jax.grad(lambda p, x: jnp.sum(swish(p, x)), BOTH)({"beta": jnp.float32(1.5)}, x.astype(jnp.float32))
    assert found[0]["beta"].dtype == found[1].dtype == x.dtype
    np.testing.assert_allclose(float(found[0]["beta"]), float(wanted[0]["beta"]), rtol=1e-2)
    np.testing.assert_allclose(found[1].astype(jnp.float32), wanted[1], rtol=1e-2, atol=1e-2)
    second = jax.grad(lambda p: jax.grad(lambda p: jnp.sum(f(p, x).astype(jnp.float32)))(p)["beta"].astype(jnp.float32))
    assert np.isfinite(float(second(params)["beta"]))
