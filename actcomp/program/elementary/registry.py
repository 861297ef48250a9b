"""The form of a row in the table of elementary functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..builder import Value


@dataclass(frozen=True)
class Elementary:
    """A function that Programs may call and lower replaces by primitives.

    ``lower(*operands, scale=0)`` writes the primitives for operands of type f32 or f64 (the operands' type decides) and
    returns the function's value times 2**scale. A nonzero scale is asked for only where ``vanishes`` is given.

    ``vanishes(*operands)`` is given for functions that decay faster than any power (exp, sigmoid, the normal density):
    a bool Value that is true wherever the magnitude of the result may be below 2**-100 (f32) or 2**-960 (f64), yet
    false for usual arguments. There a product with a large factor would lose bits of a subnormal intermediate; the
    guard pass recomputes such products with ``scale`` = SCALE[type].

    ``bound_ulps`` is the proved or measured error bound in ULP of the correctly rounded result, by type;
    ``hard_points`` are arguments near which tests draw densely (regime borders, zeros, overflow and underflow
    thresholds), by type or common.
    """

    name: str
    lower: Callable[..., Value]
    bound_ulps: Mapping[str, float]
    arity: int = 1
    vanishes: Callable[..., Value] | None = None
    hard_points: tuple[float, ...] = field(default=())


# By how many binades a vanishing function is lifted in its scaled form.
SCALE = {"f32": 64, "f64": 128}
