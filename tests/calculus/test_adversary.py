"""Adversaries: each rule's derivative by balls, continuity, anchors, closed and certified forms, refusals."""

from __future__ import annotations

import pickle
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from flint import arb
from hypothesis import HealthCheck, given, settings

import actcomp as ac
from actcomp.calculus.adversary import adversary, at_defaults
from actcomp.calculus.ball_nodes import Undecided
from actcomp.calculus.balls import BallFunction, OutsideDomain, Singular, working
from actcomp.calculus.places import place
from actcomp.calculus.proof import prove
from actcomp.testing import activations

ONE_INPUT = [name for name in ac.CATALOG if "glu" not in name]
x = sp.Symbol("x", real=True)
EPS = place(sp.Rational(1, 10)).ball
POINTS = [Fraction(k, 8) + Fraction(1, 97) for k in range(-72, 73)]
# what the catalog gives by each rule; everything else is exact
CERTIFIED = {("inverse", name) for name in ("gelu", "gelu_tanh", "silu", "swish", "mish", "snake")}
REFUSED = {
    ("reciprocal", "gelu"): ac.NotMonotone, ("reciprocal", "gelu_tanh"): ac.NotMonotone,
    ("reciprocal", "silu"): ac.NotMonotone, ("reciprocal", "swish"): ac.NotMonotone,
    ("reciprocal", "mish"): ac.NotMonotone, ("reciprocal", "hardswish"): ac.NotMonotone,
    ("reciprocal", "snake"): ac.NoClosedForm,
    ("inverse", "tanhshrink"): ac.NotMonotone,
}  # fmt: skip


REFUSALS = (ac.UnboundedImage, ac.NotMonotone, ac.NoClosedForm, ac.UndecidedImage, ac.UnsupportedExpression)


def series(function, point, terms=2):
    try:
        found = function.series([point], [1], terms, 300)
    except (Undecided, Singular, OutsideDomain):
        return None
    return found if all(c.is_finite() for c in found) else None


def of_one_input(expression):
    return BallFunction(expression, [next(iter(expression.free_symbols))] if expression.free_symbols else [x])


def require_rule(f, star):
    """(f*)' at many points is what the rule says, and f*(0) what the anchor says."""
    expression, symbol = at_defaults(f)
    plain, _ = at_defaults(star)
    ours, theirs = BallFunction(expression, [symbol]), BallFunction(plain, [symbol])
    constants = {key: place(value).ball for key, value in star.constants.items()}
    checked = 0
    with working(300, 2):
        for point in POINTS:
            opposed, slope = series(theirs, point), series(ours, point)
            if opposed is None or slope is None:
                continue
            if star.rule == "reflect":
                due = constants["s"] - slope[1]
            elif star.rule == "negate":
                due = -slope[1]
            elif star.rule == "reciprocal":
                rising = float(star.image.infimum) >= 0
                due = constants["kappa"] / max(slope[1], EPS) if rising else constants["kappa"] / min(slope[1], -EPS)
            else:
                continue
            tolerance = arb("1e-30") if star.label == "exact" else arb("1e-9")
            assert abs(opposed[1] - due) < tolerance * (1 + abs(due)), (f, star.rule, point)
            checked += 1
    return checked


def require_continuous(star):
    plain, symbol = at_defaults(star)
    function = BallFunction(plain, [symbol])
    with working(300, 1):
        for condition in plain.atoms(sp.core.relational.Relational):
            border = condition.rhs if condition.rhs.is_number else condition.lhs
            at = arb(str(sp.N(border, 60)))
            sides = [series(function, (at + side * arb("1e-40")).mid(), 1) for side in (-1, 1)]
            if None not in sides:
                tolerance = arb("1e-25") if star.label == "exact" else arb("1e-9")
                assert abs(sides[0][0] - sides[1][0]) < tolerance * (1 + abs(sides[0][0])), (star, border)


@pytest.mark.parametrize("name", ONE_INPUT)
@pytest.mark.parametrize("rule", ["reflect", "reciprocal", "inverse", "negate"])
def test_catalog(rule, name):
    f = ac.activation(name)
    if (rule, name) in REFUSED:
        with pytest.raises(REFUSED[rule, name], match="do: use rule="):
            ac.adversary(f, rule=rule)
        return
    star = ac.adversary(f, rule=rule)
    assert star.label == ("certified" if (rule, name) in CERTIFIED else "exact")
    assert star.distance <= Fraction(1, 10**9) and (star.distance == 0) == (star.label == "exact")
    if rule != "inverse":
        assert require_rule(f, star) > 100
    require_continuous(star)
    zero, mirrored = ac.compile(f)(np.zeros(1))[0], star.sign_symmetric == "f*(x) = -f(-x)"
    expected = -zero if mirrored else zero
    assert ac.compile(star)(np.zeros(1))[0] == pytest.approx(expected, abs=1e-15)
    assert str(pickle.loads(pickle.dumps(star))) == str(star)


