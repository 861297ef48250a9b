"""sin, cos, atan, erf, erfc, Phi, phi: errors against ball arithmetic, special values, symmetry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import flint
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
)

from actcomp.program.builder import Value
from actcomp.program.elementary import error_functions, normal, trigonometric
from actcomp.program.elementary.generate.recipes import recipes
from actcomp.program.elementary.registry import SCALE
from actcomp.program.primitives import NUMPY_TYPE

ROWS = {row.name: row for module in (trigonometric, normal, error_functions) for row in module.ROWS}
TYPES = ("f32", "f64")
INF, NAN = math.inf, math.nan


def true_density(x: Any) -> Any:
    return (-x * x / 2).exp() / (2 * flint.arb.pi()).sqrt()


def true_distribution(x: Any) -> Any:
    return (-x / flint.arb(2).sqrt()).erfc() / 2


@dataclass(frozen=True)
class Case:
    """The function in balls, ranges of evenly drawn arguments, and the slope where the mixed error is promised."""

    true: Callable[[Any], Any]
    dense: tuple[float, ...]
    slope: Callable[[Any], Any] | None = None


CASES = {
    "sin": Case(lambda x: x.sin(), (2.0, 200.0, 65000.0)),
    "cos": Case(lambda x: x.cos(), (2.0, 200.0, 65000.0)),
    "atan": Case(lambda x: x.atan(), (1.2, 5.0)),
    "erf": Case(lambda x: x.erf(), (1.1, 6.0)),
    "erfc": Case(lambda x: x.erfc(), (1.0, 10.0, 27.5)),
    "Phi": Case(true_distribution, (2.5, 15.0, 39.0), true_density),
    "phi": Case(true_density, (2.5, 15.0, 39.0), lambda x: -x * true_density(x)),
}
# Largest distance from a quarter turn's multiple among these is 2**-28 (f32), 2**-60 (f64): continued fractions of pi.
NEAR_QUARTER_TURNS = (
    float.fromhex("0x1.47d0fep34"),
    float.fromhex("0x1.6ac5b262ca1ffp849"),
    16367173 * 2.0**72,
    6381956970095103 * 2.0**797,
    float.fromhex("0x1.921fb54442d18p0"),
    float.fromhex("0x1.921fb6p0"),
)


def arguments(name: str, type_: str, count: int) -> Any:
    dtype = NUMPY_TYPE[type_]
    rng = np.random.default_rng(len(name))
    pieces = [random_floats(type_, count, seed=7), hard_floats(type_), neighbours(ROWS[name].hard_points, type_, 20)]
    pieces += [rng.uniform(-r, r, count // 2).astype(dtype) for r in CASES[name].dense]
    if name in ("sin", "cos"):
        turns = np.concatenate([np.arange(1, 60), rng.integers(60, 2**22, 200), 2 ** np.arange(6, 40)])
        with np.errstate(over="ignore"):
            special = np.array(NEAR_QUARTER_TURNS).astype(dtype)
        pieces += [neighbours(turns * (math.pi / 2), type_, 1), special[np.isfinite(special)]]
    return np.concatenate(pieces)


def ulp_exponent(value: Any, type_: str) -> int:
    mantissa, exponent = value.mid().man_exp()
    top = int(exponent) + int(mantissa).bit_length() if mantissa else -(10**9)
    return max(top - MANTISSA_BITS[type_], LEAST_EXPONENT[type_])


def conditions(case: Case, type_: str, x: Any) -> Any:
    """1 + |f'(x)| ulp(x) / ulp(f(x)): by what the mixed error is smaller than the error in ULP."""
    if case.slope is None:
        return np.ones(x.size)
    factors = []
    for number in map(flint.arb, x.tolist()):
        step = ulp_exponent(number, type_) - ulp_exponent(case.true(number), type_)
        factors.append(1 + float((abs(case.slope(number)) * flint.arb(2) ** step).mid()))
    return np.array(factors)


def worst_error(name: str, type_: str, x: Any, y: Any, scale: int = 0) -> tuple[float, str]:
    case = CASES[name]
    errors = errors_ulps(lambda v: case.true(v) * flint.arb(2) ** scale, y, x) / conditions(case, type_, x)
    place = int(np.argmax(errors))
    return float(errors[place]), f"{name}({float(x[place]).hex()})"


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_error_within_bound(name: str, type_: str) -> None:
    x = arguments(name, type_, 10_000)
    error, where = worst_error(name, type_, x, evaluate(program_of(ROWS[name].lower, type_), x))
    assert error <= ROWS[name].bound_ulps[type_], f"{where} is {error} off"


