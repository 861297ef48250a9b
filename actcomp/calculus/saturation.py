"""Functions of what grows without bound and with one sign, in exp(-|u|), exp(-u**2) or 1/u, with proved remainders."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from .. import functions as fn
from .asymptotic import HALF, Arithmetic
from .monomials import ball
from .series import ZERO, Series, constant, magnitude_beyond

_MINUS = sp.Integer(-1)
_ONE = constant(sp.Integer(1))


def _decay(do: Arithmetic, u: Series, sign: int, factor: int = 1) -> Series:
    """exp(-factor |u|), where u has the sign."""
    return do.exp(do.scale(u, sp.Integer(-sign * factor)))


def _share(do: Arithmetic, above: Series, below: Series) -> Series:
    return do.multiply(above, do.reciprocal(below))


def _polynomial(do: Arithmetic, series: Series, *coefficients: int) -> Series:
    """c0 + c1 s + c2 s**2 ..."""
    result = ZERO
    for coefficient in reversed(coefficients):
        result = do.add(do.multiply(result, series), constant(sp.Integer(coefficient)))
    return result


def _sigmoid(do: Arithmetic, u: Series, sign: int) -> Series:
    e = _decay(do, u, sign)
    return _share(do, _ONE if sign > 0 else e, _polynomial(do, e, 1, 1))


def _dsigmoid(do: Arithmetic, u: Series, sign: int, factor: int = 1) -> Series:
    e = _decay(do, u, sign, factor)
    return do.multiply(e, do.power(_polynomial(do, e, 1, 1), sp.Integer(-2)))


def _softplus(do: Arithmetic, u: Series, sign: int) -> Series:
    tail = do.log1p(_decay(do, u, sign))
    return do.add(u, tail) if sign > 0 else tail


def _tanh(do: Arithmetic, u: Series, sign: int) -> Series:
    e = _decay(do, u, sign, 2)
    return do.scale(_share(do, _polynomial(do, e, 1, -1), _polynomial(do, e, 1, 1)), sp.Integer(sign))


def _tanh_softplus(do: Arithmetic, u: Series, sign: int) -> Series:
    e = _decay(do, u, sign)
    if sign > 0:
        return _share(do, _polynomial(do, e, 1, 2), _polynomial(do, e, 1, 2, 2))
    return _share(do, _polynomial(do, e, 0, 2, 1), _polynomial(do, e, 2, 2, 1))


def _one_minus_tanh_softplus(do: Arithmetic, u: Series, sign: int) -> Series:
    e = _decay(do, u, sign)
    if sign > 0:
        return _share(do, _polynomial(do, e, 0, 0, 2), _polynomial(do, e, 1, 2, 2))
    return _share(do, constant(sp.Integer(2)), _polynomial(do, e, 2, 2, 1))


def _dtanh_softplus(do: Arithmetic, u: Series, sign: int) -> Series:
    e = _decay(do, u, sign)
    above, below = ((0, 0, 4, 4), (1, 2, 2)) if sign > 0 else ((0, 4, 4), (2, 2, 1))
    bottom = _polynomial(do, e, *below)
    return _share(do, _polynomial(do, e, *above), do.multiply(bottom, bottom))


def _dlog_tanh_softplus(do: Arithmetic, u: Series, sign: int) -> Series:
    e = _decay(do, u, sign)
    if sign > 0:
        below = do.multiply(_polynomial(do, e, 1, 2, 2), _polynomial(do, e, 1, 2))
        return _share(do, _polynomial(do, e, 0, 0, 4, 4), below)
    return _share(do, _polynomial(do, e, 4, 4), do.multiply(_polynomial(do, e, 2, 2, 1), _polynomial(do, e, 2, 1)))


def _erfc(do: Arithmetic, u: Series, sign: int) -> Series:
    """exp(-u**2)/(u sqrt(pi)) sum((-1)**k (2k-1)!! (2 u**2)**-k); the error is at most the first omitted term.

    NIST Digital Library of Mathematical Functions, 7.12(i).
    """
    if sign < 0:
        mirrored = _erfc(do, do.scale(u, _MINUS), 1)
        return do.subtract(constant(sp.Integer(2)), mirrored)
    inverse = do.reciprocal(u)
    density = do.exp(do.scale(do.multiply(u, u), _MINUS))
    w = do.scale(do.multiply(inverse, inverse), sp.Rational(1, 2))
    sums = do.compose(
        w,
        magnitude_beyond(w, do.start),
        lambda k: (-1) ** k * sp.factorial2(2 * k - 1),
        lambda n, b: ball(sp.factorial2(2 * n - 1)),
    )
    return do.scale(do.multiply(do.multiply(density, inverse), sums), 1 / sp.sqrt(sp.pi))


def _erf(do: Arithmetic, u: Series, sign: int) -> Series:
    return do.subtract(_ONE, _erfc(do, u, sign))


def _Phi(do: Arithmetic, u: Series, sign: int) -> Series:
    return do.scale(_erfc(do, do.scale(u, -1 / sp.sqrt(2)), -sign), sp.Rational(1, 2))


def _phi(do: Arithmetic, u: Series, sign: int) -> Series:
    square = do.scale(do.multiply(u, u), sp.Rational(-1, 2))
    return do.scale(do.exp(square), 1 / sp.sqrt(2 * sp.pi))


def _atan(do: Arithmetic, u: Series, sign: int) -> Series:
    """pi/2 - atan(1/u), by atan's series at 0, whose coefficients from the n-th on are at most 1/n."""
    small = do.reciprocal(u)
    inverse = do.compose(
        small,
        do.small(small, HALF),
        lambda k: sp.Rational((-1) ** (k // 2), k) if k % 2 else sp.Integer(0),
        lambda n, b: 1 / (n * (1 - b)),
    )
    return do.subtract(constant(sign * sp.pi / 2), inverse)


# What a function of u is where u grows with one sign: (expansion, u, sign) -> value.
AT_INFINITY: dict[type, Callable[[Arithmetic, Series, int], Series]] = {
    fn.sigmoid: _sigmoid,
    fn.dsigmoid: _dsigmoid,
    fn.softplus: _softplus,
    fn.logsigmoid: lambda do, u, sign: do.scale(_softplus(do, do.scale(u, _MINUS), -sign), _MINUS),
    sp.tanh: _tanh,
    fn.sech2: lambda do, u, sign: do.scale(_dsigmoid(do, u, sign, 2), sp.Integer(4)),
    fn.tanhshrink: lambda do, u, sign: do.subtract(u, _tanh(do, u, sign)),
    fn.tanh_softplus: _tanh_softplus,
    fn.one_minus_tanh_softplus: _one_minus_tanh_softplus,
    fn.dtanh_softplus: _dtanh_softplus,
    fn.dlog_tanh_softplus: _dlog_tanh_softplus,
    sp.erf: _erf,
    sp.erfc: _erfc,
    fn.Phi: _Phi,
    fn.phi: _phi,
    sp.atan: _atan,
}
