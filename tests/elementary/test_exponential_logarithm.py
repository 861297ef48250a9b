"""exp, expm1, log, log1p, pow: error in ULP against ball arithmetic, special values, and that the tests can fail."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from oracle import (
    LEAST_EXPONENT,
    MANTISSA_BITS,
    errors_ulps,
    evaluate,
    hard_floats,
    neighbours,
    program_of,
    random_floats,
    worst,
)

from actcomp.program.elementary import exponential, logarithm, power
from actcomp.program.elementary.generate.recipes import recipes
from actcomp.program.elementary.registry import SCALE, Elementary
from actcomp.program.primitives import NUMPY_TYPE

ROWS = {row.name: row for module in (exponential, logarithm, power) for row in module.ROWS}
TYPES = ("f32", "f64")
INF, NAN = math.inf, math.nan


@dataclass(frozen=True)
class Case:
    """The function in balls, where it is real, and the range where arguments are drawn evenly."""

    true: Callable[..., Any]
    low: float
    dense: tuple[float, float]


UNARY = {
    "exp": Case(lambda x: x.exp(), -INF, (-104.0, 89.0)),
    "expm1": Case(lambda x: x.expm1(), -INF, (-3.0, 3.0)),
    "expm1shrink": Case(lambda x: x.expm1() - x, -INF, (-3.0, 3.0)),
    "log": Case(lambda x: x.log(), 0.0, (0.3, 4.0)),
    "log1p": Case(lambda x: x.log1p(), -1.0, (-1.0, 3.0)),
}


def true_power(x: Any, y: Any) -> Any:
    return (y * x.log()).exp()


def arguments(name: str, type_: str) -> Any:
    case, row = UNARY[name], ROWS[name]
    rng = np.random.default_rng(len(name))
    widening = 7.0 if (name, type_) == ("exp", "f64") else 1.0
    x = np.concatenate(
        [
            random_floats(type_, 20_000, seed=1),
            hard_floats(type_),
            neighbours(row.hard_points, type_, steps=20),
            rng.uniform(*case.dense, 20_000).astype(NUMPY_TYPE[type_]),
            (widening * rng.uniform(*case.dense, 5_000)).astype(NUMPY_TYPE[type_]),
        ]
    )
    return x[x > case.low]


def power_arguments(type_: str, count: int, seed: int) -> tuple[Any, Any]:
    """Positive bases of every binade and near 1, with exponents whose powers fill the range of the type."""
    dtype = NUMPY_TYPE[type_]
    rng = np.random.default_rng(seed)
    base = np.concatenate(
        [
            np.abs(random_floats(type_, count, seed)),
            rng.uniform(0.5, 2.0, count).astype(dtype),
            (1 + 1e-4 * rng.normal(size=count)).astype(dtype),
            np.abs(hard_floats(type_)),
            neighbours([math.sqrt(0.5), 1.0, math.sqrt(2.0)], type_, steps=20),
        ]
    )
    base = base[(base > 0) & (base != 1)]
    limits = {"f32": (-104.0, 89.0), "f64": (-745.5, 710.0)}[type_]
    with np.errstate(over="ignore"):
        exponent = (rng.uniform(*limits, base.size) / np.log(base.astype(np.float64))).astype(dtype)
    finite = np.isfinite(exponent)
    return base[finite], exponent[finite]


def bound(row: Elementary, type_: str) -> float:
    return row.bound_ulps[type_]


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", UNARY)
def test_error_within_bound(name: str, type_: str) -> None:
    x = arguments(name, type_)
    y = evaluate(program_of(ROWS[name].lower, type_), x)
    error, where = worst(UNARY[name].true, y, x)
    assert error <= bound(ROWS[name], type_), f"{name}({where}) is {error} ulp off"


@pytest.mark.parametrize("type_", TYPES)
def test_power_error_within_bound(type_: str) -> None:
    x, y = power_arguments(type_, 10_000, seed=2)
    result = evaluate(program_of(power.power, type_, 2), x, y)
    error, where = worst(true_power, result, x, y)
    assert error <= bound(ROWS["pow"], type_), f"pow{where} is {error} ulp off"


TABLES = {
    "exp": (exponential.EXP, exponential.LN2),
    "expm1": (exponential.EXPM1, exponential.LN2),
    "expm1shrink": (exponential.EXPM1, exponential.LN2),
    "log": (logarithm.LOG, logarithm.LN2_SHORT),
    "log1p": (logarithm.LOG, logarithm.LN2_SHORT),
    "pow": (power.ATANH, power.THIRD, logarithm.LN2_SHORT),
}
NUDGES = [(name, k, type_) for name, tables in TABLES.items() for k in range(len(tables)) for type_ in TYPES]


@pytest.mark.parametrize(("name", "which", "type_"), NUDGES)
def test_bound_notices_a_wrong_coefficient(name: str, which: int, type_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = TABLES[name][which]
    place = 2 if table is exponential.EXP else 0
    coefficients = list(table[type_])
    number = NUMPY_TYPE[type_].type(coefficients[place])
    coefficients[place] = float(number + 64 * np.spacing(number))
    monkeypatch.setitem(table, type_, tuple(coefficients))
    row = ROWS[name]
    if name == "pow":
        x, y = power_arguments(type_, 300, seed=3)
        error, _ = worst(true_power, evaluate(program_of(row.lower, type_, 2), x, y), x, y)
    else:
        x = arguments(name, type_)[::17]
        error, _ = worst(UNARY[name].true, evaluate(program_of(row.lower, type_), x), x)
    assert error > bound(row, type_)


SPECIAL = {
    "exp": {NAN: NAN, INF: INF, -INF: 0.0, 0.0: 1.0, 1e30: INF, -1e30: 0.0, 5e-324: 1.0},
    "expm1": {NAN: NAN, INF: INF, -INF: -1.0, 0.0: 0.0, 1e30: INF, -1e30: -1.0},
    "expm1shrink": {NAN: NAN, INF: INF, -INF: INF, 0.0: 0.0, 1e30: INF, -1e30: 1e30},
    "log": {NAN: NAN, INF: INF, -INF: NAN, 0.0: -INF, 1.0: 0.0, -1.0: NAN, -1e-40: NAN, -1e30: NAN},
    "log1p": {NAN: NAN, INF: INF, -INF: NAN, 0.0: 0.0, -1.0: -INF, -1.5: NAN, -1e30: NAN},
}
SIGNED = ("expm1", "log1p")


def assert_same(got: Any, expected: float, what: str) -> None:
    assert np.array_equal(got, got.dtype.type(expected), equal_nan=True), f"{what} gives {got}, not {expected}"
    assert math.isnan(expected) or np.signbit(got) == np.signbit(expected), f"{what} gives {got}, not {expected}"


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str, type_: str) -> None:
    program = program_of(ROWS[name].lower, type_)
    for x, expected in SPECIAL[name].items():
        assert_same(evaluate(program, x), expected, f"{name}({x})")
    if name in SIGNED:
        tiny = math.ldexp(1.0, LEAST_EXPONENT[type_])
        for x in (0.0, -0.0, tiny, -tiny):
            assert_same(evaluate(program, x), x, f"{name}({x})")
    minus_zero = evaluate(program, -0.0)
    assert_same(minus_zero, {"exp": 1.0, "expm1shrink": 0.0, "log": -INF}.get(name, -0.0), f"{name}(-0)")


@pytest.mark.parametrize("type_", TYPES)
def test_nan_payloads_survive(type_: str) -> None:
    """A NaN's bits must not leak into an exponent: all NaNs give NaN."""
    dtype = NUMPY_TYPE[type_]
    bits = np.random.default_rng(4).integers(0, 1 << (8 * dtype.itemsize), 4000, dtype=f"u{dtype.itemsize}")
    nans = (bits | np.array(INF, dtype).view(bits.dtype)).view(dtype)
    nans = nans[np.isnan(nans)]
    for name in UNARY:
        assert np.isnan(evaluate(program_of(ROWS[name].lower, type_), nans)).all(), name
    assert np.isnan(evaluate(program_of(power.power, type_, 2), nans, dtype.type(2))).all()
    assert np.isnan(evaluate(program_of(power.power, type_, 2), dtype.type(2), nans)).all()


