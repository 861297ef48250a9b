"""Two primitives of JAX: ``run``, an operation by its fused kernel, and ``push``, its change along tangents.

``push`` is linear in the tangents, and its transpose is an operation again: that of forward is backward, that of
backward is double_backward. So reverse mode runs one kernel for each order, from the inputs, which is all that JAX
keeps for it; in forward mode ``push`` is computed by the same kernels, since derivatives are symmetric.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import PartitionSpec

from . import lowering
from .derivatives import composed, composed_push
from .operation import Operation

run_p = Primitive("actcomp")
run_p.multiple_results = True
push_p = Primitive("actcomp_push")
push_p.multiple_results = True


def run(operation: Operation, *values: Any) -> list[Any]:
    """The outputs of the operation."""
    return list(run_p.bind(*values, operation=operation))


def push(operation: Operation, along: tuple[str, ...], *values: Any) -> list[Any]:
    """The change of the outputs: ``values`` are the operands, then the tangents of those named in ``along``."""
    return list(push_p.bind(*values, operation=operation, along=along))


# Values and types -----------------------------------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames="operation")
def _run_compiled(*values: Any, operation: Operation) -> list[Any]:
    return run(operation, *values)


@functools.partial(jax.jit, static_argnames=("operation", "along"))
def _push_compiled(*values: Any, operation: Operation, along: tuple[str, ...]) -> list[Any]:
    return push(operation, along, *values)


def _run_now(*values: Any, operation: Operation) -> list[Any]:
    with jax.disable_jit(False):  # else jit itself would come back here
        return _run_compiled(*values, operation=operation)


def _push_now(*values: Any, operation: Operation, along: tuple[str, ...]) -> list[Any]:
    with jax.disable_jit(False):
        return _push_compiled(*values, operation=operation, along=along)


def _types(operation: Operation, x: Any) -> list[Any]:
    """The abstract outputs, from the first abstract input."""
    types = []
    for name in operation.wanted:
        changes: dict[str, Any] = {"dtype": operation.type_of(name, x.dtype), "weak_type": False}
        if operation.is_scalar(name):
            changes |= {"shape": (), "sharding": x.sharding.update(spec=PartitionSpec())}
        types.append(x.update(**changes))
    return types


run_p.def_impl(_run_now)
run_p.def_abstract_eval(lambda *operands, operation: _types(operation, operands[0]))
push_p.def_impl(_push_now)
push_p.def_abstract_eval(lambda *operands, operation, along: _types(operation, operands[0]))
mlir.register_lowering(run_p, lowering.refuse)
mlir.register_lowering(run_p, lowering.lower_on_cpu, platform="cpu")
mlir.register_lowering(run_p, lowering.lower_on_cuda, platform="cuda")


# Forward mode ---------------------------------------------------------------------------------------------------------


def _run_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, operation: Operation) -> tuple[list[Any], list[Any]]:
    if operation.variant == "double_backward":
        full = [ad.instantiate_zeros(tangent) for tangent in tangents]
        results, changes = jax.jvp(functools.partial(composed, operation), tuple(primals), tuple(full))
        return list(results), list(changes)
    moving = {n: t for n, t in zip(operation.operands, tangents, strict=True) if not isinstance(t, ad.Zero)}
    return run(operation, *primals), push(operation, tuple(moving), *primals, *moving.values())


def _push_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, operation: Operation, along: tuple[str, ...]
) -> tuple[list[Any], list[Any]]:
    full = [ad.instantiate_zeros(tangent) for tangent in tangents]

    def pushed(*values: Any) -> list[Any]:
        operands, moving = values[: len(operation.operands)], values[len(operation.operands) :]
        return composed_push(operation, operands, dict(zip(along, moving, strict=True)))

    _, changes = jax.jvp(pushed, tuple(primals), tuple(full))
    return push(operation, along, *primals), list(changes)


def computed_push(*values: Any, operation: Operation, along: tuple[str, ...]) -> list[Any]:
    """What ``push`` computes, by ``run``."""
    operands = values[: len(operation.operands)]
    moving = dict(zip(along, values[len(operands) :], strict=True))
    named = operation.named(operands)
    arguments = [named[name] for name in operation.arguments]
    parts: list[list[Any]] = []
    apart = {name: t for name, t in moving.items() if name.startswith("p.")}
    if operation.variant == "forward":
        for name in moving.keys() - apart.keys():
            gradient = operation.with_variant("backward", (f"d.{name}",))
            parts.append(run(gradient, *arguments, moving[name]))
    else:
        if "g.y" in moving:
            parts.append(run(operation, *arguments, moving["g.y"]))
        if any(name in moving for name in operation.subject.inputs):
            still = jnp.zeros_like(arguments[0])
            rows = [moving.get(name, still) for name in operation.subject.inputs]
            second = operation.with_variant("double_backward", operation.wanted)
            parts.append(run(second, *arguments, named["g.y"], *rows))
    if apart:
        parts.append(composed_push(operation, operands, apart))
    return [functools.reduce(jnp.add, column) for column in zip(*parts, strict=True)]


ad.primitive_jvps[run_p] = _run_jvp
ad.primitive_jvps[push_p] = _push_jvp
mlir.register_lowering(push_p, mlir.lower_fun(computed_push, multiple_results=True))


# Reverse mode ---------------------------------------------------------------------------------------------------------


def _push_transpose(cotangents: Sequence[Any], *values: Any, operation: Operation, along: tuple[str, ...]) -> list[Any]:
    operands = values[: len(operation.operands)]
    wanted = tuple(f"d.{name}" for name in along)
    full = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    if operation.variant == "forward":
        found = run(operation.with_variant("backward", wanted), *operands, *full)
    elif not any(name.startswith("d.p.") for name in operation.wanted):
        given = {f"h.{name[2:]}": cotangent for name, cotangent in zip(operation.wanted, full, strict=True)}
        rows = [given.get(f"h.{name}") for name in operation.subject.inputs]
        rows = [jnp.zeros_like(operands[0]) if row is None else row for row in rows]
        found = run(operation.with_variant("double_backward", wanted), *operands, *rows)
    else:
        found = _pull(operation, dict(zip(operation.operands, operands, strict=True)), along, full)
    return [None] * len(operands) + list(found)


def _run_transpose(cotangents: Sequence[Any], *values: Any, operation: Operation) -> list[Any]:
    """In g.y or in the h.<input>, in which backward and double_backward are linear."""
    named = operation.named(values)
    names = tuple(name for name, value in named.items() if ad.is_undefined_primal(value))
    if operation.variant == "backward" and names == ("g.y",):
        along = tuple(n[2:] for n, ct in zip(operation.wanted, cotangents, strict=True) if not isinstance(ct, ad.Zero))
        moving = [ct for ct in cotangents if not isinstance(ct, ad.Zero)]
        forward = operation.with_variant("forward", ("y",))
        found = push(forward, along, *(named[name] for name in operation.arguments), *moving)
    else:
        full = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
        anywhere = {n: jnp.zeros(v.aval.shape, v.aval.dtype) if n in names else v for n, v in named.items()}
        found = list(_pull(operation, anywhere, names, full))
    back = dict(zip(names, found, strict=True))
    return [back.get(name) for name in operation.operands]


def _pull(operation: Operation, named: dict[str, Any], names: Sequence[str], cotangents: Sequence[Any]) -> Any:
    """The gradients with respect to the named operands, by the derivatives' own kernels."""

    def moved(*some: Any) -> list[Any]:
        return composed(operation, *(named | dict(zip(names, some, strict=True))).values())

    _, pull = jax.vjp(moved, *(named[name] for name in names))
    return pull(list(cotangents))


