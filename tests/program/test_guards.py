"""Products with vanishing functions: right where the factor is subnormal, finite where it is zero and the other
infinite."""

from __future__ import annotations

import numpy as np
import pytest

import actcomp as ac
from actcomp.program.build import build_program, trace
from actcomp.program.guards import guard_vanishing
from actcomp.program.interpreter import interpret
from actcomp.program.passes import fuse_multiply_add, lower

INFINITE = {
    "x*sigmoid(x)": (0.0, np.inf),
    "x*Phi(x)": (0.0, np.inf),
    "x*tanh(log(1 + exp(x)))": (0.0, np.inf),
    "x**3*exp(-x**2)": (0.0, 0.0),
    "x*exp(-x**2) + x": (-np.inf, np.inf),
    "x*sigmoid(-x)": (-np.inf, 0.0),
    "x/(1 + exp(x))": (-np.inf, 0.0),
    "x*x*sigmoid(x) - x*phi(x)": (0.0, np.inf),
}
SLOPES = {"x*sigmoid(x)": (0.0, 1.0), "x*Phi(x)": (0.0, 1.0), "x*tanh(log(1 + exp(x)))": (0.0, 1.0)}


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("text", INFINITE)
def test_limits_at_infinity(text, dtype):
    program = build_program(ac.activation(text), "forward", dtype)
    y = interpret(program, {"x": np.array([-np.inf, np.inf, np.nan])})["y"]
    assert tuple(y[:2]) == INFINITE[text]
    assert np.isnan(y[2])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("text", SLOPES)
def test_slopes_at_infinity(text, dtype):
    program = build_program(ac.activation(text), "derivative", dtype)
    assert tuple(interpret(program, {"x": np.array([-np.inf, np.inf])})["d.x"]) == SLOPES[text]


def unguarded(text):
    program = trace(ac.activation(text), "forward", "f32")
    return lower(fuse_multiply_add(program))


def test_without_the_guard_silu_loses_bits_and_its_limit():
    x = np.append(np.linspace(-102, -95, 50), -np.inf).astype(np.float32)
    wanted = x[:-1] * np.exp(x[:-1].astype(np.float64))
    unit = 2.0**-149
    bare = interpret(unguarded("x*sigmoid(x)"), {"x": x})["y"]
    guarded = interpret(build_program(ac.activation("silu"), "forward", "f32"), {"x": x})["y"]
    assert abs(bare[:-1] - wanted).max() > 20 * unit and np.isnan(bare[-1])
    assert abs(guarded[:-1] - wanted).max() < 1.01 * unit and guarded[-1] == 0.0


def test_a_program_without_vanishing_products_is_left_alone():
    program = trace(ac.activation("x*tanh(x) + sigmoid(x)"), "forward", "f32")
    assert guard_vanishing(program) is program


def test_bits_change_only_where_a_factor_is_tiny():
    x = np.random.default_rng(0).normal(0, 20, 100_000).astype(np.float32)
    x = x[x > -60]
    for text in ("x*sigmoid(x)", "x*tanh(log(1 + exp(x)))"):
        bare = interpret(unguarded(text), {"x": x})["y"]
        guarded = interpret(build_program(ac.activation(text), "forward", "f32"), {"x": x})["y"]
        assert (bare.view(np.int32) == guarded.view(np.int32)).all()


def test_the_calculus_and_the_table_agree_on_what_decays():
    from actcomp.calculus.stabilise import DECAYING
    from actcomp.program.elementary import ELEMENTARY
    from actcomp.program.trace import CALL_NAMES

    assert {CALL_NAMES[function] for function in DECAYING} == {row.name for row in ELEMENTARY.values() if row.vanishes}
