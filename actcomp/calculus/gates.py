"""chi of a gate R(t1(z1), ..., tk(zk)) whose inputs are independent: each has a linear layer of its own.

With z1..zk ~ N(0, q) independent and R of degree one in each term, the moments of the terms give those of the gate:
E F**2 is a polynomial in E t_i and E t_i**2, and of the slope by z_i the mean square is E (dR/dt_i)**2 E t_i'**2. What
a gain-corrected layer multiplies gradients by is chi = q sum_i E (dF/dz_i)**2 / E F**2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb

from ..errors import UnsupportedExpression
from .balls import BallFunction, working
from .moments import Moment, Moments, as_moment

_PRECISION = 128


def gate_chi(
    rule: sp.Expr,
    values: Mapping[sp.Symbol, float],
    symbols: Sequence[sp.Symbol],
    moments: Sequence[Moments],
    q: Fraction | float = 1,
) -> Moment:
    """chi of the gate, enclosed. ``rule`` in its ``symbols``, a term's each, and in parameters with their ``values``.

    Raises UnsupportedExpression where the rule is not of degree one in each symbol, or the gate is 0.
    """
    rule = rule.xreplace({symbol: sp.Rational(repr(float(value))) for symbol, value in values.items()})
    polynomial = rule.as_poly(*symbols)
    if polynomial is None or max(polynomial.degree_list()) > 1:
        raise UnsupportedExpression(
            f"the rule {rule} is not of degree one in each term, so that the terms' moments do not give the gate's",
            do="cut it by product, sum or parts",
        )
    with working(_PRECISION, 1):
        square = _mean_square(polynomial, symbols, moments)
        slopes = arb(0)
        for symbol, own in zip(symbols, moments, strict=True):
            slopes += _mean_square(polynomial.diff(symbol), symbols, moments) * _ball(own.slope_square)
        if not square > 0:
            raise UnsupportedExpression("the gate is 0, so that it has no chi", do="give one that is not")
        variance = BallFunction(sp.Rational(Fraction(q)), []).series([], [], 1, _PRECISION)[0]
        return as_moment(variance * slopes / square)


def _mean_square(polynomial: sp.Poly, symbols: Sequence[sp.Symbol], moments: Sequence[Moments]) -> Any:
    """E P(t1, ..., tk)**2 for independent terms and degree one in each."""
    total = arb(0)
    for powers, coefficient in (polynomial**2).terms():
        product = BallFunction(coefficient, []).series([], [], 1, _PRECISION)[0]
        for power, one in zip(powers, moments, strict=True):
            if power:
                product *= _ball(one.mean if power == 1 else one.square)
        total += product
    return total


def _ball(moment: Moment) -> Any:
    return arb(moment.value, moment.error)
