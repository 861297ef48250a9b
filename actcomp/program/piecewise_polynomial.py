"""A certified piecewise polynomial as primitives: the bits of x give the piece, tables its centre and coefficients.

y = head + fma(t, c1 + t*(c2 + ...), tail) with t = x - centre, which is exact, and the constant coefficient as the pair
head + tail. A piece is at least 2**cuts times narrower than x is large, so that what t*(...) rounds away is a small
part of |f'| ulp(x), and the result's error little more than the one rounding of the last sum. A piece around a zero at
0 has the constant -0.0, which leaves t*(c1 + ...) alone, the sign of a zero too. Nothing branches: every x has an index
in the tables, NaN included.

The polynomials are better than kernels need, by so much that their derivatives are good enough to be evaluated for the
function's. What is written is each polynomial, or its derivative, cut off in Chebyshev's basis where that costs less
than 2**-28 (in float64 2**-58) of max(|f|, |x f'|).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import comb
from typing import Any, NamedTuple

import numpy as np

from ..certified import Piece, PiecewisePolynomial
from .builder import Value, constant_bits, constant_value
from .elementary.tables import LAYOUT
from .primitives import INTEGER_OF

_CUT_OFF = {"f32": 2.0**-28, "f64": 2.0**-58}
_POINT = 500  # bits after the point in the changes of basis


class Columns(NamedTuple):
    """Bit patterns, one a piece: the centres, head and tail of the constant coefficient, then c1, c2 ..."""

    centres: tuple[int, ...]
    heads: tuple[int, ...]
    tails: tuple[int, ...]
    others: tuple[tuple[int, ...], ...]


def evaluate(x: Value, data: PiecewisePolynomial, order: int = 0) -> Value:
    """The piecewise polynomial, or its derivative of this order, at x, of x's type, f32 or f64."""
    columns, index = columns_of(data, order, x.type), _index(x, data)
    entries = _read(index, (columns.centres, *columns.others, columns.heads, columns.tails), x.type)
    centre, *coefficients, head, tail = entries
    t = x - centre
    total = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = x.builder.fma(total, t, coefficient)
    return head + x.builder.fma(t, total, tail)


def _read(index: Value, columns: tuple[tuple[int, ...], ...], type: str) -> list[Value]:
    """The entries at the index; those of f32 two at a time, since reading is what takes the time."""
    if type == "f64":
        return [index.look_up(column, type) for column in columns]
    found: list[Value] = []
    for k in range(0, len(columns) - 1, 2):
        pair = tuple(high << 32 | low for low, high in zip(columns[k], columns[k + 1], strict=True))
        both = index.look_up(pair, "i64")
        found += [both.convert("i32").as_float(), (both >> 32).convert("i32").as_float()]
    return found + [index.look_up(column, type) for column in columns[len(found) :]]


def _index(x: Value, data: PiecewisePolynomial) -> Value:
    layout, integer = LAYOUT[x.type], INTEGER_OF[x.type]
    stretch = abs(x).bits() >> (layout.mantissa_bits - data.cuts)
    distance = stretch - (data.base + (layout.bias << data.cuts))
    distance = x.builder.select(distance > 0, distance, 0)
    if data.low >= 0:
        return distance
    middle = x.builder.const(data.middle, integer)
    if data.high <= 0:
        return middle - distance
    return x.builder.select(x < 0.0, middle - distance, middle + distance)


@lru_cache(maxsize=64)
def columns_of(data: PiecewisePolynomial, order: int, type: str) -> Columns:
    """The tables of the derivative of this order in the type, f32 or f64."""
    rows = _shortened(data, order, _CUT_OFF[type])
    heads, tails = [], []
    for row in rows:
        head = constant_bits(row[0] or -0.0, type)
        rest = row[0] - Fraction(float(constant_value(head, type)))
        heads.append(head)
        tails.append(constant_bits(rest or -0.0, type))
    return Columns(
        tuple(constant_bits(piece.centre, type) for piece in data.pieces),
        tuple(heads),
        tuple(tails),
        tuple(tuple(constant_bits(row[k], type) for row in rows) for k in range(1, len(rows[0]))),
    )