POWER_SPECIAL_BASES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, INF, -INF, NAN)
POWER_SPECIAL_EXPONENTS = (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 2.5, INF, -INF, NAN)


def power_by_the_standard(x: float, y: float) -> float:
    """C99, annex F.9.4.4, for arguments whose finite powers are exact."""
    if y == 0 or x == 1:
        return 1.0
    if math.isnan(x) or math.isnan(y):
        return NAN
    whole = math.isinf(y) or y == math.floor(y)
    odd = math.isfinite(y) and whole and y % 2 == 1
    sign = -1.0 if odd and math.copysign(1, x) < 0 else 1.0
    if math.isinf(y):
        if abs(x) == 1:
            return 1.0
        return INF if (abs(x) > 1) == (y > 0) else 0.0
    if x == 0 or math.isinf(x):
        return math.copysign(INF if (x == 0) == (y < 0) else 0.0, sign)
    if x < 0 and not whole:
        return NAN
    return sign * 2.0 ** (math.log2(abs(x)) * y)


@pytest.mark.parametrize("type_", TYPES)
def test_power_special_values(type_: str) -> None:
    program = program_of(power.power, type_, 2)
    for x, y in itertools.product(POWER_SPECIAL_BASES, POWER_SPECIAL_EXPONENTS):
        got, expected = evaluate(program, x, y), power_by_the_standard(x, y)
        inexact = math.isfinite(expected) and expected not in (0.0, 1.0) and y != math.floor(y)
        if inexact:
            assert abs(got / expected - 1) < 1e-6, (x, y)
        else:
            assert_same(got, expected, f"pow({x}, {y})")


