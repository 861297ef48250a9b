"""The autograd functions: reverse mode in eager, and one that torch.func and forward mode transform.

``Reverse`` is the cheap one. Its gradients are kernels; where autograd wants to differentiate them again
(create_graph), they are themselves such functions; from the third order on they are composed of the derivatives'
own functions (compose.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._C import _FunctionBase
from torch.autograd import Function

from . import compose
from .arguments import Call
from .batching import batched_backward, batched_forward

if TYPE_CHECKING:
    from .arguments import Bound

PLAIN = (Tensor, torch.nn.Parameter)
FORWARD_AD = torch.autograd.forward_ad
transforms = torch._C._are_functorch_transforms_active
mode_count = torch._C._len_torch_dispatch_stack
is_traced = torch._C._is_tracing
# What autograd.grad(is_grads_batched=True) wraps gradients in; it knows no custom operators.
_is_batched = torch._C._functorch.is_legacy_batchedtensor


class Reverse(Function):
    """f(tensors), for backward."""

    @staticmethod
    def forward(ctx: Any, bound: Bound, *tensors: Tensor) -> Tensor:
        ctx.bound = bound
        ctx.save_for_backward(*tensors)
        return bound.forward(tensors)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        if _is_batched(dy):
            return None, *compose.vjp(ctx.bound, ctx.saved_tensors, dy)
        if torch.is_grad_enabled() or transforms():
            return None, *gradients(Call(ctx.bound, ctx.saved_tensors), dy)
        return None, *ctx.bound.backward(ctx.saved_tensors, dy)


class ReverseBackward(Function):
    """The gradients of f, for backward of backward."""

    @staticmethod
    def forward(ctx: Any, bound: Bound, dy: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.bound = bound
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(dy, *tensors)
        return bound.backward(tensors, dy)

    @staticmethod
    def backward(ctx: Any, *dds: Tensor | None) -> Any:
        dy, *tensors = ctx.saved_tensors
        plain = not (torch.is_grad_enabled() or transforms() or any(dd is not None and _is_batched(dd) for dd in dds))
        *gradients, of_dy = second(ctx.bound, tensors, dy, dds, fused=plain)
        return None, of_dy, *gradients


def second(
    bound: Bound, tensors: Sequence[Tensor], dy: Tensor, dds: Sequence[Tensor | None], fused: bool
) -> tuple[Tensor, ...]:
    """The gradients of backward: fused where that is wished and nothing comes from parameters' gradients."""
    wanted = dds[: bound.count]
    if fused and all(dd is None for dd in dds[bound.count :]) and any(dd is not None for dd in wanted):
        zeros = [torch.zeros_like(t) if dd is None else dd for dd, t in zip(wanted, tensors, strict=False)]
        return bound.double_backward(tensors, dy, zeros)
    return compose.double_backward(bound, tensors, dy, dds)


def _straight(function: type[Function]) -> Any:
    """``apply`` without what it does for torch.func, which these functions never meet: 2 us less."""
    return vars(_FunctionBase)["apply"].__get__(None, function)


apply_reverse = _straight(Reverse)
apply_backward = _straight(ReverseBackward)


class Transformable(Function):
    """f(tensors), for torch.func and forward mode."""

    @staticmethod
    def forward(bound: Bound, *tensors: Tensor) -> Tensor:
        return bound.forward(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.bound, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        return None, *TransformableBackward.apply(ctx.bound, dy, *ctx.saved_tensors)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        return compose.jvp(ctx.bound, ctx.saved_tensors, tangents)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], bound: Bound, *tensors: Tensor) -> tuple[Tensor, int]:
        return batched_forward(bound, tensors, in_dims[1:]), 0


class TransformableBackward(Function):
    """The gradients of f, for torch.func and forward mode."""

    @staticmethod
    def forward(bound: Bound, dy: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        return bound.backward(tensors, dy)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.bound, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *dds: Tensor) -> Any:
        dy, *tensors = ctx.saved_tensors
        *gradients, of_dy = compose.double_backward(ctx.bound, tensors, dy, dds)
        return None, of_dy, *gradients

    @staticmethod
    def jvp(ctx: Any, _: None, dy_tangent: Tensor | None, *tangents: Tensor | None) -> tuple[Tensor, ...]:
        dy, *tensors = ctx.saved_tensors
        return compose.vjp_jvp(ctx.bound, tensors, dy, tangents, dy_tangent)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], bound: Bound, dy: Tensor, *tensors: Tensor) -> Any:
        found = batched_backward(bound, dy, tensors, in_dims[1], in_dims[2:])
        return found, (0,) * len(found)


def gradients(call: Call, dy: Tensor) -> tuple[Tensor, ...]:
    """The gradient of each tensor of the call, differentiable itself."""
    bound, tensors = call
    if needs_operator((dy, *tensors)):
        inputs, parameters = call.for_operator()
        return tuple(torch.ops.actcomp.backward(inputs, parameters, dy, bound.function.key))
    if FORWARD_AD._current_level >= 0 or transforms():
        return TransformableBackward.apply(bound, dy, *tensors)
    return apply_backward(bound, dy, *tensors)


def needs_operator(tensors: Sequence[Tensor]) -> bool:
    """Whether something looks on that sees operators alone, or a tensor has no memory of the CPU."""
    return bool(mode_count()) or is_traced() or not all(type(t) in PLAIN and t.is_cpu for t in tensors)
