"""Kernels of f(x) = a g(b x): the bits of g's kernels, in every dtype, variant and gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import actcomp as ac
from actcomp.program.build import build_program
from actcomp.program.mirror import mirror

DTYPES: dict[str, Any] = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
FUNCTIONS = ("relu", "silu", "gelu", "softplus", "snake", "tanh", "x*sigmoid(beta*x)")
SIGNS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def original(name: str) -> ac.Activation:
    return ac.activation(name, parameters={"beta": 1.5} if "beta" in name else None)


def mirrored(g: ac.Activation, outer: int, inner: int) -> ac.Activation:
    flipped = {symbol: inner * symbol for symbol in g.inputs}
    return replace(g, expression=outer * g.expression.xreplace(flipped), name="f", mirror=(g, outer, inner))


def points(dtype: str, seed: int = 0) -> Any:
    """Every pattern of the 16-bit types; of the others random patterns, ordinary numbers and special values."""
    if dtype in ("f16", "bf16"):
        return np.arange(1 << 16, dtype=np.uint16).view(DTYPES[dtype])
    rng = np.random.default_rng(seed)
    word = np.uint32 if dtype == "f32" else np.uint64
    patterns = rng.integers(0, np.iinfo(word).max, 40_000, dtype=word, endpoint=True).view(DTYPES[dtype])
    ordinary = rng.normal(0.0, 4.0, 60_000).astype(DTYPES[dtype])
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0], dtype=DTYPES[dtype])
    return np.concatenate([special, ordinary, patterns])


def weights(like: Any, seed: int) -> Any:
    return np.random.default_rng(seed).normal(0.0, 2.0, like.shape).astype(like.dtype)


def assert_same_bits(found: Any, due: Any) -> None:
    assert found.dtype == due.dtype and found.shape == due.shape
    word = np.dtype(f"u{found.dtype.itemsize}")
    same = (found.view(word) == due.view(word)) | (np.isnan(found) & np.isnan(due))
    assert same.all(), f"{np.count_nonzero(~same)} of {same.size} differ"


def signed(sign: int, array: Any) -> Any:
    return -array if sign < 0 else array


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("outer", "inner"), [(-1, -1), (1, -1)])
@np.errstate(all="ignore")
def test_the_bits_are_those_of_the_original(name, dtype, outer, inner):
    g = original(name)
    f, g = ac.compile(mirrored(g, outer, inner)), ac.compile(g)
    x = points(dtype)
    dy, h = weights(x, 1), weights(x, 2)
    turned = signed(inner, x)
    assert_same_bits(f(x), signed(outer, g(turned)))
    for found, due, sign in zip(
        f.forward_and_derivative(x), g.forward_and_derivative(turned), (outer, outer * inner), strict=True
    ):
        assert_same_bits(found, signed(sign, due))
    found, due = f.backward(x, dy), g.backward(turned, dy)
    first = (found, due) if not f.parameters else (found[0], due[0])
    assert_same_bits(first[0], signed(outer * inner, first[1]))
    second, second_due = f.double_backward(x, dy, h), g.double_backward(turned, dy, h)
    assert_same_bits(second[0], signed(outer, second_due[0]))
    assert_same_bits(second.dy, signed(outer * inner, second_due.dy))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("outer", "inner"), SIGNS)
def test_gradients_of_parameters(dtype, outer, inner):
    g = original("x*sigmoid(beta*x)")
    f, g = ac.compile(mirrored(g, outer, inner)), ac.compile(g)
    x = np.random.default_rng(3).normal(0.0, 2.0, 10_007).astype(DTYPES[dtype])
    dy, h = weights(x, 4), weights(x, 5)
    turned = signed(inner, x)
    assert f.backward(x, dy, beta=0.7).beta == outer * g.backward(turned, dy, beta=0.7).beta != 0
    second, due = f.double_backward(x, dy, h, beta=0.7), g.double_backward(turned, dy, h, beta=0.7)
    assert second.beta == outer * inner * due.beta != 0


def test_several_inputs_turn_together():
    g = ac.activation("a*sigmoid(c*b) + b*b", parameters={"c": 1.0})
    f, g = ac.compile(mirrored(g, -1, -1)), ac.compile(g)
    rng = np.random.default_rng(6)
    a, b, dy, ha, hb = rng.normal(0.0, 2.0, (5, 999))
    assert_same_bits(f(a, b), -g(-a, -b))
    found, due = f.backward(a, b, dy), g.backward(-a, -b, dy)
    assert_same_bits(found.a, due.a)
    assert_same_bits(found.b, due.b)
    assert found.c == -due.c != 0
    second, second_due = f.double_backward(a, b, dy, ha, hb), g.double_backward(-a, -b, dy, ha, hb)
    assert_same_bits(second.a, -second_due.a)
    assert_same_bits(second.b, -second_due.b)
    assert_same_bits(second.dy, second_due.dy)
    assert second.c == second_due.c != 0


def test_the_mirror_of_a_mirror_is_the_original():
    g = original("gelu")
    twice = mirrored(mirrored(g, -1, -1), -1, -1)
    for variant in ("forward", "derivative", "backward", "double_backward"):
        assert build_program(twice, variant, "f32").count() == build_program(g, variant, "f32").count()


def test_only_signs_are_added():
    for name in FUNCTIONS:
        g = original(name)
        for variant in ("forward", "derivative", "backward", "double_backward"):
            plain, turned = (build_program(one, variant, "f32").count() for one in (g, mirrored(g, -1, -1)))
            assert {key: n for key, n in turned.items() if key != "neg"} == {
                key: n for key, n in plain.items() if key != "neg"
            }
            assert abs(turned.get("neg", 0) - plain.get("neg", 0)) <= 4


def test_no_limit_is_lost():
    """The guards at infinity are those of the original, mirrored."""
    f = ac.compile(mirrored(ac.activation("x/(1+abs(x)) + exp(-x)"), -1, -1))
    assert f(np.array([np.inf, -np.inf])).tolist() == [-np.inf, -1.0]


def test_other_factors_are_refused():
    program = build_program(original("relu"), "forward", "f32")
    with pytest.raises(ValueError, match="signs are 1 or -1"):
        mirror(program, "forward", 2, 1, "f")


def test_other_parameters_are_refused():
    g = original("x*sigmoid(beta*x)")
    f = replace(mirrored(g, -1, -1), parameters=())
    with pytest.raises(ValueError, match="other inputs or parameters"):
        build_program(f, "forward", "f32")


def test_a_parameter_without_effect_may_be_missing():
    g = ac.activation(lambda x, unused=1.0: x * ac.sigmoid(x), name="g")
    f = replace(mirrored(g, -1, -1), parameters=())
    x = points("f32")
    with np.errstate(all="ignore"):
        assert_same_bits(ac.compile(f)(x), -ac.compile(g)(-x))
    assert ac.compile(f).backward(x[:3], x[:3]).shape == (3,)


@pytest.mark.parametrize("name", ["gelu", "softplus", "x*sigmoid(beta*x)"])
def test_the_mirror_is_as_accurate_as_the_original(name):
    report = ac.verify(mirrored(original(name), -1, -1), dtypes=["f32"])
    assert report.passed, str(report)
