"""Limits at infinity are decided or not, never an error, even where balls overflow."""

from __future__ import annotations

import pytest
import sympy as sp

import actcomp as ac
from actcomp.calculus.balls import BallFunction
from actcomp.calculus.limits import limits_at_infinity

x = sp.Symbol("x", real=True)


@pytest.mark.parametrize(
    ("text", "sign", "limits"),
    [
        ("x*tanh(exp(x))", 1, [float("inf"), 1.0, 0.0]),
        ("x*tanh(exp(x))", -1, [0.0, 0.0, 0.0]),
        ("tanh(x*exp(x**2))", 1, [1.0, 0.0, 0.0]),
        ("x/(1 + exp(exp(x)))", 1, None),
        ("1/tanh(exp(exp(x)))", 1, None),
    ],
)
def test_a_wide_ball_is_undecided(text, sign, limits):
    found = limits_at_infinity(BallFunction(ac.activation(text).expression, (x,)), 0, [0.0], sign)
    assert found == (limits or [None] * 3)
