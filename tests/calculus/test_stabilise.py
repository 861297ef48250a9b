"""Every rewriting rule is an identity, by balls, and fires on the spelling that it is for."""

from __future__ import annotations

import random

import pytest
import sympy as sp

import actcomp as ac
from actcomp import functions as fn
from actcomp.calculus import balls
from actcomp.calculus.stabilise import RULES, stabilise

x = sp.Symbol("x", real=True)
y = sp.Symbol("y", real=True)

# rule name -> spellings that it must change
SPELLINGS = {
    "reciprocal_of_one_plus_exp": [1 / (1 + sp.exp(-x)), x * (1 + sp.exp(2 * x)) ** -3],
    "function_of_zero": [x * fn.sigmoid(sp.Integer(0)), y + fn.Phi(sp.Integer(0)), fn.expm1(x * 0) + x],
    "exp_times_sigmoid": [
        sp.exp(x) / (1 + sp.exp(x)), y * sp.exp(3 * x) / (1 + sp.exp(3 * x)), fn.sigmoid(x) * fn.sigmoid(-x),
    ],
    "tanh_by_exponentials": [
        (sp.exp(x) - sp.exp(-x)) / (sp.exp(x) + sp.exp(-x)), y * (sp.exp(x) - sp.exp(-x)) / (sp.exp(x) + sp.exp(-x)),
        (fn.expm1(x) / 2 - fn.expm1(-x) / 2) / (sp.exp(x) / 2 + sp.exp(-x) / 2),
    ],
    "share_of_exponentials": [
        sp.exp(x) / (sp.exp(x) + sp.exp(-x)), y * sp.exp(-x) / (sp.exp(x) + sp.exp(-x)),
        sp.exp(x) / (sp.exp(x) + sp.exp(y)), sp.exp(-y) / (sp.exp(2 * x) + sp.exp(-y)),
        x * sp.exp(x) / (sp.exp(x) / 2 + sp.exp(-x) / 2),
    ],
    "slope_of_gate": [
        (x + 2) * fn.tanh_softplus(x) * fn.dlog_tanh_softplus(x),
        3 * y * (x - y) * fn.tanh_softplus(-x) * fn.dlog_tanh_softplus(-x),
    ],
    "log_of_sum": [sp.log(1 + sp.exp(x)), sp.log(1 + x**2), sp.log(1 / (1 + sp.exp(-x)))],
    "log1p_of_exp": [fn.log1p(sp.exp(-x))],
    "tanh_of_softplus": [sp.tanh(sp.log(1 + sp.exp(x)))],
    "constant_plus_function": [
        1 - sp.exp(x), sp.exp(x) - 1, 3 * sp.exp(x) - 3, 1 + sp.tanh(x), 2 - 2 * sp.tanh(x), 1 - sp.erf(x),
        (1 + sp.erf(x / sp.sqrt(2))) / 2, 1 - fn.sigmoid(x), 1 - fn.Phi(x), 1 - sp.cos(x), 1 + sp.cos(x),
        1 - sp.tanh(x) ** 2, 1 - fn.sech2(x), y + 1 - sp.exp(x), sp.Rational(1, 4) - fn.dsigmoid(x),
        2 * fn.sigmoid(x) - 1, 3 - 6 * fn.Phi(x) + y, 1 + fn.expm1(x),
        -2 * fn.expm1(-x) - 2 + y, 8 * fn.dsigmoid(-x) - 2, 1 - fn.tanh_softplus(x),
        3 * fn.tanh_softplus(-x) - 3 + y,
    ],
    "function_minus_tangent": [
        x - sp.tanh(x), 2 * x - 2 * sp.tanh(x) + y, sp.tanh(3 * x) - 3 * x, y * x - y * sp.tanh(x),
        sp.exp(x) - 1 - x, 3 * fn.expm1(x) - 3 * x, x / 2 - fn.expm1(x) / 2, y + fn.expm1(-x) + x,
        y * fn.expm1(2 * x) - 2 * x * y,
    ],
    "tangent_plus_rest": [
        fn.expm1shrink(x) + x, y - 3 * fn.expm1shrink(x) - 3 * x, y * fn.expm1shrink(2 * x) + 2 * x * y,
        x - fn.tanhshrink(x), 2 * fn.tanhshrink(x) - 2 * x + y,
    ],
    "constant_near_saturation": [
        sp.Rational(97, 100) - fn.tanh_softplus(x), sp.Rational(3, 2) - fn.sigmoid(x), 2 * fn.Phi(x) - 3 + y,
        sp.Rational(4, 5) * fn.tanh_softplus(-x) - 1,
    ],
    "one_plus_double_sine": [
        1 + 2 * sp.sin(x) * sp.cos(x), 1 - 2 * sp.sin(x) * sp.cos(x), 3 + 6 * sp.sin(x) * sp.cos(x) + y,
    ],
    "common_factor": [x**2 * y - y * x, x * fn.phi(x) + fn.phi(x), 2 * fn.Phi(x) - x**2 * fn.Phi(x) ** 2 * y],
    "times_own_sign": [x * sp.sign(x), 3 * y * x * sp.sign(x)],
    "number_into_polynomial": [sp.sqrt(2) * y * (x**2 + 3), sp.pi * (x**3 + x / 2)],
}  # fmt: skip


def test_every_rule_has_spellings():
    assert {rule.__name__ for _, rule in RULES} == set(SPELLINGS)


@pytest.mark.parametrize(("name", "spelling"), [(n, s) for n, group in SPELLINGS.items() for s in group], ids=str)
def test_a_rule_fires_and_is_an_identity(name, spelling):
    stable = stabilise(spelling)
    assert stable != spelling
    draw = random.Random(f"{name} {spelling}")
    for _ in range(20):
        point = {x: draw.uniform(-6, 6), y: draw.uniform(-3, 3)}
        difference = balls.evaluate(spelling - stable, point, 200) if spelling - stable != 0 else 0
        assert difference == 0 or abs(float(difference.mid())) < 1e-40


def test_every_rule_is_needed():
    """Without its rule, some spelling of each stays as it was: no row is dead."""
    from actcomp.calculus import stabilise as module

    for row in RULES:
        module.RULES = tuple(other for other in RULES if other is not row)
        try:
            results = [stabilise(spelling) for spelling in SPELLINGS[row[1].__name__]]
        finally:
            module.RULES = RULES
        assert results != [stabilise(spelling) for spelling in SPELLINGS[row[1].__name__]], row[1].__name__


@pytest.mark.parametrize(
    "text",
    ["x*sigmoid(x)", "x/(1 + exp(-x))", "x*exp(x)/(1 + exp(x))", "x*(1 - 1/(1 + exp(x)))"],
)
def test_silu_in_any_spelling_is_one_form(text):
    assert stabilise(ac.activation(text).expression) == x * fn.sigmoid(x)


def test_mish_as_written_becomes_one_gate():
    assert stabilise(ac.activation("x * tanh(log(1 + exp(x)))").expression) == x * fn.tanh_softplus(x)
