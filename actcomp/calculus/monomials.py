"""Monomials t**a * log(t)**l * exp(sum c t**p) for t -> +oo: their order, bounds beyond a place, exact coefficients.

Everything here is for t >= 2, where log(t) is positive.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import sympy as sp
from flint import arb, ctx, fmpq

from .. import functions as fn
from ..errors import ActcompError
from .ball_nodes import Undecided
from .balls import BallFunction

PRECISION = 106
_MORE_PRECISION = 424
# How finely a monomial is bounded where it is not yet decreasing: over intervals on which its logarithm moves by about
# 1/4, and, if that takes many, over longer ones.
_LONGEST_STEP = arb(1) / 8
_FINE_STEPS, _MOST_STEPS = 200, 600
# SymPy's simplify can take minutes for larger numbers than this.
_MOST_OPERATIONS = 60
FURTHEST = Fraction(2) ** 64


class Unexpandable(Exception):
    """No expansion of this form is found; the message says why."""


class Monomial(NamedTuple):
    """t**power * log(t)**logs * exp(sum(c * t**p for p, c in exponent)), powers p > 0 decreasing."""

    exponent: tuple[tuple[Fraction, sp.Expr], ...]
    power: Fraction
    logs: Fraction | int

    def times(self, other: Monomial) -> Monomial:
        return Monomial(_sum(self.exponent, other.exponent), self.power + other.power, self.logs + other.logs)

    def to_the(self, exponent: Fraction) -> Monomial:
        factor = sp.Rational(exponent.numerator, exponent.denominator)
        powers = tuple((p, c * factor) for p, c in self.exponent) if exponent else ()
        return Monomial(powers, self.power * exponent, self.logs * exponent)

    def over(self, other: Monomial) -> Monomial:
        return self.times(other.to_the(Fraction(-1)))


ONE = Monomial((), Fraction(0), Fraction(0))
T = Monomial((), Fraction(1), Fraction(0))
LOG = Monomial((), Fraction(0), Fraction(1))


def _sum(
    left: tuple[tuple[Fraction, sp.Expr], ...], right: tuple[tuple[Fraction, sp.Expr], ...]
) -> tuple[tuple[Fraction, sp.Expr], ...]:
    if not left or not right:
        return left or right
    total = dict(left)
    for power, coefficient in right:
        total[power] = total[power] + coefficient if power in total else coefficient
    return tuple(sorted(((p, c) for p, c in total.items() if sign_of(c)), reverse=True, key=lambda pair: pair[0]))


@lru_cache(maxsize=65536)
def order(monomial: Monomial) -> int:
    """1 where it grows without bound, -1 where it decays to 0, 0 where it is constant."""
    leading = sign_of(monomial.exponent[0][1]) if monomial.exponent else 0
    for part in (leading, monomial.power, monomial.logs):
        if part:
            return 1 if part > 0 else -1
    return 0


def compare(left: Monomial, right: Monomial) -> int:
    """1 where left grows faster than right, -1 where slower, 0 where they are the same."""
    if left.exponent == right.exponent:
        here, there = left[1:], right[1:]
        return (here > there) - (here < there)
    return order(left.over(right))


@lru_cache(maxsize=65536)
def sign_of(number: sp.Expr) -> int:
    """The sign of an exact real number. Raises Unexpandable where it cannot be told."""
    if number.is_Rational:
        return int(number.p > 0) - int(number.p < 0)
    for precision in (PRECISION, _MORE_PRECISION):
        value = _ball(number, precision)
        if value > 0:
            return 1
        if value < 0:
            return -1
    plain = fn.expand_definitions(number)
    if plain.count_ops() <= _MOST_OPERATIONS and (sp.expand(plain) == 0 or _simplifies_to_zero(plain)):
        return 0
    raise Unexpandable(f"whether {number} is 0")


def _simplifies_to_zero(number: sp.Expr) -> bool:
    return any(sp.simplify(form) == 0 for form in (number, number.rewrite(sp.exp)))


@lru_cache(maxsize=65536)
def _ball(number: sp.Expr, precision: int) -> arb:
    try:
        value = BallFunction(number, ()).series([], [], 1, precision)[0]
    except (Undecided, ActcompError) as fault:
        raise Unexpandable(f"{number} has no known value") from fault
    if not value.is_finite():
        raise Unexpandable(f"{number} is not finite")
    return value


def ball(number: sp.Expr) -> arb:
    """An exact number as a ball, which holds 0 only where ``sign_of`` cannot tell either."""
    value = _ball(number, PRECISION)
    return value if value > 0 or value < 0 else _ball(number, _MORE_PRECISION)


def rational_ball(number: Fraction | int) -> arb:
    return arb(fmpq(number.numerator, number.denominator))


def value_at(monomial: Monomial, place: arb) -> arb:
    """Its value, as a ball, at an exact place >= 2."""
    return _between(monomial, place, place)


def _between(monomial: Monomial, low: arb, high: arb) -> arb:
    """An upper bound over [low, high]: each factor at the end where it is larger."""
    total = arb(0)
    for power, coefficient in monomial.exponent:
        c = ball(coefficient)
        total += c * (high if c > 0 else low) ** rational_ball(power)
    if monomial.power:
        total += rational_ball(monomial.power) * (high if monomial.power > 0 else low).log()
    result = total.exp()
    if monomial.logs:
        end = (high if monomial.logs > 0 else low).log()
        result *= end ** rational_ball(monomial.logs)
    return result


def _decreases_beyond(monomial: Monomial, place: arb) -> bool:
    """Whether it decreases on [place, oo), by a test that is true beyond some place for all that decay.

    t d/dt of its logarithm is sum(c p t**p) + a + l/log(t); the positive parts over the leading negative one get
    smaller as t grows, as all their powers are lower.
    """
    rising, falling = arb(0), arb(0)
    leading = True
    for power, coefficient in monomial.exponent:
        slope = ball(coefficient) * rational_ball(power) * place ** rational_ball(power)
        if slope > 0:
            rising += slope
        elif leading:
            falling = -slope
        leading = False
    if monomial.exponent:
        rising += (
            max(rational_ball(monomial.power), arb(0)) + rational_ball(max(monomial.logs, Fraction(0))) / place.log()
        )
    elif monomial.power:
        falling = -rational_ball(monomial.power)
        rising = rational_ball(max(monomial.logs, Fraction(0))) / place.log()
    else:
        falling = -rational_ball(monomial.logs)
    return bool(rising < falling)


def _steepness(monomial: Monomial, place: arb) -> arb:
    """About how fast the factors' logarithms move in log(t), together."""
    total = abs(rational_ball(monomial.power)) + abs(rational_ball(monomial.logs)) / place.log()
    for power, coefficient in monomial.exponent:
        total += abs(ball(coefficient)) * rational_ball(power) * place ** rational_ball(power)
    return total


