"""The ways in: strings, SymPy, traced functions, catalog names; parameters; what is refused."""

from __future__ import annotations

import math

import pytest
import sympy as sp

import actcomp as ac
from actcomp import functions as fn

x = sp.Symbol("x", real=True)


def test_a_string_a_function_and_sympy_say_the_same():
    def swish(x, beta=1.0):
        return x * ac.sigmoid(beta * x)

    by_string = ac.activation("x*sigmoid(beta*x)", parameters={"beta": 1.0})
    assert ac.activation(swish) == by_string == ac.activation("swish")
    plain = sp.Symbol("x")
    assert ac.activation(plain / (1 + sp.exp(-plain))).inputs == (x,)


def test_the_decorator_gives_an_activation():
    @ac.activation
    def f(a, b, slope=0.25):
        return ac.where(a > 0, a, slope * a) * ac.tanh(b) + 0.1

    assert f.name == "f"
    assert [str(s) for s in f.inputs] == ["a", "b"]
    assert f.parameters == (ac.Parameter(0.25, None, "slope"),)
    assert sp.Rational(1, 10) in f.expression.args


def test_sympy_spellings_become_ours():
    plain = sp.Symbol("x")
    assert ac.activation(sp.Max(plain, 0)).expression == fn.relu(x)
    assert ac.activation(0.1 * plain).expression == x / 10
    assert not ac.activation(sp.cosh(plain)).expression.has(sp.cosh)
    assert ac.activation(sp.sinh(plain)).expression == fn.expm1(x) / 2 - fn.expm1(-x) / 2


@pytest.mark.parametrize(("written", "at_zero"), [((), 0.5), ((0.25,), 0.25), ((0,), 0), ((1,), 1)])
def test_heaviside_keeps_its_value_at_zero(written, at_zero):
    step = ac.activation(sp.Heaviside(sp.Symbol("x"), *written)).expression
    assert [float(step.subs(x, point)) for point in (-2, 0, 2)] == [0, at_zero, 1]


def test_a_piecewise_of_sympy_covers_all():
    plain = sp.Symbol("x")
    covering = ac.activation(sp.Piecewise((plain, plain > 0), (2 * plain, plain <= 0)))
    assert covering.expression == sp.Piecewise((x, x > 0), (2 * x, True))
    with pytest.raises(ac.UnsupportedExpression, match="True"):
        ac.activation(3 + sp.exp(sp.Piecewise((plain, plain > 0), (1, plain < -1))))


def test_a_parameter_for_each_channel():
    f = ac.activation("where(x > 0, x, a*x)", parameters={"a": ac.Parameter(0.25, axis=1)})
    assert f.parameters == (ac.Parameter(0.25, 1, "a"),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("q",), "finite number"),
        (("1.5",), "finite number"),
        ((10**400,), "finite number"),
        ((math.inf,), "finite number"),
        ((math.nan,), "finite number"),
        ((None,), "finite number"),
        ((1.0, 1.5), "integer"),
        ((1.0, "c"), "integer"),
        ((1.0, True), "integer"),
    ],
    ids=lambda given: str(given)[:20],
)
def test_a_parameter_is_a_finite_number_with_a_whole_axis(arguments, message):
    with pytest.raises(ac.ParseError, match=message):
        ac.Parameter(*arguments)


@pytest.mark.parametrize(("source", "parameters"), [("x*b", ["b"]), ("x*b", {"b": 10**400}), (max, None), (int, None)])
def test_compile_refuses_alike(source, parameters):
    with pytest.raises(ac.ActcompError):
        ac.compile(source, parameters=parameters)


def test_derivatives_are_activations():
    f = ac.activation("swish")
    assert f.derivative() == f.derivative("x")
    assert f.derivative("x", "beta").inputs == f.inputs
    with pytest.raises(ac.UnsupportedExpression, match="no input or parameter q"):
        f.derivative("q")


def test_inputs_can_be_ordered():
    assert [str(s) for s in ac.activation("a*sigmoid(b)", inputs=("b", "a")).inputs] == ["b", "a"]


def _uses_math(x):
    return math.exp(x)


def _uses_if(x):
    return x if x > 0 else 0 * x


@pytest.mark.parametrize("function", [_uses_math, _uses_if])
def test_a_function_that_cannot_be_traced_says_what_to_use(function):
    with pytest.raises(ac.UnsupportedExpression, match=r"ac\.exp, ac\.where"):
        ac.activation(function)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("x*sigmoid(betta*x)", {"parameters": {"beta": 1.0}}, "betta"),
        ("x*y", {"inputs": ("x",)}, "neither an input nor a parameter"),
        ("3", {}, "no input"),
        ("x*b", {"inputs": ["b", "x"], "parameters": {"b": 3.0}}, "is a parameter too"),
        ("x*2", {"inputs": ["x", "x"]}, "is another input too"),
        ("x*b", {"parameters": {"b": math.inf}}, "finite"),
        ("x*b", {"parameters": {"b": "one"}}, "number"),
        ("silu", {"parameters": {"beta": 1.0}}, "no parameter"),
        ("x*b", {"parameters": ["b"]}, "parameters is ['b']"),
        ("x*b", {"inputs": "xb"}, "list of names"),
        (max, {}, "cannot be traced"),
        (int, {}, "cannot be traced"),
        (sp.Integer(-2) ** x, {}, "not real in general"),
        (x * sp.Integer(0) ** sp.Symbol("y"), {}, "not real in general"),
        (sp.Piecewise((x, x > 0)), {}, "end it with (value, True)"),
        (sp.Heaviside(x, sp.nan), {}, "not part of the language"),
        (sp.zeta(x), {}, "not part of the language"),
        (sp.Lt(x, 0), {}, "no real-valued expression"),
        (object(), {}, "cannot make an activation"),
        (lambda x: "x", {}, "return one expression"),
        (lambda *x: x[0], {}, "name its arguments"),
        ("+".join(f"sin({k}*x)" for k in range(1, 600)), {}, "more than 1000 operations"),
    ],
)
def test_what_is_refused_names_the_fix(source, options, message):
    with pytest.raises(ac.ActcompError) as caught:
        ac.activation(source, **options)
    assert message in str(caught.value)
    assert caught.value.do


def test_it_prints_well():
    f = ac.activation("swish")
    assert str(f) == "swish(x, beta=1) = x*sigmoid(beta*x)"
    assert f._repr_latex_().startswith("$")
