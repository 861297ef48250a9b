"""certified(x, data): a piecewise polynomial that stands for a function without closed form, as a node of expressions.

The node *is* the polynomials, with their exact coefficients, and its derivative *is* a closed form in the argument and
the node's own value (certified_derivative, which expand_definitions writes out); how far the polynomials are from the
ideal function is proved when they are made (calculus/chebyshev.py) and kept beside them. Outside [low, high] the first
and last polynomial go on; expressions use the node inside only, as the last branch of a Piecewise.

Pieces are graded by binade, so that the bits of a float give the index and the distance from the centre is exact: one
piece around 0, |x| < 2**e; beyond, every binade is cut into 2**cuts equal pieces on either side.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any, NamedTuple

import sympy as sp

from .functions import RealFunction, expand_definitions

# What stands in a derivative's closed form for the node's argument and for the node itself.
ARGUMENT = sp.Symbol("_u", real=True)
VALUE = sp.Symbol("_v", real=True)


class Piece(NamedTuple):
    """A polynomial in t = x - centre on [low, high]; coefficients are dyadic, constant term first."""

    centre: Fraction
    low: Fraction
    high: Fraction
    coefficients: tuple[Fraction, ...]

    @property
    def radius(self) -> Fraction:
        return max(self.high - self.centre, self.centre - self.low)


class PiecewisePolynomial(sp.Atom):
    """The data of a certified node, compared and hashed by its digest.

    ``pieces`` in order of x; ``pieces[middle - k]`` and ``pieces[middle + k]`` hold the numbers of either sign whose
    stretch is the k-th: ``stretch(x, cuts) - base``, everything nearer to 0 counting as 0.
    ``derivative``: closed form in ARGUMENT and VALUE. ``smooth``: where the first and the second derivative of the
    polynomials are good enough for kernels to read the closed form's off them: (from, to), or None for nowhere.
    ``ideal``: in words, what the polynomials stand for.
    ``distance``: proved bound of |polynomial - ideal| on [low, high]; ``relative``: the same in units of
    max(|ideal|, |x ideal'(x)|), inf where that is not bounded.
    """

    __slots__ = (
        "name", "pieces", "cuts", "base", "middle", "derivative", "smooth", "ideal", "distance", "relative", "digest"
    )  # fmt: skip

    is_number = True

    def __new__(
        cls,
        name: str,
        pieces: tuple[Piece, ...],
        cuts: int,
        base: int,
        middle: int,
        derivative: sp.Expr,
        smooth: tuple[tuple[Fraction, Fraction] | None, ...],
        ideal: str,
        distance: float,
        relative: float,
    ) -> PiecewisePolynomial:
        self = super().__new__(cls)
        self.name, self.pieces, self.cuts, self.base, self.middle = name, pieces, cuts, base, middle
        self.derivative, self.smooth, self.ideal = derivative, smooth, ideal
        self.distance, self.relative = distance, relative
        content = repr((name, pieces, cuts, base, middle, sp.srepr(derivative), smooth, ideal, distance, relative))
        self.digest = hashlib.sha256(content.encode()).hexdigest()
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field) for field in self.__slots__[:-1])

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.digest,)

    @property
    def low(self) -> Fraction:
        return self.pieces[0].low

    @property
    def high(self) -> Fraction:
        return self.pieces[-1].high

    @property
    def degree(self) -> int:
        return max(len(piece.coefficients) for piece in self.pieces) - 1

    def index(self, x: Fraction) -> int:
        """Which piece holds the number; beyond the ends the first or the last."""
        if x == 0:
            return self.middle
        distance = max(0, stretch(abs(x), self.cuts) - self.base)
        place = self.middle - distance if x < 0 else self.middle + distance
        return min(max(place, 0), len(self.pieces) - 1)

    def smooth_on(self, order: int) -> tuple[Fraction, Fraction] | None:
        """Where the derivative of this order may be read off the polynomials."""
        if order == 0:
            return self.low, self.high
        return self.smooth[order - 1] if order <= len(self.smooth) else None

    def closed_form(self, argument: sp.Expr, order: int) -> sp.Expr:
        """The derivative of this order, 1 or more, in known functions of the argument and certified(argument, self)."""
        return self._closed_form(order).xreplace({ARGUMENT: argument, VALUE: certified(argument, self)})

    def _closed_form(self, order: int) -> sp.Expr:
        if order == 1:
            return self.derivative
        from .calculus.derivative import differentiate

        before = self._closed_form(order - 1)
        return differentiate(before, ARGUMENT) + differentiate(before, VALUE) * self.derivative

    def _sympystr(self, printer: Any) -> str:
        return self.name

    def _sympyrepr(self, printer: Any) -> str:
        return f"<{self.name}>"

    def _latex(self, printer: Any) -> str:
        return _operator(self.name)


class certified(RealFunction):
    """The value of a PiecewisePolynomial at a real argument."""

    nargs: Any = 2

    @classmethod
    def definition(cls, *arguments: Any) -> sp.Expr:
        return cls(*arguments)  # it has none simpler than itself

    def _eval_is_extended_positive_negative(self, positive: bool) -> bool | None:
        return None

    @property
    def data(self) -> PiecewisePolynomial:
        return self.args[1]

    @property
    def order(self) -> int:
        """Which derivative of the polynomial it stands for."""
        return 0

    def _eval_derivative(self, s: Any) -> Any:
        return self.fdiff(1) * self.args[0].diff(s)

    def _eval_evalf(self, prec: int) -> Any:
        if not self.args[0].is_number:
            return None
        from .calculus.balls import evaluate

        mantissa, exponent = (int(part) for part in evaluate(self, {}, prec).mid().man_exp())
        return sp.Float(sp.Integer(mantissa) * sp.Integer(2) ** exponent, precision=prec)

    def _sympystr(self, printer: Any) -> str:
        return f"{self.data.name}{self.order * chr(39)}({printer._print(self.args[0])})"

    _sympyrepr = _sympystr

    def _latex(self, printer: Any, exp: Any = None) -> str:
        above = "\\prime " * self.order + (exp or "")
        name = self.data._latex(printer) + (f"^{{{above}}}" if above else "")
        return f"{name}{{\\left({printer._print(self.args[0])} \\right)}}"


class certified_derivative(certified):
    """certified_derivative(x, data, n): the n-th derivative of certified(x, data), n from 1 up.

    It is the closed form, and kernels read it from the polynomials, which are close enough for that: so derivatives
    are as accurate, and as cheap, as the function.
    """

    nargs: Any = 3

    @classmethod
    def definition(cls, *arguments: Any) -> sp.Expr:
        x, data, order = arguments
        return expand_definitions(data.closed_form(x, int(order)))

    @property
    def order(self) -> int:
        return int(self.args[2])


def _operator(name: str) -> str:
    return "\\operatorname{" + name.replace("_", "\\_") + "}"


def stretch(magnitude: Fraction, cuts: int) -> int:
    """The number of the part of a binade that holds the positive number: parts of [1, 2) are 0 .. 2**cuts - 1."""
    exponent = binade(magnitude)
    scaled = magnitude / Fraction(2) ** exponent - 1
    return (exponent << cuts) + (scaled.numerator << cuts) // scaled.denominator


def binade(magnitude: Fraction) -> int:
    """The e with 2**e <= magnitude < 2**(e + 1)."""
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return exponent if magnitude >= Fraction(2) ** exponent else exponent - 1


def stretch_start(number: int, cuts: int) -> Fraction:
    """The smallest positive number of the stretch."""
    exponent, part = number >> cuts, number & ((1 << cuts) - 1)
    return Fraction(2) ** exponent * (1 + Fraction(part, 1 << cuts))
