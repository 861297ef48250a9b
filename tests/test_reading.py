"""Formulas for the eye: what is rounded, what stays exact, rows of piecewise functions, LaTeX."""

from __future__ import annotations

import re

import pytest

import actcomp as ac


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("0.5*x", "x/2"),
        ("0.044715*x**3", "8943*x**3/200000"),
        ("1.0507009873554804934193349852946*x", "1.05070098736*x"),
        ("x - 0.12345678901234567", "x - 0.123456789012"),
        ("x + exp(1.0507009873554804934193349852946*x)", "x + exp(1.05070098736*x)"),
        ("x*sqrt(2/pi)", "sqrt(2)*x/sqrt(pi)"),
        ("tanh(x)*1e-30", "1.0e-30*tanh(x)"),
    ],
)
def test_shown(formula, text):
    assert ac.activation(formula).shown() == text


def test_long_constants_become_decimal():
    star = ac.adversary("sigmoid", rule="inverse")
    rows = star.shown_rows(6)
    assert rows[0][0] == "10*x + 2.30955"
    assert rows[-1] == ("10*x - 1.30955", "")


def test_rows():
    assert ac.activation("where(x < -1, -1, where(x < 1, x, 1))").shown_rows() == (
        ("-1", "x < -1"),
        ("x", "x < 1"),
        ("1", ""),
    )
    assert ac.activation("2*x - where(x > 0, x, 0)").shown_rows() == (("x", "x > 0"), ("2*x", ""))
    two = "where(x > 0, x, 0) + where(x > 1, tanh(x), 1)"
    assert len(ac.activation(two).shown_rows()) == 1
    assert ac.activation("tanh(x)").shown_rows() == (("tanh(x)", ""),)


def test_what_is_shown_is_near_what_it_stands_for():
    """Every catalog entry and adversary, read again as a formula, is the same to the digits that are shown."""
    for name in ("selu", "elu", "mish", "tanh", "sigmoid"):
        star = ac.adversary(name, rule="reflect")
        values = {p.name: p.default for p in star.parameters}
        text = re.sub(r"Piecewise\(\((.*), (x > 0)\), \((.*), True\)\)", r"where(\2, \1, \3)", star.shown())
        if "shrink" in text or "tanh_softplus" in text:
            continue  # no words of the language
        again = ac.compile(text, parameters=values)
        for x in (-3.0, -0.5, 0.25, 2.0):
            assert float(again(x)) == pytest.approx(float(ac.compile(star)(x)), abs=1e-9)


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("x*Phi(x)", r"x \Phi{\left(x \right)}"),
        ("max(x, 0)", r"\max{\left(x,0 \right)}"),
        ("2*expm1(x)", r"2 e^{x} - 2"),
        ("a*log1p(x)", r"a \log{\left(x + 1 \right)}"),
        ("softplus(x)", r"\operatorname{softplus}{\left(x \right)}"),
        ("1.0507009873554804934193349852946*x", "1.05070098736 x"),
    ],
)
def test_latex(formula, text):
    assert ac.activation(formula, inputs=["x", "a"] if "a*" in formula else None).latex() == text


def test_latex_of_names_with_underscores():
    latex = ac.adversary("silu", rule="inverse").latex()
    assert r"\operatorname{inverse\_silu}" in latex


def test_words_that_are_not_of_the_language():
    assert ac.adversary("tanh").shown_words() == {"tanhshrink(x)": "x - tanh(x)"}
    assert ac.adversary("silu").shown_words() == {}
    assert ac.adversary("silu", rule="inverse").shown_words() == {}


def test_latex_spells_them_out():
    assert ac.adversary("tanh").latex() == r"x - \tanh{\left(x \right)}"


def test_tables_of_an_adversary():
    (table,) = ac.adversary("silu", rule="inverse").tables
    assert str(table.name) == "inverse_silu"
    assert "inverse of" in table.ideal
    assert ac.adversary("silu").tables == ()
