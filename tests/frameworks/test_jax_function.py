"""acj.function: values, parameters, vmap and other transformations, threads, what it refuses."""

import copy
import pickle
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is an extra")

import jax.numpy as jnp  # noqa: E402

import actcomp as ac  # noqa: E402
import actcomp.jax as acj  # noqa: E402
from actcomp.errors import ArgumentError, DeviceError, DTypeError, ShapeError, UnsupportedExpression  # noqa: E402
from actcomp.jax import target  # noqa: E402

GENERATOR = np.random.default_rng(3)


def same(found, wanted):
    return np.array_equal(np.asarray(found), np.asarray(wanted), equal_nan=True)


# Values ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 0, 2), (33, 5), (70_001,), (3, 1 << 20)])
def test_values_are_the_kernels_bit_for_bit(dtype, shape):
    f = acj.function("mish")
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray(3 * GENERATOR.normal(size=shape)).astype(dtype)
        y = jax.jit(f)(x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        assert same(y, f.kernel(np.asarray(x)))
        assert same(f(x), y)


def test_special_values_and_subnormals():
    f = acj.function("relu")
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38], np.float32)
    for count in (1, 1 << 15):  # on the caller's thread, and shared with XLA's, which flush subnormals
        y = np.asarray(jax.jit(f)(jnp.asarray(np.tile(x, count))))
        assert y.view(np.uint32).tobytes() == f.kernel(np.tile(x, count)).view(np.uint32).tobytes()
        assert (y[5::8] != 0).all()


def test_without_x64_numpy_doubles_count_as_float32():
    with jax.enable_x64(False):
        assert acj.function("tanh")(np.ones(3)).dtype == np.float32
        assert acj.function("tanh")(1.0).dtype == np.float32


def test_inputs_broadcast_and_numbers_take_their_type():
    f = acj.function("a*sigmoid(b)")
    a, b = GENERATOR.normal(size=(4, 1, 3)).astype(np.float32), GENERATOR.normal(size=(5, 1)).astype(np.float32)
    assert same(f(a, b), f.kernel(a, b))
    assert same(f(a, 2), f.kernel(a, np.float32(2.0) * np.ones_like(a)))
    da, db = jax.grad(lambda a, b: jnp.sum(f(a, b)), (0, 1))(a, b)
    assert (da.shape, db.shape) == (a.shape, b.shape)
    assert f(jnp.ones(3, jnp.bfloat16), 2.0).dtype == jnp.bfloat16


# Parameters -----------------------------------------------------------------------------------------------------------


def test_parameters_and_their_defaults():
    f = acj.function("x*sigmoid(beta*x) + c", parameters={"beta": 1.5, "c": 0.25})
    x = GENERATOR.normal(size=50).astype(np.float32)
    assert f.parameters == {"beta": 1.5, "c": 0.25}
    assert same(f(x), f.kernel(x))
    assert same(f(f.parameters, x), f.kernel(x))
    assert same(f({"beta": jnp.array([2.0])}, x), f.kernel(x, beta=2.0))
    assert same(jax.jit(f)({"c": jnp.float32(2.0)}, x), f.kernel(x, c=2.0))


