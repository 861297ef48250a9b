"""1 - tanh(softplus(x)) and the derivative of tanh(softplus(x)), to the last bit and beyond.

With e = exp(x), N = e**2 + e and D = e**2 + 2e + 2 they are 2/D and 4N/D**2. In s x - mish(x) and its derivative they
cancel. The rounding error of e acts on all of them as one small change of x; every other error is kept, and added at
the end, so that sums can take it along. Where e**2 would leave the range they are exponentials, or 1, to the last bit.
"""

from __future__ import annotations

from ..builder import Value, fma, select
from .exponential import exp_reduced, reduce_exponential, scale_by_power_of_two
from .logistic import GATE_USUAL, HARD, HARD_SQUARES, beyond, scaled, tail
from .registry import Elementary


def _parts(x: Value) -> tuple[Value, Value, Value]:
    """(e, g, c): e = exp(x), and 2/D = g (1 + c/2), for abs(x) <= GATE_USUAL."""
    turns, _, r = reduce_exponential(x)
    e = scale_by_power_of_two(exp_reduced(r), turns)
    above = e + 2.0
    d = fma(e, above, 2.0)
    lost = fma(e, e - (above - 2.0), fma(e, above, 2.0 - d))
    g = 2.0 / d
    return e, g, fma(-g, lost, fma(-g, d, 2.0))


def _complement(x: Value) -> tuple[Value, Value]:
    """2/D as a float and a rest."""
    _, g, c = _parts(x)
    rest = g * (0.5 * c)
    total = g + rest
    return total, rest - (total - g)


def _slope(x: Value) -> tuple[Value, Value]:
    """4N/D**2 as a float and a rest."""
    e, g, c = _parts(x)
    above = e + 1.0
    n = e * above
    n_rest = fma(e, e - (above - 1.0), fma(e, above, -n))
    first = n * g
    second = first * g
    first_rest = fma(n_rest, g, fma(n, g, -first))
    rest = fma(first, g, -second) + fma(first_rest, g, second * c)
    total = second + rest
    return total, rest - (total - second)


def one_minus_tanh_softplus(x: Value, scale: int = 0) -> Value:
    slow = select(x < 0.0, 2.0**scale, tail(-abs(x + x), scale, power=1))
    return scaled(_complement(x)[0], beyond(x, GATE_USUAL), slow, scale)


def one_minus_tanh_softplus_rest(x: Value, scale: int = 0) -> Value:
    return _where_usual(x, _complement(x)[1])


def dtanh_softplus(x: Value, scale: int = 0) -> Value:
    slow = select(x < 0.0, tail(-abs(x), scale), tail(-abs(x + x), scale, power=2))
    return scaled(_slope(x)[0], beyond(x, GATE_USUAL), slow, scale)


def dtanh_softplus_rest(x: Value, scale: int = 0) -> Value:
    return _where_usual(x, _slope(x)[1])


def _where_usual(x: Value, rest: Value) -> Value:
    """The rest, 0 far out, NaN for NaN."""
    return select(beyond(x, GATE_USUAL), select(x.is_nan(), x, 0.0), rest)


_HARD = HARD + HARD_SQUARES

ROWS = (
    # 2.67, 2.84 ulp, where a decay as exp(-2x) doubles the error of e; mixed 1.2
    Elementary(
        "one_minus_tanh_softplus", one_minus_tanh_softplus, {"f32": 3.0, "f64": 3.0}, vanishes=True, hard_points=_HARD
    ),
    # 3.20, 3.32 ulp, likewise
    Elementary("dtanh_softplus", dtanh_softplus, {"f32": 3.5, "f64": 3.5}, vanishes=True, hard_points=_HARD),
    Elementary("one_minus_tanh_softplus_rest", one_minus_tanh_softplus_rest, {"f32": 1.0, "f64": 1.0}),
    Elementary("dtanh_softplus_rest", dtanh_softplus_rest, {"f32": 1.0, "f64": 1.0}),
)
