"""Several devices (four on the CPU, in a process of their own) and exported programs."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is an extra")

import actcomp.jax as acj  # noqa: E402
from actcomp.errors import ArgumentError  # noqa: E402

PRELUDE = """
import re
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import actcomp.jax as acj

mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("rows", "columns"))
x = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
cut = jax.device_put(x, NamedSharding(mesh, P("rows", "columns")))
mish = acj.function("mish")
swish = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
params = {"beta": jnp.float32(1.25)}

def plain_swish(params, x):
    return x * jax.nn.sigmoid(params["beta"] * x)

def run(f, *arguments):
    compiled = jax.jit(f).lower(*arguments).compile()
    moved = set(re.findall("all-gather|all-reduce|all-to-all|collective-permute|dynamic-slice", compiled.as_text()))
    return compiled(*arguments), moved

def total(f):
    return lambda *arguments: jnp.sum(f(*arguments) ** 2)
"""


def run_fresh(code, prelude=PRELUDE):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=200, env={**os.environ, "XLA_FLAGS": flags},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_automatic_sharding_gathers_nothing():
    run_fresh("""
        for f in (mish, jax.grad(total(mish)), jax.grad(total(jax.grad(total(mish))))):
            y, moved = run(f, cut)
            assert y.sharding.spec == P("rows", "columns") and not moved, moved
            assert np.array_equal(y, f(x))

        y, moved = run(swish, params, cut)
        assert not moved and np.array_equal(y, swish.kernel(x, beta=1.25))

        (dp, dx), moved = run(jax.grad(total(swish), (0, 1)), params, cut)
        assert moved == {"all-reduce"} and dx.sharding.spec == P("rows", "columns")
        np.testing.assert_allclose(dp["beta"], jax.grad(total(plain_swish))(params, x)["beta"], rtol=1e-5)

        row = jax.device_put(x[0], NamedSharding(mesh, P("columns")))
        gate = acj.function("a*sigmoid(b)")
        y, moved = run(gate, cut, row)
        assert not moved and np.array_equal(y, gate.kernel(x, x[0]))

        explicit = jax.make_mesh((2, 2), ("rows", "columns"), axis_types=(jax.sharding.AxisType.Explicit,) * 2)
        with jax.set_mesh(explicit):
            whole = jax.device_put(x, NamedSharding(explicit, P("rows", "columns")))
            y = jax.jit(swish)(params, whole)
            assert jax.typeof(y).sharding.spec == P("rows", "columns")
            assert np.array_equal(y, swish.kernel(x, beta=1.25))

            def gradients(f, *arguments):
                return jax.jit(jax.grad(lambda *some: total(f)(*some), (0, 1)))(*arguments)

            row = jnp.asarray(x[0])
            for vector in row, jax.device_put(row, P("columns")):
                found = gradients(gate, whole, vector), gradients(gate, vector, whole)[::-1]
                expected = gradients(lambda a, b: a * jax.nn.sigmoid(b), whole, vector)
                back = gradients(lambda a, b: a * jax.nn.sigmoid(b), vector, whole)[::-1]
                for one, other in zip(found, (expected, back)):
                    for mine, theirs in zip(one, other):
                        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
                        assert jax.typeof(mine) == jax.typeof(theirs)
    """)


def test_shard_map():
    run_fresh("""
        wanted = jax.grad(total(plain_swish), (0, 1))(params, x)
        for check in (True, False):
            options = dict(mesh=mesh, in_specs=(P(), P("rows", "columns")), check_vma=check)
            mapped = jax.shard_map(swish, out_specs=P("rows", "columns"), **options)
            y, moved = run(mapped, params, cut)
            assert not moved and np.array_equal(y, swish.kernel(x, beta=1.25))
            (dp, dx), moved = run(jax.grad(total(mapped), (0, 1)), params, cut)
            assert moved == {"all-reduce"}, moved
            np.testing.assert_allclose(dp["beta"], wanted[0]["beta"], rtol=1e-5)
            np.testing.assert_allclose(dx, wanted[1], rtol=1e-5, atol=1e-6)

        inside = jax.shard_map(jax.grad(total(swish)), mesh=mesh, in_specs=(P(), P("rows", "columns")), out_specs=P())
        np.testing.assert_allclose(inside(params, cut)["beta"], wanted[0]["beta"], rtol=1e-5)
        over = jax.grad(lambda p: inside(p, cut)["beta"])(params)["beta"]
        twice = jax.hessian(total(plain_swish))(params, x)["beta"]["beta"]
        np.testing.assert_allclose(over, twice, rtol=1e-5)

        partly = jax.shard_map(
            swish, mesh=mesh, in_specs=(P(), P("rows")), out_specs=P("rows"), axis_names={"rows"}
        )
        y, moved = run(partly, params, cut)
        assert not moved and np.array_equal(y, swish.kernel(x, beta=1.25))
    """)


SAVED = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax import export
import actcomp.jax as acj
from actcomp.errors import ArgumentError

mish = acj.function("mish")
swish = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})
step = jax.jit(jax.grad(lambda params, x: jnp.sum(mish(swish(params, x))), (0, 1)))
params, x = {"beta": jnp.float32(1.25)}, jnp.linspace(-3, 3, 11)
"""


def test_an_exported_program_runs_in_another_process(tmp_path):
    path = str(tmp_path / "step.bin")
    run_fresh(
        f"""
        (n,) = export.symbolic_shape("n")
        shapes = (params, jax.ShapeDtypeStruct((n,), jnp.float32))
        checks = acj.export_checks(step, *shapes)
        exported = export.export(step, disabled_checks=checks)(*shapes)
        open({path!r}, "wb").write(exported.serialize())
        """,
        SAVED,
    )
    run_fresh(
        f"""
        loaded = export.deserialize(open({path!r}, "rb").read())
        try:
            acj.provide(loaded, mish)
        except ArgumentError as fault:
            assert "mish does not have" in str(fault)
        else:
            raise AssertionError("swish was not missed")
        acj.provide(loaded, mish, swish)
        found = loaded.call(params, x)
        wanted = step(params, x)
        assert np.array_equal(found[1], wanted[1]) and float(found[0]["beta"]) == float(wanted[0]["beta"])
        """,
        SAVED,
    )


def test_export_is_refused_by_jax_until_the_checks_are_named():
    f = jax.jit(acj.function("x*sin(x) + 0.125"))
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="custom"):
        jax.export.export(f)(x)
    exported = jax.export.export(f, disabled_checks=acj.export_checks(f, x))(x)
    acj.provide(exported)
    assert np.array_equal(exported.call(x), f(x))


def test_provide_without_the_function(monkeypatch):
    f = jax.jit(acj.function("x*sin(x) + 0.25"))
    x = np.ones(3, np.float32)
    exported = jax.export.export(f, disabled_checks=acj.export_checks(f, x))(x)
    monkeypatch.setattr(acj.exported.target, "targets", list)
    with pytest.raises(ArgumentError, match="no function"):
        acj.provide(exported)
