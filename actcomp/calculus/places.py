"""Points of the extended line: a ball around each, and the exact number where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp
from flint import arb, fmpq

from .balls import BallFunction, working

PRECISION = 160


@dataclass(frozen=True)
class Place:
    """A point of the extended line: a ball around it, and the exact number where that is known."""

    ball: Any
    exact: sp.Expr | None = None

    @property
    def finite(self) -> bool:
        return bool(self.ball.is_finite())

    def __reduce__(self) -> Any:  # balls do not pickle
        if self.exact in (sp.oo, -sp.oo):
            return place, (self.exact,)
        mid, rad = self.ball.mid().man_exp(), self.ball.rad().man_exp()
        return _restored, (tuple(map(int, mid)), tuple(map(int, rad)), self.exact)

    def __float__(self) -> float:
        return float(self.ball.mid()) if self.finite else float(self.ball)

    def __str__(self) -> str:
        if self.exact is not None:
            return str(self.exact)
        return f"{float(self):.15g}"

    def expression(self) -> sp.Expr:
        """The exact number, or a rational one in the middle of the ball (2**-120 away at most)."""
        return self.exact if self.exact is not None else rational(self.ball.mid())


def _restored(mid: tuple[int, int], rad: tuple[int, int], exact: sp.Expr | None) -> Place:
    with working(8 * PRECISION, 1):
        return Place(arb(mid=arb(mid), rad=arb(rad)), exact)


def rational(ball: Any, bits: int = 120) -> sp.Rational:
    """A dyadic rational next to the middle of the ball, with that many bits."""
    mantissa, exponent = (int(part) for part in ball.mid().man_exp())
    excess = max(0, abs(mantissa).bit_length() - bits)
    mantissa = (mantissa + (1 << excess >> 1)) >> excess
    return sp.Rational(mantissa) * sp.Integer(2) ** (exponent + excess)


def place(number: Any) -> Place:
    """The place of an exact SymPy number, oo and -oo included."""
    number = sp.sympify(number)
    if number in (sp.oo, -sp.oo):
        return Place(arb.pos_inf() if number == sp.oo else arb.neg_inf(), number)
    if isinstance(number, sp.Rational):
        with working(PRECISION, 1):
            return Place(arb(fmpq(int(number.p), int(number.q))), number)
    function = BallFunction(number, [])
    return Place(function.enclose([], [[]], 1, lambda rows: rows[0], 140)[0], number)
