"""The logistic family and tanh: errors against ball arithmetic, special values, symmetry, sharing; tests can fail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
import pytest
from oracle import (
    LEAST_EXPONENT,
    errors_ulps,
    evaluate,
    hard_floats,
    neighbours,
    program_of,
    random_floats,
    worst,
)

from actcomp.program.builder import Builder
from actcomp.program.elementary import exponential, hyperbolic, logarithm, logistic
from actcomp.program.elementary import gate as gates
from actcomp.program.elementary.generate.recipes import recipes
from actcomp.program.elementary.registry import SCALE
from actcomp.program.primitives import NUMPY_TYPE

ROWS = {row.name: row for module in (logistic, gates, hyperbolic) for row in module.ROWS}
TYPES = ("f32", "f64")
INF, NAN = math.inf, math.nan
# Beyond this magnitude all results are subnormal, zero, or their limit.
FAR = {"f32": 110.0, "f64": 760.0}


@dataclass(frozen=True)
class Case:
    """The function and its derivative in balls, the values at -inf, -0, +0, inf, and its symmetry."""

    true: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    limits: tuple[float, float, float, float]
    symmetry: str = ""


def s(x: Any) -> Any:
    return 1 / (1 + (-x).exp())


def gate(x: Any) -> Any:
    n = x.exp() * (x.exp() + 2)
    return n / (n + 2)


def gate_complement(x: Any) -> Any:
    n = x.exp() * (x.exp() + 2)
    return 4 * (n + 1) / (n + 2) ** 2



def gate_rest(x: Any) -> Any:
    return 2 / (1 + (1 + x.exp()) ** 2)


def gate_slope(x: Any) -> Any:
    return gate_complement(x) * s(x)


def log_slope(x: Any) -> Any:
    return gate_complement(x) * s(x) / gate(x)


def log_slope_slope(x: Any) -> Any:
    return log_slope(x) * (s(-x) - 2 * gate(x) * s(x) - log_slope(x))


LOG2 = math.log(2)
CASES = {
    "sigmoid": Case(s, lambda x: s(x) * s(-x), (0.0, 0.5, 0.5, 1.0)),
    "dsigmoid": Case(lambda x: s(x) * s(-x), lambda x: s(x) * s(-x) * (x / 2).tanh(), (0.0, 0.25, 0.25, 0.0), "even"),
    "softplus": Case(lambda x: x.exp().log1p(), s, (0.0, LOG2, LOG2, INF)),
    "logsigmoid": Case(lambda x: -(-x).exp().log1p(), lambda x: s(-x), (-INF, -LOG2, -LOG2, -0.0)),
    "tanh": Case(lambda x: x.tanh(), lambda x: x.sech() ** 2, (-1.0, -0.0, 0.0, 1.0), "odd"),
    "sech2": Case(lambda x: x.sech() ** 2, lambda x: 2 * x.sech() ** 2 * x.tanh(), (0.0, 1.0, 1.0, 0.0), "even"),
    "tanhshrink": Case(lambda x: x - x.tanh(), lambda x: x.tanh() ** 2, (-INF, -0.0, 0.0, INF), "odd"),
    "tanh_softplus": Case(gate, lambda x: gate_complement(x) * s(x), (0.0, 0.6, 0.6, 1.0)),
    "dlog_tanh_softplus": Case(log_slope, log_slope_slope, (1.0, 8 / 15, 8 / 15, 0.0)),
    "one_minus_tanh_softplus": Case(gate_rest, gate_slope, (1.0, 0.4, 0.4, 0.0)),
    "dtanh_softplus": Case(gate_slope, lambda x: gate_slope(x) * (s(-x) - 2 * gate(x) * s(x)), (0.0, 0.32, 0.32, 0.0)),
}


def arguments(name: str, type_: str, thinned: int = 1) -> Any:
    rng = np.random.default_rng(len(name))
    dtype = NUMPY_TYPE[type_]
    x = np.concatenate(
        [
            hard_floats(type_),
            neighbours(ROWS[name].hard_points, type_, steps=10),
            random_floats(type_, 10_000, seed=1),
            rng.uniform(-1.0, 1.0, 4_000).astype(dtype),
            rng.uniform(-10.0, 10.0, 6_000).astype(dtype),
            rng.uniform(-FAR[type_], FAR[type_], 4_000).astype(dtype),
        ]
    )
    return x[::thinned]


def mixed(case: Case, error: float, x: Any) -> float:
    """An error in ULP over 1 + |f'(x)| ulp(x) / ulp(f(x))."""
    ball = flint.arb(float(x))
    value = x.dtype.type(float(case.true(ball)))
    ratio = float(np.spacing(abs(x))) / float(np.spacing(abs(value)))
    return error / (1 + abs(float(case.slope(ball))) * ratio)


