"""Operation: what one primitive call computes: a variant of an activation, which of its outputs, on which operands."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .subject import Subject, Target
from .target import Label

_NAMES = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Operation:
    """Operands are the inputs, the parameters, then g.y (backward) and h.<input> (double_backward), by the names of
    program/source.py.

    Inputs, g.y and h.<input> have one shape and one element type. Parameters are float64 for float64, else float32:
    scalars, or, if named in ``elementwise``, of the inputs' shape. Outputs are those named in ``wanted``: of the
    inputs' shape, but gradients d.p.<parameter> of scalars, which are sums over all elements."""

    subject: Subject
    variant: str
    wanted: tuple[str, ...] = ("y",)
    elementwise: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"{self.variant} of {self.subject!r}"

    @functools.cached_property
    def operands(self) -> tuple[str, ...]:
        inputs = self.subject.inputs
        names = (*inputs, *(f"p.{name}" for name in self.subject.parameters))
        if self.variant in ("backward", "double_backward"):
            names += ("g.y",)
        if self.variant == "double_backward":
            names += tuple(f"h.{name}" for name in inputs)
        return names

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of inputs and parameters."""
        return self.operands[: len(self.subject.inputs) + len(self.subject.parameters)]

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        """The operands by name."""
        return dict(zip(self.operands, values, strict=True))

    def with_variant(self, variant: str, wanted: Sequence[str]) -> Operation:
        """Another variant of the same activation, on parameters given as here."""
        return replace(self, variant=variant, wanted=tuple(wanted))

    def spread(self) -> Operation:
        """The same with a value of each parameter for each element."""
        return replace(self, elementwise=frozenset(self.subject.parameters))

    def is_scalar(self, name: str) -> bool:
        """Whether the operand or output is one number for all elements."""
        return name.removeprefix("d.").startswith("p.") and name.split("p.", 1)[1] not in self.elementwise

    def type_of(self, name: str, dtype: Any) -> Any:
        """The element type of an operand or output, for inputs of the type."""
        return parameter_type(dtype) if name.removeprefix("d.").startswith("p.") else np.dtype(dtype)

    def target(self, dtype: Any, platform: str) -> Target:
        """The custom call on the platform, "cpu" or "cuda", for inputs of the type."""
        name = _NAMES[np.dtype(dtype).name]
        return self.subject.target(Label(self.variant, name, self.elementwise, self.wanted, platform))


def parameter_type(dtype: Any) -> Any:
    """In which type kernels take parameters, for inputs of the type."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
