"""A certified piecewise polynomial as primitives: the bits of x give the piece, tables its centre and coefficients.

y = head + fma(t, c1 + t*(c2 + ...), tail) with t = x - centre, which is exact, and the constant coefficient as the pair
head + tail. The piece is at least 2**cuts times narrower than x is large, so that what t*(...) rounds away is a small
part of |f'| ulp(x), and the result's error little more than the one rounding of the last sum. The piece around a zero at 0
has the constant -0.0, which leaves the sign of t*(c1 + ...) alone, zero or not. Nothing branches: an index of any x,
NaN included, is in the tables.

float64 takes the polynomials as they are. float32 needs half the degree: each is cut off in Chebyshev's basis where that
costs less than 2**-28 of max(|f|, |x f'|).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import comb
from typing import Any, NamedTuple

import numpy as np

from ..certified import PiecewisePolynomial
from .builder import Value, constant_bits, constant_value
from .elementary.tables import LAYOUT
from .primitives import INTEGER_OF

_CUT_OFF = {"f32": 2.0**-28}


class Columns(NamedTuple):
    """Bit patterns, one a piece: the centres, head and tail of the constant coefficient, then c1, c2 ..."""

    centres: tuple[int, ...]
    heads: tuple[int, ...]
    tails: tuple[int, ...]
    others: tuple[tuple[int, ...], ...]


def evaluate(x: Value, data: PiecewisePolynomial) -> Value:
    """The value of the piecewise polynomial at x, of x's type, f32 or f64."""
    head, rest = parts(x, data)
    return head + rest


def parts(x: Value, data: PiecewisePolynomial) -> tuple[Value, Value]:
    """The value as a sum of two, the first being the larger one unless they are of one size."""
    columns, type = columns_of(data, x.type), x.type
    index = _index(x, data)
    t = x - index.look_up(columns.centres, type)
    total = index.look_up(columns.others[-1], type)
    for column in reversed(columns.others[:-1]):
        total = x.builder.fma(total, t, index.look_up(column, type))
    return index.look_up(columns.heads, type), x.builder.fma(t, total, index.look_up(columns.tails, type))


def _index(x: Value, data: PiecewisePolynomial) -> Value:
    layout, integer = LAYOUT[x.type], INTEGER_OF[x.type]
    stretch = abs(x).bits() >> (layout.mantissa_bits - data.cuts)
    distance = stretch - (data.base + (layout.bias << data.cuts))
    distance = x.builder.select(distance > 0, distance, 0)
    if data.middle == 0:
        return distance
    middle = x.builder.const(data.middle, integer)
    if data.middle == len(data.pieces) - 1:
        return middle - distance
    return x.builder.select(x < 0.0, middle - distance, middle + distance)


@lru_cache(maxsize=32)
def columns_of(data: PiecewisePolynomial, type: str) -> Columns:
    """The tables in the type, f32 or f64."""
    rows = _shortened(data, _CUT_OFF[type]) if type in _CUT_OFF else _as_they_are(data)
    heads, tails = [], []
    for row in rows:
        constant = row[0]
        head = constant_bits(constant, type) if constant else constant_bits(-0.0, type)
        rest = constant - Fraction(float(constant_value(head, type)))
        heads.append(head)
        tails.append(constant_bits(rest if rest else -0.0, type))
    return Columns(
        tuple(constant_bits(piece.centre, type) for piece in data.pieces),
        tuple(heads),
        tuple(tails),
        tuple(tuple(constant_bits(row[k], type) for row in rows) for k in range(1, len(rows[0]))),
    )


def _as_they_are(data: PiecewisePolynomial) -> list[list[Fraction]]:
    return [[*p.coefficients, *[Fraction(0)] * (data.degree + 1 - len(p.coefficients))] for p in data.pieces]


def _shortened(data: PiecewisePolynomial, cut_off: float) -> list[list[Any]]:
    """Coefficients of the lowest degree that all pieces can do with; the constants as fractions."""
    rows, length = _as_they_are(data), data.degree + 1
    radii = np.array([float(piece.radius) for piece in data.pieces])
    # In units of the piece: powers of t / radius. Of a piece with a zero at its centre f(t)/t is shortened.
    table = np.array([[float(c) for c in row] for row in rows]) * radii[:, None] ** np.arange(length)
    zeros = np.array([row[0] == 0 for row in rows])
    table[zeros] = np.roll(table[zeros], -1, axis=1)
    series = table @ _chebyshev(length).T
    series[:, 0] += 0.0
    allowed = cut_off * np.array([_unit(p.low, p.high, row, zero) for p, row, zero in _each(data, table, zeros)])
    left = np.cumsum(np.abs(series[:, ::-1]), axis=1)[:, ::-1]  # what is left out with all from the k-th on
    degree = next(k for k in range(1, length + 1) if k == length or bool((left[:, k] <= allowed).all())) - 1
    degree = max(degree, 1)
    change = -series[:, degree + 1 :] @ _powers(length)[degree + 1 :]
    short = table + change
    short[:, degree + 1 :] = 0.0
    constants = [row[0] + Fraction(0.0 if zero else float(c[0])) for row, zero, c in zip(rows, zeros, change, strict=True)]
    short[zeros] = np.roll(short[zeros], 1, axis=1)
    degree += bool(zeros.any() and short[zeros, degree + 1 :].any())
    short = short / radii[:, None] ** np.arange(length)
    return [[constant, *map(float, row[1 : degree + 1])] for constant, row in zip(constants, short, strict=True)]


def _each(data: PiecewisePolynomial, table: Any, zeros: Any) -> Any:
    return zip(data.pieces, table, zeros, strict=True)


def _unit(low: Fraction, high: Fraction, row: Any, zero: bool) -> float:
    """About the least max(|f|, |x f'|) on the piece, of f's powers in t / radius; of f(t)/t where there is a zero."""
    ends = np.array([-1.0, 0.0, 1.0])
    values = np.abs(np.polynomial.polynomial.polyval(ends, row))
    if zero:
        return float(values.min())
    slopes = np.abs(np.polynomial.polynomial.polyval(ends, row[1:] * np.arange(1, len(row))))
    nearest = float(min(abs(low), abs(high))) if low * high > 0 else 0.0
    radius = float(high - low) / 2
    return max(float(values.min()), float(slopes.min()) * max(nearest / radius, 2.0**-10))


@lru_cache(maxsize=8)
def _chebyshev(length: int) -> Any:
    """From coefficients of powers to those of Chebyshev's polynomials: x**k = 2**(1-k) sum_i C(k, i) T_{k-2i}."""
    matrix = np.zeros((length, length))
    for k in range(length):
        for i in range(k // 2 + 1):
            matrix[k - 2 * i, k] = comb(k, i) * 2.0 ** (-k if 2 * i == k else 1 - k)
    return matrix


@lru_cache(maxsize=8)
def _powers(length: int) -> Any:
    """Row n: the powers' coefficients in T_n."""
    matrix = np.zeros((length, length))
    for n in range(length):
        coefficients = np.polynomial.chebyshev.cheb2poly([0.0] * n + [1.0])
        matrix[n, : len(coefficients)] = coefficients
    return matrix