@lru_cache(maxsize=65536)
def bound_beyond(monomial: Monomial, place: Fraction) -> arb:
    """An upper bound (exact ball) of it on [place, oo), place >= 2; infinite where it grows without bound."""
    kind = order(monomial)
    if kind >= 0:
        return arb(1) if kind == 0 else arb("inf")
    with ctx.workprec(PRECISION):
        here = rational_ball(place).lower()
        best = arb(0)
        for index in range(_MOST_STEPS):
            if _decreases_beyond(monomial, here):
                return max(best, value_at(monomial, here).upper())
            step = min(_LONGEST_STEP, 1 / (4 * _steepness(monomial, here))) if index < _FINE_STEPS else _LONGEST_STEP
            after = (here * (1 + step)).upper()
            best = max(best, _between(monomial, here, after).upper())
            here = after
    raise Unexpandable("a bound that begins too far out")


def least_beyond(monomial: Monomial, place: Fraction) -> arb:
    """A lower bound of it on [place, oo): 0 where it decays."""
    kind = order(monomial)
    if kind <= 0:
        return arb(1) if kind == 0 else arb(0)
    return (1 / bound_beyond(monomial.to_the(Fraction(-1)), place)).lower()


def rational_below(number: arb) -> sp.Rational:
    """A positive rational of few digits, at most 1/128 below the positive number."""
    size = float(number.lower())
    if not 2.0**-1000 < size < math.inf:
        raise Unexpandable("a coefficient out of all proportion")
    mantissa, exponent = math.frexp(size)
    found = Fraction(math.floor(mantissa * 2**8 - 2**-20)) * Fraction(2) ** (exponent - 8)
    return sp.Rational(found.numerator, found.denominator)
