"""Large arguments: powers that overflow leave no NaN, quotients do not cancel, roots keep their exponent whole."""

from __future__ import annotations

import numpy as np
import pytest

import actcomp as ac
from actcomp.program.build import build_program
from actcomp.program.interpreter import interpret
from actcomp.testing import assert_ulp

FAR = [s * m * 2.0**k for s in (-1, 1) for m in (1.0, 1.37) for k in (20, 40, 62, 66, 100, 127)]


@pytest.mark.parametrize("text", ["1/(1 + x**2)", "x/(1 + x**2)", "atan(x)", "x/sqrt(1 + x**2)", "x**3/(1 + x**2)"])
def test_no_nan_far_out(text):
    x = np.array(FAR, np.float32)
    derivative = interpret(build_program(ac.activation(text), "derivative", "f32"), {"x": x})
    ones = np.ones_like(x)
    second = interpret(
        build_program(ac.activation(text), "double_backward", "f32"), {"x": x, "g.y": ones, "h.x": ones}
    )
    for values in (derivative["y"], derivative["d.x"], second["d.x"]):
        assert not np.isnan(values).any()


def test_the_slope_of_softsign_does_not_cancel():
    x = np.array([1e3, 1e6, 1e8, -1e12], np.float32)
    slope = interpret(build_program(ac.activation("x/(1 + abs(x))"), "derivative", "f32"), {"x": x})["d.x"]
    assert_ulp(slope, ac.activation("1/(1 + abs(x))**2"), x, bound=3.0)


@pytest.mark.parametrize("exponent", ["1/3", "2/3", "0.7"])
def test_the_exponent_is_not_rounded(exponent):
    x = np.exp(np.random.default_rng(0).uniform(-600, 600, 200))
    y = interpret(build_program(ac.activation(f"x**({exponent})"), "forward", "f64"), {"x": x})["y"]
    assert_ulp(y, ac.activation(f"x**({exponent})"), x, bound=2.0, dtype="f64")


def test_roots_at_their_ends():
    program = build_program(ac.activation("x**(1/3)"), "forward", "f32")
    y = interpret(program, {"x": np.array([0.0, np.inf, -1.0, np.nan], np.float32)})["y"]
    assert tuple(y[:2]) == (0.0, np.inf) and np.isnan(y[2:]).all()
