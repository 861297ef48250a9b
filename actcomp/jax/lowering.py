"""How an operation is written into XLA's programs: as one custom call that may be cut along every axis."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import mlir

from ..errors import DeviceError
from ..program.interpreter import SUM_RUN
from . import target
from .operation import Operation


def lower_on_cpu(ctx: Any, *values: Any, operation: Operation) -> Sequence[Any]:
    """The lowering rule of the primitive ``run`` on the CPU."""
    return _lower(ctx, values, operation, "cpu")


def lower_on_cuda(ctx: Any, *values: Any, operation: Operation) -> Sequence[Any]:
    """The lowering rule of the primitive ``run`` on CUDA devices. It needs none, nor a driver."""
    return _lower(ctx, values, operation, "cuda")


def _lower(ctx: Any, values: Sequence[Any], operation: Operation, platform: str) -> Sequence[Any]:
    x = ctx.avals_in[0]
    is_static = all(isinstance(length, int) for length in x.shape)
    is_cut = bool(x.shape) and is_static and _is_cut_by_compiler(ctx)
    if is_cut and any(operation.is_scalar(name) for name in (*operation.operands, *operation.wanted)):
        return mlir.lower_fun(_elementwise, multiple_results=True)(ctx, *values, operation=operation)
    call = operation.target(x.dtype, platform)
    if is_static and platform == "cpu":
        target.prepare(call.name, prod(x.shape))
    into = [operation.operands.index(name) for name in call.operands]
    out_of = [operation.wanted.index(name) for name in call.results]
    operands = [values[k] for k in into]
    taken, given = [ctx.avals_in[k] for k in into], [ctx.avals_out[k] for k in out_of]
    if is_cut:
        shape = (*x.shape, 1)
        whole = ctx.replace(
            avals_in=[jax.core.ShapedArray(shape, aval.dtype) for aval in taken],
            avals_out=[jax.core.ShapedArray(shape, aval.dtype) for aval in given],
        )
        whole_operands = [_reshaped(operand, shape) for operand in operands]
        results = _call(whole, call.name, whole_operands, _cut(shape, len(into), len(out_of)))
        results = [_reshaped(result, x.shape) for result in results]
    else:
        scratch = _scratch(call.sums, x.shape) if platform == "cuda" and call.sums else []
        results = _call(ctx.replace(avals_in=taken, avals_out=[*given, *scratch]), call.name, operands, {})
        results = results[: len(given)]
    found = dict(zip(call.results, results, strict=True))
    return [found[name] for name in operation.wanted]


def refuse(ctx: Any, *values: Any, operation: Operation) -> Sequence[Any]:
    """The lowering rule elsewhere."""
    platforms = ", ".join(ctx.module_context.platforms)
    raise DeviceError(
        f"{operation.subject!r} has no kernel for {platforms} here",
        do="put its inputs on a CUDA device, or on the CPU: jax.device_put(x, jax.devices('cpu')[0])",
    )


def _scratch(sums: int, shape: Sequence[Any]) -> list[Any]:
    """The result, used by nobody, in which a call for CUDA keeps the partials of its sums: memory that XLA owns for as
    long as it may run the call again from a CUDA graph, as memory that the handler asked for would not be."""
    runs = (prod(shape) + SUM_RUN - 1) // SUM_RUN
    return [jax.core.ShapedArray((sums * runs,), np.dtype(np.float64))]


def _call(ctx: Any, name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> Sequence[Any]:
    rule = jax.ffi.ffi_lowering(name, has_side_effect=False, extra_attributes=attributes)
    return list(rule(ctx, *operands))


def _reshaped(value: Any, shape: Sequence[int]) -> Any:
    return stablehlo.reshape(ir.RankedTensorType.get(list(shape), value.type.element_type), value)


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


def _cut(shape: Sequence[int], operands: int, results: int) -> dict[str, Any]:
    """Attributes that say that each axis but the last can be cut, to both of XLA's partitioners.

    The last has length 1: XLA cuts calls along less axes than they have."""
    rank = len(shape) - 1
    axes_that_can = ir.DictAttr.get({"num_batch_dims": ir.StringAttr.get(str(rank))})
    attributes: dict[str, Any] = {"mhlo.frontend_attributes": axes_that_can}
    if jax.config.jax_use_shardy_partitioner:
        axes = [_factor(axis) for axis in range(rank + 1)]
        one = "[" + ", ".join(axes) + "]"
        sizes = ", ".join(f"{axis}={length}" for axis, length in zip(axes, shape, strict=True))
        before, after = (", ".join([one] * count) for count in (operands, results))
        rule = f"#sdy.op_sharding_rule<({before})->({after}) {{{sizes}}}, custom>"
        attributes["sdy.sharding_rule"] = ir.Attribute.parse(rule)
    return attributes


def _factor(index: int) -> str:
    """Shardy's names of factors: i to z, then z_1, z_2 ..."""
    return chr(ord("i") + index) if index < 18 else f"z_{index - 17}"