ad.primitive_transposes[push_p] = _push_transpose
ad.primitive_transposes[run_p] = _run_transpose


# vmap -----------------------------------------------------------------------------------------------------------------


def _batched(
    operation: Operation, names: Sequence[str], values: Sequence[Any], axes: Sequence[int | None]
) -> tuple[Operation, list[Any]]:
    """The operation and its operands with the mapped axis in front, where everything is elementwise."""
    size = next(v.shape[axis] for v, axis in zip(values, axes, strict=True) if axis is not None)
    shape = jnp.shape(values[0])
    inner = shape if axes[0] is None else tuple(n for axis, n in enumerate(shape) if axis != axes[0])
    mapped = [name for name, axis in zip(names, axes, strict=True) if axis is not None]
    tangents = names[len(operation.operands) :]
    keeps = not any(map(operation.is_scalar, (*operation.wanted, *mapped, *tangents)))
    moved = []
    for name, value, axis in zip(names, values, axes, strict=True):
        if operation.is_scalar(name) and keeps:
            moved.append(value)
            continue
        if axis is not None:
            value = jnp.moveaxis(value, axis, 0)
            if operation.is_scalar(name):
                value = value.reshape(size, *(1 for _ in inner))
        moved.append(jnp.broadcast_to(value, (size, *inner)))
    if keeps:
        return operation, moved
    return operation.spread(), moved


def _summed(operation: Operation, results: Sequence[Any]) -> list[Any]:
    """Gradients of scalars that were spread: a sum for each place on the mapped axis."""
    return [
        result.sum(tuple(range(1, result.ndim))) if operation.is_scalar(name) else result
        for name, result in zip(operation.wanted, results, strict=True)
    ]


def _run_batched(values: Sequence[Any], axes: Sequence[Any], *, operation: Operation) -> tuple[list[Any], list[int]]:
    inner, moved = _batched(operation, operation.operands, values, axes)
    return _summed(operation, run(inner, *moved)), [0] * len(operation.wanted)


def _push_batched(
    values: Sequence[Any], axes: Sequence[Any], *, operation: Operation, along: tuple[str, ...]
) -> tuple[list[Any], list[int]]:
    inner, moved = _batched(operation, (*operation.operands, *along), values, axes)
    return _summed(operation, push(inner, along, *moved)), [0] * len(operation.wanted)


batching.primitive_batchers[run_p] = _run_batched
batching.primitive_batchers[push_p] = _push_batched
