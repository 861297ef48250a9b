"""Expansions at infinity: every claim of a Tail is held against ball values far out."""

from __future__ import annotations

import inspect
from fractions import Fraction

import pytest
import sympy as sp
from flint import arb, ctx
from hypothesis import given, settings

import actcomp as ac
from actcomp import functions as fn
from actcomp.calculus import balls
from actcomp.calculus.derivative import differentiate
from actcomp.calculus.monomials import ball, bound_beyond, rational_ball, value_at
from actcomp.calculus.stabilise import stabilise
from actcomp.calculus.tails import Tail, Unexpandable, dominates, expand
from actcomp.catalog import CATALOG
from actcomp.language import KNOWN_NODES
from actcomp.testing import activations

X = sp.Symbol("x", real=True)
UNARY = {kind for kind in KNOWN_NODES if kind is not fn.RealFunction} | {
    kind
    for kind in vars(fn).values()
    if kind in fn.RealFunction.__subclasses__() and len(inspect.signature(kind.definition).parameters) == 1
}
# Real on a part of the line only, or growing too fast for a monomial.
NOT_EVERYWHERE = {sp.exp, sp.log, fn.expm1, fn.expm1shrink, fn.sinh, fn.cosh, fn.atanh, fn.log1p}
PLACES = (Fraction(1), Fraction(3, 2), Fraction(4), Fraction(100))
FINITE = {
    "sigmoid(x)": (1, -1),
    "1 - exp(-x)": (1, -1),
    "atan(x)": (sp.pi / 2, -1),
    "x/(1 + abs(x))": (1, -1),
    "x - tanh(x) - x": (-1, 1),
    "exp(-x**2)": (0, 1),
    "x*exp(-x)": (0, 1),
    "sqrt(1 + x**2) - x": (0, 1),
    "tanh(log(2 + x**2))": (1, -1),
    "erfc(-x)": (2, -1),
    "sigmoid(exp(-x))": (sp.Rational(1, 2), 1),
    "softplus(-softplus(x))": (0, 1),
    "x*log1p(exp(-x))": (0, 1),
    "cos(exp(-x))": (1, -1),
    "x**2*exp(-x)/(1 + x)": (0, 1),
    "max(min(x, 3), -3)": (3, 0),
    "2**(-x) + sign(x)": (1, 1),
    "sin(1/(1 + x**2))": (0, 1),
    "exp(x + exp(-x)) - exp(x)": (1, 1),
}
GROWTHS = {
    "log(1/4 + x**2)": ("log(x)", sp.oo, None),
    "sqrt(1 + x**2)": ("x", sp.oo, (1, 0)),
    "x - tanh(x)": ("x", sp.oo, (1, -1)),
    "-softplus(2*x)": ("x", -sp.oo, (-2, 0)),
    "x*log(1 + x**2)": ("x*log(x)", sp.oo, None),
    "exp(x)": ("exp(x)", sp.oo, None),
    "-exp(x**2)/x": ("exp(x**2)/x", -sp.oo, None),
    "x**2*sigmoid(x)": ("x**2", sp.oo, None),
    "sqrt(x**2 + 3*x + 10)": ("x", sp.oo, (1, sp.Rational(3, 2))),
    "x - x*tanh(x)": ("x*exp(-2*x)", 0, (0, 0)),
    "(x + 1)**2 - x**2 - 2*x - 1": ("0", 0, (0, 0)),
    "7/2": ("constant", sp.Rational(7, 2), (0, sp.Rational(7, 2))),
}


def formula(text: str) -> sp.Expr:
    return ac.activation(text, inputs=["x"]).expression


def derivatives_of(f: ac.Activation) -> list[sp.Expr]:
    first = stabilise(f.expression.xreplace({p.symbol: sp.Rational(repr(p.default)) for p in f.parameters}))
    second = differentiate(first, X)
    return [first, second, differentiate(second, X)]