@pytest.mark.parametrize("name", [n for n in ONE_INPUT if ("inverse", n) not in REFUSED])
def test_inverse_undoes(name):
    """f*(f(x) - f(0)) = x + f(0) and slopes multiply to 1 where f' >= eps between 0 and x."""
    f = ac.activation(name)
    star = ac.adversary(f, rule="inverse")
    expression, symbol = at_defaults(f)
    ours, theirs = BallFunction(expression, [symbol]), of_one_input(at_defaults(star)[0])
    offset = ours.series([0], [1], 1, 300)[0]
    checked = 0
    with working(300, 2):
        for side in (1, -1):
            for point in (p for p in POINTS[::side] if p * side > 0):
                at = series(ours, point)
                if at is None or not at[1] > EPS:
                    break
                back = series(theirs, (at[0] - offset).mid())
                if back is None:
                    continue
                tolerance = arb("1e-20") if star.label == "certified" else arb("1e-60")
                assert abs(back[0] - offset - arb(point.numerator) / point.denominator) < tolerance * 100
                assert abs(back[1] * at[1] - 1) < tolerance * 100
                checked += 1
    assert checked > 5


def test_reflecting_twice():
    for name in ("mish", "tanh", "elu", "silu", "sigmoid"):
        f = ac.activation(name)
        twice = ac.adversary(ac.adversary(f))
        difference = at_defaults(twice)[0] - at_defaults(f)[0]
        values = [BallFunction(difference, [x]).series([p], [1], 1, 200)[0] for p in (-3, -1, 2, 5)]
        assert all(abs(v - values[0]) < arb("1e-25") for v in values)


def test_anchors():
    for anchor, at_zero in (("auto", 0.5), ("value", 0.5), ("negative", -0.5), ("zero", 0.0), (2.5, 2.5)):
        for rule in ("reflect", "reciprocal", "inverse"):
            star = ac.adversary("sigmoid", rule=rule, anchor=anchor)
            assert ac.compile(star)(np.zeros(1))[0] == pytest.approx(at_zero, abs=1e-15)
    assert ac.adversary("softplus").sign_symmetric == "f*(x) = -f(-x)"
    assert ac.adversary("softplus", anchor="value").sign_symmetric is None


def test_linear_functions_oppose_to_themselves():
    for rule in ("reflect", "reciprocal", "inverse", "negate"):
        star = ac.adversary("3*x + 1", rule=rule)
        assert star.expression == 3 * x + 1 and star.sign_symmetric == "f*(x) = f(x)"


def test_linear_functions_heed_the_anchor():
    for anchor, constant in (("auto", 1), ("value", 1), ("negative", -1), ("zero", 0), (2.5, 2.5)):
        star = ac.adversary("3*x + 1", anchor=anchor)
        assert star.expression == 3 * x + sp.Rational(str(constant))
    assert ac.adversary("3*x + 1", anchor="negative").sign_symmetric == "f*(x) = -f(-x)"
    moved = ac.adversary("a*x + b", parameters={"a": 2.0, "b": 1.0}, anchor="zero")
    assert str(moved.expression) == "a*x" and [p.name for p in moved.parameters] == ["a"]


JUMPING = (
    "where(x<0, -1, 1 + x)",
    "where(x<=0, -1, 1 + x)",
    "x + sign(x)",
    "where(x<0, x, 2*x + 1)",
    "x + where(x>3, 1, 0)",
)


@pytest.mark.parametrize("formula", JUMPING)
def test_what_jumps_says_so(formula):
    at = "3" if "3" in formula else "0"
    for rule, word in (("reflect", "and so does f*"), ("negate", "and so does f*"), ("reciprocal", "f* does not")):
        star = ac.adversary(formula, rule=rule)
        assert star.warnings == (f"f jumps at {at}, {word}",)
        require_rule(ac.activation(formula), star)
    require_continuous(ac.adversary(formula, rule="reciprocal"))
    if formula == JUMPING[0]:  # flat where it jumps down
        require_continuous(ac.adversary(formula, rule="inverse"))
    else:
        with pytest.raises(ac.NotMonotone, match="jumps"):
            ac.adversary(formula, rule="inverse")