TABLES: dict[str, tuple[tuple[ModuleType, str], ...]] = {
    "sin": ((trigonometric, "SIN"), (trigonometric, "PI")),
    "cos": ((trigonometric, "SIN"), (trigonometric, "PI")),
    "atan": ((trigonometric, "ATAN"), (trigonometric, "HALF_PI")),
    "erf": ((error_functions, "NEAR"), (error_functions, "FAR"), (error_functions, "EXP2")),
    "erfc": ((error_functions, "NUMERATOR"), (error_functions, "DENOMINATOR"), (error_functions, "INVERSE_SQRT_PI")),
    "Phi": ((normal, "NUMERATOR"), (normal, "DENOMINATOR"), (normal, "EXP2")),
    "phi": ((normal, "EXP2"),),
}
NUDGES = [
    (name, module, table, type_) for name, tables in TABLES.items() for module, table in tables for type_ in TYPES
]


@pytest.mark.parametrize(("name", "module", "table", "type_"), NUDGES)
def test_bound_notices_a_wrong_coefficient(
    name: str, module: ModuleType, table: str, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    coefficients = list(getattr(module, table)[type_])
    place = 2 if table == "FAR" else 1 if coefficients[0] in (0.5, 1.0) else 0
    number = NUMPY_TYPE[type_].type(coefficients[place])
    coefficients[place] = float(number + 64 * np.spacing(number))
    monkeypatch.setitem(getattr(module, table), type_, tuple(coefficients))
    x = arguments(name, type_, 3000)
    x = x[(np.abs(x) > 1e-3) & (np.abs(x) < 100)][::5]
    error, _ = worst_error(name, type_, x, evaluate(program_of(ROWS[name].lower, type_), x))
    assert error > ROWS[name].bound_ulps[type_]


HALF_PI = math.pi / 2
SPECIAL = {
    "sin": {NAN: NAN, INF: NAN, -INF: NAN, 0.0: 0.0},
    "cos": {NAN: NAN, INF: NAN, -INF: NAN, 0.0: 1.0},
    "atan": {NAN: NAN, INF: HALF_PI, -INF: -HALF_PI, 0.0: 0.0, 1e30: HALF_PI, -1e30: -HALF_PI},
    "erf": {NAN: NAN, INF: 1.0, -INF: -1.0, 0.0: 0.0, 1e30: 1.0, -1e30: -1.0},
    "erfc": {NAN: NAN, INF: 0.0, -INF: 2.0, 0.0: 1.0, 1e30: 0.0, -1e30: 2.0},
    "Phi": {NAN: NAN, INF: 1.0, -INF: 0.0, 0.0: 0.5, 1e30: 1.0, -1e30: 0.0},
    "phi": {NAN: NAN, INF: 0.0, -INF: 0.0, 1e30: 0.0, -1e30: 0.0},
}


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str, type_: str) -> None:
    program = program_of(ROWS[name].lower, type_)
    points = [*SPECIAL[name], -0.0]  # in a dict both zeros are one
    for x in points:
        value = SPECIAL[name].get(x, NAN) if not math.isnan(x) else NAN
        if x == 0 and name == "phi":
            continue
        expected = NUMPY_TYPE[type_].type(math.copysign(value, x) if x == 0 and value == 0 else value)
        got = evaluate(program, x)
        assert np.array_equal(got, expected, equal_nan=True), f"{name}({x}) gives {got}"
        assert np.isnan(expected) or np.signbit(got) == np.signbit(expected), f"{name}({x}) gives {got}"


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_nan_payloads_survive(name: str, type_: str) -> None:
    dtype = NUMPY_TYPE[type_]
    bits = np.random.default_rng(4).integers(0, 1 << (8 * dtype.itemsize), 1000, dtype=f"u{dtype.itemsize}")
    nans = (bits | np.array(INF, dtype).view(bits.dtype)).view(dtype)
    nans = nans[np.isnan(nans)]
    assert np.isnan(evaluate(program_of(ROWS[name].lower, type_), nans)).all()


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize(
    ("name", "odd"), [("sin", True), ("atan", True), ("erf", True), ("cos", False), ("phi", False)]
)
def test_symmetry_bit_for_bit(name: str, odd: bool, type_: str) -> None:
    program = program_of(ROWS[name].lower, type_)
    x = arguments(name, type_, 20_000)
    y, mirrored = evaluate(program, x), evaluate(program, -x)
    bits = f"u{y.dtype.itemsize}"
    assert np.array_equal((-mirrored if odd else mirrored).view(bits), y.view(bits))


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", ["erfc", "Phi", "phi"])
def test_scaled(name: str, type_: str) -> None:
    """The value times 2**scale where the value is subnormal, and where it is usual."""
    scale = SCALE[type_]
    low, high = {"f32": (8.0, 14.9), "f64": (25.0, 38.9)}[type_]
    if name == "erfc":
        low, high = low / math.sqrt(2), high / math.sqrt(2)
    x = np.random.default_rng(5).uniform(low, high, 3000).astype(NUMPY_TYPE[type_])
    x = np.concatenate([-x if name == "Phi" else x, arguments(name, type_, 1000)])
    x = x[np.abs(x) < high]
    y = evaluate(program_of(ROWS[name].lower, type_, scale=scale), x)
    case = Case(
        lambda v: CASES[name].true(v) * flint.arb(2) ** scale,
        (),
        None if CASES[name].slope is None else lambda v: CASES[name].slope(v) * flint.arb(2) ** scale,  # type: ignore[misc]
    )
    errors = errors_ulps(case.true, y, x) / conditions(case, type_, x)
    assert errors.max() <= ROWS[name].bound_ulps[type_], float(x[errors.argmax()]).hex()
    for special in (INF, -INF, NAN):
        got = evaluate(program_of(ROWS[name].lower, type_, scale=scale), special)
        assert np.array_equal(got, NUMPY_TYPE[type_].type(SPECIAL[name][special] * 2.0**scale), equal_nan=True) or (
            math.isnan(special) and np.isnan(got)
        )


