"""How an operation is written into XLA's programs: as one custom call that may be cut along every axis."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.mlir import ir
from jax.interpreters import mlir

from . import target
from .operation import Operation


def lower_run(ctx: Any, *values: Any, operation: Operation) -> Sequence[Any]:
    """The lowering rule of the primitive ``run`` on the CPU."""
    names = (*operation.operands, *operation.wanted)
    is_whole = not any(operation.is_scalar(name) for name in names)
    if not is_whole and _is_cut_by_compiler(ctx):
        return mlir.lower_fun(_elementwise, multiple_results=True)(ctx, *values, operation=operation)
    x = ctx.avals_in[0]
    call = operation.target(x.dtype)
    if all(isinstance(length, int) for length in x.shape):
        target.prepare(call.name, prod(x.shape))
    into = [operation.operands.index(name) for name in call.operands]
    out_of = [operation.wanted.index(name) for name in call.results]
    ordered = ctx.replace(avals_in=[ctx.avals_in[k] for k in into], avals_out=[ctx.avals_out[k] for k in out_of])
    attributes = _cut(len(x.shape), x.shape, len(into), len(out_of)) if is_whole and x.shape else {}
    rule = jax.ffi.ffi_lowering(call.name, has_side_effect=False, extra_attributes=attributes)
    found = dict(zip(call.results, rule(ordered, *(values[k] for k in into)), strict=True))
    return [found[name] for name in operation.wanted]


def _is_cut_by_compiler(ctx: Any) -> bool:
    """Whether the program runs on several devices, and XLA decides where arrays are cut."""
    context = ctx.module_context.axis_context
    if isinstance(context, mlir.ShardingContext):
        return bool(context.num_devices > 1)
    if isinstance(context, mlir.SPMDAxisContext):
        return set(context.manual_axes) != set(context.mesh.axis_names)
    return False


def _elementwise(*values: Any, operation: Operation) -> list[Any]:
    """The operation with a value of each parameter for each element, since XLA cuts custom calls along whole arrays
    alone; gradients of parameters are then sums of XLA's own."""
    from .primitive import run

    shape = values[0].shape
    results = run(operation.spread(), *(jnp.broadcast_to(value, shape) for value in values))
    return [
        jnp.sum(result) if operation.is_scalar(name) else result
        for name, result in zip(operation.wanted, results, strict=True)
    ]


def _cut(rank: int, shape: Sequence[Any], operands: int, results: int) -> dict[str, Any]:
    """Attributes that say that each axis can be cut, for both of XLA's partitioners."""
    attributes: dict[str, Any] = {"mhlo.frontend_attributes": mlir.ir_attribute({"num_batch_dims": str(rank)})}
    if jax.config.jax_use_shardy_partitioner and all(isinstance(length, int) for length in shape):
        axes = [_factor(axis) for axis in range(rank)]
        one = "[" + ", ".join(axes) + "]"
        sizes = ", ".join(f"{axis}={length}" for axis, length in zip(axes, shape, strict=True))
        sides = (", ".join([one] * count) for count in (operands, results))
        rule = "({})->({})".format(*sides)
        attributes["sdy.sharding_rule"] = ir.Attribute.parse(f"#sdy.op_sharding_rule<{rule} {{{sizes}}}, custom>")
    return attributes


def _factor(index: int) -> str:
    """Shardy's names of factors: i to z, then z_1, z_2 ..."""
    return chr(ord("i") + index) if index < 18 else f"z_{index - 17}"