def test_no_inverse_at_a_turn():
    for formula in ("abs(x)", "max(-2*x, x)"):
        with pytest.raises(ac.NotMonotone, match="rises on one side of 0"):
            ac.adversary(formula, rule="inverse")


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("x**3 + x", {}), ("x**3 + x", {"mode": "split"}), ("exp(x)", {}), ("x*exp(x)", {"mode": "split"}),
        ("x**2", {"rule": "inverse"}), ("x**2", {"rule": "reciprocal"}), ("x + sin(x)/2", {"rule": "reciprocal"}),
        ("mish", {"rule": "reciprocal"}), ("silu", {"rule": "reciprocal", "mode": "split", "cut": "occurrences"}),
    ],
)  # fmt: skip
def test_advised_rules_are_not_refused(formula, options):
    try:
        ac.adversary(formula, **options)
    except REFUSALS as refusal:
        advised = [name for name in ("reflect", "reciprocal", "inverse", "negate") if f"rule={name!r}" in refusal.do]
        assert advised
        for rule in advised:
            ac.adversary(formula, **{**options, "rule": rule})


def test_a_constant_is_taken_up_by_biases():
    for formula, options, form in (
        ("softplus", {"rule": "negate"}, "-f(x)"), ("softplus", {"anchor": "value"}, "-f(-x)"),
        ("mish(x) + 1", {"rule": "negate"}, "-f(x)"),
    ):  # fmt: skip
        star = ac.adversary(formula, **options)
        assert star.sign_symmetric is None and star.reason.startswith(f"f*(x) = {form} + constant")
    assert "changes the network" in ac.adversary("elu", anchor="value").reason


def test_the_proof_fails_where_it_must():
    with pytest.raises(ac.ProofFailed, match="slope"):
        prove(sp.tanh(x), 1 - sp.tanh(x), x, "f*", ())
    late = sp.Piecewise((x, x < 10), (2 * x - 10, True))
    with pytest.raises(ac.ProofFailed, match="slope"):
        prove(late, sp.Integer(1), x, "f*", ())
    with pytest.raises(ac.ProofFailed, match="jumps at 0"):
        prove(x + sp.sign(x), sp.Integer(1), x, "f*", ())
    found = prove(x + sp.sign(x), sp.Integer(1), x, "f*", (place(0),))
    assert found.undecided == () and [float(one) for one in found.jumps] == [0.0]
    assert prove(sp.sin(x**2) + sp.Abs(sp.sin(x**2)), 0 * x, x, "f*", ()).undecided


def test_parameters():
    star = ac.adversary("elu")
    assert [p.name for p in star.parameters] == ["alpha"] and star.constants["s"] == 1
    assert ac.adversary("elu", rule="reciprocal").parameters == ()
    assert ac.adversary("elu", rule="reciprocal", parameters={"alpha": 2.0}).defaults == {"alpha": 2.0}
    swish = ac.adversary("swish")
    assert swish.mirror is not None and [p.name for p in swish.parameters] == ["beta"]
    followed = ac.adversary("leaky_relu", differentiate_image=True)
    assert followed.constants["s"] == 1 + sp.Symbol("slope", real=True)
    with pytest.raises(ac.NoClosedForm, match="differentiate_image"):
        ac.adversary("x*sigmoid(b*x + b**2)", parameters={"b": 1.0}, differentiate_image=True)


def test_split():
    star = ac.adversary("x*sigmoid(x)*tanh(x)", rule="reflect", mode="split")
    assert len(star.inputs) == 3 == len(star.terms)
    assert star.terms[0].expression == x  # linear terms oppose to themselves
    assert "grows like" in star.warnings[0]
    gate = ac.adversary("silu", rule="inverse", mode="split")
    a, b = np.linspace(-2, 2, 9), np.linspace(-0.3, 0.3, 9)
    term = ac.compile(ac.adversary("sigmoid", rule="inverse"))
    assert np.allclose(ac.compile(gate)(a, b), a * term(b), rtol=1e-14)
    with pytest.raises(ac.NoDecomposition):
        ac.adversary("relu", mode="split")
    with pytest.raises(ac.ArgumentError, match="split"):
        ac.adversary("silu", cut="product")


