"""The oracle of elementary functions: exact errors in ULP by ball arithmetic, and arguments worth asking it about."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flint
import numpy as np

from actcomp.program.builder import Builder
from actcomp.program.interpreter import interpret
from actcomp.program.primitives import NUMPY_TYPE
from actcomp.program.program import Program, check

MANTISSA_BITS = {"f32": 24, "f64": 53}
LEAST_EXPONENT = {"f32": -149, "f64": -1074}
MOST_EXPONENT = {"f32": 128, "f64": 1024}
TYPE_NAME = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}


def program_of(lower: Callable[..., Any], type_: str, arity: int = 1, **options: Any) -> Program:
    """The Program whose output y is lower(x0, x1, ...)."""
    builder = Builder("elementary")
    operands = [builder.input(f"x{i}", type_) for i in range(arity)]
    builder.output("y", lower(*operands, **options))
    return check(builder.build())


def evaluate(program: Program, *arguments: Any) -> Any:
    """The output y on arrays (or scalars), in the inputs' type."""
    arrays = {
        entry.name: np.asarray(a, NUMPY_TYPE[entry.type]) for entry, a in zip(program.inputs, arguments, strict=True)
    }
    return interpret(program, arrays)["y"]


def errors_ulps(function: Callable[..., Any], results: Any, *arguments: Any) -> Any:
    """|result - function(arguments)| in ULP of the true value, elementwise; function takes and returns flint.arb.

    An ULP is the spacing of the type at the true value, the smallest subnormal near 0. Precision is raised until the
    error is known to a thousandth of an ULP. An infinite result counts as the first power of two out of range. A NaN
    result has an infinite error: arguments where NaN is right are for tests of special values.
    """
    results = np.asarray(results).reshape(-1)
    type_ = TYPE_NAME[results.dtype]
    columns = [np.broadcast_to(np.asarray(a), results.shape).reshape(-1).tolist() for a in arguments]
    rows = zip(results.tolist(), *columns, strict=True)
    precision = flint.ctx.prec
    try:
        return np.array([_error(function, type_, y, xs) for y, *xs in rows])
    finally:
        flint.ctx.prec = precision


def _error(function: Callable[..., Any], type_: str, result: float, arguments: list[float]) -> float:
    if math.isnan(result):
        return math.inf
    bits = 96
    while bits <= 6000:
        flint.ctx.prec = bits
        value = function(*map(flint.arb, arguments))
        bits *= 2
        if not value.is_finite():
            continue
        mantissa, exponent = value.mid().man_exp()
        top = int(exponent) + int(mantissa).bit_length() if mantissa else -(10**9)
        unit = max(top - MANTISSA_BITS[type_], LEAST_EXPONENT[type_])
        if math.isinf(result):
            if top > MOST_EXPONENT[type_]:
                return 0.0 if (value > 0) == (result > 0) else math.inf
            shown = flint.arb(2) ** MOST_EXPONENT[type_] * int(math.copysign(1, result))
        else:
            shown = flint.arb(result)
        error = abs(shown - value) * flint.arb(2) ** -unit
        if error.rad() < 1e-3:
            return float(error.mid())
    raise ArithmeticError(f"ball arithmetic does not decide {function} at {[a.hex() for a in arguments]}")


def worst(function: Callable[..., Any], results: Any, *arguments: Any) -> tuple[float, tuple[str, ...]]:
    """The largest error in ULP and the arguments, in hex, where it is."""
    errors = errors_ulps(function, results, *arguments)
    place = int(np.argmax(errors))
    return float(errors[place]), tuple(float(np.ravel(np.asarray(a))[place]).hex() for a in arguments)


def random_floats(type_: str, count: int, seed: int) -> Any:
    """Finite numbers with random bit patterns: every binade equally likely."""
    dtype = NUMPY_TYPE[type_]
    bits = np.random.default_rng(seed).integers(0, 1 << (8 * dtype.itemsize), count, dtype=f"u{dtype.itemsize}")
    numbers = bits.view(dtype)
    return numbers[np.isfinite(numbers)]


def neighbours(points: Any, type_: str, steps: int = 2) -> Any:
    """The points, rounded to the type, with the ``steps`` numbers on either side of each."""
    dtype = NUMPY_TYPE[type_]
    with np.errstate(over="ignore"):
        found = [np.asarray(points, np.float64).astype(dtype).reshape(-1)]
        for direction in (-np.inf, np.inf):
            current = found[0]
            for _ in range(steps):
                current = np.nextafter(current, dtype.type(direction))
                found.append(current)
    numbers = np.unique(np.concatenate(found))
    return numbers[np.isfinite(numbers)]


def hard_floats(type_: str) -> Any:
    """Powers of two, subnormals, the largest numbers, with neighbours, both signs; +0 and -0 are there once each."""
    least, most, mantissa = LEAST_EXPONENT[type_], MOST_EXPONENT[type_], MANTISSA_BITS[type_]
    exponents = sorted({*range(-70, 70), *range(least, least + 8), *range(least + mantissa - 3, least + mantissa + 3)})
    powers = np.array([math.ldexp(1.0, e) for e in (*exponents, most - 2, most - 1)])
    positive = neighbours(powers, type_)
    positive = positive[positive > 0]
    largest = neighbours([math.ldexp(2 - 2.0 ** (1 - mantissa), most - 1)], type_)
    zero = np.zeros(1, positive.dtype)
    return np.concatenate([-largest, -positive, -zero, zero, positive, largest])
