"""Derivatives against Arb's power series, which know nothing of the chain rule; the documented slope at every kink."""

from __future__ import annotations

import random

import pytest
import sympy as sp

import actcomp as ac
from actcomp.calculus import balls
from actcomp.calculus.derivative import PARTIALS, differentiate

x = sp.Symbol("x", real=True)

EXPRESSIONS = [
    *(entry.expression for entry in ac.CATALOG.values() if not entry.parameters and "b" not in entry.expression),
    "x**3 - 2*x", "abs(x)*x", "exp(-x**2)*sin(3*x)", "sqrt(1 + x**2)", "atan(x)/(1 + x**2)", "log1p(x**2)*cos(x)",
    "max(x, tanh(x) + 0.5)*min(x, 1)", "sign(x)*x**2", "(1 + x**2)**1.7", "erfc(x)*erf(x/3)", "2**x*x", "(1 + x**2)**x",
    "logsigmoid(x)*expm1(x)", "phi(x)*Phi(-2*x)", "x*tanh(log1p(exp(x)))", "clip(x**3, -2, 2)",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_first_and_second_derivative(text):
    expression = ac.activation(text).expression
    first = differentiate(expression, x)
    second = differentiate(first, x)
    draw = random.Random(text)
    for _ in range(25):
        point = draw.uniform(-4, 4)
        _, slope, curvature = balls.series(expression, x, point, 2)
        for name, mine, theirs in (("f'", first, slope), ("f''", second, curvature)):
            value = balls.evaluate(mine, {x: point}, 100)
            difference = value - theirs
            assert difference.contains(0) or abs(float(difference.mid())) < 1e-20, f"{name} at {point.hex()}"


@pytest.mark.parametrize(
    ("text", "point", "slope"),
    [
        ("abs(x)", 0, 0),
        ("sign(x)", 0, 0),
        ("relu(x)", 0, 0),
        ("max(0, x)", 0, 1),
        ("min(x, 2)", 2, 0),
        ("clip(x, -1, 1)", 1, 0),
        ("clip(x, -1, 1)", -1, 0),
        ("where(x > 0, x, 3*x)", 0, 3),
        ("hardswish(x)", 3, 1),
        ("hardswish(x)", -3, 0),
        ("hardtanh(x)", 1, 0),
        ("sqrt(relu(x))", -2, 0),
        ("sqrt(relu(x))", 0, 0),
        ("relu(x)**0.3", -1, 0),
        ("sqrt(abs(x))", 0, 0),
        ("x*abs(x)**0.5", 0, 0),
        ("log(abs(x))", 0, 0),
        ("log1p(relu(x) - 1)", -1, 0),
        ("1/abs(x)", 0, 0),
        ("sqrt(where(x > 0, x**2 + x, 0))", -1, 0),
    ],
)
def test_the_slope_at_a_kink(text, point, slope):
    assert differentiate(ac.activation(text).expression, x).subs(x, point) == slope


@pytest.mark.parametrize(
    "text", ["1/(1 + softplus(x))", "log1p(abs(x))", "sqrt(1 + x**2)", "sqrt(2*x + 3)", "abs(x)**1.5"]
)
def test_what_is_not_singular_has_no_extra_branch(text):
    assert not differentiate(ac.activation(text).expression, x).has(sp.Piecewise)


@pytest.mark.parametrize(
    ("text", "point"), [("sqrt(relu(x))", -2.0), ("relu(x)**0.3", 0.0), ("sqrt(abs(x))", 0.0), ("x*abs(x)**0.5", 0.0)]
)
def test_balls_agree_that_a_base_which_stays_zero_has_slope_zero(text, point):
    assert balls.series(ac.activation(text).expression, x, point, 2) == (0, 0, 0)
    with pytest.raises(balls.Singular):
        balls.series(sp.sqrt(x), x, 0.0, 1)


def test_the_slope_by_an_exponent_at_a_zero_base():
    f = ac.activation("relu(x)**p", parameters={"p": 0.5})
    assert f.derivative("p").expression.subs({sp.Symbol("p", real=True): sp.Rational(1, 2)}).subs(x, -1) == 0


@pytest.mark.parametrize("text", ["abs(x)", "relu(x)", "sign(x)", "clip(x, -1, 1)", "max(x, x**2)"])
def test_no_distribution_is_left(text):
    f = ac.activation(text)
    for order in (("x",), ("x", "x")):
        assert not f.derivative(*order).expression.has(sp.Heaviside, sp.DiracDelta, sp.Derivative, sp.nan)


def test_parameters():
    f = ac.activation("swish")
    assert f.derivative("beta").expression.free_symbols == {x, sp.Symbol("beta", real=True)}
    assert differentiate(f.expression, sp.Symbol("q", real=True)) == 0


def test_every_function_of_the_language_has_a_rule():
    from actcomp.language import KNOWN_NODES

    missing = [node for node in KNOWN_NODES if node not in PARTIALS]
    assert [node.__name__ for node in missing] == ["RealFunction"]


def test_sympy_itself_can_differentiate_our_functions():
    from actcomp import functions as fn

    assert sp.diff(x * fn.sigmoid(x), x) == fn.sigmoid(x) + x * fn.dsigmoid(x)