def require_sound(expression: sp.Expr, tail: Tail) -> None:
    """The bounds hold the value at each place, the remainder what the terms leave, and the sign is as claimed."""
    signed = tail.sign_beyond()
    for factor in PLACES:
        place = tail.start * factor
        low, high = tail.enclose_beyond(place)
        value = balls.evaluate(expression, {X: tail.sign * place}, 100)
        assert not value < low and not value > high, (
            f"{expression} at {tail.sign * place}: {value} not in {low}, {high}"
        )
        if signed is not None and place >= signed[1] and not value.contains(0):
            assert (1 if value > 0 else -1) == signed[0]
        with ctx.workprec(200):
            here = rational_ball(place)
            total = sum((ball(c) * value_at(m, here) for m, c in tail.series.terms), arb(0))
            rest = abs(value - total) - arb((1, -80)) * abs(value)
            if tail.remainder is not None:
                rest -= tail.remainder.bound * value_at(tail.remainder.monomial, here)
            assert not rest > 0, f"{expression} at {tail.sign * place}: the terms leave more than the remainder"


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", [n for n in CATALOG if len(ac.activation(n).inputs) == 1])
def test_catalog(name, sign):
    for expression in derivatives_of(ac.activation(name)):
        tail = expand(expression, X, sign)
        assert tail.start <= 8
        require_sound(expression, tail)


@pytest.mark.parametrize(
    ("name", "sign", "limit", "side"),
    [
        ("mish", 1, 1, 1), ("mish", -1, 0, -1), ("silu", 1, 1, 1), ("silu", -1, 0, -1), ("gelu", 1, 1, 1),
        ("gelu", -1, 0, -1), ("gelu_tanh", 1, 1, 1), ("tanh", 1, 0, 1), ("softplus", 1, 1, -1), ("elu", -1, 0, 1),
        ("relu", 1, 1, 0), ("hardswish", -1, 0, 0), ("tanhshrink", -1, 1, -1),
    ],
)  # fmt: skip
def test_limits_of_slopes(name, sign, limit, side):
    tail = expand(derivatives_of(ac.activation(name))[1], X, sign)
    assert (tail.limit(), tail.side()) == (limit, side)


@pytest.mark.parametrize("text", FINITE)
def test_limit_and_side(text):
    expression = formula(text)
    tail = expand(expression, X, 1)
    limit, side = FINITE[text]
    assert tail.limit() == limit and tail.side() == side
    require_sound(expression, tail)


@pytest.mark.parametrize("text", GROWTHS)
def test_growth_and_asymptote(text):
    expression = formula(text)
    tail = expand(expression, X, 1)
    assert (tail.growth(), tail.limit(), tail.asymptote()) == GROWTHS[text]
    require_sound(expression, tail)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", sorted(UNARY, key=str))
def test_every_function(kind, sign):
    for argument in (X, X**3 - X, sp.exp(-X), 1 / (1 + X**2), sp.sin(X), sp.log(1 + X**2)):
        if kind is fn.log1p and sign < 0 and argument.subs(X, -9) <= -1:
            continue
        expression = kind(argument)
        try:
            tail = expand(expression, X, sign)
        except Unexpandable:
            assert kind in NOT_EVERYWHERE
            continue
        require_sound(expression, tail)


def test_numbers_close_to_zero_are_not_zero():
    tail = expand(sp.cos(fn.softplus(fn.clip(X, -20, 20))), X, -1)
    assert ball(1 - tail.limit()) > 0


def test_asymptote_is_in_x():
    assert expand(formula("sqrt(1 + x**2) + 3"), X, -1).asymptote() == (-1, 3)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("1/(1 + x**2*sin(x)**2)", 0, 1),
        ("exp(sin(x))", 0.36787944117144233, 2.718281828459045),
        ("1 + sin(x)", 0, 2),
        ("cos(x)**2", 0, 1),
        ("sigmoid(x*sin(x))", 0, 1),
        ("max(sin(x), 0)", 0, 1),
        ("sign(sin(x))", -1, 1),
    ],
)
def test_oscillation_has_bounds_but_no_limit(text, low, high):
    tail = expand(formula(text), X, 1)
    assert tail.limit() is None and tail.side() is None
    below, above = tail.enclose_beyond(tail.start)
    assert abs(below - low) < 1e-6 and abs(above - high) < 1e-6


