"""Certified piecewise polynomials: distances proved hold, derivatives are the closed form, refusals are typed."""

from __future__ import annotations

import pickle
import random
from fractions import Fraction

import pytest
import sympy as sp
from flint import acb, arb

import actcomp as ac
from actcomp import functions as fn
from actcomp.calculus.balls import BallFunction, evaluate, series, working
from actcomp.calculus.certified_node import value
from actcomp.calculus.chebyshev import antiderivative, inverse_function
from actcomp.calculus.derivative import differentiate
from actcomp.calculus.stretches import ball, partition
from actcomp.certified import certified, certified_derivative, stretch
from actcomp.errors import NoClosedForm

x = sp.Symbol("x", real=True)
SILU, GELU, MISH = x * fn.sigmoid(x), x * fn.Phi(x), x * fn.tanh_softplus(x)
# name -> h, low, high: to the left as far as the slope of h is 0.1
INVERSES = {
    "silu": (SILU, Fraction(-26, 100), Fraction(42)),
    "gelu": (GELU, Fraction(-16, 100), Fraction(9)),
    "mish": (MISH, Fraction(-29, 100), Fraction(22)),
    "decreasing": (-x - sp.tanh(x) / 2, Fraction(-20), Fraction(20)),
    "one_sided": (sp.exp(x), Fraction(1, 10), Fraction(50)),
    "negative": (-sp.exp(x), Fraction(-50), Fraction(-1, 10)),
}


@pytest.fixture(scope="module", params=INVERSES)
def inverse(request):
    h, low, high = INVERSES[request.param]
    return h, inverse_function(h, x, low, high, f"inverse_{request.param}")


@pytest.fixture(scope="module")
def integral():
    return antiderivative(1 / differentiate(GELU, x), x, Fraction(-1, 2), 9, (0, 0), "integral")


