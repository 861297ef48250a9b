"""Decompositions: terms and rule of each cut, one result for equal expressions, and F(x, ..., x) = f(x) by balls."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import actcomp as ac
from actcomp import functions as fn
from actcomp.calculus.ball_nodes import OutsideDomain, Singular, Undecided
from actcomp.calculus.balls import BallFunction, evaluate
from actcomp.calculus.canonical import canonical, gate_of_exponentials
from actcomp.calculus.decompose import CUTS, KNOWN_GATES
from actcomp.calculus.derivative import differentiate
from actcomp.testing import activations

x, y = sp.symbols("x y", real=True)
x1, x2, x3 = sp.symbols("x1 x2 x3", real=True)
t1, t2, t3 = sp.symbols("t1 t2 t3", real=True)

ONE_INPUT = [name for name in ac.CATALOG if "glu" not in name]
SAME = {
    "silu": [
        "x*sigmoid(x)", "x/(1 + exp(-x))", "x*exp(x)/(1 + exp(x))", "x*(1 - 1/(1 + exp(x)))", "x - x/(1 + exp(x))",
        "x/2*(1 + tanh(x/2))", "x/2 + x*tanh(x/2)/2", "x*exp(2*x)/(exp(x) + exp(2*x))", "x/(2 + expm1(-x))",
        "x*(exp(x) + exp(2*x))/(1 + exp(x))**2", "x*(2 - 2*sigmoid(-x))/2", "x*exp(x/2)/(exp(x/2) + exp(-x/2))",
    ],
    "gelu": [
        "x*Phi(x)", "x*(1 + erf(x/sqrt(2)))/2", "x*erfc(-x/sqrt(2))/2", "x*(1 - erfc(x/sqrt(2))/2)",
        "x - x*erfc(x/sqrt(2))/2", "x*(1 - Phi(-x))", "0.5*x + 0.5*x*erf(x/sqrt(2))",
    ],
    "mish": [
        "x*tanh(softplus(x))", "x*tanh(log(1 + exp(x)))", "x*tanh(log1p(exp(x)))", "x*(1 - 2/((1 + exp(x))**2 + 1))",
        "x*((1 + exp(x))**2 - 1)/((1 + exp(x))**2 + 1)", "x*exp(x)*(exp(x) + 2)/(exp(2*x) + 2*exp(x) + 2)",
    ],
    "tanh": ["2*sigmoid(2*x) - 1", "(exp(2*x) - 1)/(exp(2*x) + 1)", "(1 - exp(-2*x))/(1 + exp(-2*x))"],
    "softplus": ["log(1 + exp(x))", "x + log(1 + exp(-x))", "-logsigmoid(-x)", "-log(sigmoid(-x))"],
    "tanhshrink": ["x - tanh(x)", "x + 1 - 2*sigmoid(2*x)"],
    "tanh(x)*(x + 1)": ["tanh(x) + x*tanh(x)", "(2*x + 2)*tanh(x)/2", "-tanh(x)*(-x - 1)"],
    "1 - tanh(x)**2": ["(1 - tanh(x))*(1 + tanh(x))", "4*sigmoid(2*x)*sigmoid(-2*x)", "4/(exp(x) + exp(-x))**2"],
    "x + sin(x) + x**2": ["x*(x + 1) + sin(x)", "sin(x) + (x + 1)**2 - x - 1"],
    "x + exp(x) + exp(2*x)": ["exp(x)*(1 + exp(x)) + x", "x + (exp(x) + 1)**2 - exp(x) - 1"],
    "x*relu(x)": ["x*where(x > 0, x, 0)", "x*where(x <= 0, 0, x)", "x*where(0 < x, x, 0)"],
    "x*max(0, x)": ["x*where(x >= 0, x, 0)", "x*where(x < 0, 0, x)"],
    "x*(x/2 + 1/2)": ["x*(x + 1)/2", "(x + x**2)/2"],
}  # fmt: skip


def at(expression, values, precision=200):
    """The value at exact numbers as a ball, or None where it is not decided or does not exist."""
    function = BallFunction(expression, tuple(values))
    try:
        return function.series(list(values.values()), [0] * len(values), 1, precision)[0]
    except (OutsideDomain, Singular, Undecided):
        return None


def defaults(f):
    return {p.symbol: sp.Rational(repr(p.default)) for p in f.parameters}


def assert_lift_is(f, made, points):
    """F(x, ..., x), and R of the terms, are f at each point."""
    own = f.inputs[0]
    rule = made.rule.xreplace({s: t.expression for s, t in zip(made.rule_symbols, made.terms, strict=True)})
    diagonal = made.lifted.expression.xreplace(dict.fromkeys(made.lifted.inputs, own))
    for point in points:
        wanted = at(f.expression.subs(defaults(f)), {own: point})
        for expression in (rule, diagonal):
            found = at(expression.subs(defaults(f)), {own: point})
            assert found is None or wanted is None or found.overlaps(wanted), (str(f), made.cut, point)
            if found is not None and wanted is not None and found.is_finite():
                assert float(found.rad()) <= 1e-25 * (1 + abs(float(found.mid())))


def shape(made):
    return made.cut, made.rule, tuple(term.expression for term in made.terms), made.lifted.expression


@pytest.mark.parametrize("name", ONE_INPUT)
def test_the_catalog_stores_the_default_cut(name):
    f = ac.activation(name)
    unnamed = ac.activation(f, name="f")  # whose row is not looked up
    if ac.CATALOG[name].cut is None:
        with pytest.raises(ac.NoDecomposition, match="do: "):
            ac.decompose(unnamed)
    else:
        made = ac.decompose(unnamed)
        assert made.cut == ac.CATALOG[name].cut == ac.decompose(name).cut
        assert shape(made) == shape(ac.decompose(name))
        assert_lift_is(f, made, [-7.5, -1.25, -0.0625, 0.0, 0.375, 2.0, 9.0])


@pytest.mark.parametrize(("first", "other"), [(f, other) for f, group in SAME.items() for other in group])
def test_equal_expressions_come_apart_alike(first, other):
    assert shape(ac.decompose(other)) == shape(ac.decompose(first))


@pytest.mark.parametrize(("first", "other"), [(f, other) for f, group in SAME.items() for other in group])
def test_the_canonical_form_is_equal_and_final(first, other):
    form = canonical(ac.activation(other).expression, x)
    assert canonical(form, x) == form
    draw = random.Random(other)
    for _ in range(10):
        point = draw.uniform(-9, 9)
        values = [evaluate(e, {x: point}, 150) for e in (form, ac.activation(first).expression)]
        assert values[0].overlaps(values[1])


@pytest.mark.parametrize(
    "node",
    [
        sp.exp(x) * fn.sigmoid(-x) ** 2, fn.expm1(2 * x) * fn.sigmoid(-2 * x), 3 * sp.exp(2 * x) / (1 + sp.exp(x)) ** 3,
        (1 + 2 * sp.exp(x)) / (1 + 2 * sp.exp(x) + 2 * sp.exp(2 * x)), 1 / (2 + fn.expm1(-x / 3)),
        y * fn.sigmoid(x) * (1 + sp.exp(-x)), y * fn.sigmoid(x) * (1 + sp.exp(x)), y + x - 2 * fn.sigmoid(2 * x) + 1,
    ],
)  # fmt: skip
def test_gates_of_exponentials_are_identities(node):
    gate = gate_of_exponentials(node)
    assert gate is not None and gate != node
    for point in (-3.5, -0.25, 1.75, 6.0):
        assert evaluate(gate, {x: point, y: 1.5}, 150).overlaps(evaluate(node, {x: point, y: 1.5}, 150))


@pytest.mark.parametrize(
    ("formula", "cut", "known"),
    [
        ("silu", None, "GLU: x1*sigmoid(x2)"),
        ("gelu", None, "x1*Phi(x2)"),
        ("x*silu(x)", ["x", "silu"], "SwiGLU: x1*x2*sigmoid(x2)"),
        ("x*silu(x)", ["x*sigmoid(x)", "x"], "SwiGLU: x1*x2*sigmoid(x2)"),
        ("x**2*sigmoid(x)", ["x", ac.activation("silu")], "SwiGLU: x1*x2*sigmoid(x2)"),
        ("x*gelu(x)", ["x", "gelu"], "GEGLU: x1*x2*Phi(x2)"),
        ("x*relu(x)", ["x", "relu(x)"], "ReGLU: x1*relu(x2)"),
        ("x*relu(x)", None, "ReGLU: x1*relu(x2)"),
        ("x**2", ["x", x], "bilinear: x1*x2"),
        ("tanh(x)*sigmoid(x)", None, "GTU: tanh(x1)*sigmoid(x2)"),
        ("mish", None, None),
    ],
)
def test_known_gates(formula, cut, known):
    made = ac.decompose(formula, cut)
    assert made.known_as == known and (known is None or f"[{known}]" in str(made))


def test_known_gates_differ():
    assert len({gate for _, gate in KNOWN_GATES}) == len(KNOWN_GATES)


def test_a_parameter_stays_where_it_is():
    f = ac.activation("x**2*sigmoid(beta*x)*c", parameters={"c": 3.0, "beta": ac.Parameter(1.5, axis=-1)})
    made = ac.decompose(f, ["x", "x*sigmoid(beta*x)"])
    beta, c = sp.symbols("beta c", real=True)
    assert made.rule == c * t1 * t2
    assert [term.parameters for term in made.terms] == [(), (ac.Parameter(1.5, axis=-1, name="beta"),)]
    assert {p.name: p.axis for p in made.lifted.parameters} == {"c": None, "beta": -1}
    assert made.lifted.expression == c * x1 * x2 * fn.sigmoid(beta * x2)
    swiglu = ac.decompose(ac.activation("x**2*sigmoid(b*x)", parameters={"b": 2.0}), ["x", "x*sigmoid(b*x)"])
    assert swiglu.known_as == "SwiGLU: x1*x2*sigmoid(beta*x2)"


def test_names_of_inputs_that_parameters_have_already():
    made = ac.decompose(ac.activation("z*tanh(x1*z)*t2", inputs=["z"], parameters={"x1": 2.0, "t2": 1.0}))
    assert [str(s) for s in made.lifted.inputs] == ["x_1", "x_2"]
    assert [str(s) for s in made.rule_symbols] == ["t_1", "t_2"]
    assert_lift_is(made.activation, made, [-1.5, 0.25])


@pytest.mark.parametrize(
    ("formula", "cut", "rule", "terms"),
    [
        ("x*sigmoid(x)*tanh(x)", None, t1 * t2 * t3, (x, sp.tanh(x), fn.sigmoid(x))),
        ("x**2*sigmoid(x)", None, t1 * t2, (x**2, fn.sigmoid(x))),
        ("x + sin(x) + x**2", None, t1 + t2 + t3, (x, x**2, sp.sin(x))),
        ("3*x*tanh(x)/4", None, sp.Rational(3, 4) * t1 * t2, (x, sp.tanh(x))),
        ("2*x + 3*tanh(x) - 5", None, 2 * t1 + 3 * t2 - 5, (x, sp.tanh(x))),
        ("tanhshrink", None, t1 - t2, (x, sp.tanh(x))),
        ("(x + 1)**2", None, 2 * t1 + t2 + 1, (x, x**2)),
        ("(x - 3)*sign(x)", "sum", t1 - 3 * t2, (x * sp.sign(x), sp.sign(x))),
        ("x*(sin(x) + tanh(x))", "sum", t1 + t2, (x * sp.sin(x), x * sp.tanh(x))),
        ("tanh", None, t1 + t2, (sp.tanh(fn.maximum(x, 0)), sp.tanh(fn.minimum(0, x)))),
        ("x**2", None, t1 + t2, (fn.maximum(x, 0) ** 2, fn.minimum(0, x) ** 2)),
        ("abs(x)", None, t1 + t2, (fn.maximum(x, 0), -fn.minimum(x, 0))),
        ("hardtanh", None, t1 + t2, (fn.minimum(fn.maximum(x, 0), 1), fn.maximum(fn.minimum(0, x), -1))),
        ("silu", "occurrences", t1 * fn.sigmoid(t2), (x, x)),
        ("x**2*sigmoid(x) + tanh(x)", ["x*sigmoid(x)", "x"], t1 * t2 + sp.tanh(t2), (x * fn.sigmoid(x), x)),
        ("x**2*sigmoid(x) + tanh(x)", ["sigmoid(x)"], t1 * t2**2 + sp.tanh(t2), (fn.sigmoid(x), x)),
        ("x*sigmoid(x)*tanh(x)", ["tanh(x)"], t1 * t2, (sp.tanh(x), x * fn.sigmoid(x))),
        ("x + sin(x) + tanh(x)", ["x + tanh(x)"], t1 + t2, (x + sp.tanh(x), sp.sin(x))),
        ("x + sin(x) + tanh(x)", ["sin(x) + 1", "x + tanh(x)"], t1 + t2 - 1, (sp.sin(x) + 1, x + sp.tanh(x))),
        ("x**3 + tanh(x)", ["x**2", "x"], t1 * t2 + sp.tanh(t2), (x**2, x)),
        ("exp(2*x) + x", ["exp(x)", "x"], t1**2 + t2, (sp.exp(x), x)),
    ],
)
def test_terms_and_rule(formula, cut, rule, terms):
    made = ac.decompose(formula, cut)
    assert made.rule == rule and tuple(term.expression for term in made.terms) == terms
    assert made.cut == ("list" if isinstance(cut, list) else cut or made.cut)
    inputs = tuple(sp.Symbol(f"x{i}", real=True) for i in range(1, len(terms) + 1))
    put_in = {s: t.xreplace({x: own}) for s, t, own in zip(made.rule_symbols, terms, inputs, strict=True)}
    assert made.lifted.inputs == inputs and made.lifted.expression == rule.xreplace(put_in)
    assert_lift_is(ac.activation(formula), made, [-3.25, -0.5, 0.0, 0.75, 4.5])


def test_every_occurrence_has_its_own_input():
    made = ac.decompose("elu", "occurrences")
    alpha = sp.Symbol("alpha", real=True)
    assert made.lifted.expression == fn.where(x2 > 0, x1, alpha * fn.expm1(x3))
    assert len(ac.decompose("hardswish", "occurrences").terms) == 5


@pytest.mark.parametrize(
    "formula",
    [
        "sigmoid", "softplus", "logsigmoid(x)", "Phi(x)", "exp(x)", "cos(x)", "sqrt(1 + x**2)", "exp(-x**2)", "sign(x)",
        "hardswish", "selu", "x*where(x < 0, 1, 2) + 1", "where(x >= 0, x + 1, -x)", "softplus(-3*x) + x",
        "max(min(x, 2), -1)", "where(x > 1, x, tanh(x))", "sigmoid(x - 1)",
    ],
)  # fmt: skip
def test_parts_are_what_their_definition_says(formula):
    f = ac.activation(formula)
    made = ac.decompose(f, "parts")
    at_zero = f.expression.subs(x, 0)
    for term, clamp in zip(made.terms, (sp.Max(x, 0), sp.Min(x, 0)), strict=True):
        for point in (-5.5, -0.125, 0.0, 0.25, 6.75):
            wanted = f.expression.subs(x, clamp.subs(x, sp.Rational(point)))
            ball = at(wanted - at_zero, {x: 0.0}) if wanted != at_zero else 0
            found = at(term.expression, {x: point})
            assert found.overlaps(ball) if wanted != at_zero else abs(float(found.mid())) < 1e-50
    assert_lift_is(f, made, [-5.5, -0.125, 0.0, 0.25, 6.75])


@pytest.mark.parametrize("formula", ["tanh", "leaky_relu", "elu", "where(x >= 0, x, -2*x)", "abs(x)", "hardtanh"])
def test_slopes_of_the_parts_add_up_to_that_of_f_at_zero(formula):
    f = ac.activation(formula)
    made = ac.decompose(f, "parts")
    slopes = [differentiate(one.expression, x).subs(x, 0) for one in (f, *made.terms)]
    assert sp.simplify(slopes[0] - slopes[1] - slopes[2]) == 0


@pytest.mark.parametrize(
    ("formula", "cut", "fix"),
    [
        ("relu(x)", None, r"x\*f\(x\)"),
        ("relu(x)", "parts", "gate"),
        ("tanh(x)", "product", "parts"),
        ("log(x)", None, "gate"),
        ("1/x", "parts", "gate"),
        ("x*log(x)", "parts", "product"),
        ("a*sigmoid(b)", None, "one input"),
        ("where(x > 0, sin(x)/x, 1)", None, "occurrences"),
        ("tanh(x)", ["tanh(x)"], "proper part"),
        ("tanh(x)", [], "proper part"),
        ("tanh(x)", ["sigmoid(x)"], "list subexpressions"),
        ("tanh(x)", ["tanh(y)"], "in x"),
        ("tanh(2*x - 2*x) + 1", None, "."),
    ],
)
def test_refusals_name_the_fix(formula, cut, fix):
    f = ac.activation(formula, inputs=["x"]) if "- 2*x" in formula else formula
    with pytest.raises(ac.NoDecomposition, match=f"(?s)do: .*{fix}"):
        ac.decompose(f, cut)


@pytest.mark.parametrize("cut", ["factors", 3, b"sum", {"x"}])
def test_wrong_cuts(cut):
    with pytest.raises(ac.ArgumentError, match="product, sum, parts, occurrences"):
        ac.decompose("silu", cut)


def test_what_it_prints():
    made = ac.decompose("silu")
    assert made.tree() == "t1*t2    (product)\n├── t1 = x           reads x1\n└── t2 = sigmoid(x)  reads x2"
    assert str(made).startswith("silu(x) = x*sigmoid(x)\n") and str(made).endswith("[GLU: x1*sigmoid(x2)]")
    assert made._repr_latex_().startswith("$") and made.lifted.name == "silu lifted"
    assert "1.0507" in str(ac.decompose("selu")) and len(str(ac.decompose("selu"))) < 400


def test_what_it_takes():
    def gate(u, beta=2.0):
        return u * ac.sigmoid(beta * u)

    assert str(ac.decompose(gate).lifted.expression) == "x1*sigmoid(beta*x2)"
    assert shape(ac.decompose(sp.Symbol("u") * sp.tanh(sp.Symbol("u"))))[3] == x1 * sp.tanh(x2)
    assert shape(ac.decompose(ac.activation("silu"))) == shape(ac.decompose("silu"))
    with pytest.raises(ac.UnsupportedExpression, match="compiled already"):
        ac.decompose(ac.compile("silu"))


def test_the_names_of_symbols_do_not_matter():
    for own, a, b in (("x", "a", "b"), ("q", "z", "c"), ("b", "x", "a")):
        names = {a: 1.5, b: 2.0}
        f = ac.activation(f"{own}*tanh({a}*{own})*sigmoid({b}*{own})", inputs=[own], parameters=names)
        made = ac.decompose(f)
        u, first, second = (sp.Symbol(name, real=True) for name in (own, a, b))
        assert [term.expression for term in made.terms] == [u, sp.tanh(first * u), fn.sigmoid(second * u)]


def test_hash_seeds_do_not_matter():
    code = (
        "import actcomp as ac\n"
        "for f in ('x*sigmoid(x)*tanh(x)', 'x + sin(x) + x**2 + tanh(x)/3', 'gelu_tanh', 'hardswish', 'softplus'):\n"
        "    for cut in (None, 'occurrences'):\n"
        "        if (f, cut) != ('softplus', 'occurrences'): print(ac.decompose(f, cut))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True,
            check=True, cwd=Path(ac.__file__).parents[1],
        ).stdout
        for seed in ("0", "1", "77")
    }  # fmt: skip
    assert len(printed) == 1 and "reads x4" in printed.pop()


def test_it_is_quick():
    for name in ONE_INPUT:
        start = time.process_time()
        try:
            ac.decompose(name)
        except ac.NoDecomposition:
            pass
        assert time.process_time() - start < 1  # a few milliseconds; this machine may be busy


@pytest.mark.parametrize(
    ("formula", "cut"), [("silu", None), ("elu", None), ("softplus", None), ("x*silu(x)", ["x", "silu"])]
)
def test_a_lifted_activation_compiles_and_verifies(formula, cut):
    report = ac.verify(ac.decompose(formula, cut).lifted, dtypes=("f32",), count=200)
    assert report.passed, str(report)


POINTS = st.lists(st.integers(-1024, 1024).map(lambda n: n / 128), min_size=3, max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(activations(max_depth=3), POINTS)
def test_every_lift_of_any_expression_is_f_on_the_diagonal(f, points):
    for cut in (None, *CUTS):
        try:
            made = ac.decompose(f, cut)
        except ac.NoDecomposition:
            continue
        assert len(made.terms) == len(made.lifted.inputs) >= 2
        assert made.lifted.expression.free_symbols <= {*made.lifted.inputs}
        assert_lift_is(f, made, points)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(activations(max_depth=3), activations(max_depth=2), st.sampled_from(["product", "sum"]), POINTS)
def test_a_product_or_sum_comes_apart_by_its_own_list(f, g, operation, points):
    combined = f.expression * g.expression if operation == "product" else f.expression + g.expression
    if not combined.has(x):
        return
    made = None
    try:
        made = ac.decompose(ac.activation(combined, inputs=["x"]), [f, g])
    except ac.NoDecomposition:
        pass
    if made is not None:
        assert_lift_is(ac.activation(combined, inputs=["x"]), made, points)
