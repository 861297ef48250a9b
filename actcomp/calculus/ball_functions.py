"""Functions of one argument on power series of balls. Formulas need only be true: see ball_nodes.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp
from flint import arb

from .. import functions as fn


def _negative_half(value: Any) -> tuple[Any, bool]:
    """(exp(-|v|), v >= 0): which side is chosen matters for the width of the ball only, never for its truth."""
    positive = bool(value[0] > 0)
    return (-value if positive else value).exp(), positive


def _sigmoid(value: Any) -> Any:
    decayed, positive = _negative_half(value)
    return (1 if positive else decayed) / (1 + decayed)


def _dsigmoid(value: Any) -> Any:
    decayed, _ = _negative_half(value)
    return decayed / (1 + decayed) ** 2


def _softplus(value: Any) -> Any:
    decayed, positive = _negative_half(value)
    tail = (1 + decayed).log()
    return value + tail if positive else tail


def _tanh(value: Any) -> Any:
    decayed, positive = _negative_half(2 * value)
    return (1 - decayed if positive else decayed - 1) / (1 + decayed)


def _sech2(value: Any) -> Any:
    return 4 * _dsigmoid(2 * value)


def _tanh_softplus(value: Any) -> Any:
    decayed, positive = _negative_half(value)
    if positive:  # n = exp(v) (exp(v) + 2), both sides times exp(-2v)
        return (1 + 2 * decayed) / (1 + 2 * decayed + 2 * decayed**2)
    growth = decayed * (decayed + 2)
    return growth / (growth + 2)


def _one_minus_tanh_softplus(value: Any) -> Any:
    decayed, positive = _negative_half(value)
    if positive:
        return 2 * decayed**2 / (1 + 2 * decayed + 2 * decayed**2)
    return 2 / (decayed * (decayed + 2) + 2)


def _dtanh_softplus(value: Any) -> Any:
    decayed, positive = _negative_half(value)
    if positive:
        return 4 * decayed**2 * (1 + decayed) / (1 + 2 * decayed + 2 * decayed**2) ** 2
    return 4 * decayed * (1 + decayed) / (decayed * (decayed + 2) + 2) ** 2


def _dlog_tanh_softplus(value: Any) -> Any:
    decayed, positive = _negative_half(value)
    if positive:
        return 4 * decayed**2 * (1 + decayed) / ((1 + 2 * decayed + 2 * decayed**2) * (1 + 2 * decayed))
    return 4 * (1 + decayed) / ((decayed * (decayed + 2) + 2) * (decayed + 2))


def _normal_tail(value: Any) -> Any:
    return (-value / arb(2).sqrt()).erfc() / 2


def _normal_density(value: Any) -> Any:
    return (-(value**2) / 2).exp() / (2 * arb.pi()).sqrt()


UNARY: dict[type, Callable[[Any], Any]] = {
    sp.exp: lambda v: v.exp(),
    sp.sin: lambda v: v.sin(),
    sp.cos: lambda v: v.cos(),
    sp.tan: lambda v: v.tan(),
    sp.atan: lambda v: v.atan(),
    sp.erf: lambda v: v.erf(),
    sp.erfc: lambda v: v.erfc(),
    sp.tanh: _tanh,
    sp.sinh: lambda v: (v.exp() - (-v).exp()) / 2,
    sp.cosh: lambda v: (v.exp() + (-v).exp()) / 2,
    fn.expm1: lambda v: v.exp() - 1,
    fn.expm1shrink: lambda v: v.exp() - 1 - v,
    fn.sigmoid: _sigmoid,
    fn.dsigmoid: _dsigmoid,
    fn.softplus: _softplus,
    fn.logsigmoid: lambda v: -_softplus(-v),
    fn.sech2: _sech2,
    fn.tanhshrink: lambda v: v - _tanh(v),
    fn.tanh_softplus: _tanh_softplus,
    fn.one_minus_tanh_softplus: _one_minus_tanh_softplus,
    fn.dtanh_softplus: _dtanh_softplus,
    fn.one_plus_sin2: lambda value: 1 + (2 * value).sin(),
    fn.dlog_tanh_softplus: _dlog_tanh_softplus,
    fn.Phi: _normal_tail,
    fn.phi: _normal_density,
}
