"""actcomp.testing: the strategies give what they say, the assertions hold and fail where they should."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from actcomp import functions as fn
from actcomp import testing
from actcomp.calculus.balls import Unresolved, evaluate
from actcomp.testing import activations, assert_derivative, assert_ulp, hard_floats
from actcomp.verify.formats import FORMATS, all_values, round_to, to_array, to_float64, ulp

# Enough to find one; making it small means building thousands of SymPy expressions.
FIND = settings(max_examples=3000, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def test_the_example_in_the_documentation_runs():
    pytest.importorskip("torch")
    assert testing.__doc__ is not None
    block = testing.__doc__.split("::\n", 1)[1].split("\nWithout ")[0]
    source = textwrap.dedent(block).strip()
    assert 10 <= len([line for line in source.splitlines() if line.strip()]) <= 14
    namespace: dict[str, object] = {}
    exec(compile(source, "example", "exec"), namespace)
    namespace["test_silu"]()  # type: ignore[operator]


def test_what_the_documentation_says_of_torch_is_true():
    torch = pytest.importorskip("torch")
    with pytest.raises(AssertionError, match="silu|sigmoid"):
        assert_ulp(torch.nn.functional.silu, "x*sigmoid(x)", -91.0, bound=4)


@settings(max_examples=100, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(activations(), st.floats(-6, 6))
def test_activations_are_real_everywhere(f, place):
    x = sp.Symbol("x", real=True)
    assert f.inputs == (x,)
    try:
        assert evaluate(f.expression, {x: place}).is_finite()
    except Unresolved:
        pytest.fail(f"{f} at {place}")


@pytest.mark.parametrize("word", [sp.exp, sp.log, sp.atan, fn.sigmoid, fn.Phi, fn.maximum, sp.Piecewise, fn.log1p])
def test_activations_cover_the_language(word):
    find(activations(), lambda f: f.expression.has(word), settings=FIND)


def test_activations_of_two_inputs():
    found = find(activations(2, inputs=("a", "b")), lambda f: len(f.expression.free_symbols) == 2, settings=FIND)
    assert [str(symbol) for symbol in found.inputs] == ["a", "b"]


@pytest.mark.parametrize("dtype", FORMATS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hard_floats_are_of_the_format(dtype, data):
    x = data.draw(hard_floats(dtype, near=[0.1, -1.2784]))
    assert np.isfinite(x)
    assert float(round_to(x, dtype)) == x


def test_hard_floats_reach_what_is_hard():
    for wanted in (
        lambda x: x == 0 and np.signbit(x),
        lambda x: 0 < x < 2.0**-126,
        lambda x: abs(x - 1.5) == 2.0**-23,
        lambda x: x == FORMATS["f32"].largest,
    ):
        find(hard_floats("f32", near=[1.5]), wanted, settings=FIND)
    inside = find(hard_floats("f16", low=1, high=1.01), lambda x: x > 1, settings=FIND)
    assert 1 < inside <= 1.01


def test_assertions_name_the_worst_input():
    x = np.linspace(-3, 3, 50, dtype=np.float32)
    y = np.tanh(x.astype(np.float64)).astype(np.float32)
    assert_ulp(y, "tanh(x)", x, bound=0.501)
    y[17] = np.nextafter(y[17], np.float32(2))
    with pytest.raises(AssertionError, match=float(x[17]).hex().replace("+", r"\+")):
        assert_ulp(y, "tanh(x)", x, bound=0.501)


def test_assert_derivative_of_two_inputs():
    a, b = np.float32([1.5, -2.25, 0.1]), np.float32([0.3, 4.0, -1.0])
    assert_derivative("a*b", lambda a, b, dy: (dy * b, dy * a), a, b)
    with pytest.raises(AssertionError, match="df/db"):
        assert_derivative("a*b", lambda a, b, dy: (dy * b, dy * b), a, b)


def test_mixed_error_forgives_what_the_input_cannot_tell():
    x = np.float32(3.1415927)
    y = np.float32(np.sin(np.float64(np.nextafter(x, np.float32(4)))))
    assert_ulp(y, "sin(x)", x, bound=1.001, mixed=True)
    with pytest.raises(AssertionError):
        assert_ulp(y, "sin(x)", x, bound=1e5)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_ulp_is_the_spacing(dtype):
    if dtype == "bf16":
        pytest.importorskip("ml_dtypes")
    values = all_values(dtype)
    values = np.unique(values[np.isfinite(values) & (values >= 0)])
    assert (ulp(values[:-1], dtype) == np.diff(values)).all()
    assert (to_float64(to_array(values, dtype)) == values).all()


def test_without_hypothesis_the_import_names_the_extra():
    code = "import sys; sys.modules['hypothesis'] = None\nimport actcomp.testing"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "actcomp[test]" in run.stderr
