"""Operations by way of the derivatives' own kernels and products of them: what fused kernels do not reach.

The first derivative of an operation's outputs is again an operation (backward, double_backward) as far as kernels go;
from the third order on, and where second derivatives by parameters are asked for, derivatives are computed here. Every
function here is made of the primitive ``run`` and JAX's own operations, so that JAX differentiates it to any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .operation import Operation, parameter_type


def composed(operation: Operation, *values: Any) -> list[Any]:
    """The outputs of a backward or double_backward operation: dx = g f'(x) and so on."""
    named = operation.named(values)
    wide = _Wide(operation, values)
    g = wide(named["g.y"])
    inputs = operation.subject.inputs
    if operation.variant == "backward":
        results = {name: _times(g, wide.slope(name[2:])) for name in operation.wanted}
    else:
        rows = {name: wide(named[f"h.{name}"]) for name in inputs}

        def along(*by: str) -> Any:
            """The derivative along h of f, or of its derivative."""
            return _sum([_times(rows[name], wide.slope(name, *by)) for name in inputs])

        results = {name: along() if name == "d.g.y" else _times(g, along(name[2:])) for name in operation.wanted}
    return [wide.finish(name, results[name]) for name in operation.wanted]


def composed_push(operation: Operation, values: Sequence[Any], tangents: dict[str, Any]) -> list[Any]:
    """The change of the outputs along tangents of the operands, by name."""
    if operation.variant == "forward":
        wide = _Wide(operation, values)
        total = _sum([_times(wide(t), wide.slope(name)) for name, t in tangents.items()])
        return [wide.finish("y", total)]
    names = [name for name in operation.operands if name in tangents]
    named = operation.named(values)

    def moved(*some: Any) -> list[Any]:
        return composed(operation, *(named | dict(zip(names, some, strict=True))).values())

    _, changes = jax.jvp(moved, tuple(named[name] for name in names), tuple(tangents[name] for name in names))
    return list(changes)


class _Wide:
    """Values of an operation in the type of its parameters: 16-bit inputs are computed with in float32."""

    def __init__(self, operation: Operation, values: Sequence[Any]) -> None:
        self.operation = operation
        named = operation.named(values)
        self.dtype, self.shape = values[0].dtype, values[0].shape
        self.wide = parameter_type(self.dtype)
        self.arguments = [self(named[name]) for name in operation.arguments]

    def __call__(self, value: Any) -> Any:
        return jnp.asarray(value).astype(self.wide)

    def slope(self, *by: str) -> Any:
        """A derivative of the activation at the arguments, by inputs or ``p.<parameter>``; None for 0."""
        from .primitive import run

        subject = self.operation.subject
        for name in sorted(by):
            found = subject.slope(name.removeprefix("p."))
            if found is None:
                return None
            subject = found
        forward = Operation(subject, "forward", ("y",), self.operation.elementwise)
        return run(forward, *self.arguments)[0]

    def finish(self, name: str, value: Any) -> Any:
        """The output of the name, from its elements."""
        dtype = self.operation.type_of(name, self.dtype)
        if value is None:
            value = jnp.zeros_like(self.arguments[0])
        if self.operation.is_scalar(name):
            return jnp.sum(value).astype(dtype)
        return jnp.broadcast_to(value, self.shape).astype(dtype)


def _times(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a * b


def _sum(terms: Sequence[Any]) -> Any:
    total = None
    for term in terms:
        if term is not None:
            total = term if total is None else total + term
    return total
