"""Moments of an activation under a Gaussian input, enclosed: what decides whether a deep network keeps its signal.

For z ~ N(0, q): E f(z)**2 is the next layer's variance, sqrt(q / E f**2) the gain that keeps it, and
chi = q E f'(z)**2 / E f(z)**2 the factor by which the gain-corrected layer multiplies small differences and gradients
(B. Poole et al., "Exponential expressivity in deep neural networks through transient chaos", NIPS 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb

from ..errors import UnsupportedExpression
from .ball_nodes import exact_ball
from .balls import working
from .gaussian import Gaussian, Quantity

_PRECISION = 128


@dataclass(frozen=True)
class Moment:
    """A number enclosed: it differs from ``value`` by at most ``error``; both are inf beyond the range of floats."""

    value: float
    error: float

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        value = 0.0 if abs(self.value) < self.error else self.value  # a 0 that only rounding has moved
        return f"{value:.15g} +- {self.error:.1e}"


@dataclass(frozen=True)
class Moments:
    """For z ~ N(0, q): ``mean`` E f, ``square`` E f**2, ``slope`` E f', ``slope_square`` E f'**2, all enclosed.

    ``gain`` is sqrt(q / E f**2), ``chi`` is q E f'**2 / E f**2. f' is the derivative away from kinks and jumps.
    """

    q: float
    mean: Moment
    square: Moment
    slope: Moment
    slope_square: Moment
    gain: Moment
    chi: Moment

    def __str__(self) -> str:
        rows = (
            ("E f", self.mean),
            ("E f^2", self.square),
            ("E f'", self.slope),
            ("E f'^2", self.slope_square),
            ("gain", self.gain),
            ("chi", self.chi),
        )
        return "\n".join([f"z ~ N(0, {self.q:g})", *(f"  {name:<7} {moment}" for name, moment in rows)])


_ALL = (Quantity(1, False), Quantity(2, False), Quantity(1, True), Quantity(2, True))


def gaussian_moments(f: sp.Expr, x: sp.Symbol, q: Fraction | float = 1) -> Moments:
    """The moments of f(z), z ~ N(0, q). ``f`` depends on x alone.

    Raises UnboundedImage where E f**2 or E f'**2 is infinite, UndecidedImage where f's behaviour far out or at a
    singular point is not known, UnsupportedExpression where f is 0 and has no gain, ArgumentError for a bad q.
    """
    mean, square, slope, slope_square = Gaussian(f, x, q, _ALL).expectations(relative=(1, 3))
    if not square > 0:
        raise UnsupportedExpression(
            f"E f(z)^2 of {str(f)[:80]} is 0, or too small to tell from 0, so that it has no gain and no chi",
            do="give a function that is not 0 where z ~ N(0, q) falls, or a larger q",
        )
    with working(_PRECISION, 1):
        variance = exact_ball(Fraction(q))
        gain = (variance / square).sqrt()
        chi = variance * slope_square / square
        return Moments(float(q), *map(as_moment, (mean, square, slope, slope_square, gain, chi)))


def expectation(g: sp.Expr, x: sp.Symbol, q: Fraction | float = 1) -> Any:
    """E g(z), z ~ N(0, q), as a ball (arb) of radius at most 1e-12 (1 + |value|). Raises as gaussian_moments does."""
    return Gaussian(g, x, q, _ALL[:1]).expectations()[0]


def pair_chi(a: Moments, b: Moments) -> Moment:
    """chi of a layer with f followed by one with f*: the product."""
    return product(a.chi, b.chi)


def product(a: Moment, b: Moment) -> Moment:
    with working(_PRECISION, 1):
        return as_moment(arb(a.value, a.error) * arb(b.value, b.error))


def as_moment(enclosure: Any) -> Moment:
    """The ball as a float64 and a bound of its distance from everything in the ball."""
    value = float(enclosure.mid())
    error = (enclosure - value).abs_upper()
    nearest = float(error)
    return Moment(value, nearest if error <= nearest else math.nextafter(nearest, math.inf))
