"""verify can fail: faults planted into right functions and Programs, each caught by the check that is named for it."""

from __future__ import annotations

import numpy as np
import pytest

from actcomp.activation import activation
from actcomp.verify.checks import verify

# swish with beta = 0.5, and a function with kinks, in float64 rounded once: right to half an ulp of float32.
SWISH = activation("x*sigmoid(beta*x)", parameters={"beta": 0.5})
SHRINK = activation("where(x > 1, x - 1, where(x < -1, x + 1, 0))")
SINE_LIKE = activation("x/(1 + x**2)")
BETA = 0.5


def decayed(x):
    with np.errstate(all="ignore"):
        return np.exp(-np.abs(x))


def sigmoid(x):
    e = decayed(x)
    return np.where(x < 0, e, 1.0) / (1.0 + e) + 0.0 * np.where(np.isnan(x), x, 0.0)


def dsigmoid(x):
    e = decayed(x)
    return e / (1.0 + e) ** 2


def times(x, factor):
    """x * factor where the factor's decay wins over the growth of x."""
    with np.errstate(all="ignore"):
        return np.where(np.isinf(x) & (factor == 0), 0.0, x * factor)


def narrow(value, like):
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(like.dtype)


def swish(x):
    w = x.astype(np.float64)
    return narrow(times(w, sigmoid(BETA * w)), x)


def slope(w):
    return sigmoid(BETA * w) + BETA * times(w, dsigmoid(BETA * w))


def curvature(w):
    u = BETA * w
    tail = np.where(u < 0, 1.0, -1.0) * (1.0 - decayed(u)) / (1.0 + decayed(u))
    return BETA * dsigmoid(u) * (2.0 + np.where(np.isinf(u), 0.0, u * tail))


def swish_backward(x, dy):
    w, g = x.astype(np.float64), dy.astype(np.float64)
    dbeta = times(times(w, w), dsigmoid(BETA * w))
    return narrow(g * narrow(slope(w), x), x), float(np.sum(g * dbeta))


def swish_double_backward(x, dy, ddx):
    w, g, h = (one.astype(np.float64) for one in (x, dy, ddx))
    u = BETA * w
    dbeta = times(w, dsigmoid(u)) * (2.0 + np.where(np.isinf(u), 0.0, u * -np.tanh(u / 2)))
    return narrow(g * h * curvature(w), x), narrow(h * slope(w), x), float(np.sum(g * h * dbeta))


RIGHT = {"forward": swish, "backward": swish_backward, "double_backward": swish_double_backward}


def shrink(x):
    inside = np.where(np.isnan(x), x, np.float32(0))
    return np.where(x > 1, x - np.float32(1), np.where(x < -1, x + np.float32(1), inside))


def shrink_backward(x, dy):
    return np.where(np.isnan(x), x, np.where(np.abs(x) > 1, dy, dy * np.float32(0)))


def sine_like(x):
    w = x.astype(np.float64)
    with np.errstate(all="ignore"):
        return narrow(np.where(np.isinf(w), 0.0 * np.sign(w), w / (1.0 + w * w)), x)


def run(target, **functions):
    return verify(target, dtypes=("f32",), count=1200, seed=3, **functions)


def test_the_right_functions_pass():
    for target, functions in (
        (SWISH, RIGHT),
        (SHRINK, {"forward": shrink, "backward": shrink_backward}),
        (SINE_LIKE, {"forward": sine_like}),
    ):
        report = run(target, **functions)
        assert report.passed, str(report)


def wrong_sign(x):
    return np.where(np.abs(x) > 20, -swish(x), swish(x))


def coefficient_nudged(x):
    w = x.astype(np.float64)
    return narrow(times(w, sigmoid(BETA * (1 + 2.0**-18) * w)), x)


def missing_chain_factor(x, dy):
    w = x.astype(np.float64)
    dx, dbeta = swish_backward(x, dy)
    return narrow(dy * (sigmoid(BETA * w) + times(w, dsigmoid(BETA * w))), x), dbeta


def nan_swallowed(x):
    return np.where(np.isnan(x), x.dtype.type(0), swish(x))


def nan_swallowed_backward(x, dy):
    dx, dbeta = swish_backward(x, dy)
    return np.where(np.isnan(x), dy, dx), dbeta


def tail_differs(x):
    y = swish(x)
    if y.ndim == 1 and y.size % 8:
        y[-(y.size % 8) :] = np.nextafter(y[-(y.size % 8) :], np.float32(1))
    return y