def test_parameters_per_channel():
    f = acj.function("where(x > 0, x, a*x)", parameters={"a": ac.Parameter(0.25, axis=1)})
    x, a = GENERATOR.normal(size=(6, 3, 4)).astype(np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    assert same(f({"a": a}, x), f.kernel(x, a=a))
    assert same(f(x), f.kernel(x))
    da, dx = jax.jit(jax.grad(lambda a, x: jnp.sum(f({"a": a}, x)), (0, 1)))(a, x)
    wanted = f.kernel.backward(x, np.ones_like(x), a=a)
    np.testing.assert_allclose(da, wanted.a, rtol=1e-6)
    assert same(dx, wanted.x)


# Transformations ------------------------------------------------------------------------------------------------------


def test_vmap_of_values_and_of_gradients():
    f = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    x = GENERATOR.normal(size=(4, 3)).astype(np.float32)
    betas = np.array([0.5, 1.0, 1.5, 2.0], np.float32)

    def one(beta, x):
        return jnp.sum(f({"beta": beta}, x))

    assert same(jax.vmap(f, 1, 1)(x), f(x))
    over_both = jax.vmap(lambda beta, x: f({"beta": beta}, x))(betas, x)
    for index in range(4):
        assert same(over_both[index], f.kernel(x[index], beta=betas[index]))
    for axes in [(0, None), (None, 0), (0, 0)]:
        chosen = (betas if axes[0] == 0 else betas[0], x if axes[1] == 0 else x[0])
        both = jax.vmap(jax.grad(one, (0, 1)), axes)(*chosen)
        pushed = jax.vmap(jax.jacfwd(one, (0, 1)), axes)(*chosen)
        for index in range(4):
            beta = chosen[0][index] if axes[0] == 0 else chosen[0]
            row = chosen[1][index] if axes[1] == 0 else chosen[1]
            wanted = f.kernel.backward(row, np.ones_like(row), beta=beta)
            for found in (both, pushed):
                np.testing.assert_allclose(found[0][index], wanted.beta, rtol=2e-6)
                np.testing.assert_allclose(found[1][index], wanted.x, rtol=2e-6)


def test_vmap_over_one_of_two_inputs_and_in_a_nest():
    f = acj.function("a*sigmoid(b)")
    a, b = GENERATOR.normal(size=(2, 4, 3)).astype(np.float32)
    assert same(jax.vmap(f, (0, None))(a, b[0]), f.kernel(a, b[:1]))
    table = jax.vmap(jax.vmap(f, (None, 0)), (0, None))(a, b)
    assert same(table, f.kernel(a[:, None], b[None]))


def test_checkpoint_scan_and_cond():
    f = acj.function("mish")
    x = GENERATOR.normal(size=9).astype(np.float32)

    def through(g):
        def layers(x):
            x, _ = jax.lax.scan(lambda x, _: (g(x), None), x, length=3)
            return jnp.sum(jax.lax.cond(x[0] > 0, g, lambda x: x, x))

        return layers

    plain, remade = (jax.jit(jax.grad(through(g)))(x) for g in (f, jax.checkpoint(f)))
    assert same(plain, remade)


def test_jit_switched_off():
    f = acj.function("mish")
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    with jax.disable_jit():
        y, dx = f(jax.numpy.asarray(x)), jax.vmap(jax.grad(f))(x)
        moved = jax.jvp(f, (x,), (x,))[1]
    assert np.array_equal(y, f.kernel(x)) and np.array_equal(dx, f.kernel.backward(x, np.ones_like(x)))
    assert np.array_equal(moved, f.kernel.backward(x, x))


def test_a_function_is_made_once_and_copies_and_pickles():
    f = acj.function("x*sigmoid(beta*x)", parameters={"beta": 2.0})
    assert acj.function("x*sigmoid(beta*x)", parameters={"beta": 2.0}) == f == acj.function(f.kernel)
    assert copy.deepcopy(f) is f
    assert pickle.loads(pickle.dumps(f)) == f
    assert repr(f) == "acj.function('x*sigmoid(beta*x)')(x, beta=2)"
    assert acj.function(ac.activation("silu").derivative()).kernel.name == "d(silu)/d(x)"


def test_pair():
    pair = acj.pair("tanh", rule="reciprocal")
    x = GENERATOR.normal(size=9).astype(np.float32)
    assert same(pair(x, layer=0), ac.compile("tanh")(x))
    assert same(pair(x, layer=3), ac.compile(ac.adversary("tanh", rule="reciprocal"))(x))
    gate = acj.pair("gelu", mode="split")
    assert gate(x, x, layer=1).shape == x.shape
    assert "tanh" in repr(acj.pair("silu", adversary="tanh"))
    with pytest.raises(ArgumentError, match="layer"):
        pair(x, layer=1.5)


# Threads --------------------------------------------------------------------------------------------------------------


def test_many_threads_at_once():
    f = acj.function("mish")
    step = jax.jit(jax.value_and_grad(lambda x: jnp.sum(f(x) * f(x))))
    x = jnp.asarray(GENERATOR.normal(size=1 << 18).astype(np.float32))
    wanted = step(x)
    wrong = []

    def work():
        for _ in range(15):
            value, slope = step(x)
            if float(value) != float(wanted[0]) or not same(slope, wanted[1]):
                wrong.append(value)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_large_calls_run_on_threads_of_xla_and_bring_no_others():
    run_fresh("""
        import jax, numpy as np, actcomp.jax as acj
        f = jax.jit(acj.function("mish"))
        x = jax.numpy.asarray(np.ones(3 << 20, np.float32))
        jax.block_until_ready(f(x) + f(2 * x))
        assert not any("gomp" in line or "libomp" in line for line in open("/proc/self/maps"))
    """)


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [np.ones(3, np.int32), np.ones(3, bool), np.ones(3, np.complex64), np.ones(3, "U1"), object(), jax.random.key(0)],
)
def test_other_types_are_refused(x):
    with pytest.raises(DTypeError):
        acj.function("mish")(x)


