"""The image of the derivative: the catalog's claims, known closed forms, and bounds of random functions by balls."""

from __future__ import annotations

import math
import pickle

import pytest
import sympy as sp
from flint import arb
from hypothesis import HealthCheck, given, settings

import actcomp as ac
from actcomp.calculus.adversary import at_defaults
from actcomp.calculus.ball_nodes import Undecided
from actcomp.calculus.balls import BallFunction, OutsideDomain, Singular, Unresolved, working
from actcomp.calculus.image import image
from actcomp.certified import certified
from actcomp.testing import activations

ONE_INPUT = [name for name in ac.CATALOG if "glu" not in name]
x = sp.Symbol("x", real=True)


def of(formula, **options):
    return ac.image(formula, **options)


@pytest.mark.parametrize("name", ONE_INPUT)
def test_catalog_claims(name):
    claims, found = ac.CATALOG[name].claims, of(name)
    for end, claimed in ((found.infimum, claims.infimum), (found.supremum, claims.supremum)):
        low, high = end.enclosure
        assert high - low <= sp.Rational(1, 10**30)
        if claimed is not None:
            assert abs(float(end) - float(claimed)) <= 1e-16 + 1e-15 * abs(float(claimed))
    assert (found.parity == "odd") == claims.odd
    if claims.slope_sum is not None:
        assert found.slope_sum == sp.Rational(claims.slope_sum)
    assert found.lipschitz == max(abs(float(found.infimum)), abs(float(found.supremum)))


def test_exact_ends_and_where():
    found = of("tanh")
    assert (found.infimum.exact, found.infimum.attained) == (0, False)
    assert (found.supremum.exact, found.supremum.attained, str(found.supremum.where[0])) == (1, True, "0")
    assert found.limits == (0, 0) and found.asymptotes == ((0, -1), (0, 1))
    found = of("gelu")
    assert [one.exact for one in found.supremum.where] == [sp.sqrt(2)]
    assert found.sum == 1
    assert abs(float(of("mish").sum) - 0.97597203886) < 1e-11
    assert of("sigmoid").supremum.exact == sp.Rational(1, 4)
    assert of("exp(-x**2)").supremum.exact == sp.sqrt(2) * sp.exp(-sp.Rational(1, 2))


def test_zeros_fixed_points_and_pieces():
    found = of("hardswish")
    assert [str(z) for z in found.zeros[1:]] == ["0"] and [str(end) for end in found.zeros[0]] == ["-oo", "-3"]
    assert [m.direction for m in found.monotone] == [0, 1, 0]
    assert [str(z) for z in of("x**3").fixed_points] == ["-1", "0", "1"]
    assert abs(float(of("sigmoid").fixed_points[0]) - 0.659046068407406876) < 1e-15
    assert [m.direction for m in of("silu").monotone] == [-1, 1, -1]


def test_unbounded_images_say_so():
    for formula, ends in (("x**3", (0, math.inf)), ("exp(x)", (0, math.inf)), ("sqrt(abs(x))", (-math.inf, math.inf))):
        found = of(formula)
        assert (float(found.infimum), float(found.supremum)) == ends and not found.bounded


@pytest.mark.parametrize(
    ("formula", "word"),
    [
        ("log(x)", "no real value at x = -"), ("sqrt(x)", "no real value at x = -"),
        ("sqrt(1 - x**2)", "no real value at x ="), ("1/x", "pole at x = 0"), ("1/(x**2 - 1)", "pole at x = -1"),
        ("1/(x**2 - 2)", r"pole at x = -sqrt\(2\)"), ("log(abs(x))", "pole at x = 0"),
        ("sin(x)/x", "no value at x = 0, only a limit, 1"), ("expm1(x)/x", "no value at x = 0, only a limit, 1"),
        ("1/(x**3 - x - 1)", "no value at x = 1.3247"),
    ],
)  # fmt: skip
def test_undefined_places_are_told(formula, word):
    with pytest.raises(ac.UnsupportedExpression, match=f"(?s){word}.*do:"):
        of(formula)


def test_numbers_of_the_symbolic_hull():
    low, high = of("swish").symbolic
    assert isinstance(low, sp.Float) and abs(low + high - 1) < 1e-28
    flat = ac.image("swish", parameters={"beta": 0.0})
    assert flat.symbolic is None and flat.infimum.exact == flat.limits[0] == sp.Rational(1, 2)
    assert of("snake").symbolic == (0, 2)


