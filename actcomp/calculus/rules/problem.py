"""What a rule is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy as sp

from ..derivative_image import DerivativeImage

ANCHORS = ("auto", "value", "negative", "zero")


@dataclass(frozen=True)
class Problem:
    """f of x with its parameters at their defaults, stable; ``with_parameters`` is f before that.

    ``epsilon`` is the least slope that may be divided by; ``anchor`` says what f*(0) is to be: "value" f(0),
    "negative" -f(0), "zero" 0, a number, or "auto", which each rule reads for itself.
    """

    f: sp.Expr
    x: sp.Symbol
    slope: sp.Expr
    image: DerivativeImage
    with_parameters: sp.Expr
    epsilon: sp.Rational = sp.Rational(1, 10)
    anchor: Any = "auto"
    name: str = "f"
    parameters: tuple[sp.Symbol, ...] = ()

    @property
    def identifier(self) -> str:
        return self.name if self.name.isidentifier() else "f"

    def value_at_zero(self) -> sp.Expr:
        """f(0), exact."""
        from ..antiderivative import exact_value

        return exact_value(self.f, self.x, sp.Integer(0))

    def anchored(self, automatic: sp.Expr | None = None) -> sp.Expr:
        """What f*(0) is to be; ``automatic`` where the anchor is "auto" (f(0) if None)."""
        if self.anchor == "auto":
            return self.value_at_zero() if automatic is None else automatic
        if self.anchor == "value":
            return self.value_at_zero()
        if self.anchor == "negative":
            return -self.value_at_zero()
        return sp.Integer(0) if self.anchor == "zero" else sp.sympify(self.anchor)


@dataclass(frozen=True)
class Opposed:
    """f*, the ideal f*' in closed form, and how well f* is known: ``distance`` 0 where exact.

    ``constants``: the numbers that went in, by name.
    """

    expression: sp.Expr
    slope: sp.Expr
    distance: Fraction = Fraction(0)
    constants: Mapping[str, sp.Expr] = field(default_factory=dict)
    mirrored: bool = False


@dataclass(frozen=True)
class Rule:
    """``oppose`` raises UnboundedImage, NotMonotone or NoClosedForm where the rule cannot oppose the function."""

    name: str
    summary: str
    oppose: Callable[[Problem], Opposed]