def _shortened(data: PiecewisePolynomial, order: int, cut_off: float) -> list[list[Fraction]]:
    """Coefficients of the lowest degree, 1 or more, that all pieces can do with."""
    scaled = [_in_units(piece, order, data.degree) for piece in data.pieces]
    # Where f(0) is 0 at the centre, f(t)/t is cut off, which keeps f accurate near its zero.
    zeros = [row[0] == 0 and any(row) for row in scaled]
    table = np.array([[*row[1:], 0] if zero else row for row, zero in zip(scaled, zeros, strict=True)], dtype=object)
    length = table.shape[1]
    series = table @ _to_chebyshev(length) >> length
    left = np.cumsum(np.abs(series[:, ::-1]), axis=1)[:, ::-1]  # what is left out with all from the k-th on
    units = [_unit(piece, row, zero) for piece, row, zero in zip(data.pieces, table, zeros, strict=True)]
    allowed = np.array([int(cut_off * unit) for unit in units], dtype=object)
    kept = next((k for k in range(2, length) if (left[:, k] <= allowed).all()), length)
    short = series[:, :kept] @ _from_chebyshev(kept)
    return [
        _out_of_units(piece, [0, *row] if zero else row, kept + any(zeros))
        for piece, row, zero in zip(data.pieces, short, zeros, strict=True)
    ]


def _in_units(piece: Piece, order: int, degree: int) -> list[int]:
    """Coefficients of powers of t / radius in fixed point."""
    coefficients: tuple[Fraction, ...] = piece.coefficients
    for _ in range(order):
        coefficients = tuple(k * c for k, c in enumerate(coefficients) if k)
    radius, power, found = _radius(piece), Fraction(1), []
    for c in coefficients:
        found.append((c.numerator * power.numerator << _POINT) // (c.denominator * power.denominator))
        power *= radius
    return found + [0] * (degree + 1 - len(found))


def _out_of_units(piece: Piece, row: Any, length: int) -> list[Fraction]:
    radius, power, found = _radius(piece), Fraction(1), []
    for c in row:
        found.append(Fraction(c * power.denominator, power.numerator << _POINT))
        power *= radius
    return found + [Fraction(0)] * (length - len(found))


def _radius(piece: Piece) -> Fraction:
    return max(piece.high - piece.centre, piece.centre - piece.low)


def _unit(piece: Piece, row: Any, zero: bool) -> float:
    """About the least max(|f|, |x f'|) on the piece, of f's powers in t / radius; of f(t)/t where there is a zero."""
    ends, numbers = np.array([-1.0, 0.0, 1.0]), row.astype(float)
    values = np.abs(np.polynomial.polynomial.polyval(ends, numbers))
    if zero:
        return float(values.min())
    slopes = np.abs(np.polynomial.polynomial.polyval(ends, numbers[1:] * np.arange(1, len(row))))
    nearest = min(abs(piece.low), abs(piece.high)) if piece.low * piece.high > 0 else 0
    return max(float(values.min()), float(slopes.min()) * max(float(nearest / _radius(piece)), 2.0**-10))


@lru_cache(maxsize=8)
def _to_chebyshev(length: int) -> Any:
    """Row k: 2**length x**k in Chebyshev's basis, x**k = 2**(1-k) sum_i C(k, i) T_{k-2i}, the term of T_0 halved."""
    matrix = np.zeros((length, length), dtype=object)
    for k in range(length):
        for i in range(k // 2 + 1):
            matrix[k, k - 2 * i] = comb(k, i) << (length - k + (2 * i != k))
    return matrix


@lru_cache(maxsize=32)
def _from_chebyshev(length: int) -> Any:
    """Row n: T_n = 2 x T_{n-1} - T_{n-2} in powers."""
    matrix = np.zeros((length, length), dtype=object)
    matrix[0, 0] = matrix[1, 1] = 1
    for n in range(2, length):
        matrix[n, 1:] = 2 * matrix[n - 1, :-1]
        matrix[n] -= matrix[n - 2]
    return matrix