DIVISIONS = {"softplus": 0, "logsigmoid": 0}  # where not 1
MIXED = {"dlog_tanh_softplus": 3.5}  # where not 2


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_error_within_bound(name: str, type_: str) -> None:
    case, x = CASES[name], arguments(name, type_)
    y = evaluate(program_of(ROWS[name].lower, type_), x)
    errors = errors_ulps(case.true, y, x)
    place = int(np.argmax(errors))
    assert errors[place] <= ROWS[name].bound_ulps[type_], f"{name}({x[place]}) is {errors[place]} ulp off"
    limit = MIXED.get(name, 2.0)
    for k in np.flatnonzero(errors > limit):
        assert mixed(case, errors[k], x[k]) <= limit, f"{name}({x[k]}) is {errors[k]} ulp off"


SCALED = [name for name, row in ROWS.items() if row.vanishes]


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", SCALED)
def test_scaled_form(name: str, type_: str) -> None:
    """f(x) * 2**scale, also where f(x) alone is subnormal or 0."""
    scale, reach = SCALE[type_], {"f32": 130.0, "f64": 800.0}[type_]
    x = np.random.default_rng(5).uniform(-reach, reach, 6_000).astype(NUMPY_TYPE[type_])
    x = np.concatenate([x, x / 2, neighbours(ROWS[name].hard_points, type_, steps=5)])
    y = evaluate(program_of(ROWS[name].lower, type_, scale=scale), x)
    error, where = worst(lambda x: CASES[name].true(x) * 2**scale, y, x)
    assert error <= ROWS[name].bound_ulps[type_], where
    assert np.isnan(evaluate(program_of(ROWS[name].lower, type_, scale=scale), NAN))


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_special_values(name: str, type_: str) -> None:
    program = program_of(ROWS[name].lower, type_)
    dtype = NUMPY_TYPE[type_].type
    expected = np.array(CASES[name].limits, dtype)
    found = evaluate(program, np.array([-INF, -0.0, 0.0, INF]))
    exact = np.isin(expected, [0.0, 0.25, 0.5, 1.0, -1.0, INF, -INF])
    assert np.array_equal(found[exact], expected[exact]), found
    assert np.array_equal(np.signbit(found), np.signbit(expected)), found
    assert np.allclose(found[~exact], expected[~exact], rtol=1e-6)
    assert np.isnan(evaluate(program, NAN))
    huge = np.nextafter(dtype(INF), dtype(0))
    at_border = evaluate(program, np.array([-huge, huge]))
    ends = expected[[0, 3]]
    assert np.array_equal(at_border, np.where(np.isinf(ends), np.copysign(huge, ends), ends)), at_border


@pytest.mark.parametrize("type_", TYPES)
def test_nan_payloads_survive(type_: str) -> None:
    """A NaN's bits must not leak into an exponent: all NaNs give NaN."""
    dtype = NUMPY_TYPE[type_]
    bits = np.random.default_rng(4).integers(0, 1 << (8 * dtype.itemsize), 4000, dtype=f"u{dtype.itemsize}")
    nans = (bits | np.array(INF, dtype).view(bits.dtype)).view(dtype)
    nans = nans[np.isnan(nans)]
    for name, row in ROWS.items():
        assert np.isnan(evaluate(program_of(row.lower, type_), nans)).all(), name


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.symmetry])
def test_symmetry_bit_for_bit(name: str, type_: str) -> None:
    x = arguments(name, type_)
    program = program_of(ROWS[name].lower, type_)
    y, mirrored = evaluate(program, x), evaluate(program, -x)
    expected = -y if CASES[name].symmetry == "odd" else y
    assert np.array_equal(mirrored.view(f"u{y.itemsize}"), expected.view(f"u{y.itemsize}"))