@pytest.mark.parametrize("type_", TYPES)
def test_power_is_exact_where_the_result_is(type_: str) -> None:
    program = program_of(power.power, type_, 2)
    dtype = NUMPY_TYPE[type_].type
    digits = MANTISSA_BITS[type_]
    pairs = [(b, e) for b in range(2, 300) for e in range(1, 40) if (b**e).bit_length() <= digits]
    x, y = np.array(pairs, dtype).T
    exact = np.array([float(b**e) for b, e in pairs], dtype)
    assert np.array_equal(evaluate(program, x, y), exact)
    assert np.array_equal(evaluate(program, -x, y), np.where(y % 2 == 1, -exact, exact))
    # Odd and even at the border where every float is an integer, and the last odd one.
    last_odd = 2.0**digits - 1
    assert_same(evaluate(program, -1.0, last_odd), -1.0, "odd")
    assert_same(evaluate(program, -1.0, last_odd + 1), 1.0, "even")


@pytest.mark.parametrize("type_", TYPES)
def test_scaled_exp(type_: str) -> None:
    """exp(x) * 2**scale where exp alone is subnormal, 0, usual, or infinite."""
    scale, lowest = SCALE[type_], {"f32": -160.0, "f64": -850.0}[type_]
    x = np.random.default_rng(5).uniform(lowest, 60.0, 10_000).astype(NUMPY_TYPE[type_])
    y = evaluate(program_of(exponential.exp, type_, scale=scale), x)
    error, where = worst(lambda x: x.exp() * 2**scale, y, x)
    assert error <= bound(ROWS["exp"], type_), where
    for special, expected in ((NAN, NAN), (INF, INF), (-INF, 0.0)):
        assert_same(evaluate(program_of(exponential.exp, type_, scale=scale), special), expected, f"{special}")


@pytest.mark.parametrize("type_", TYPES)
def test_exp_core_with_a_low_part(type_: str) -> None:
    """The low part counts where x has few places after the point, and is not looked at where the result is settled."""
    dtype = NUMPY_TYPE[type_]
    rng = np.random.default_rng(6)
    x = rng.uniform(*{"f32": (-103.0, 88.0), "f64": (-744.0, 709.0)}[type_], 10_000).astype(dtype)
    low = (np.spacing(x) * rng.uniform(-0.5, 0.5, x.size)).astype(dtype)
    program = program_of(exponential.exp_core, type_, 2)
    assert worst(lambda x, low: (x + low).exp(), evaluate(program, x, low), x, low)[0] <= 1.0
    assert_same(evaluate(program, -INF, NAN), 0.0, "exp_core(-inf, nan)")
    assert_same(evaluate(program, -1e30, NAN), 0.0, "exp_core(-1e30, nan)")


@pytest.mark.parametrize("type_", TYPES)
def test_log1p_core(type_: str) -> None:
    """Used for softplus; at most 1.2 ulp off."""
    dtype = NUMPY_TYPE[type_]
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.uniform(0, 1, 20_000), 2.0 ** -rng.uniform(0, 120, 5_000), [0.0, 1.0]]).astype(dtype)
    assert errors_ulps(lambda x: x.log1p(), evaluate(program_of(logarithm.log1p_core, type_), x), x).max() <= 1.2


@pytest.mark.parametrize("name", ROWS)
def test_float32_uses_no_float64(name: str) -> None:
    row = ROWS[name]
    assert {operation.type for operation in program_of(row.lower, "f32", row.arity).operations} <= {"f32", "i32", "b"}


OWN_RECIPES = {name: make for name, make in recipes().items() if name.split(".")[0] in ("exponential", "power")}
# The float64 polynomials of degree 19 take seconds; their float32 siblings go through the same code.
OWN_RECIPES |= {
    name: make for name, make in recipes().items() if name in ("logarithm.LOG_F32", "logarithm.LN2_SHORT_F64")
}


@pytest.mark.parametrize("name", OWN_RECIPES)
def test_tables_are_what_the_generator_gives(name: str) -> None:
    module, table = name.split(".")
    modules = {"exponential": exponential, "logarithm": logarithm, "power": power}
    assert getattr(modules[module], table) == OWN_RECIPES[name]().coefficients
