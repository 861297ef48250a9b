"""Values at +-inf: where operations give NaN though there is a limit, as x/(1 + abs(x)) does, the limit replaces it.

So it does where they give NaN far out, because a power has overflowed.

What the operations give is found by evaluating them, calls by the lowered function itself; the limit is decided by
balls (calculus/limits.py), and counts only if it is the same at other values of the parameters, since a
Program holds for all of them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from .builder import Builder, Value
from .guards import guard_vanishing
from .interpreter import evaluate, interpret
from .passes import drop_dead, lower
from .primitives import NUMPY_TYPE
from .program import Program

if TYPE_CHECKING:
    from ..activation import Parameter


# Beyond this the sixth power may overflow, and a function is taken for its limit where its operations give NaN.
FAR = {"f32": 2.0**21, "f64": 2.0**170}


class Infinity:
    """Puts limits into the values that one activation's Programs are made of. Only for activations of one input."""

    def __init__(self, expression: sp.Expr, symbol: sp.Symbol, parameters: tuple[Parameter, ...]) -> None:
        self.expression, self.symbol, self.parameters = expression, symbol, parameters
        self._limits: dict[int, list[float | None]] = {}

    def settle(self, value: Value, order: int) -> Value:
        """The value, f's derivative of this order, or the limit where x is infinite and the value would be NaN."""
        signs = self._undefined(value)
        limits = {sign: self._limit(sign, order) for sign in signs}
        known = {sign: limit for sign, limit in limits.items() if limit is not None and not math.isnan(limit)}
        if not known:
            return value
        builder = value.builder
        x = builder.input(str(self.symbol), value.type)
        left, right = (builder.const(known[s], value.type) if s in known else value for s in (-1, 1))
        far = value.is_nan() & (abs(x) > FAR[value.type])
        return builder.rare(far, value, builder.select(x > 0.0, right, left))

    def _undefined(self, value: Value) -> list[int]:
        """The signs of x for which the operations give NaN at infinity or far out, at the default parameters."""
        draft = value.builder.build()
        program = Program(draft.name, draft.inputs, draft.operations, ())
        scratch = Builder("probe")
        copies: list[Value] = []
        for operation in program.operations[: value.index + 1]:
            operands = tuple(copies[operand] for operand in operation.operands)
            copies.append(scratch.emit(operation.name, operands, operation.type, operation.payload))
        scratch.inputs = list(draft.inputs)
        scratch.output("y", copies[value.index])
        guarded = guard_vanishing(drop_dead(scratch.build()))
        inputs: dict[str, Any] = {entry.name: 1.0 for entry in guarded.inputs}
        inputs |= {f"p.{p.name}": p.default for p in self.parameters}
        largest = float(np.finfo(NUMPY_TYPE[value.type]).max)
        places = [math.inf, largest, *(4 * largest ** (1 / power) for power in (2, 3, 4, 6))]
        inputs[str(self.symbol)] = [-place for place in places] + places
        arrays = {name: np.asarray(v, dtype=NUMPY_TYPE[value.type]) for name, v in inputs.items()}
        results: list[Any] = []
        with np.errstate(all="ignore"):
            for operation in guarded.operations:
                if operation.name == "call":
                    values = {f"x{k}": results[index] for k, index in enumerate(operation.operands)}
                    function = _lowered(*operation.payload, operation.type, len(values))
                    results.append(interpret(function, values)["y"])
                else:
                    results.append(evaluate(operation, results, arrays))
        undefined = np.isnan(np.broadcast_to(results[guarded.outputs[0].value], 2 * len(places)))
        return [sign for sign, side in zip((-1, 1), undefined.reshape(2, -1), strict=True) if side.any()]

    def _limit(self, sign: int, order: int) -> float | None:
        if sign not in self._limits:
            from ..calculus.balls import BallFunction
            from ..calculus.limits import limits_at_infinity

            function = BallFunction(self.expression, (self.symbol, *(p.symbol for p in self.parameters)))
            rows = [
                limits_at_infinity(function, 0, [0.0, *(factor * p.default for p in self.parameters)], sign)
                for factor in ((1.0, 0.5, 2.0, -1.0) if self.parameters else (1.0,))
            ]
            columns = zip(*rows, strict=True)
            self._limits[sign] = [c[0] if all(_same(c[0], other) for other in c) else None for c in columns]
        return self._limits[sign][order]


def _same(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and (a == b or (math.isnan(a) and math.isnan(b)))


@lru_cache(maxsize=256)
def _lowered(function: str, scale: int, type: str, arity: int) -> Program:
    builder = Builder(function)
    operands = [builder.input(f"x{k}", type) for k in range(arity)]
    builder.output("y", builder.call(function, *operands, scale=scale))
    return lower(builder.build())
