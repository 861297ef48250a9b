"""The autograd functions: one for plain tensors, one that everything else in torch transforms.

``Reverse`` is for plain tensors and costs least; ``Operator`` is what torch.func, forward mode, fake and traced tensors
meet. The gradients are kernels; where autograd wants to differentiate them again (create_graph), they are themselves
such functions; from the third order on they are composed of the derivatives' own functions (compose.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._C import _FunctionBase
from torch._functorch.autograd_function import enable_single_level_autograd_function
from torch.autograd import Function

from . import compose
from .arguments import Call

if TYPE_CHECKING:
    from .arguments import Bound

PLAIN = frozenset((Tensor, torch.nn.Parameter))
FORWARD_AD = torch.autograd.forward_ad
transforms = torch._C._are_functorch_transforms_active
mode_count = torch._C._len_torch_dispatch_stack
is_traced = torch._C._is_tracing
is_dynamo = torch.compiler.is_dynamo_compiling  # true in backward too, for compiled autograd
_unwrap = torch._C._functorch.unwrap_if_dead
# What autograd.grad(is_grads_batched=True) wraps gradients in; it knows no custom operators.
_is_batched = torch._C._functorch.is_legacy_batchedtensor
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor


class Reverse(Function):
    """f(tensors), for backward."""

    @staticmethod
    def forward(ctx: Any, bound: Bound, *tensors: Tensor) -> Tensor:
        ctx.bound = bound
        ctx.save_for_backward(*tensors)
        return bound.forward(tensors)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        return None, *_backward(ctx.bound, ctx.saved_tensors, dy)


def _backward(bound: Bound, tensors: tuple[Tensor, ...], dy: Tensor) -> tuple[Tensor, ...]:
    if _is_batched(dy):
        return compose.vjp(bound, tensors, dy)
    if torch.is_grad_enabled() or needs_operator((dy, *tensors)):
        return gradients(Call(bound, tensors), dy)
    return bound.backward(tensors, dy)


def single(bound: Bound, gradient: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``apply_reverse`` of a function of one input at its defaults, 2 us shorter. ``gradient(x, dy)`` gives dx."""
    kernel, grad_enabled = bound.function.kernel, torch.is_grad_enabled

    class Activation(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return kernel(x)

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Tensor:
            if grad_enabled() or transforms() or _is_batched(dy) or is_dynamo():
                return _backward(bound, ctx.saved_tensors, dy)[0]
            (x,) = ctx.saved_tensors
            return gradient(x, dy)

    return _straight(Activation)


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
        if needs_operator((dy, *tensors, *zeros)):
            inputs, parameters = Call(bound, tuple(tensors)).for_operator()
            *found, of_dy = torch.ops.actcomp.double_backward(inputs, parameters, dy, zeros, bound.function.key)
            return (*_of(bound, found), of_dy)
        return bound.double_backward(tensors, dy, zeros)
    return compose.double_backward(bound, tensors, dy, dds)


def _straight(function: type[Function]) -> Any:
    """``apply`` without what it does for torch.func, which these functions never meet: 2 us less."""
    return vars(_FunctionBase)["apply"].__get__(None, function)


apply_reverse = _straight(Reverse)
apply_backward = _straight(ReverseBackward)


def below(operator: Any, *arguments: Any) -> Any:
    """The operator under the level of autograd that is at work; those of torch.func under it are not switched off."""
    with torch.enable_grad(), FORWARD_AD._set_fwd_grad_enabled(True), torch._C._AutoDispatchBelowAutograd():
        return operator(*arguments)


class Operator(Function):
    """f(tensors) by torch.ops.actcomp.forward, whose gradient this is; backward and forward mode."""

    @staticmethod
    def forward(ctx: Any, bound: Bound, *tensors: Tensor) -> Tensor:
        ctx.bound = bound
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        inputs, parameters = Call(bound, tensors).for_operator()
        return below(torch.ops.actcomp.forward, inputs, parameters, bound.function.key)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        return None, *gradients(Call(ctx.bound, _alive(ctx.saved_tensors)), _unwrap(dy))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        with FORWARD_AD._set_fwd_grad_enabled(True):  # for tangents of tangents
            return compose.jvp(ctx.bound, _primals(ctx.saved_tensors), tangents)


class OperatorBackward(Function):
    """The gradients of f by torch.ops.actcomp.backward, likewise."""

    @staticmethod
    def forward(ctx: Any, bound: Bound, dy: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.bound = bound
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(dy, *tensors)
        ctx.save_for_forward(dy, *tensors)
        inputs, parameters = Call(bound, tensors).for_operator()
        return _of(bound, below(torch.ops.actcomp.backward, inputs, parameters, dy, bound.function.key))

    @staticmethod
    def backward(ctx: Any, *dds: Tensor | None) -> Any:
        dy, *tensors = _alive(ctx.saved_tensors)
        *found, of_dy = second(ctx.bound, tensors, dy, dds, fused=not (torch.is_grad_enabled() or transforms()))
        return None, of_dy, *found

    @staticmethod
    def jvp(ctx: Any, _: None, dy_tangent: Tensor | None, *tangents: Tensor | None) -> tuple[Tensor, ...]:
        with FORWARD_AD._set_fwd_grad_enabled(True):
            dy, *tensors = _primals(ctx.saved_tensors)
            return compose.vjp_jvp(ctx.bound, tensors, dy, tangents, dy_tangent)


def _alive(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Without the wrappers of transforms that have ended: what torch.func.vjp returns is called after it."""
    return tuple(map(_unwrap, tensors))


def _primals(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Without the tangents of forward mode. torch has one level of it, 0; forward_ad.unpack_dual asks a variable of
    Python's for the level, which is not set where a compiled graph entered it."""
    return [torch._VF._unpack_dual(t, level=0).primal for t in tensors]


def _at_one_level(function: type[Function]) -> Any:
    """``apply`` within an operator's own gradient: torch.func has taken apart its levels before it comes here."""
    straight = _straight(function)

    def apply(*arguments: Any) -> Any:
        with enable_single_level_autograd_function():
            return straight(*arguments)

    return apply


apply_operator = _at_one_level(Operator)
apply_operator_backward = _at_one_level(OperatorBackward)


def _of(bound: Bound, found: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Of an operator's gradients of inputs and all parameters, those of bound's tensors."""
    own = dict(zip(bound.function.parameters, found[bound.count :], strict=False))
    return (*found[: bound.count], *(own[name] for name in bound.names))


def gradients(call: Call, dy: Tensor) -> tuple[Tensor, ...]:
    """The gradient of each tensor of the call, differentiable itself."""
    bound, tensors = call
    if needs_operator((dy, *tensors)):
        inputs, parameters = call.for_operator()
        return _of(bound, torch.ops.actcomp.backward(inputs, parameters, dy, bound.function.key))
    return apply_backward(bound, dy, *tensors)


def needs_operator(tensors: Sequence[Tensor]) -> bool:
    """Whether something looks on that sees operators alone, or a tensor is not simply memory: torch itself
    resolves lazy negation and takes off the wrappers of transforms that have ended, before an operator is reached."""
    if FORWARD_AD._current_level >= 0 or transforms() or mode_count() or is_traced() or is_dynamo():
        return True
    return not all(
        type(t) in PLAIN and (t.is_cpu or t.is_cuda) and not t.is_neg() and not _is_wrapped(t) for t in tensors
    )
