"""The interpreter's fma against exact rational arithmetic: one rounding, subnormals and cancellation included."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actcomp.program.builder import constant_bits
from actcomp.program.fused import fma

UNSIGNED = {"f16": np.uint16, "f32": np.uint32, "f64": np.uint64}
FLOAT = {"f16": np.float16, "f32": np.float32, "f64": np.float64}


def exact(a, b, c, type_):
    """The bits of a*b + c rounded once, by fractions; None where an operand is not finite or the sum is zero."""
    if not all(np.isfinite([a, b, c])):
        return None
    total = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return constant_bits(total, type_) if total else None


def floats(type_):
    width = {"f16": 16, "f32": 32, "f64": 64}[type_]
    return st.integers(0, 2**width - 1).map(lambda bits: UNSIGNED[type_](bits).view(FLOAT[type_]))


@pytest.mark.parametrize("type_", ["f16", "f32", "f64"])
@settings(max_examples=300)
@given(data=st.data())
def test_any_bits(type_, data):
    a, b, c = (data.draw(floats(type_)) for _ in range(3))
    check(a, b, c, type_)


@settings(max_examples=500)
@given(
    a=st.floats(-2, 2),
    b=st.floats(-2, 2),
    nudge=st.integers(-3, 3),
    shift=st.integers(-1074, 900),
    other=st.integers(-100, 100),
)
@example(a=1.0, b=1.0, nudge=-1, shift=-1074, other=0)
def test_cancelling_and_subnormal_sums(a, b, nudge, shift, other):
    left, right = np.ldexp(a, shift - other), np.ldexp(b, other)
    product = np.float64(left) * np.float64(right)
    if np.isfinite(product):
        with np.errstate(all="ignore"):
            addend = -product * (1 + nudge * 2.0**-52)
        check(left, right, addend, "f64")


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        ("0x1.3d4p-1016", "-0x1.07d5590e3d5c8p-7", "0x0.0000000000002p-1022"),
        ("0x1.6485025428ba7p-688", "-0x1.70b5043f5def8p-311", "0x1.00bda5a6f9d1cp-998"),
        ("0x0.0000000000200p-1022", "0x1.9f7bc9061c400p+43", "-0x0.0000000200001p-1022"),
        ("0x1.ap+1000", "0x1.bp+1000", "-0x1p+5"),
    ],
)
def test_inputs_that_were_once_wrong(a, b, c):
    check(*(np.float64(float.fromhex(text)) for text in (a, b, c)), "f64")


def test_specials():
    inf, nan = np.inf, np.nan
    assert fma(1e300, -1e300, inf) == inf
    assert np.isnan(fma(inf, 0.0, 1.0)) and np.isnan(fma(inf, 1.0, -inf)) and np.isnan(fma(1.0, nan, 1.0))
    assert np.signbit(fma(-5e-324, 0.1, 0.0))  # the exact product is negative, though it rounds to zero
    assert not np.signbit(fma(1.0, 1.0, -1.0))
    assert np.signbit(fma(-0.0, 1.0, -0.0))


def check(a, b, c, type_):
    wanted = exact(a, b, c, type_)
    if wanted is None:
        return
    found = np.asarray(fma(FLOAT[type_](a), FLOAT[type_](b), FLOAT[type_](c)))
    assert found.dtype == FLOAT[type_]
    assert int(found.view(UNSIGNED[type_])) == wanted, f"fma({float(a).hex()}, {float(b).hex()}, {float(c).hex()})"