def test_keys_and_huge_integers_are_refused_with_what_helps():
    f = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    with pytest.raises(DTypeError, match="key_data"):
        f(jax.random.key(0))
    for arguments in (10**400,), ({"beta": 10**400}, 1.0):
        with pytest.raises(DTypeError, match="beyond float64"):
            f(*arguments)


def test_inputs_that_do_not_fit_are_refused():
    f = acj.function("a*sigmoid(b)")
    with pytest.raises(DTypeError, match="astype"):
        f(np.ones(3, np.float32), np.ones(3, np.float16))
    with pytest.raises(ShapeError, match="broadcast"):
        jax.jit(f)(np.ones(3, np.float32), np.ones(4, np.float32))
    with pytest.raises(ArgumentError, match="takes a, b"):
        f(np.ones(3))
    with pytest.raises(TypeError):
        f(np.ones(3), np.ones(3), out=None)


def test_parameters_that_do_not_fit_are_refused():
    f = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ArgumentError, match="did you mean 'beta'"):
        f({"bet": 1.0}, x)
    with pytest.raises(ArgumentError, match="dictionary"):
        f(1.0, x)
    with pytest.raises(ShapeError, match="one number"):
        f({"beta": np.ones(3)}, x)
    with pytest.raises(DTypeError):
        f({"beta": np.ones((), np.int32)}, x)
    channels = acj.function("a*x", parameters={"a": ac.Parameter(1.0, axis=1)})
    with pytest.raises(ShapeError, match="axis 1"):
        channels({"a": np.ones(2)}, x)
    with pytest.raises(ShapeError, match="axis 1"):
        channels({"a": np.ones(2)}, x[0])


def test_other_devices_are_refused():
    f = jax.jit(acj.function("mish"))
    with pytest.raises(DeviceError, match="no kernel for rocm"):
        f.trace(np.ones(3, np.float32)).lower(lowering_platforms=("rocm",))


def test_a_kernel_that_does_not_tell_its_formula_is_refused():
    kernel = ac.Kernel(ac.compile("tanh").source)
    with pytest.raises(UnsupportedExpression, match="formula"):
        acj.function(kernel)


def test_an_unknown_interface_of_xla_is_refused(monkeypatch):
    assert target.interface_version()[0] == 0
    monkeypatch.setattr(target, "interface_version", lambda: (1, 0))
    target.require_known_interface.cache_clear()
    with pytest.raises(DeviceError, match=r"1\.0"):
        target.require_known_interface()
    target.require_known_interface.cache_clear()


def test_without_jax_the_error_names_the_extra():
    run_fresh("""
        import sys
        sys.modules["jax"] = None
        try:
            import actcomp.jax
        except ImportError as fault:
            assert 'pip install "actcomp[jax]"' in str(fault), fault
        else:
            raise AssertionError("imported")
    """)


def run_fresh(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
