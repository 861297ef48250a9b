"""Random activations through the whole compiler: right to six digits, no stray NaN, the interpreter's bits from
machine code.

Six digits, since an expression at random may be as badly conditioned as sin(exp(exp(x))); the catalog is held to 4
ulp elsewhere.
"""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

import actcomp as ac
from actcomp.activation import activation
from actcomp.functions import sigmoid
from actcomp.testing import activations
from actcomp.verify.accuracy import unselected_branches
from actcomp.verify.bits import same_bits
from actcomp.verify.case import Case
from actcomp.verify.reference import KNOWN
from actcomp.verify.subjects import KernelSubject

RANDOM = settings(
    max_examples=60, derandomize=True, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def case_of(f, dtype):
    return Case(f, KernelSubject(f, ac.compile(f)), dtype, 4.0, 0, 0, np.linspace(-3.0, 3.0, 41) + 2.0**-6)


def assert_right(f):
    case = case_of(f, "f64")
    for key in case.keys:
        quantity = case.reference.quantities[key]
        known, truth = quantity.status == KNOWN, quantity.value()
        error = np.abs(case.answers[key] - truth) / (1 + np.abs(truth))
        assert (error[known] < 1e-6).all(), (str(f), key, case.points[np.argmax(error)])
    assert all(check.passed is not False for check in unselected_branches(case)), str(f)


@RANDOM
@given(activations(3))
def test_values_and_derivatives(f):
    assert_right(f)


@RANDOM
@given(activations(2, inputs=("a", "b")))
def test_two_inputs(f):
    case = Case(f, KernelSubject(f, ac.compile(f)), "f64", 4.0, 0, 0, np.random.default_rng(0).uniform(-3, 3, (40, 2)))
    for key in case.keys:
        quantity = case.reference.quantities[key]
        known, truth = quantity.status == KNOWN, quantity.value()
        assert (np.abs(case.answers[key] - truth)[known] <= 1e-6 * (1 + np.abs(truth[known]))).all(), (str(f), key)


@settings(RANDOM, max_examples=12)
@given(activations(4))
def test_bits(f):
    wrong = [check for check in same_bits(case_of(f, "f32")) if not check.passed]
    assert not wrong, f"{f}\n{wrong}"


def test_terms_of_one_degree_add_up():
    import sympy as sp

    x = sp.Symbol("x", real=True)
    assert_right(activation(sp.atan(x + sigmoid(sp.Integer(1)))))
    assert_right(activation(sp.tanh(x + sp.sqrt(2) * x + x**2 + sp.sqrt(3) * x**2)))
    assert_right(activation(sp.Piecewise((x, sp.Piecewise((x, x < 1), (2 - x, True)) > 0), (x**2, True))))
