"""What is known of the derivative's image: plain data; image.py finds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from .balls import working
from .places import PRECISION, Place


@dataclass(frozen=True)
class Extremum:
    """The infimum or supremum of f': an enclosure, the exact number where calculus gives it, and where it is found.

    ``attained`` is false where it is only approached, at the places of ``where``. Infinite where f' is unbounded.
    """

    place: Place
    where: tuple[Place, ...]
    attained: bool

    @property
    def exact(self) -> sp.Expr | None:
        return self.place.exact

    @property
    def finite(self) -> bool:
        return self.place.finite

    @property
    def enclosure(self) -> tuple[sp.Expr, sp.Expr]:
        """Rational numbers (or an infinity, twice) between which it lies."""
        if not self.finite:
            return self.place.exact, self.place.exact
        with working(2 * PRECISION, 1):
            ends = self.place.ball.lower(), self.place.ball.upper()
        return _exact_dyadic(ends[0]), _exact_dyadic(ends[1])

    @property
    def value(self) -> sp.Expr:
        """The exact number, or the rational one in the middle of the enclosure."""
        return self.place.expression()

    def __float__(self) -> float:
        return float(self.place)

    def __str__(self) -> str:
        there = ", ".join(str(one) for one in self.where[:4])
        return f"{self.place} ({'at' if self.attained else 'towards'} {there})"


@dataclass(frozen=True)
class Monotone:
    """f' on (low, high): rising (1), falling (-1) or constant (0)."""

    low: Place
    high: Place
    direction: int


@dataclass(frozen=True)
class DerivativeImage:
    """What :func:`image` found; see there.

    ``symbolic``: the hull in the parameters where it closes, its numbers exact or Floats of 30 digits; it holds for all
    parameters of which those that scale the input are not 0, and ``parameters`` are the defaults. ``known_sum``: m + M
    where it is known from elsewhere.
    """

    name: str
    infimum: Extremum
    supremum: Extremum
    limits: tuple[sp.Expr | None, sp.Expr | None]
    monotone: tuple[Monotone, ...]
    zeros: tuple[Any, ...] | None
    slope_zeros: tuple[Any, ...] | None
    fixed_points: tuple[Any, ...] | None
    parity: str | None
    slope_sum: sp.Expr | None
    asymptotes: tuple[tuple[sp.Expr, sp.Expr] | None, tuple[sp.Expr, sp.Expr] | None]
    growth: tuple[str, str]
    period: sp.Expr | None = None
    window: tuple[Any, Any] | None = None
    symbolic: tuple[sp.Expr, sp.Expr] | None = None
    parameters: dict[str, float] = field(default_factory=dict)
    known_sum: sp.Expr | None = None

    @property
    def bounded(self) -> bool:
        return self.infimum.finite and self.supremum.finite

    @property
    def one_sign(self) -> int | None:
        """1 where f' >= 0 everywhere, -1 where f' <= 0 everywhere, None where it takes both signs."""
        if self.infimum.place.ball >= 0:
            return 1
        return -1 if self.supremum.place.ball <= 0 else None

    @property
    def lipschitz(self) -> float:
        """The least Lipschitz constant of f, sup |f'|, rounded to float64; inf where there is none."""
        return max(abs(float(self.infimum)), abs(float(self.supremum)))

    @property
    def sum(self) -> sp.Expr:
        """m + M: exact where both are or where f'(x) + f'(-x) is constant; else rational, 2**-120 away at most."""
        for known in (self.slope_sum, self.known_sum):
            if known is not None:
                return known
        if self.infimum.exact is not None and self.supremum.exact is not None:
            return sp.nsimplify(self.infimum.exact + self.supremum.exact) if self.bounded else sp.nan
        return self.infimum.value + self.supremum.value


def _exact_dyadic(end: Any) -> sp.Rational:
    mantissa, exponent = (int(part) for part in end.man_exp())
    return sp.Rational(mantissa) * sp.Integer(2) ** exponent
