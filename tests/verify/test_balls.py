"""The oracle against exact algebra and a second opinion (mpmath), its conventions at kinks, its refusals."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
import sympy as sp

from actcomp import functions as fn
from actcomp.activation import activation
from actcomp.calculus.balls import BallFunction, OutsideDomain, Singular, Unresolved, evaluate, series
from actcomp.calculus.limits import limits_at_infinity
from actcomp.catalog import CATALOG, catalog_activation
from actcomp.errors import UnsupportedExpression
from actcomp.verify.points import hard_points, kink_points

x, a, b = sp.symbols("x a b", real=True)

ONE_ARGUMENT = [
    node
    for node in vars(fn).values()
    if isinstance(node, type)
    and issubclass(node, fn.RealFunction)
    and node is not fn.RealFunction
    and node.nargs == {1}
]


def contains(ball, value: mpmath.mpf) -> bool:
    """Whether a number known to 30 digits lies in the ball."""
    with mpmath.workdps(60):
        middle, radius = mpmath.mpf(ball.mid().str(60, radius=False)), mpmath.mpf(float(ball.rad()))
        return bool(abs(middle - value) <= radius + (1 + abs(value)) * mpmath.mpf(10) ** -30)


@pytest.mark.parametrize("node", ONE_ARGUMENT, ids=lambda node: node.__name__)
@pytest.mark.parametrize("place", [-20.5, -3.25, -0.75, -(2.0**-30), 0.0, 0.5, 2.0, 17.25])
def test_stable_functions_equal_their_definitions(node, place):
    if node is fn.log1p and place <= -1 or node is fn.atanh and abs(place) >= 1:
        pytest.skip("outside the domain")
    if place == 0.0 and node is fn.logsigmoid:
        place = 0.125  # SymPy folds the definition at 0; the point serves no other purpose
    ours = series(node(x), x, place, 2, precision=100)
    definition = series(node.definition(x), x, place, 2, precision=100)
    for one, other in zip(ours, definition, strict=True):
        assert one.overlaps(other)


@pytest.mark.parametrize("name", CATALOG)
def test_power_series_agree_with_numerical_differentiation_in_mpmath(name):
    f = catalog_activation(name)
    values = {symbol: 0.625 + 0.5 * k for k, symbol in enumerate(f.inputs)}
    values |= {p.symbol: Fraction(p.default) for p in f.parameters}
    formula = sp.lambdify(list(values), fn.expand_definitions(f.expression), "mpmath")
    for symbol in f.inputs:
        with mpmath.workdps(80):
            arguments = [mpmath.mpf(Fraction(v).numerator) / Fraction(v).denominator for v in values.values()]
            place = list(values).index(symbol)

            def along(t, place=place, arguments=arguments):
                return formula(*arguments[:place], arguments[place] + t, *arguments[place + 1 :])

            second_opinion = [mpmath.diff(along, 0, order) for order in range(3)]
        others = {key: value for key, value in values.items() if key is not symbol}
        first_opinion = series(f.expression, symbol, values[symbol], 2, others, 120)
        for ball, value in zip(first_opinion, second_opinion, strict=True):
            assert contains(ball, value), (name, symbol, ball, value)


@pytest.mark.parametrize(
    ("text", "place", "slope", "curvature"),
    [
        ("abs(x)", 0, 0, 0),
        ("sign(x)", 0, 0, 0),
        ("relu(x)", 0, 0, 0),
        ("max(0, x)", 0, 1, 0),
        ("min(x, 1)", 1, 0, 0),
        ("clip(x, -1, 1)", -1, 0, 0),
        ("clip(x, -1, 1)", 1, 0, 0),
        ("where(x > 0, x, 3*x)", 0, 3, 0),
        ("where(x >= 0, x, 3*x)", 0, 1, 0),
        ("x*clip(x/6 + 1/2, 0, 1)", 3, 1, 0),
        ("x*clip(x/6 + 1/2, 0, 1)", -3, 0, 0),
        ("hardswish", 3, 1, 0),
        ("abs(x)**3", 0, 0, 0),
    ],
)
def test_kinks(text, place, slope, curvature):
    expression = activation(text).expression
    _, first, second = series(expression, x, place)
    assert (float(first), float(second)) == (slope, curvature)
    assert not expression.has(sp.Abs, fn.maximum, sp.Piecewise) or place in kink_points(expression, x, {}, "f16")


def test_cancellation_is_resolved_by_precision():
    value, slope, curvature = series(x - sp.tanh(x), x, 2.0**-149)
    assert math.isclose(float(value * 2**447), 1 / 3)
    assert float(slope) == 2.0**-298
    assert float(curvature) == 2.0**-148
    assert float(evaluate(sp.log(1 + sp.exp(x)), {x: 1e308})) == 1e308
    assert float(evaluate(x * fn.Phi(x), {x: -38.0})) == pytest.approx(-1.1e-314, rel=0.05)


def test_equal_irrational_sides_are_decided_by_algebra():
    condition = sp.Piecewise((sp.Integer(7), sp.sqrt(x) * sp.sqrt(2) <= sp.sqrt(6)), (sp.Integer(0), True))
    assert float(evaluate(condition, {x: 3.0})) == 7


def test_an_unselected_branch_is_not_evaluated():
    guarded = fn.where(x > 0, sp.log(x), 0)
    assert [float(ball) for ball in series(guarded, x, -1.0)] == [0, 0, 0]
    assert [float(ball) for ball in series(guarded, x, 0.0)] == [0, 0, 0]


def test_refusals_name_the_reason():
    with pytest.raises(OutsideDomain):
        evaluate(sp.log(x), {x: -1.0})
    with pytest.raises(OutsideDomain):
        evaluate(sp.sqrt(x), {x: -1.0})
    with pytest.raises(Singular):
        evaluate(1 / x, {x: 0.0})
    with pytest.raises(Singular):
        series(sp.sqrt(x), x, 0.0, 1)
    assert float(evaluate(sp.sqrt(x), {x: 0.0})) == 0
    with pytest.raises(Unresolved):
        evaluate(sp.exp(sp.exp(sp.exp(x))), {x: 1e300})
    with pytest.raises(UnsupportedExpression, match="zeta"):
        evaluate(sp.zeta(x), {x: 2.0})
    with pytest.raises(UnsupportedExpression, match="b"):
        BallFunction(x * b, [x])


def test_mixed_derivatives_by_polarisation():
    from actcomp.verify.reference import Oracle

    expression = a**2 * sp.sin(b) * x
    found = Oracle(expression, [a, b, x]).reference([[1.5, 0.25, 2.0]], "f64").quantities
    for key, quantity in found.items():
        exact = sp.diff(expression, *[(a, b, x)[index] for index in key]) if key else expression
        assert quantity.value()[0] == pytest.approx(float(exact.subs({a: 1.5, b: 0.25, x: 2.0})), rel=1e-15)


@pytest.mark.parametrize(
    ("text", "right", "left"),
    [
        ("silu", [math.inf, 1, 0], [0, 0, 0]),
        ("elu", [math.inf, 1, 0], [-1, 0, 0]),
        ("x*sin(x)", [math.nan] * 3, [math.nan] * 3),
        ("snake", [math.inf, math.nan, math.nan], [-math.inf, math.nan, math.nan]),
        ("atan(x)", [math.pi / 2, 0, 0], [-math.pi / 2, 0, 0]),
        ("sqrt(x**2 + 1) - x", [0, 0, 0], [math.inf, -2, 0]),
        ("log(x)", [math.inf, 0, 0], [math.nan] * 3),
        ("1/log(abs(x) + 2)", [None, 0, 0], [None, 0, 0]),
        ("x**2*exp(-x**2)", [0, 0, 0], [0, 0, 0]),
    ],
)
def test_limits(text, right, left):
    f = activation(text)
    function = BallFunction(f.expression, [x, *(p.symbol for p in f.parameters)])
    point = [0.0, *(p.default for p in f.parameters)]
    for sign, due in ((1, right), (-1, left)):
        found = limits_at_infinity(function, 0, point, sign)
        assert [math.nan if v is None else v for v in found] == pytest.approx(
            [math.nan if v is None else v for v in due], nan_ok=True
        )
        assert [v is None for v in found] == [v is None for v in due]


@pytest.mark.parametrize(
    "name", ["relu", "silu", "gelu", "tanh", "softplus", "hardswish", "tanhshrink", "sigmoid", "elu"]
)
def test_limits_agree_with_sympy(name):
    f = catalog_activation(name)
    values = {p.symbol: sp.Rational(p.default) for p in f.parameters}
    expression = fn.expand_definitions(f.expression).subs(values)
    function = BallFunction(f.expression, [x, *values])
    for sign, end in ((1, sp.oo), (-1, -sp.oo)):
        piece = expression
        if expression.has(sp.Piecewise):
            conditions = expression.atoms(sp.core.relational.Relational)
            piece = sp.piecewise_fold(expression).subs({c: c.subs(x, sign * 10**6) for c in conditions})
        due = sp.limit(piece, x, end)
        found = limits_at_infinity(function, 0, [0.0, *map(float, values.values())], sign, 0)[0]
        assert found == float(due)


def test_hard_points_of_silu():
    found = hard_points(catalog_activation("silu").expression, x)
    for place in (0.0, -1.2784645427610738, 2.399357280515468, -2.399357280515468, -91.856, -107.96):
        assert any(abs(place - one) <= 1e-3 * max(1, abs(place)) for one in found), place


def test_kinks_off_the_format_are_left_out():
    assert kink_points(activation("max(x, 0.1)").expression, x, {}, "f32") == []
    assert kink_points(activation("max(x, 1025)").expression, x, {}, "bf16") == []
    assert kink_points(activation("max(x, 1025)").expression, x, {}, "f16") == [1025.0]