def test_wrong_arguments():
    for options, word in (
        ({"rule": "oppose"}, "reflect"), ({"mode": "local"}, "split"), ({"anchor": "middle"}, "anchor"),
        ({"eps": -1}, "positive"), ({"eps": 0}, "positive"), ({"rule": "reciprocal", "eps": "a"}, "positive"),
    ):  # fmt: skip
        with pytest.raises(ac.ArgumentError, match=word):
            ac.adversary("tanh", **options)
    with pytest.raises(ac.UnboundedImage, match="do:"):
        ac.adversary("exp(x)")
    with pytest.raises(ac.UnsupportedExpression, match="2 inputs"):
        ac.adversary("glu")


def test_inverse_of_a_product():
    star = ac.adversary("x*(x - 3)", rule="inverse")
    y = np.array([-0.5, 0.0, 1.0])
    found = ac.compile(star)(y)
    assert np.allclose(found * (found - 3), y, rtol=1e-14)


def test_epsilon():
    steep = ac.adversary("tanh", rule="inverse", eps=0.01)
    assert ac.compile(steep).backward(np.array([5.0]), np.ones(1))[0] == pytest.approx(100)
    assert ac.adversary("tanhshrink", rule="reciprocal", eps=0.5).constants["eps"] == sp.Rational(1, 2)


def test_rules_of_the_user():
    ac.register_rule("test_halves", lambda slope, image: image.supremum.value - slope / 2, replace=True)
    star = ac.adversary("tanh", rule="test_halves")
    assert star.label == "exact" and sp.simplify(star.expression - (x - sp.tanh(x) / 2)) == 0
    with pytest.raises(ac.ArgumentError, match="already"):
        ac.register_rule("test_halves", lambda slope, image: slope)
    with pytest.raises(ac.ArgumentError, match="already"):
        ac.register_rule("reflect", lambda slope, image: slope, replace=True)
    ac.register_rule("test_nonsense", lambda slope, image: "slope", replace=True)
    with pytest.raises(ac.UnsupportedExpression, match="SymPy expression"):
        ac.adversary("tanh", rule="test_nonsense")


@pytest.mark.parametrize(
    ("slope", "word"),
    [
        (lambda slope, image: 1 / 0, "raised ZeroDivisionError"), (lambda slope, image: image.middle, "middle"),
        (lambda slope, image: image["sum"], "raised TypeError"), (lambda slope, image: True, "gave bool"),
        (lambda slope, image: None, "gave NoneType"), (lambda slope, image: slope > 0, "gave StrictGreaterThan"),
        (lambda slope, image: slope + float("nan"), "not finite"), (lambda slope, image: sp.oo, "not finite"),
        (lambda slope, image: sp.gamma(slope), "the slope that the rule test_mistaken gave contains gamma"),
    ],
)  # fmt: skip
def test_mistakes_in_rules_of_the_user(slope, word):
    ac.register_rule("test_mistaken", slope, replace=True)
    with pytest.raises(ac.UnsupportedExpression, match="(?s)test_mistaken.*do:") as raised:
        ac.adversary("tanh", rule="test_mistaken")
    assert word in str(raised.value)


def test_rules_of_the_user_take_two_arguments():
    for slope in (lambda slope: slope, lambda slope, image, more: slope, lambda: 0):
        with pytest.raises(ac.ArgumentError, match="two arguments"):
            ac.register_rule("test_arguments", slope)

    def refusing(slope, image):
        raise ac.NotMonotone("no")

    ac.register_rule("test_refusing", refusing, replace=True)
    with pytest.raises(ac.NotMonotone, match="do: use rule="):
        ac.adversary("tanh", rule="test_refusing")


def test_what_does_not_close_is_certified():
    for formula in ("x + tanh(x)/2", "erf(x)", "x + exp(-x**2)/2", "x + sqrt(x**2 + 1/4)"):
        star = ac.adversary(formula, rule="reciprocal")
        assert star.label == "certified" and 0 < star.distance <= Fraction(1, 10**9)
        assert require_rule(ac.activation(formula), star) > 100
        require_continuous(star)


counted: Counter[str] = Counter()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(activations(max_depth=3))
def test_random_functions(f):
    for rule in ("reflect", "reciprocal"):
        try:
            star = adversary(f, rule)
        except REFUSALS as refusal:
            assert refusal.do
            counted[f"{rule}: {type(refusal).__name__}"] += 1
            continue
        counted[f"{rule}: {star.label}"] += 1
        if star.mode == "global" and star.image is not None:
            require_rule(f, star)
