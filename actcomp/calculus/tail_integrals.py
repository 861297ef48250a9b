"""Bounds of integrals of powers of a function to infinity, by the monomials of its expansion there."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from flint import arb

from .ball_nodes import exact_ball
from .monomials import Monomial, Unexpandable, ball, bound_beyond, compare, order
from .tails import Tail

# ∫ m dt = ∫ (m t**(1 + a)) t**(-1 - a) dt is at most sup(m t**(1 + a)) place**-a / a, for these a.
_SPARE_POWERS = tuple(Fraction(2) ** -k for k in range(-1, 8))


class Divergent(Exception):
    """The integral is infinite: proved."""


def power_of_t(exponent: Fraction) -> Monomial:
    return Monomial((), exponent, Fraction(0))


def integral_beyond(tail: Tail, power: int, weight: Monomial, place: Fraction) -> Any:
    """At least the integral of |f|**power * weight over t >= place, which is tail.start or later; an exact ball.

    Raises Divergent, or Unexpandable where it is not known to be finite.
    """
    leading, remainder = tail.series.monomial(), tail.series.remainder
    if leading is None:
        return arb(0)
    integrand = leading.to_the(Fraction(power)).times(weight)
    if order(integrand.times(power_of_t(Fraction(1)))) >= 0:
        if tail.series.terms and (remainder is None or compare(remainder.monomial, leading) < 0):
            raise Divergent
        raise Unexpandable("of which only a bound is known that has an infinite integral")
    size = arb(0)
    for monomial, coefficient in tail.series.terms:
        size += abs(ball(coefficient)) * bound_beyond(monomial.over(leading), place)
    if remainder is not None:
        size += remainder.bound * bound_beyond(remainder.monomial.over(leading), place)
    for spare in _SPARE_POWERS:
        most = bound_beyond(integrand.times(power_of_t(1 + spare)), place)
        if most.is_finite():
            a = exact_ball(spare)
            return (size**power * most / (a * exact_ball(place) ** a)).upper()
    raise Unexpandable("of which the integral converges too slowly")
