"""One activation, one subject, one dtype: the samples, the truth at them, and what the subject gives. Made once, read
by all checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .formats import step, to_array, to_float64, ulp
from .points import hard_points, kink_points, samples
from .reference import KNOWN, SINGULAR, Key, Oracle, Reference
from .report import Check, hexadecimal
from .subjects import Subject

if TYPE_CHECKING:
    from ..activation import Activation

NEUTRAL = 0.75  # where the other inputs stand while hard points of one are looked for


@dataclass
class Case:
    """``points`` given: exactly these (n, inputs), float64 numbers of the dtype; else ``count`` samples by ``seed``.

    ``quantities`` names the derivatives asked of the subject: () is f, (i,) f_i, (i, j) f_ij with i <= j.
    """

    activation: Activation
    subject: Subject
    dtype: str
    bound: float
    seed: int
    count: int
    points_given: Any = None
    hard: dict[int, list[float]] = field(default_factory=dict)

    @cached_property
    def arity(self) -> int:
        return len(self.activation.inputs)

    @cached_property
    def defaults(self) -> list[float]:
        """The parameters' defaults as the kernel takes them: rounded to float32 for the formats up to it."""
        as_given = [float(p.default) for p in self.activation.parameters]
        return as_given if self.dtype == "f64" else [float(np.float32(value)) for value in as_given]

    @cached_property
    def oracle(self) -> Oracle:
        parameters = [p.symbol for p in self.activation.parameters]
        return Oracle(self.activation.expression, [*self.activation.inputs, *parameters])

    @cached_property
    def points(self) -> Any:
        if self.points_given is not None:
            return np.asarray(self.points_given, dtype=np.float64).reshape(-1, self.arity)
        columns = []
        for index in range(self.arity):
            column = samples(self.dtype, self.hard_of(index), self.count, self.seed + index)
            columns.append(
                np.random.default_rng(self.seed + 100 + index).permutation(column) if self.arity > 1 else column
            )
        return np.column_stack(columns)

    def hard_of(self, index: int) -> list[float]:
        if index not in self.hard:
            self.hard[index] = hard_points(
                self.activation.expression, self.activation.inputs[index], self.others(index)
            )
        return self.hard[index]

    def others(self, index: int) -> dict[Any, float]:
        """Values for all variables but one input."""
        values: dict[Any, float] = dict.fromkeys(self.activation.inputs, NEUTRAL)
        values |= {p.symbol: default for p, default in zip(self.activation.parameters, self.defaults, strict=True)}
        del values[self.activation.inputs[index]]
        return values

    @cached_property
    def kinks(self) -> Any:
        """Points (n, inputs) exactly on a kink in one input."""
        rows = []
        for index, symbol in enumerate(self.activation.inputs):
            for place in kink_points(self.activation.expression, symbol, self.others(index), self.dtype):
                row = [NEUTRAL] * self.arity
                row[index] = place
                rows.append(row)
        return np.array(rows, dtype=np.float64).reshape(-1, self.arity)

    def reference_at(self, points: Any, order: int = 2, with_parameters: bool = False) -> Reference:
        points = np.asarray(points, dtype=np.float64).reshape(-1, self.arity)
        tail = np.broadcast_to(np.array(self.defaults), (len(points), len(self.defaults)))
        variables = None if with_parameters else range(self.arity)
        return self.oracle.reference(np.hstack([points, tail]), self.dtype, order, variables)

    @cached_property
    def reference(self) -> Reference:
        return self.reference_at(self.points)

    @cached_property
    def keys(self) -> list[Key]:
        """What the subject can be asked for."""
        keys: list[Key] = []
        if "forward" in self.subject.variants:
            keys.append(())
        if "backward" in self.subject.variants:
            keys += [(i,) for i in range(self.arity)]
        if "double_backward" in self.subject.variants:
            keys += [(i, j) for i in range(self.arity) for j in range(i, self.arity)]
        return keys

    def arrays(self, points: Any) -> list[Any]:
        points = np.asarray(points, dtype=np.float64).reshape(-1, self.arity)
        return [to_array(np.ascontiguousarray(points[:, index]), self.dtype) for index in range(self.arity)]

    def constant(self, number: float, length: int) -> Any:
        return to_array(np.full(length, number), self.dtype)

    def found(self, key: Key, points: Any) -> Any:
        """What the subject says of the quantity at the points, as float64."""
        arrays, length = self.arrays(points), len(points)
        names = [str(symbol) for symbol in self.activation.inputs]
        one, zero = self.constant(1.0, length), self.constant(0.0, length)
        if not key:
            result = self.subject.run("forward", self.dtype, arrays)["y"]
        elif len(key) == 1:
            result = self.subject.run("backward", self.dtype, arrays, one)[f"d.{names[key[0]]}"]
        else:
            h = [one if index == key[0] else zero for index in range(self.arity)]
            result = self.subject.run("double_backward", self.dtype, arrays, one, h)[f"d.{names[key[1]]}"]
        return to_float64(result)

    @cached_property
    def answers(self) -> dict[Key, Any]:
        return {key: self.found(key, self.points) for key in self.keys}

    def label(self, key: Key) -> str:
        """f, f', f'' for one input, else df/da, d2f/dadb."""
        names = [str(symbol) for symbol in self.activation.inputs] + [p.name for p in self.activation.parameters]
        if len(names) == 1 or (self.arity == 1 and all(index == 0 for index in key)):
            return "f" + "'" * len(key)
        if not key:
            return "f"
        order = "" if len(key) == 1 else str(len(key))
        return f"d{order}f/" + "".join(f"d{names[index]}" for index in key)

    def errors(self, key: Key, actual: Any, reference: Reference) -> Any:
        """Mixed errors; where the slope is not finite the distance, in ulp, from f's range over [x - 4 ulp, x + 4
        ulp] over 4."""
        error = reference.mixed_error(key, actual)
        quantity = reference.quantities[key]
        open_slope = np.isnan(error) & (quantity.status == KNOWN)
        for row in np.flatnonzero(open_slope)[:2000]:
            error[row] = self._error_within_reach(key, float(actual[row]), reference.points[row])
        return error

    def _error_within_reach(self, key: Key, actual: float, point: Any) -> float:
        """Errors 4 or less if ``actual`` is within 4 ulp of the value at one of x - 4 ulp ... x + 4 ulp or between
        two of them."""
        around = np.array([[*(step(x, count, self.dtype) for x in point[: self.arity])] for count in range(-4, 5)])
        near = self.reference_at(around[np.isfinite(around).all(axis=1)], order=len(key))
        quantity = near.quantities[key]
        values = quantity.value()[quantity.status == KNOWN]
        if not len(values):
            return float("nan")
        low, high = float(values.min()), float(values.max())
        nearest = min(max(actual, low), high)
        return float(abs(actual - nearest) / ulp(nearest, self.dtype))

    def verdict(
        self, name: str, key: Key, points: Any, actual: Any, reference: Reference, mask: Any = None, detail: str = ""
    ) -> Check:
        """The check that the mixed errors, of the rows in ``mask``, stay within the bound."""
        error = self.errors(key, actual, reference)
        ulps = reference.error_ulps(key, actual)
        judged = ~np.isnan(error) if mask is None else mask & ~np.isnan(error)
        if not judged.any():
            return Check(name, self.label(key), self.dtype, None, detail=detail)
        worst = int(np.argmax(np.where(judged, error, -1.0)))
        quantity = reference.quantities[key]
        unjudged = int((np.isnan(error) if mask is None else mask & np.isnan(error)).sum())
        if unjudged:
            detail = "; ".join(part for part in (detail, f"{unjudged} inputs not decided") if part)
        due = float(quantity.value()[worst])
        exact = quantity.status[worst] == KNOWN
        return Check(
            name,
            self.label(key),
            self.dtype,
            bool(error[worst] <= self.bound),
            int(judged.sum()),
            float(error[worst]),
            float(np.where(judged & (quantity.status == KNOWN), ulps, 0.0).max()),
            hexadecimal(points[worst]),
            float(actual[worst]).hex(),
            due.hex() if exact else "a pole" if quantity.status[worst] == SINGULAR else "nan",
            detail,
        )