def test_oscillation_that_dies_or_is_outgrown():
    assert expand(formula("x*sin(x)*exp(-x)"), X, 1).limit() == 0
    tail = expand(formula("x + sin(x)**2"), X, 1)
    assert tail.limit() == sp.oo and tail.sign_beyond()[0] == 1 and tail.asymptote() is None
    assert expand(formula("x*sin(x)"), X, 1).limit() is None


def test_what_tends_from_above_is_enclosed_from_its_limit_on():
    low, high = expand(derivatives_of(ac.activation("mish"))[1], X, 1).enclose_beyond(Fraction(10))
    assert low == 1 and high < 1 + 1e-7


def test_places_are_checked():
    tail = expand(formula("where(x > 50, x, -x)"), X, 1)
    assert 50 < tail.start <= 100 and tail.limit() == sp.oo
    with pytest.raises(ValueError, match="holds from"):
        tail.enclose_beyond(10)


def test_terms_are_exact():
    first, second, *_ = expand(formula("x*Phi(x)"), X, -1).terms
    assert first.coefficient == -1 / sp.sqrt(2 * sp.pi) and first.exponent == ((2, sp.Rational(-1, 2)),)
    assert second.power == -2 and second.coefficient == 1 / sp.sqrt(2 * sp.pi)


def test_orders_of_growth():
    ordered = [
        "exp(-x**2)",
        "exp(-x)",
        "1/x**2",
        "1/x",
        "1",
        "log(x**2)",
        "sqrt(x)",
        "x",
        "x*log(1 + x)",
        "x**2",
        "exp(x)",
    ]
    tails = [expand(formula(text), X, 1) for text in ordered]
    for index, tail in enumerate(tails):
        assert [dominates(tail, other) for other in tails] == [(index > k) - (index < k) for k in range(len(tails))]


@pytest.mark.parametrize("text", ["exp(exp(x))", "log(log(1 + x**2))", "log(x*sin(x))"])
def test_what_has_no_such_expansion(text):
    with pytest.raises(Unexpandable):
        expand(formula(text), X, 1)


def test_a_double_exponential_is_bounded():
    tail = expand(formula("exp(-exp(x))"), X, 1)
    assert tail.limit() == 0
    require_sound(formula("exp(-exp(x))"), tail)


def test_equal_numbers_cancel():
    assert expand(formula("tanh(1)*x - x*(exp(2) - 1)/(exp(2) + 1)"), X, 1).limit() == 0
    assert expand(formula("(1 + sqrt(2))*(1 - sqrt(2))*x + x"), X, 1).limit() == 0


def test_more_terms_where_all_cancel():
    cancelling = formula("exp(1/x) - 1 - 1/x - 1/(2*x**2) - 1/(6*x**3) - 1/(24*x**4)")
    tail = expand(cancelling, X, 1)
    assert tail.terms[0].power == -5 and tail.terms[0].coefficient == sp.Rational(1, 120)


def test_bounds_of_monomials():
    (monomial, _), *_ = expand(formula("x**4*exp(-x)"), X, 1).series.terms
    for place in (2, 3, 4, 5, 10):
        most = max(arb(place), arb(4)) ** 4 * (-max(arb(place), arb(4))).exp()
        assert most.lower() <= bound_beyond(monomial, Fraction(place)) < most * 2


@settings(max_examples=60, deadline=None)
@given(activations(max_depth=3))
def test_random(f):
    for expression in derivatives_of(f):
        for sign in (1, -1):
            try:
                tail = expand(expression, X, sign)
            except Unexpandable:
                continue
            try:
                require_sound(expression, tail)
            except (balls.Unresolved, balls.Singular):
                continue
            limit = tail.limit()
            if limit is not None and limit.is_finite:
                low, high = tail.enclose_beyond(tail.start)
                assert not low > ball(limit) and not high < ball(limit)