def test_tables_are_no_exact_numbers():
    star = ac.adversary("erf(x)", rule="reciprocal")
    found = ac.image(star)
    assert star.tables and not any(end.value.has(certified) for end in (found.infimum, found.supremum))


def test_periods():
    found = of("snake")
    assert found.period == sp.pi and (found.infimum.exact, found.supremum.exact) == (0, 2)
    found = of("x + sin(2*x)/4 + cos(3*x)/9")
    assert found.period == 2 * sp.pi
    assert of("cos(cos(x))").period is not None


def test_oscillation_without_a_period():
    for formula in ("sin(x) + sin(sqrt(2)*x)", "sin(x**2)"):
        with pytest.raises(ac.UndecidedImage, match="window"):
            of(formula)
    found = of("sin(x**2)", window=(-2, 2))
    assert found.window == (-2, 2) and 3.5 < float(found.supremum) <= 4
    found = of("sin(x)/(1 + x**2)")  # dies away: a window is chosen, and the rest is bounded
    assert found.window is not None and found.supremum.exact == 1


def test_a_window_must_be_two_numbers():
    for wrong in ((1, -1), 3, ("a", "b"), (0, 0)):
        with pytest.raises(ac.ArgumentError, match="window"):
            of("x", window=wrong)


def test_several_inputs_are_refused():
    with pytest.raises(ac.UnsupportedExpression, match="2 inputs"):
        of("glu")


def test_parameters():
    assert of("leaky_relu").symbolic == (
        sp.Min(1, sp.Symbol("slope", real=True)),
        sp.Max(1, sp.Symbol("slope", real=True)),
    )
    assert float(of("swish", parameters={"beta": 3.0}).supremum) == pytest.approx(1.09983932012886692, abs=1e-15)
    assert of("elu", parameters={"alpha": 2.0}).supremum.exact == 2
    assert of("x*sigmoid(b*x) + c*x", parameters={"b": 1.0, "c": 2.0}).slope_sum == 5


def test_pickles():
    found = of("mish")
    again = pickle.loads(pickle.dumps(found))
    for before, after in ((found.infimum, again.infimum), (found.supremum, again.supremum)):
        assert after.place.ball.contains(before.place.ball) and float(after) == float(before)
    assert str(again.zeros[0]) == str(found.zeros[0])


def slope_at(function, point):
    try:
        value = function.series([point], [1], 2, 3000)[1]
    except (Undecided, Singular, OutsideDomain, Unresolved, ZeroDivisionError):
        return None
    return value if value.is_finite() else None


def approached(function, extremum):
    """The least distance, in units of 1 + the extremum, to a value of f' beside the places named."""
    best = arb("inf")
    with working(400, 2):
        for place in extremum.where:
            if place.finite:
                steps = [arb((side, -k)) for k in (200, 60, 40) for side in (1, -1)] + [arb(0)]
                points = [place.ball.mid() + step for step in steps]
            else:
                points = [(1 if place.ball > 0 else -1) * arb((1, k)) for k in (6, 8, 10, 40, 200, 1000)]
            for point in points:
                value = slope_at(function, point)
                if value is not None:
                    best = min(best, abs(value - extremum.place.ball) / (1 + abs(extremum.place.ball)))
    return best


def require_enclosed_and_approached(f):
    expression, symbol = at_defaults(f)
    found = image(expression, symbol, f.name)
    function = BallFunction(expression, [symbol])
    slack = arb("1e-12")
    for point in (
        -1e30,
        -40.3,
        -9.7,
        -3.2,
        -1.6,
        -0.7,
        -0.31,
        -0.013,
        -1e-9,
        1e-7,
        0.11,
        0.43,
        0.9,
        2.3,
        5.9,
        21.0,
        1e20,
    ):
        value = slope_at(function, point)
        if value is not None:
            assert not value < found.infimum.place.ball - slack, (f, point)
            assert not value > found.supremum.place.ball + slack, (f, point)
    for end in (found.infimum, found.supremum):
        if end.finite:
            assert approached(function, end) < arb("1e-9"), (f, end)


@pytest.mark.parametrize("name", ONE_INPUT)
def test_the_catalog_is_enclosed(name):
    require_enclosed_and_approached(ac.activation(name))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(activations(max_depth=4))
def test_random_functions_are_enclosed(f):
    try:
        require_enclosed_and_approached(f)
    except (ac.UndecidedImage, ac.UnsupportedExpression) as refusal:
        assert refusal.do