def flushed(x):
    y = swish(x)
    return np.where(np.abs(y) < np.float32(2.0**-126), np.copysign(np.float32(0), y), y)


def parameter_gradient_scaled(x, dy):
    dx, dbeta = swish_backward(x, dy)
    return dx, dbeta * 1.0001


def dy_twice(x, dy):
    dx, dbeta = swish_backward(x, dy)
    return dx * dy, dbeta


def curvature_wrong(x, dy, ddx):
    dx, *rest = swish_double_backward(x, dy, ddx)
    return np.where(np.abs(x) < 2, dx * np.float32(1.001), dx), *rest


def double_parameter_gradient_wrong(x, dy, ddx):
    dx, ddy, dbeta = swish_double_backward(x, dy, ddx)
    return dx, ddy, -dbeta


def infinity_to_nan(x):
    return np.where(np.isinf(x), np.float32(np.nan), swish(x))


def stray_nan(x):
    with np.errstate(all="ignore"):
        w = x.astype(np.float64)
        return narrow(w * (1.0 / (1.0 + np.exp(-BETA * w)) if w.size else w) + 0.0 * np.exp(-BETA * w), x)


def strides_ignored(x):
    y = swish(x)
    return y if x.flags.c_contiguous else y.reshape(-1)[::-1].reshape(y.shape)


def kink_wrong(x, dy):
    return np.where(np.isnan(x), x, np.where(np.abs(x) >= 1, dy, dy * np.float32(0)))


def branches_swapped(x):
    inside = np.where(np.isnan(x), x, np.float32(0))
    return np.where(x > 1, x + np.float32(1), np.where(x < -1, x - np.float32(1), inside))


def asymmetric(x):
    y = sine_like(x)
    return np.where(x < 0, np.nextafter(y, np.float32(-1)), y)


def negative_zero_lost(x):
    return sine_like(x) + np.float32(0)


FAULTS = [
    ("accuracy", "f", SWISH, {"forward": wrong_sign}),
    ("accuracy", "f", SHRINK, {"forward": branches_swapped}),
    ("accuracy", "f", SWISH, {"forward": coefficient_nudged}),
    ("accuracy", "f'", SWISH, {"backward": missing_chain_factor}),
    ("NaN", "f", SWISH, {"forward": nan_swallowed}),
    ("NaN", "f'", SWISH, {"backward": nan_swallowed_backward}),
    ("tail", "f", SWISH, {"forward": tail_differs}),
    ("subnormals", "f", SWISH, {"forward": flushed}),
    ("kinks", "f'", SHRINK, {"backward": kink_wrong}),
    ("parameter gradient", "df/dbeta", SWISH, {"backward": parameter_gradient_scaled}),
    ("parameter gradient", "d2f/dxdbeta", SWISH, {"double_backward": double_parameter_gradient_wrong}),
    ("linear in dy", "f'", SWISH, {"backward": dy_twice}),
    ("accuracy", "f''", SWISH, {"double_backward": curvature_wrong}),
    ("infinities", "f", SWISH, {"forward": infinity_to_nan}),
    ("no stray NaN", "f", SWISH, {"forward": stray_nan}),
    ("strides", "f", SWISH, {"forward": strides_ignored}),
    ("symmetry", "f", SINE_LIKE, {"forward": asymmetric}),
    ("symmetry", "f", SINE_LIKE, {"forward": negative_zero_lost}),
]


@pytest.mark.parametrize(
    ("check", "subject", "target", "functions"), FAULTS, ids=lambda v: getattr(v, "__name__", str(v)[:24])
)
def test_each_fault_is_caught_by_its_check(check, subject, target, functions):
    report = run(target, **functions)
    assert not report.passed
    caught = {(failure.name, failure.subject) for failure in report.failures}
    assert (check, subject) in caught, str(report)
    assert all(failure.name != "accuracy" or failure.worst > 4 for failure in report.failures)


def test_a_fault_shows_where_it_is():
    report = run(SWISH, forward=wrong_sign)
    failure = next(f for f in report.failures if f.name == "accuracy")
    place = np.float32(float.fromhex(failure.worst_input[0]))
    assert abs(place) > 20
    assert float(wrong_sign(np.array([place]))[0]) == float.fromhex(failure.actual)
    assert float(swish(np.array([place]))[0]) == np.float32(float.fromhex(failure.expected))
