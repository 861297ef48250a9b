"""chi of gates with independent inputs, against closed forms and against the moments of their terms."""

from __future__ import annotations

import pytest
import sympy as sp

import actcomp as ac
from actcomp.calculus.gates import gate_chi

T = sp.symbols("t1 t2 t3", real=True)
A = sp.Symbol("a", real=True)


def chi(rule, *terms, q=1.0, values=None):
    return gate_chi(rule, values or {}, T[: len(terms)], [ac.moments(term, q) for term in terms], q)


@pytest.mark.parametrize("q", [0.25, 1.0, 3.0])
def test_a_product_of_inputs(q):
    """E F^2 = q^k, and the mean square of each of k slopes is q^(k-1)."""
    assert chi(T[0] * T[1], "x", "x", q=q).value == pytest.approx(2, abs=1e-12)
    assert chi(T[0] * T[1] * T[2], "x", "x", "x", q=q).value == pytest.approx(3, abs=1e-12)


def test_a_sum_of_inputs():
    assert chi(T[0] + T[1], "x", "x").value == pytest.approx(1, abs=1e-12)
    # E (x1 + 3 x2 + 2)^2 = 14, slopes 1 and 9
    assert chi(T[0] + A * T[1] + 2, "x", "x", values={A: 3.0}).value == pytest.approx(10 / 14, abs=1e-12)


def test_means_count_in_a_sum():
    """E (relu(x1) + relu(x2))^2 = 1 + 2 E(relu)^2 = 1 + 1/pi; the slopes give 1/2 each."""
    assert chi(T[0] + T[1], "relu", "relu").value == pytest.approx(1 / (1 + 1 / float(sp.pi)), abs=1e-12)


def test_glu():
    """E s^2 + E s'^2 over E s^2 for x1 s(x2)."""
    s = ac.moments("sigmoid")
    found = chi(T[0] * T[1], "x", "sigmoid")
    assert found.value == pytest.approx(1 + s.slope_square.value / s.square.value, abs=1e-12)
    assert 0 < found.error < 1e-10


def test_rules_that_the_moments_do_not_decide():
    with pytest.raises(ac.UnsupportedExpression, match="degree one"):
        chi(T[0] ** 2 * T[1], "x", "x")
    with pytest.raises(ac.UnsupportedExpression, match="degree one"):
        chi(sp.exp(T[0]) * T[1], "x", "x")
    with pytest.raises(ac.UnsupportedExpression, match="no chi"):
        chi(0 * T[0] + sp.Integer(0), "x", "x")


@pytest.mark.parametrize("name", ["mish", "tanh", "relu"])
def test_pair_chi_is_the_product(name):
    star = ac.adversary(name)
    expected = ac.moments(name).chi.value * ac.moments(star).chi.value
    assert ac.pair_chi(star).value == pytest.approx(expected, rel=1e-13)


def test_pair_chi_of_gates():
    star = ac.adversary("silu", mode="split")
    s, t = ac.moments("sigmoid"), ac.moments("x/4 - sigmoid(x) + 1")
    expected = (1 + s.slope_square.value / s.square.value) * (1 + t.slope_square.value / t.square.value)
    assert ac.pair_chi(star).value == pytest.approx(expected, rel=1e-12)


def test_pair_chi_with_parameters_in_the_rule():
    star = ac.adversary("snake", mode="split", parameters={"a": 2.0})
    assert ac.pair_chi(star).value > 0


def test_pair_chi_is_of_an_adversary():
    with pytest.raises(ac.ArgumentError, match="no adversary"):
        ac.pair_chi("mish")