@pytest.mark.parametrize("type_", TYPES)
def test_tanh_of_subnormals_is_the_argument(type_: str) -> None:
    tiny = math.ldexp(1.0, LEAST_EXPONENT[type_])
    x = (np.arange(-300, 301) * tiny).astype(NUMPY_TYPE[type_])
    assert np.array_equal(evaluate(program_of(hyperbolic.tanh, type_), x), x)


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "tanh_softplus"])
def test_saturation_is_exact(name: str, type_: str) -> None:
    """No result passes 1, and far out it is 1."""
    x = np.concatenate([np.linspace(0, 60, 20_001), np.geomspace(60, 1e30, 500)]).astype(NUMPY_TYPE[type_])
    y = evaluate(program_of(ROWS[name].lower, type_), x)
    assert y.max() == 1.0
    assert (y[x > 40] == 1.0).all()


TABLES = {
    "sigmoid": (logistic.COTH_HALF, 0),
    "logsigmoid": (exponential.EXP, 2),
    "softplus": (logarithm.LOG1P_UNIT, 0),
    "tanh": (hyperbolic.COTH, 0),
    "tanhshrink": (hyperbolic.TANHSHRINK, 0),
}


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", TABLES)
def test_bound_notices_a_wrong_coefficient(name: str, type_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, place = TABLES[name]
    coefficients = list(table[type_])
    number = NUMPY_TYPE[type_].type(coefficients[place])
    coefficients[place] = float(number + 64 * np.spacing(number))
    monkeypatch.setitem(table, type_, tuple(coefficients))
    x = arguments(name, type_, thinned=7)
    error, _ = worst(CASES[name].true, evaluate(program_of(ROWS[name].lower, type_), x), x)
    assert error > ROWS[name].bound_ulps[type_]


@pytest.mark.parametrize(
    ("names", "divisions"),
    [
        (("sigmoid", "dsigmoid"), 2),
        (("tanh_softplus", "dlog_tanh_softplus"), 2),
        *(((name,), DIVISIONS.get(name, 1)) for name in CASES),
    ],
)
def test_functions_share_quotients(names: tuple[str, ...], divisions: int) -> None:
    builder = Builder()
    x = builder.input("x", "f32")
    for name in names:
        builder.output(name, ROWS[name].lower(x))
    # The polynomial of the quotient begins with its last coefficient, once for all of them.
    last = builder.const(logistic.COTH_HALF_F32[-1], "f32").index
    program = builder.build()
    assert program.count().get("div", 0) == divisions
    assert len(program.uses()[last]) <= 1


@pytest.mark.parametrize("name", ROWS)
def test_float32_uses_no_float64(name: str) -> None:
    assert {operation.type for operation in program_of(ROWS[name].lower, "f32").operations} <= {"f32", "i32", "b"}


@pytest.mark.parametrize("type_", TYPES)
def test_the_rests_of_the_gate_belong_to_one_exponential(type_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their rests 2/D and 4N/D**2 are of one e far beyond the last bit, though not of exp(x)."""
    monkeypatch.setattr(flint.ctx, "prec", 300)
    x = np.random.default_rng(11).uniform(-2.0, 6.0, 3_000).astype(NUMPY_TYPE[type_])
    values = {
        name: evaluate(program_of(ROWS[name].lower, type_), x)
        for name in ("one_minus_tanh_softplus", "one_minus_tanh_softplus_rest", "dtanh_softplus", "dtanh_softplus_rest")
    }
    worst = 0.0
    for head, rest, slope, slope_rest in zip(*(column.tolist() for column in values.values()), strict=True):
        d = 2 / (flint.arb(head) + flint.arb(rest))
        e = (d - 1).sqrt() - 1
        worst = max(worst, float(abs(4 * e * (1 + e) / d**2 / (flint.arb(slope) + flint.arb(slope_rest)) - 1)))
    assert worst < {"f32": 2.0**-42, "f64": 2.0**-99}[type_]


OWN_RECIPES = {name: make for name, make in recipes().items() if name.split(".")[0] in ("logistic", "hyperbolic")}


@pytest.mark.parametrize("name", [name for name in OWN_RECIPES if name != "hyperbolic.TANHSHRINK_F64"])  # takes seconds
def test_tables_are_what_the_generator_gives(name: str) -> None:
    module, table = name.split(".")
    assert getattr({"logistic": logistic, "hyperbolic": hyperbolic}[module], table) == OWN_RECIPES[name]().coefficients
