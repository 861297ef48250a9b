"""The accuracy contract of adversaries, by rule: f*, f*' and f*'', mixed error at most 4, compiled kernels.

Inputs and truth as in test_accuracy.py; of float16 and bfloat16 every second value. An adversary that is its original,
or another entry of the catalog, up to changes of sign is judged there: here the bits are compared.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from test_accuracy import COUNT, SEED, every_value

import actcomp as ac
from actcomp.activation import Activation
from actcomp.calculus.adversary import Adversary, adversary
from actcomp.calculus.stabilise import stabilise
from actcomp.catalog import CATALOG, catalog_activation
from actcomp.errors import ActcompError
from actcomp.verify.accuracy import accuracy, parameter_gradients, unselected_branches
from actcomp.verify.case import Case
from actcomp.verify.formats import format_of, from_bits, to_array, to_float64
from actcomp.verify.subjects import KernelSubject

BOUND = 4.0
# (name, rule, dtype) -> another bound, and why
EXCEPTIONS: dict[tuple[str, str, str], float] = {}
NAMES = [name for name in CATALOG if len(catalog_activation(name).inputs) == 1]
# rule -> the entries that it refuses
RULES: dict[str, set[str]] = {
    "reflect": set(),
    "reciprocal": {"gelu", "gelu_tanh", "silu", "swish", "mish", "hardswish", "snake"},
    "inverse": {"tanhshrink"},
}
PAIRS = [(name, rule) for rule, refused in RULES.items() for name in NAMES if name not in refused]


@cache
def opposed(name: str, rule: str) -> Adversary:
    return adversary(catalog_activation(name), rule)


@cache
def kernel(name: str, rule: str = "") -> Any:
    return ac.compile(opposed(name, rule) if rule else catalog_activation(name))


@cache
def known_as(name: str, rule: str) -> tuple[str, int, int] | None:
    """The catalog entry g and the signs with f*(x) = sign g(sign x) that are judged in test_accuracy.py already."""
    star = opposed(name, rule)
    if star.mirror is not None:
        original, outer, inner = star.mirror
        return original.name, outer, inner
    for other in NAMES:
        if _same(star, catalog_activation(other)):
            return other, 1, 1
    return None


def _same(one: Activation, other: Activation) -> bool:
    return one.parameters == other.parameters and stabilise(one.expression) == stabilise(other.expression)


@pytest.mark.parametrize("rule", RULES)
def test_refusals_are_typed(rule: str) -> None:
    for name in RULES[rule]:
        with pytest.raises(ActcompError):
            opposed(name, rule)


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16"])
@pytest.mark.parametrize(("name", "rule"), PAIRS)
def test_adversary(name: str, rule: str, dtype: str) -> None:
    if dtype == "bf16":
        pytest.importorskip("ml_dtypes")
    known = known_as(name, rule)
    if known is not None:
        same_bits(name, rule, dtype, *known)
        return
    star = opposed(name, rule)
    points = None if dtype in COUNT else every_value(dtype, 1)[::2]
    bound = EXCEPTIONS.get((name, rule, dtype), BOUND)
    case = Case(star, KernelSubject(star, kernel(name, rule)), dtype, bound, SEED, COUNT.get(dtype, 0), points)
    checks = [*accuracy(case), *unselected_branches(case), *parameter_gradients(case)]
    judged = {check.subject: check.count for check in checks if check.name == "accuracy"}
    assert len(judged) == 3
    assert min(judged.values()) >= COUNT.get(dtype, 31_000)
    failures = [check for check in checks if check.passed is False]
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("where(x > 0, x, alpha*(exp(x) - 1))", {"alpha": 1.0}),
        ("where(x > 0, x, alpha*expm1(x/alpha))", {"alpha": 1.0}),
        ("max(x, 0) + min(0, exp(x) - 1)", {}),
        ("1.1*(max(x, 0) + min(0, 1.7*(exp(x) - 1)))", {}),
        ("tanh(a*x)", {"a": 1.0}),
        ("x*tanh(softplus(2*x)) + x/3", {}),
        ("2*sigmoid(x) - 1", {}),
    ],
)
def test_reflected_in_other_spellings(text: str, parameters: dict[str, float]) -> None:
    star = adversary(ac.activation(text, parameters=parameters), "reflect")
    subject = KernelSubject(star, ac.compile(star))
    for dtype, count in (("f32", 4_000), ("f64", 2_000)):
        failures = [c for c in accuracy(Case(star, subject, dtype, BOUND, SEED, count)) if c.passed is False]
        assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("mish", "reflect", "reflect"),
        ("elu", "negate", "reflect"),
        ("tanh", "negate", "reflect"),
        ("tanhshrink", "reflect", "inverse"),
    ],
)
def test_adversaries_of_adversaries(name: str, first: str, second: str) -> None:
    star = adversary(adversary(catalog_activation(name), first), second)
    subject = KernelSubject(star, ac.compile(star))
    for dtype, count in (("f32", 2_000), ("f64", 1_000)):
        failures = [c for c in accuracy(Case(star, subject, dtype, BOUND, SEED, count)) if c.passed is False]
        assert not failures, "\n".join(map(str, failures))


def test_reflecting_twice_folds_back() -> None:
    for name in ("mish", "elu", "tanh", "sigmoid", "hardtanh", "tanhshrink"):
        f = catalog_activation(name)
        assert stabilise(adversary(adversary(f)).expression) == stabilise(f.expression)


def same_bits(name: str, rule: str, dtype: str, other: str, outer: int, inner: int) -> None:
    """f*(x) = outer g(inner x), and so for the derivatives, on random bit patterns, NaN and infinities among them."""
    largest = (1 << format_of(dtype).width_bits) - 1
    bits = np.random.default_rng(SEED).integers(0, largest, 20_000, dtype=np.uint64, endpoint=True)
    x = from_bits(bits, dtype)
    one = to_array(np.ones(len(x)), dtype)
    star = KernelSubject(opposed(name, rule), kernel(name, rule))
    original = KernelSubject(catalog_activation(other), kernel(other))
    for order, (variant, output) in enumerate((("forward", "y"), ("backward", "d.x"), ("double_backward", "d.x"))):
        found, due = (
            to_float64(subject.run(variant, dtype, [to_array(argument, dtype)], one, [one])[output])
            for subject, argument in ((star, x), (original, x if inner > 0 else -x))
        )
        due = due if outer * inner**order > 0 else -due
        assert np.array_equal(found, due, equal_nan=True), (other, variant)
        assert np.array_equal(np.signbit(found)[~np.isnan(due)], np.signbit(due)[~np.isnan(due)]), (other, variant)