def test_float32_uses_no_float64() -> None:
    for name, row in ROWS.items():
        assert all(operation.type != "f64" for operation in program_of(row.lower, "f32").operations), name


def test_programs_stay_short() -> None:
    """Operations, slow paths included and bitcasts left out: a change that costs speed has to be meant."""

    def size(name: str) -> int:
        count = program_of(ROWS[name].lower, "f32").count()
        return sum(count.values()) - count["bitcast"]

    sizes = {name: size(name) for name in ("Phi", "phi", "erf", "atan")}
    assert sizes == {"Phi": 35, "phi": 21, "erf": 32, "atan": 21}


def test_sine_and_cosine_do_not_exceed_one() -> None:
    """All float32 near quarter turns, where roundings would carry a polynomial aimed at the middle beyond 1."""
    near = np.arange(0x3FC40000, 0x3FCE0000, dtype=np.uint32).view(np.float32)
    for lower, x in ((ROWS["sin"].lower, near), (ROWS["cos"].lower, np.linspace(0, 0.1, 100_000, dtype=np.float32))):
        assert evaluate(program_of(lower, "f32"), x).max() == 1


def test_one_exponential_for_both() -> None:
    def gelu_slope(x: Value) -> Value:
        return normal.distribution(x) + x * normal.density(x)

    def fmas(lower: Callable[[Value], Value]) -> int:
        return program_of(lower, "f32").count()["fma"]

    assert fmas(gelu_slope) == fmas(normal.distribution)


def test_tables_are_what_the_generator_makes() -> None:
    known = recipes()
    for name in ("SIN_F32", "ATAN_F32", "PI_F32", "PI_F64", "HALF_PI_F32", "HALF_PI_F64"):
        assert known[f"trigonometric.{name}"]().coefficients == getattr(trigonometric, name)
    for name in ("EXP2_F32", "NUMERATOR_F32", "DENOMINATOR_F32"):
        assert known[f"normal.{name}"]().coefficients == getattr(normal, name)
    for name in ("NEAR_F32", "FAR_F32", "NUMERATOR_F32", "DENOMINATOR_F32", "INVERSE_SQRT_PI_F64"):
        assert known[f"error_functions.{name}"]().coefficients == getattr(error_functions, name)
    precision, flint.ctx.prec = flint.ctx.prec, 1500
    try:
        exact = (flint.arb(2) ** trigonometric.INVERSE_TWO_PI_BITS / (2 * flint.arb.pi())).floor().unique_fmpz()
    finally:
        flint.ctx.prec = precision
    assert int(exact) == trigonometric.INVERSE_TWO_PI