def places(data, count):
    """Points of the range: anywhere, near 0, at the borders of the pieces and next to them."""
    rng = random.Random(0)
    low, high = data.low, data.high
    found = [low + (high - low) * Fraction(rng.random()) for _ in range(count // 2)]
    found += [Fraction(rng.choice((-1, 1)) * 2.0 ** rng.uniform(-80, 3)) for _ in range(count // 2)]
    found += [piece.low + step for piece in data.pieces for step in (0, Fraction(1, 1 << 60), -Fraction(1, 1 << 60))]
    return [min(max(one, low), high) for one in found][-4 * count :]


def newton(h, y, start):
    """The solution of h(v) = y next to the start, and a bound of what is left, far below the distances tested."""
    function, v = BallFunction(h, (x,)), start
    for _ in range(4):
        at, slope = function.series([v], [1], 2, 400)
        with working(400, 2):
            v = (v - (at - ball(y)) / slope).mid()
    return v


def test_the_distance_of_an_inverse_is_kept(inverse):
    h, data = inverse
    assert data.distance <= 1e-9
    assert data.relative <= 2.0**-75
    for y in places(data, 500):
        with working(400, 2):
            here = value(data, ball(y))
            error = abs(here - newton(h, y, here))
        assert error < data.distance


def test_an_inverse_is_relatively_exact_near_its_zero():
    data = inverse_function(SILU, x, Fraction(-1, 5), 1, "inverse_silu")
    for exponent in range(-1000, -3, 37):
        y = Fraction(3) * Fraction(2) ** exponent / 4
        with working(400, 2):
            here = value(data, ball(y))
            assert abs(here - newton(SILU, y, here)) < abs(here) * 2.0**-75


def test_the_distance_of_an_integral_is_kept(integral):
    assert integral.distance <= 1e-9

    def integrand(z, analytic):
        return 1 / ((-z / acb(2).sqrt()).erfc() / 2 + z * (-z * z / 2).exp() / (2 * acb.pi()).sqrt())

    for at in places(integral, 1000)[::40]:
        with working(160, 2):
            truth = acb.integral(integrand, 0, acb(ball(at)), rel_tol=arb(2) ** -120).real
            assert abs(value(integral, ball(at)) - truth) < integral.distance + arb(2) ** -100


def test_an_integral_takes_its_value_at_the_anchor():
    data = antiderivative(sp.cos(x), x, 1, 8, (2, sp.sin(2) + sp.pi), "sine")
    assert abs(float(value(data, arb(5))) - float(sp.sin(5) + sp.pi)) < 1e-14
    assert data.distance < 2.0**-60


def test_derivatives_are_the_closed_form(inverse, integral):
    for data in (inverse[1], integral):
        node = certified(x, data)
        for order in (1, 2, 3):
            closed = data.closed_form(x, order)
            node = differentiate(node, x)
            assert node == certified_derivative(x, data, order)
            assert fn.expand_definitions(node) == fn.expand_definitions(closed)
        for at in (float(data.low) * 0.9 + 0.01, float(data.high) * 0.4):
            if not data.low <= at <= data.high:
                continue
            taken = series(certified(x + (x - sp.Rational(at)) ** 2, data), x, at, 3)
            slope, bend = (evaluate(data.closed_form(x, order), {x: at}) for order in (1, 2))
            assert taken[1].overlaps(slope)
            assert taken[2].overlaps(bend + 2 * slope)
            assert series(certified_derivative(x, data, 1), x, at, 1)[1].overlaps(bend)


def test_the_slope_of_an_inverse_is_that_of_its_function():
    data = inverse_function(SILU, x, Fraction(-1, 5), 2, "inverse_silu")
    slope = evaluate(differentiate(SILU, x), {x: float(value(data, arb(0.5)))})
    assert float(evaluate(certified_derivative(x, data, 1), {x: 0.5})) == pytest.approx(1 / float(slope), rel=1e-15)


def test_a_ball_gives_all_values_in_it(inverse):
    _, data = inverse
    function = BallFunction(certified(x, data), (x,))
    rng = random.Random(1)
    for at in places(data, 100)[::7]:
        radius = 2.0 ** rng.uniform(-60, 0)
        with working(200, 1):
            wide = ball(at) + arb(0, radius)
        enclosed = function.series([wide], [1], 1, 106)[0]
        for inside in (at, at + Fraction(radius) * Fraction(7, 8), at - Fraction(radius) / 4):
            with working(200, 1):
                assert enclosed.contains(value(data, ball(inside)).mid())
        if data.low <= at - Fraction(radius) and at + Fraction(radius) <= data.high:
            assert float(enclosed.rad()) < 20 * radius + 1e-15


@pytest.mark.parametrize(("low", "high"), [(-3, 50), (0, 9), (-9, 0), (Fraction(1, 3), 7), (-5, Fraction(-1, 100))])
@pytest.mark.parametrize("cuts", [3, 5])
def test_pieces_cover_the_range(low, high, cuts):
    low, high = Fraction(low), Fraction(high)
    layout = partition(low, high, cuts, -4 if low <= 0 <= high else None)
    assert layout.stretches[0].low == low
    assert layout.stretches[-1].high == high
    for left, right in zip(layout.stretches, layout.stretches[1:], strict=False):
        assert left.high == right.low
    for place, one in enumerate(layout.stretches):
        if place != layout.middle:
            inside = (one.low + one.high) / 2
            assert stretch(abs(inside), cuts) - layout.base == abs(place - layout.middle)
            assert one.low <= one.centre <= one.high


def test_a_sliver_joins_its_neighbour():
    layout = partition(Fraction(-1, 4) - Fraction(1, 1 << 40), Fraction(1), 3, -2)
    assert layout.middle == 0
    assert layout.stretches[0].low < Fraction(-1, 4)


REFUSALS = {
    "the slope vanishes": (x**3, -1, 1, 0),
    "not analytic": (x + sp.Abs(x) / 2, -1, 1, 0),
    "beyond the values of h": (SILU, Fraction(-3, 10), 10, 0),
    "near is elsewhere": (x**3 - x, 1, 100, 0),
    "an empty interval": (sp.tanh(x), 1, 0, 0),
    "too many pieces": (x + sp.sin(x) ** 2, -1000, 1000, 0),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_typed(case):
    h, low, high, near = REFUSALS[case]
    with pytest.raises(NoClosedForm, match="no certified approximation: "):
        inverse_function(h, x, low, high, "f", near)


def test_an_integral_over_a_pole_is_refused():
    with pytest.raises(NoClosedForm, match="pole"):
        antiderivative(1 / x, x, -1, 1, (1, 0), "f")


def test_another_branch_is_chosen_by_near():
    data = inverse_function(x**3 - x, x, 1, 100, "cubic", near=2)
    assert float(value(data, arb(6))) == pytest.approx(2.0, abs=1e-15)


def test_the_node_is_a_good_citizen_of_sympy(inverse):
    h, data = inverse
    node = certified(x, data)
    again = inverse_function(h, x, data.low, data.high, data.name)
    assert again == data
    assert hash(again) == hash(data)
    assert pickle.loads(pickle.dumps(node)) == node
    assert str(node) == f"{data.name}(x)"
    assert str(differentiate(node, x)) == f"{data.name}'(x)"
    assert "operatorname" in sp.latex(node**2)
    assert len(sp.srepr(node)) < 100
    assert node.subs(x, x + 1) == certified(x + 1, data)
    assert node.free_symbols == {x}
    assert sp.count_ops(node) == 1
    assert node.diff(x) == differentiate(node, x)
    if data.low < 1 < data.high:
        assert abs(float(certified(sp.Integer(1), data).evalf()) - float(value(data, arb(1)))) < 1e-14


def test_two_of_one_name_are_told_apart():
    first = inverse_function(sp.exp(x), x, 1, 2, "f")
    second = inverse_function(sp.exp(x), x, 1, 3, "f")
    assert first != second
    assert len({certified(x, first), certified(x, second)}) == 2


def test_an_activation_may_hold_one(inverse):
    _, data = inverse
    held = ac.activation(sp.Piecewise((x, x < data.low), (x, x > data.high), (certified(x, data), True)))
    assert data.name in str(held)
    assert f"{data.name}'" in str(held.derivative())
