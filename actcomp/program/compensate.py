"""Vanishing functions of polynomials, to the last bits: sigmoid(2 x (a + b x**2)) in a second derivative.

Far out, such a function magnifies the rounding of its argument w by |w|. In f and f' the slope of the whole makes up
for it, but f'' has extrema there, where the contract allows only the last bits of the result. So the polynomial is
evaluated with its rounding error d (double-float Horner), and g(w + d) is g(w) (1 + d (log g)'(w)), d being below an
ulp of w.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from .. import functions as fn
from ..calculus.stabilise import as_monomial
from .builder import Value, constant_bits, constant_value, fma, select

# function -> its logarithmic derivative
LOGARITHMIC_SLOPES: dict[type, Callable[[Any], sp.Expr]] = {
    sp.exp: lambda u: sp.Integer(1),
    fn.sigmoid: lambda u: fn.sigmoid(-u),
    fn.dsigmoid: lambda u: -sp.tanh(u / 2),
    fn.sech2: lambda u: -2 * sp.tanh(u),
    fn.phi: lambda u: -u,
}
# Beyond this the functions are constant or zero, and the argument's error is of no account.
_LARGEST_ARGUMENT = 1e5


def as_polynomial(node: Any) -> tuple[sp.Symbol, dict[int, Any]] | None:
    """(x, degree -> coefficient) of a polynomial of one symbol whose evaluation rounds twice or more, else None."""
    if len(node.free_symbols) != 1:
        return None
    coefficients: dict[int, Any] = {}
    symbol = next(iter(node.free_symbols))
    for term in sp.Add.make_args(sp.expand(node)):
        if term.is_number:
            coefficients[0] = coefficients.get(0, 0) + term  # irrational terms stay apart in a sum
            continue
        monomial = as_monomial(term)
        if monomial is None:
            return None
        coefficients[monomial[1]] = coefficients.get(monomial[1], 0) + monomial[2]
    return (symbol, coefficients) if max(coefficients, default=0) > 1 else None


def evaluate_with_error(x: Value, coefficients: Mapping[int, Fraction]) -> tuple[Value, Value]:
    """The polynomial at x as a float and the rest that the float leaves: 0 where that is large or no number."""
    degrees = sorted(coefficients, reverse=True)
    high, low = _constant(x, coefficients[degrees[0]])
    for index in range(1, len(degrees) + 1):
        gap = degrees[index - 1] - (degrees[index] if index < len(degrees) else 0)
        for _ in range(gap):
            high, low = _times(high, low, x)
        if index < len(degrees):
            high, low = _plus(high, low, *_constant(x, coefficients[degrees[index]]))
    return high, select(abs(high) < _LARGEST_ARGUMENT, low, 0.0)


Pair = tuple[Value, Value | None]


def sigmoid_pair(u: Value) -> Pair:
    """sigmoid(u), for u > 0 as 1 - sigmoid(-u)."""
    call, right = u.builder.call, u > 0.0
    return _near_one(select(right, 1.0, call("sigmoid", u)), select(right, call("sigmoid", -u), 0.0))


def tanh_pair(u: Value) -> Pair:
    """tanh(u), beyond 1 as 1 - 2 sigmoid(-2u), below -1 as the opposite."""
    call = u.builder.call
    far, rest = abs(u) > 1.0, 2.0 * call("sigmoid", -abs(u + u))
    head = select(far, select(u > 0.0, 1.0, u.builder.const(-1.0, u.type)), call("tanh", u))
    return _near_one(head, select(far, select(u > 0.0, rest, -rest), 0.0))


def tanh_softplus_pair(u: Value) -> Pair:
    """tanh_softplus(u), for u > 0 as 1 less its rest."""
    call = u.builder.call
    return _near_one(select(u > 0.0, 1.0, call("tanh_softplus", u)), call("tanh_softplus_rest", u))


def log_slope_pair(u: Value) -> Pair:
    """dlog_tanh_softplus(u), for u < 0 as 1 less its rest."""
    call = u.builder.call
    return _near_one(select(u < 0.0, 1.0, call("dlog_tanh_softplus", u)), call("dlog_tanh_softplus_rest", u))


def by_rest(name: str) -> Callable[[Value], Pair]:
    """A function with its rest, a row of its own."""
    return lambda u: (u.builder.call(name, u), u.builder.call(f"{name}_rest", u))


def _near_one(head: Value, rest: Value) -> Pair:
    """head - rest with the rounding error, for abs(rest) <= abs(head)."""
    total = head - rest
    return total, (head - total) - rest


# What mish is made of in s x - mish(x), where it cancels.
BY_REST = (fn.one_minus_tanh_softplus, fn.dtanh_softplus)

# Functions that come close to 1: as a float they lose what their distance from it has to say; and those above.
SATURATING: dict[type, Callable[[Value], Pair]] = {
    fn.sigmoid: sigmoid_pair,
    sp.tanh: tanh_pair,
    fn.tanh_softplus: tanh_softplus_pair,
    fn.dlog_tanh_softplus: log_slope_pair,
    **{function: by_rest(function.__name__) for function in BY_REST},
}


def pair_sum(terms: Sequence[Pair]) -> Pair:
    """The sum with the rest that its float leaves."""
    high, low = terms[0]
    for head, tail in terms[1:]:
        total = high + head
        part = total - high
        rest = (high - (total - part)) + (head - part)
        for other in (low, tail):
            rest = rest if other is None else rest + other
        high, low = total, rest
    return high, low


def pair_product(factors: Sequence[Pair]) -> Pair:
    """The product with the rest that its float leaves; the rests' own product is left out."""
    high, low = factors[0]
    for head, tail in factors[1:]:
        product = high * head
        rest = fma(high, head, -product)
        rest = rest if low is None else fma(low, head, rest)
        high, low = product, rest if tail is None else fma(high, tail, rest)
    return high, low


def rounded(pair: Pair) -> Value:
    """The pair as one float; the rest counts only where it is a number."""
    high, low = pair
    return high if low is None else high + select(low.is_nan(), 0.0, low)


def _constant(x: Value, number: Fraction) -> tuple[Value, Value]:
    head = Fraction(float(constant_value(constant_bits(number, x.type), x.type)))
    return x.builder.const(number, x.type), x.builder.const(number - head, x.type)


def _times(high: Value, low: Value, x: Value) -> tuple[Value, Value]:
    product = high * x
    return product, fma(low, x, fma(high, x, -product))


def _plus(high: Value, low: Value, head: Value, tail: Value) -> tuple[Value, Value]:
    total = high + head
    part = total - high
    error = (high - (total - part)) + (head - part)
    return total, error + (low + tail)
