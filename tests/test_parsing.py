"""Strings in: what the language says, what it refuses, and that no text takes long."""

from __future__ import annotations

import time

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from actcomp import functions as fn
from actcomp.errors import ActcompError, ParseError, UnsupportedExpression
from actcomp.language import ALIASES, FUNCTIONS
from actcomp.parsing import parse

x = sp.Symbol("x", real=True)
y = sp.Symbol("y", real=True)

MEANINGS = {
    "x*sigmoid(x)": x * fn.sigmoid(x),
    "0.1*x": x / 10,
    "1e-3 + x": x + sp.Rational(1, 1000),
    "x**2 - x/2": x**2 - x / 2,
    "-x**2": -(x**2),
    "2 - 3 - x": -1 - x,
    "8/2/x": 4 / x,
    "x if x > 0 else exp(x) - 1": sp.Piecewise((x, x > 0), (sp.exp(x) - 1, True)),
    "where(-1 < x <= 1, x, y)": sp.Piecewise((x, (x > -1) & (x <= 1)), (y, True)),
    "where(x < 0 or not y < 1, 0, 1)": sp.Piecewise((0, (x < 0) | (y >= 1)), (1, True)),
    "Piecewise((x, x < 1), (y, True))": sp.Piecewise((x, x < 1), (y, True)),
    "max(x, 0, y)": fn.maximum(fn.maximum(x, sp.Integer(0)), y),
    "clip(x, -1, 1)": fn.minimum(fn.maximum(x, sp.Integer(-1)), sp.Integer(1)),
    "e**x + pi": sp.exp(x) + sp.pi,
    "silu(2*x)": 2 * x * fn.sigmoid(2 * x),
    "x**0.5": sp.sqrt(x),
    "x*(softplus(1)**2 + 1/4)**(1/3)": x * sp.cbrt(fn.softplus(1) ** 2 + sp.Rational(1, 4)),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_meaning(text):
    assert parse(text)[0] == MEANINGS[text]


def test_names_come_in_order_of_appearance():
    assert parse("b*sigmoid(a) + b*c")[1] == ("b", "a", "c")


def test_a_declared_name_may_look_like_a_constant():
    assert parse("I*x", known_names=("I",))[1] == ("I", "x")


@pytest.mark.parametrize("name", [*FUNCTIONS, *ALIASES])
def test_every_word_is_understood(name):
    least = FUNCTIONS[ALIASES.get(name, name)][1]
    arguments = ["x > 0", "x", "y"] if ALIASES.get(name, name) == "where" else ["x", "y", "2"][:least]
    assert isinstance(parse(f"{name}({', '.join(arguments)})")[0], sp.Expr)


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("x * sigmod(x)", "sigmod", 'did you mean "sigmoid"'),
        ("x ^ 2", "x ^ 2", "**"),
        ("x + y.real", "y.real", "numbers, names"),
        ("x + [1]", "[1]", "numbers, names"),
        ("x*'a'", "'a'", "decimal number"),
        ("sigmoid(x, x)", "sigmoid(x, x)", "give sigmoid 1"),
        ("x*tanh", "tanh", "write tanh(x)"),
        ("x*silu", "silu", "write silu(x)"),
        ("1 + swish(x, 2)", "swish(x, 2)", "give swish 1; write its formula to change beta"),
        ("silu()", "silu()", "give silu 1"),
        ("nan*x", "nan", "finite number"),
        ("x + inf", "inf", "no infinities"),
        ("oo*x", "oo", "no infinities"),
        ("I*x", "I", "real formula"),
        ("x*E", "E", "write e for Euler"),
        ("x + (y < 0)", "y < 0", "where(condition"),
        ("where(x, 1, 2)", "x", "comparison"),
        ("x/0", "0", "something else"),
        ("3 + (-2)**x", "(-2)**x", "positive base"),
        ("0**x", "0**x", "positive base"),
        ("x*(-8)**(1/3)", "(-8)**(1/3)", "whole exponent"),
        ("log(-1)*x", "log(-1)", "constant"),
        ("__x + 1", "__x", "letters"),
        ("exp(x=1)", "exp(x=1)", "in order"),
        ("Piecewise((x, x < 0))", "Piecewise((x, x < 0))", "True"),
        ("where(x == 0, 1, 2)", "x == 0", "comparison"),
    ],
)
def test_errors_point_at_the_place(text, place, advice):
    with pytest.raises(ParseError) as caught:
        parse(text)
    error = caught.value
    if advice != "comparison" or place == "x":
        assert advice in (error.do or "")
    assert error.text[error.position : error.position + error.length] == place
    assert "^" * len(place) in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 300 + "x" + ")" * 300,
        "-" * 15_000 + "x",
        "x" + "**x" * 3_000,
        "x*" * 30_000 + "x",
        "x**99999",
        "9**9**9*x",
        "exp(exp(exp(10)))*x",
        "where(exp(exp(exp(3))) > 3, x, 1)",
        "1e999*x",
        "9" * 5_000 + "*x",
        "x*e**e**e**e**e",
        "sin(" * 120 + "x" + ")" * 120,
    ],
    ids=lambda text: text[:16],
)
def test_bombs_end_in_a_typed_error_at_once(text):
    start = time.perf_counter()
    with pytest.raises(UnsupportedExpression) as caught:
        parse(text)
    assert caught.value.do
    assert time.perf_counter() - start < 1.0


def test_a_thousand_terms_are_no_depth():
    assert len(parse("+".join(f"sin({k}*x)" for k in range(1, 900)))[0].args) == 899


@given(st.text(alphabet="xyz0123456789.+-*/()<>=, ^%&|!~[]{}'\"\\exp", max_size=40))
def test_any_text_gives_an_expression_or_a_typed_error(text):
    try:
        assert isinstance(parse(text)[0], sp.Expr)
    except ActcompError as error:
        assert error.what
