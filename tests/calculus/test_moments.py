"""Gaussian moments against closed forms, against mpmath's quadrature, and their refusals."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import mpmath
import pytest
import sympy as sp
from flint import arb, ctx
from hypothesis import HealthCheck, given, settings

import actcomp as ac
from actcomp import functions as fn
from actcomp.calculus.adversary import at_defaults
from actcomp.calculus.balls import BallFunction, OutsideDomain, Singular
from actcomp.calculus.derivative import differentiate
from actcomp.calculus.moments import Moment, expectation, gaussian_moments, pair_chi
from actcomp.calculus.pieces import pieces
from actcomp.testing import activations

X = sp.Symbol("x", real=True)
ONE_INPUT = [name for name, entry in ac.CATALOG.items() if len(ac.activation(name).inputs) == 1]


def encloses(moment: Moment, truth: sp.Expr) -> bool:
    with ctx.workprec(160):
        return bool(abs(arb(str(sp.N(truth, 40))) - moment.value) <= moment.error)


def sharp(moment: Moment) -> bool:
    return moment.error <= 1e-14 * (1 + abs(moment.value))


@pytest.mark.parametrize("q", [Fraction(1, 4), 1, 4, 100, Fraction(1, 10**6), 10**6])
def test_relu_is_at_the_edge_of_chaos_for_every_variance(q):
    found = gaussian_moments(fn.maximum(X, 0), X, q)
    exact = sp.Rational(Fraction(q).numerator, Fraction(q).denominator)
    for moment, truth in (
        (found.mean, sp.sqrt(exact / (2 * sp.pi))),
        (found.square, exact / 2),
        (found.slope, sp.Rational(1, 2)),
        (found.slope_square, sp.Rational(1, 2)),
        (found.gain, sp.sqrt(2)),
        (found.chi, sp.Integer(1)),
    ):
        assert encloses(moment, truth) and sharp(moment)


E, PI, SQRT = sp.exp, sp.pi, sp.sqrt
CLOSED = {
    "x": (X, lambda q: (0, q, 1, 1)),
    "sine": (
        sp.sin(X),
        lambda q: (0, (1 - E(-2 * q)) / 2, E(-q / 2), (1 + E(-2 * q)) / 2),
    ),
    "sine 3": (
        sp.sin(3 * X),
        lambda q: (0, (1 - E(-18 * q)) / 2, 3 * E(-9 * q / 2), 9 * (1 + E(-18 * q)) / 2),
    ),
    "exp": (sp.exp(X), lambda q: (E(q / 2), E(2 * q), E(q / 2), E(2 * q))),
    "erf": (
        sp.erf(X),
        lambda q: (
            0,
            2 / PI * sp.asin(2 * q / (1 + 2 * q)),
            2 / SQRT(PI * (1 + 2 * q)),
            4 / PI / SQRT(1 + 4 * q),
        ),
    ),
    "gelu": (
        X * fn.Phi(X),
        lambda q: (q / SQRT(2 * PI * (1 + q)), None, sp.Rational(1, 2), None),
    ),
    "abs": (sp.Abs(X), lambda q: (SQRT(2 * q / PI), q, 0, 1)),
    "sign": (sp.sign(X), lambda q: (0, 1, 0, 0)),
    "bell": (sp.exp(-(X**2)), lambda q: (1 / SQRT(1 + 2 * q), 1 / SQRT(1 + 4 * q), 0, 4 * q / SQRT(1 + 4 * q) ** 3)),
    "fourth": (X**4, lambda q: (3 * q**2, 105 * q**4, 0, 240 * q**3)),
}


@pytest.mark.parametrize("q", [Fraction(1, 4), 1, 4, 100])
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name, q):
    f, truths = CLOSED[name]
    found = gaussian_moments(f, X, q)
    exact = sp.Rational(Fraction(q).numerator, Fraction(q).denominator)
    for moment, truth in zip((found.mean, found.square, found.slope, found.slope_square), truths(exact), strict=True):
        assert sharp(moment)
        assert truth is None or encloses(moment, truth)


def test_the_error_bound_can_fail():
    """The comparison above notices a wrong value."""
    found = gaussian_moments(sp.erf(X), X)
    assert not encloses(Moment(found.square.value + 1e-14, found.square.error), 2 / PI * sp.asin(sp.Rational(2, 3)))


@pytest.mark.parametrize("rate", [sp.Rational(1, 9), sp.Rational(1, 8), sp.Rational(1, 5)])
def test_growth_below_the_density(rate):
    """E exp(a z**2) = 1/sqrt(1 - 2 a); the square has 2 a."""
    found = gaussian_moments(sp.exp(rate * X**2), X)
    assert encloses(found.mean, 1 / SQRT(1 - 2 * rate))
    assert encloses(found.square, 1 / SQRT(1 - 4 * rate))
    assert sharp(found.square)


@pytest.mark.parametrize(
    ("f", "word"),
    [
        (sp.exp(X**2 / 4), "E f^2 is infinite"),
        (sp.exp(X**2), "E f is infinite"),
        (SQRT(sp.Abs(X)), "E f'^2 is infinite"),
        (sp.log(sp.Abs(X)), "E f' is infinite"),
        (1 / X, "E f is infinite"),
    ],
)
def test_infinite_moments(f, word):
    with pytest.raises(ac.UnboundedImage) as caught:
        gaussian_moments(f, X)
    assert word in str(caught.value)


def test_a_smaller_variance_is_the_advice_that_helps():
    assert encloses(gaussian_moments(sp.exp(X**2 / 4), X, Fraction(1, 2)).square, SQRT(2))


def test_large_values():
    found = gaussian_moments(sp.exp(X), X, 100)
    assert encloses(found.square, sp.exp(200)) and encloses(found.mean, sp.exp(50)) and encloses(found.chi, 100)
    assert found.square.error < 1e-12 * found.square.value


def test_what_lies_far_out():
    """relu(x - 10) is 0 wherever z is likely, and still has its gain."""
    found = gaussian_moments(fn.maximum(X - 10, 0), X)
    density, tail = sp.exp(-50) / SQRT(2 * PI), sp.erfc(10 / SQRT(2)) / 2
    assert encloses(found.slope, tail)
    assert encloses(found.square, 101 * tail - 10 * density)
    assert encloses(found.chi, tail / (101 * tail - 10 * density))


@pytest.mark.parametrize(
    ("f", "mean", "square"),
    [
        (sp.sin(X) / X, None, None),
        (X * sp.log(X**2), sp.Integer(0), None),
        (sp.Abs(X) ** sp.Rational(3, 4), 2 ** sp.Rational(3, 8) * sp.gamma(sp.Rational(7, 8)) / SQRT(PI), None),
        (sp.Abs(X - 1) ** sp.Rational(3, 4), None, None),
    ],
)
def test_singular_points(f, mean, square):
    found = gaussian_moments(f, X)
    assert all(map(sharp, (found.mean, found.square, found.slope, found.slope_square, found.chi)))
    if mean is not None:
        assert abs(float(sp.N(mean, 30)) - found.mean.value) <= found.mean.error + 2e-16


def test_kinks_without_end():
    """|cos|: the Fourier series of |cos x| and of its square."""
    found = gaussian_moments(sp.Abs(sp.cos(X)), X, 4)
    assert encloses(found.square, (1 + sp.exp(-8)) / 2)
    assert encloses(found.slope_square, (1 - sp.exp(-8)) / 2)


@pytest.mark.parametrize("f", [sp.Integer(0), fn.maximum(X - 100, 0), sp.sin(X) ** 2 + sp.cos(X) ** 2 - 1])
def test_no_gain(f):
    with pytest.raises(ac.UnsupportedExpression, match="no gain"):
        gaussian_moments(f, X)


@pytest.mark.parametrize("f", [sp.exp(sp.exp(X)), sp.log(X), sp.sin(sp.exp(X))])
def test_undecided(f):
    with pytest.raises(ac.UndecidedImage) as caught:
        gaussian_moments(f, X)
    assert "do: " in str(caught.value)


@pytest.mark.parametrize("q", [0, -1, float("nan"), float("inf"), "2", None, True])
def test_bad_variances(q):
    with pytest.raises(ac.ArgumentError, match="variance"):
        gaussian_moments(X, X, q)


# The catalog --------------------------------------------------------------------------------------------------------


def by_quadrature(f: sp.Expr, q: float) -> list[mpmath.mpf]:
    """E f, E f^2, E f', E f'^2 by mpmath, cut at the kinks and where the scale changes."""
    deviation = mpmath.sqrt(q)
    totals = [mpmath.mpf(0)] * 4
    for piece in pieces(f, X):
        low = max(-11 * deviation, mpmath.mpf(float(piece.low)))
        high = min(11 * deviation, mpmath.mpf(float(piece.high)))
        value, slope = (
            sp.lambdify(
                X, fn.expand_definitions(g).rewrite(sp.exp) if g.has(sp.cosh) else fn.expand_definitions(g), "mpmath"
            )
            for g in (piece.expression, differentiate(piece.expression, X))
        )
        inner = [p for c in (0.7, 2.0, 5.0, 12.0, 30.0, 60.0) for p in (-c, c, -c * deviation, c * deviation)]
        cuts = [low, *sorted({p for p in [0, *inner] if low < p < high}), high]

        def weight(t):
            return mpmath.exp(-t * t / (2 * q)) / mpmath.sqrt(2 * mpmath.pi * q)

        for index, power in enumerate((1, 2, 1, 2)):
            g = value if index < 2 else slope
            totals[index] += mpmath.quad(
                lambda t, g=g, power=power: g(t) ** power * weight(t), cuts, method="gauss-legendre"
            )
    return totals


@pytest.mark.parametrize("q", [0.25, 1, 4, 100])
@pytest.mark.parametrize("name", ONE_INPUT)
def test_catalog(name, q):
    f, x = at_defaults(ac.activation(name))
    f = f.xreplace({x: X})
    found = gaussian_moments(f, X, q)
    moments = found.mean, found.square, found.slope, found.slope_square
    with mpmath.workdps(20):
        truths = by_quadrature(f, q)
        for moment, truth in zip(moments, truths, strict=True):
            assert sharp(moment)
            assert abs(truth - moment.value) <= moment.error + 1e-16 * (1 + abs(truth))
        assert abs(found.chi.value - q * truths[3] / truths[1]) <= found.chi.error + 1e-15 * found.chi.value
        assert abs(found.gain.value - mpmath.sqrt(q / truths[1])) <= found.gain.error + 1e-15 * found.gain.value


@pytest.mark.parametrize("rule", ["reflect", "inverse"])
def test_the_chi_of_a_pair(rule):
    f = ac.activation("softplus")
    here, there = (gaussian_moments(*at_defaults(one)) for one in (f, ac.adversary(f, rule=rule)))
    product = pair_chi(here, there)
    assert abs(product.value - here.chi.value * there.chi.value) <= 1e-15 and product.error < 1e-15


def test_certified_functions_are_integrated_as_what_they_are():
    """The inverse of silu is polynomials: Stein's identity E f' = E z f holds, but for their tiny jumps."""
    star, x = at_defaults(ac.adversary("silu", rule="inverse"))
    found = gaussian_moments(star, x)
    product = expectation(x * star, x)
    assert abs(product - found.slope.value) < 1e-15
    assert sharp(found.chi)


def test_public():
    found = ac.moments("where(x > 0, x, slope*x)", parameters={"slope": 0.5})
    assert found == ac.moments("where(x > 0, x, x/2)")
    assert encloses(found.square, sp.Rational(5, 8))
    assert str(found).splitlines()[0] == "z ~ N(0, 1)" and "chi" in str(found)
    with pytest.raises(ac.UnsupportedExpression):
        ac.moments("glu")


def test_expectation_is_narrow():
    for g in (sp.tanh(X) * 10**6, X**8 - 105, sp.exp(X)):
        found = expectation(g, X)
        assert found.rad() <= 1e-12 * (1 + abs(found.mid()))


# Random functions ---------------------------------------------------------------------------------------------------

OUTCOMES: Counter[str] = Counter()


def by_points(f: sp.Expr, x: sp.Symbol) -> list[tuple[float, float]]:
    """Sums of g and abs(g) over points 1/32 apart, for the four moments: right to a few per cent of the latter."""
    function = BallFunction(f, [x])
    sums = [[0.0, 0.0] for _ in range(4)]
    for k in range(-240, 241):
        t = k / 32 + 1 / 97
        row = function.enclose([t], [[1]], 2, lambda rows: rows[0], 30, 60)
        value, slope = float(row[0]), float(row[1])
        weight = float(mpmath.npdf(t)) / 32
        for total, g in zip(sums, (value, value**2, slope, slope**2), strict=True):
            total[0] += g * weight
            total[1] += abs(g) * weight
    return [(a, b) for a, b in sums]


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(activations(max_depth=3))
def test_random_functions(f):
    x = f.inputs[0]
    try:
        found = gaussian_moments(f.expression, x)
    except ac.ActcompError as refusal:
        OUTCOMES[type(refusal).__name__] += 1
        assert isinstance(refusal, (ac.UnboundedImage, ac.UndecidedImage, ac.UnsupportedExpression)), refusal
        return
    OUTCOMES["enclosed"] += 1
    try:
        sums = by_points(f.expression, x)
    except (OutsideDomain, Singular):
        return
    for moment, (total, size) in zip((found.mean, found.square, found.slope, found.slope_square), sums, strict=True):
        assert moment.error <= 1e-12 * (1 + abs(moment.value))
        assert abs(moment.value - total) <= 0.15 * size + 1e-9


def test_few_random_functions_are_refused():
    assert OUTCOMES["enclosed"] >= 0.8 * OUTCOMES.total(), OUTCOMES
