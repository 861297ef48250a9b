"""The form of a row in the table of elementary functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..builder import Value


@dataclass(frozen=True)
class Elementary:
    """A function that Programs may call and lower replaces by primitives.

    ``lower(*operands, scale=0)`` writes the primitives for operands of type f32 or f64 (the operands' type decides) and
    returns the function's value times 2**scale. A nonzero scale is asked for only where ``vanishes`` is true.

    ``vanishes`` says that the function is positive and decays faster than any power on some side (exp, sigmoid, the
    normal density). There a product with a large factor would lose the bits of a subnormal value; the guard pass
    recomputes such products with ``scale``, in all SCALE[type].

    ``bound_ulps`` is the proved or measured error bound in ULP of the correctly rounded result, by type;
    ``hard_points`` are arguments near which tests draw densely (regime borders, zeros, overflow and underflow
    thresholds), by type or common.
    """

    name: str
    lower: Callable[..., Value]
    bound_ulps: Mapping[str, float]
    arity: int = 1
    vanishes: bool = False
    hard_points: tuple[float, ...] = field(default=())


# By how many binades a vanishing function is lifted in its scaled form.
SCALE = {"f32": 60, "f64": 510}
