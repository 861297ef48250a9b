"""certified(x, data): a piecewise polynomial that stands for a function without closed form, as a node of expressions.

The node *is* the polynomials, with their exact coefficients, and its derivative *is* a closed form in the argument and
the node's own value; how far the polynomials are from the ideal function is proved when they are made
(calculus/chebyshev.py) and kept beside them. Outside [low, high] the first and last polynomial go on; expressions use
the node inside only, as the last branch of a Piecewise.

Pieces are graded by binade, so that the bits of a float give the index and the distance from the centre is exact: one
piece around 0, |x| < 2**e; beyond, every binade is cut into 2**cuts equal pieces on either side.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import lru_cache
from math import comb
from typing import Any, NamedTuple

import sympy as sp

from .functions import RealFunction

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
    ``derivative``: closed form in ARGUMENT and VALUE. ``ideal``: in words, what the polynomials stand for.
    ``distance``: proved bound of |polynomial - ideal| on [low, high]; ``relative``: the same in units of
    max(|ideal|, |x ideal'(x)|), inf where that is not bounded.
    """

    __slots__ = (
        "name", "pieces", "cuts", "base", "middle", "derivative", "ideal", "distance", "relative", "digest"
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
        ideal: str,
        distance: float,
        relative: float,
    ) -> PiecewisePolynomial:
        self = super().__new__(cls)
        self.name, self.pieces, self.cuts, self.base, self.middle = name, pieces, cuts, base, middle
        self.derivative, self.ideal, self.distance, self.relative = derivative, ideal, distance, relative
        content = repr((name, pieces, cuts, base, middle, sp.srepr(derivative), ideal, distance, relative))
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

    def slope(self, argument: sp.Expr) -> sp.Expr:
        """The closed form of the derivative of certified(argument, self) by the argument."""
        replacements = {ARGUMENT: argument, VALUE: certified(argument, self)}
        return self.derivative.xreplace(replacements)

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
    def definition(cls, x: Any, data: Any) -> sp.Expr:
        return cls(x, data)  # it has none simpler than itself

    @property
    def data(self) -> PiecewisePolynomial:
        return self.args[1]

    def _eval_derivative(self, s: Any) -> Any:
        return self.fdiff(1) * self.args[0].diff(s)

    def _eval_evalf(self, prec: int) -> Any:
        if not self.args[0].is_number:
            return None
        from .calculus.balls import evaluate

        ball = evaluate(self, {}, prec)
        mantissa, exponent = (int(part) for part in ball.mid().man_exp())
        return sp.Float(sp.Integer(mantissa) * sp.Integer(2) ** exponent, precision=prec)

    def _sympystr(self, printer: Any) -> str:
        return f"{self.data.name}({printer._print(self.args[0])})"

    _sympyrepr = _sympystr

    def _latex(self, printer: Any, exp: Any = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return f"{_operator(self.data.name)}{power}{{\\left({printer._print(self.args[0])} \\right)}}"


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


# Fixed point of the changes of basis below, in bits after the point.
_POINT = 160


def economise(
    coefficients: tuple[Fraction, ...], radius: Fraction, tolerance: float, least: int = 0
) -> tuple[Fraction, ...]:
    """A polynomial of lower degree, ``least`` or more, within the tolerance of the given one on [-radius, radius].

    Its Chebyshev series is cut off (C. Lanczos' economisation): the error is at most the sum of what is left out.
    """
    scaled = [_fixed(c * radius**k) for k, c in enumerate(coefficients)]
    series = _to_chebyshev(scaled)
    left, allowed = 0, _fixed(Fraction(tolerance))
    while len(series) > least + 1 and left + abs(series[-1]) <= allowed:
        left += abs(series.pop())
    if len(series) == len(coefficients):
        return coefficients
    return tuple(Fraction(c, 1 << _POINT) / radius**k for k, c in enumerate(_from_chebyshev(series)))


def _fixed(value: Fraction) -> int:
    return (value.numerator << _POINT) // value.denominator


def _to_chebyshev(powers: list[int]) -> list[int]:
    """x**k = 2**(1-k) sum_i C(k, i) T_{k-2i}, the term of T_0 halved."""
    series = [0] * len(powers)
    for k, a in enumerate(powers):
        for i in range(k // 2 + 1):
            term = a * comb(k, i)
            series[k - 2 * i] += term >> k if 2 * i == k else 2 * term >> k
    return series


def _from_chebyshev(series: list[int]) -> list[int]:
    powers = [0] * len(series)
    for n, c in enumerate(series):
        for k, factor in _chebyshev_powers(n):
            powers[k] += c * factor
    return powers


@lru_cache(maxsize=64)
def _chebyshev_powers(n: int) -> tuple[tuple[int, int], ...]:
    """(k, coefficient of x**k) of T_n."""
    before, now = [1], [0, 1]
    for _ in range(n):
        doubled = [0, *(2 * c for c in now)]
        before, now = now, [a - b for a, b in zip(doubled, [*before, 0, 0], strict=False)]
    return tuple((k, c) for k, c in enumerate(before) if c)
