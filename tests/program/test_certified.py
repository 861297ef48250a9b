"""Certified functions in Programs and kernels: accuracy of f, f' and f'', borders of pieces, zeros, special values."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp

import actcomp as ac
from actcomp import functions as fn
from actcomp.calculus.chebyshev import antiderivative, inverse_function
from actcomp.calculus.derivative import differentiate
from actcomp.certified import certified
from actcomp.program.build import build_program
from actcomp.program.interpreter import interpret
from actcomp.verify.reference import Oracle

x = sp.Symbol("x", real=True)
TYPE: dict[str, Any] = {"f32": np.float32, "f64": np.float64}


@cache
def silu_inverse():
    low, high = Fraction(-26, 100), 42
    return sp.Piecewise((10 * x, x < low), (x, x > high), (certified(x, inverse("silu", low, high)), True))


@cache
def inverse(name, low, high):
    h = {"silu": x * fn.sigmoid(x), "gelu": x * fn.Phi(x), "odd": x + sp.tanh(x) / 2, "log": sp.exp(x)}[name]
    return inverse_function(h, x, low, high, f"inverse_{name}")


def gelu_integral():
    slope = 1 / differentiate(x * fn.Phi(x), x)
    data = antiderivative(slope, x, Fraction(-1, 2), 8, (0, 0), "integral")
    return sp.Piecewise((3 * x, x < Fraction(-1, 2)), (x, x > 8), (certified(x, data), True))


def one_sided():
    return sp.Piecewise(
        (x, x < Fraction(1, 10)), (x, x > 50), (certified(x, inverse("log", Fraction(1, 10), 50)), True)
    )


@cache
def odd_inverse():
    return sp.Piecewise((x, x < -20), (x, x > 20), (certified(x, inverse("odd", -20, 20)), True))


def gelu_inverse():
    """To 32, where f'' has long vanished."""
    low, high = Fraction(-16, 100), 32
    return sp.Piecewise((10 * x, x < low), (x, x > high), (certified(x, inverse("gelu", low, high)), True))


CASES = {
    "inverse of silu": silu_inverse,
    "inverse of gelu": gelu_inverse,
    "integral of 1/gelu'": gelu_integral,
    "range of one sign": one_sided,
    "odd": odd_inverse,
}


@pytest.fixture(scope="module", params=CASES)
def expression(request):
    return CASES[request.param]()


def samples(expression, type, count):
    """Numbers of the range: uniform, near 0 and near the low end, at the borders of pieces and beside them."""
    data = expression.atoms(certified).pop().data
    low, high = float(data.low), float(data.high)
    rng = np.random.default_rng(0)
    borders = np.array([float(piece.low) for piece in data.pieces]).astype(type)
    parts = [
        rng.uniform(low, high, count // 4),
        rng.uniform(low, low + (high - low) / 50, count // 4),
        rng.choice([-1, 1], count // 2) * 2.0 ** rng.uniform(-60, 3, count // 2),
        *(borders, np.nextafter(borders, type(np.inf)), np.nextafter(borders, type(-np.inf))),
    ]
    found = np.concatenate([one.astype(type) for one in parts])
    return found[(found >= low) & (found <= high)]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_f_and_its_derivatives_round_little_more_than_once(expression, dtype):
    points = samples(expression, TYPE[dtype], 1500)
    activation, ones = ac.activation(expression), np.ones_like(points)
    reference = Oracle(expression, (x,)).reference(points[:, None], dtype, order=2)
    kernel = ac.compile(activation)
    second, _ = kernel.double_backward(points, ones, ones)
    for key, found in (((), kernel(points)), ((0,), kernel.backward(points, ones)), ((0, 0), second)):
        assert reference.mixed_error(key, found).max() < 1.0, key


def test_the_whole_verification():
    report = ac.verify(ac.activation(silu_inverse()), dtypes=["f32", "f64"], count=300)
    assert report.passed, str(report)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_special_values(expression, dtype):
    activation = ac.activation(expression)
    for variant, name in (("forward", "y"), ("derivative", "d.x")):
        program = build_program(activation, variant, dtype)
        points = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30], TYPE[dtype])
        found = interpret(program, {"x": points})[name]
        assert np.isnan(found[0])
        assert not np.isnan(found[1:]).any()


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_zeros_keep_their_sign_and_subnormals_their_bits(dtype):
    for make, slope in ((silu_inverse, 2.0), (odd_inverse, 2.0 / 3.0)):
        program = build_program(ac.activation(make()), "forward", dtype)
        tiny = np.finfo(TYPE[dtype]).smallest_subnormal * TYPE[dtype](3000)
        found = interpret(program, {"x": np.array([0.0, -0.0, tiny, -tiny], TYPE[dtype])})["y"]
        assert list(np.signbit(found)) == [False, True, False, True]
        assert list(found[:2]) == [0.0, 0.0]
        assert found[2] == -found[3] == TYPE[dtype](slope * 3000) * np.finfo(TYPE[dtype]).smallest_subnormal


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_short_types(dtype):
    activation = ac.activation(silu_inverse())
    report = ac.verify(activation, dtypes=[dtype], count=300)
    assert report.passed, str(report)


def test_an_argument_may_be_an_expression():
    data = inverse("silu", Fraction(-1, 5), 2)
    composed = certified(fn.sigmoid(x), data) + x
    points = np.random.default_rng(0).normal(0, 3, 500)
    reference = Oracle(composed, (x,)).reference(points[:, None], "f64", order=1)
    kernel = ac.compile(ac.activation(composed))
    assert reference.mixed_error((), kernel(points)).max() < 4
    assert reference.mixed_error((0,), kernel.backward(points, np.ones_like(points))).max() < 4


def test_a_constant_argument():
    data = inverse("silu", Fraction(-1, 5), 2)
    kernel = ac.compile(ac.activation(x + certified(sp.Rational(1, 2), data)))
    assert kernel(np.zeros(3))[0] == pytest.approx(0.738835031131607782, abs=1e-15)


def test_derivatives_that_are_not_on_the_polynomials_are_computed_by_the_closed_form():
    data = antiderivative(x * sp.exp(x), x, -1, 1, (0, 0), "double_zero")
    assert data.smooth[1] is None
    points = np.linspace(-1, 1, 101, dtype=np.float32)
    kernel = ac.compile(ac.activation(certified(x, data)))
    slope = kernel.backward(points, np.ones_like(points))
    assert slope == pytest.approx(points.astype(float) * np.exp(points.astype(float)), rel=1e-6)


def test_nothing_branches_and_tables_are_few():
    program = build_program(ac.activation(silu_inverse()), "forward", "f32")
    counts = program.count()
    assert "rare" not in counts
    assert "div" not in counts
    assert counts["table"] <= 10
