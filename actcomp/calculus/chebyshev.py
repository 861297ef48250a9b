"""Certified piecewise polynomials: the inverse of a function, or the integral of one, where neither closes.

On each piece the Taylor series at the centre (balls; for an inverse by reversion of the series) is economised in
Chebyshev's basis and rounded to dyadic coefficients. The rounded polynomial P is then judged for itself, by the Taylor
form of its defect with the last coefficient taken over the whole piece: for an inverse f of h the defect is
h(P(y)) - y, and |P - f| is at most its bound over min |h'| by the mean value theorem; for an integral it is P' - g, and
the defects add up from the anchor outwards.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import sympy as sp

from ..certified import ARGUMENT, VALUE, PiecewisePolynomial
from ..errors import NoClosedForm
from .ball_nodes import OutsideDomain, Singular, Undecided
from .balls import BallFunction, evaluate, working
from .chebyshev_fits import PRECISION, TERMS, Fit, Fits, IntegralFits, InverseFits, TooWide, Unproved
from .derivative import differentiate
from .stretches import Layout, as_exact, ball, partition

_CUTS = (3, 5, 7, 9)
_MOST_PIECES = 8192
_PROMISE = 1e-9
_SECONDS = 10.0


def inverse_function(
    h: sp.Expr, x: sp.Symbol, low: Any, high: Any, name: str, near: Any = 0, ideal: str = ""
) -> PiecewisePolynomial:
    """The inverse of h on [low, high], a range of values of h; its derivative is 1/h'.

    ``low``, ``high``: exact numbers (int, float, Fraction, SymPy rational) or balls. ``near``: an exact point of the
    branch to be inverted, with low <= h(near) <= high. h must be analytic there with a slope of one sign. The distance
    is at most 1e-9, usually 2**-60 of the value. Raises NoClosedForm, which names the reason.
    """
    with _reasons(name), working(PRECISION, TERMS):
        slope = 1 / differentiate(h, x).xreplace({x: VALUE})
        source = InverseFits(BallFunction(h, (x,)), as_exact(near, 0))
        return _construct(source, as_exact(low, -1), as_exact(high, 1), name, slope, ideal or f"the inverse of {h}")


def antiderivative(
    g: sp.Expr, x: sp.Symbol, low: Any, high: Any, value_at: tuple[Any, Any], name: str, ideal: str = ""
) -> PiecewisePolynomial:
    """The integral G of g on [low, high] with G(a) = b for value_at = (a, b); its derivative is g.

    ``a``: exact, in [low, high]; ``b``: exact, a SymPy number or a ball. g must be analytic there. Raises NoClosedForm,
    which names the reason.
    """
    with _reasons(name), working(PRECISION, TERMS):
        anchor, value = value_at
        start = evaluate(value, {}, PRECISION) if isinstance(value, sp.Expr) else ball(value)
        source = IntegralFits(BallFunction(g, (x,)), as_exact(anchor, 0), start)
        slope = g.xreplace({x: ARGUMENT})
        return _construct(source, as_exact(low, -1), as_exact(high, 1), name, slope, ideal or f"the integral of {g}")


@contextmanager
def _reasons(name: str) -> Iterator[None]:
    """Failures of the construction as NoClosedForm."""
    try:
        yield
    except (Unproved, TooWide) as fault:
        reason = str(fault) or "the polynomials would need too many pieces"
    except Undecided:
        reason = "a comparison or a quotient is not decided on a piece: it is not analytic there"
    except (OutsideDomain, Singular) as fault:
        reason = fault.what
    else:
        return
    raise NoClosedForm(f"{name} has no certified approximation: {reason}")


def _construct(
    source: Fits, low: Fraction, high: Fraction, name: str, slope: sp.Expr, ideal: str
) -> PiecewisePolynomial:
    if not low < high:
        raise Unproved("its interval is empty")
    deadline = time.thread_time() + _SECONDS
    source.start(low, high)
    exponent = _reach_of_zero(source, low, high) if low <= 0 <= high else None
    for cuts in _CUTS:
        layout = partition(low, high, cuts, exponent)
        if len(layout.stretches) > _MOST_PIECES:
            raise TooWide
        try:
            fits = _fit_all(source, layout, deadline)
            break
        except TooWide:
            if cuts == _CUTS[-1]:
                raise
    distance = max(fit.absolute for fit in fits)
    if not distance <= _PROMISE:
        raise Unproved(f"the distance proved is {distance:.1e}")
    pieces = tuple(fit.piece for fit in fits)
    relative = max(fit.relative for fit in fits)
    smooth = tuple(_smooth(fits, layout.holding(source.anchor), order) for order in (1, 2))
    return PiecewisePolynomial(
        name, pieces, layout.cuts, layout.base, layout.middle, slope, smooth, ideal, distance, relative
    )


def _smooth(fits: list[Fit], start: int, order: int) -> tuple[Fraction, Fraction] | None:
    """The range of the pieces around the start whose derivatives of this order serve kernels."""
    if fits[start].orders < order:
        return None
    first = last = start
    while first > 0 and fits[first - 1].orders >= order:
        first -= 1
    while last < len(fits) - 1 and fits[last + 1].orders >= order:
        last += 1
    return fits[first].piece.low, fits[last].piece.high


def _fit_all(source: Fits, layout: Layout, deadline: float) -> list[Fit]:
    fits: dict[int, Fit] = {}
    for index, neighbour in layout.outwards(layout.holding(source.anchor)):
        before = None if neighbour is None else fits[neighbour]
        fits[index] = source.fit(layout.stretches[index], before)
        if time.thread_time() > deadline:
            raise Unproved(f"its proof takes more than {_SECONDS:.0f} s of work")
    return [fits[index] for index in range(len(fits))]


def _reach_of_zero(source: Fits, low: Fraction, high: Fraction) -> int:
    """The largest e for which the piece around 0, to 2**e on either side, needs no more than the degree allowed."""
    taylor = source.series_at(Fraction(0), None)
    top = math.ceil(math.log2(max(-low, high)))
    for exponent in range(top, -64, -1):
        try:
            source.shrink(taylor, Fraction(2) ** exponent, Fraction(0))
            return exponent
        except TooWide:
            continue
    raise Unproved("it is not analytic at 0")
