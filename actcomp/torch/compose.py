"""Derivatives composed of other functions: of any order, and where no fused kernel fits. Chain rule, term by term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from .arguments import Bound
    from .function import ActivationFunction


def slopes(bound: Bound, tensors: Sequence[Tensor], *first: str) -> list[Tensor]:
    """df/dv for each tensor's variable v, elementwise, of the result's shape; of the derivative by ``first``."""
    return [_call(bound, bound.function.slope(*first, name), tensors) for name in names_of(bound)]


def jvp(bound: Bound, tensors: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> Tensor:
    """The derivative along the tangents."""
    total = None
    for name, tangent in zip(names_of(bound), tangents, strict=True):
        if tangent is not None:
            slope = _call(bound, bound.function.slope(name), tensors)
            term = slope * _spread(bound, name, tangent, slope).to(slope.dtype)
            total = term if total is None else total + term
    if total is None:  # every tangent is zero
        return torch.zeros_like(_call(bound, bound.function, tensors))
    return total


def vjp(bound: Bound, tensors: Sequence[Tensor], dy: Tensor) -> tuple[Tensor, ...]:
    """The gradient of each tensor."""
    found = zip(names_of(bound), tensors, slopes(bound, tensors), strict=True)
    return tuple(_gather(bound, name, dy * slope, tensor) for name, tensor, slope in found)


def vjp_jvp(
    bound: Bound,
    tensors: Sequence[Tensor],
    dy: Tensor,
    tangents: Sequence[Tensor | None],
    dy_tangent: Tensor | None,
) -> tuple[Tensor, ...]:
    """The derivative of vjp along the tangents."""
    found = []
    for name, tensor in zip(names_of(bound), tensors, strict=True):
        slope = _call(bound, bound.function.slope(name), tensors)
        total = torch.zeros_like(slope) if dy_tangent is None else dy_tangent * slope
        for other, second, tangent in zip(names_of(bound), slopes(bound, tensors, name), tangents, strict=True):
            if tangent is not None:
                total = total + dy * second * _spread(bound, other, tangent, slope).to(slope.dtype)
        found.append(_gather(bound, name, total, tensor))
    return tuple(found)


def double_backward(
    bound: Bound, tensors: Sequence[Tensor], dy: Tensor, dds: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """The gradients of vjp: of each tensor, and last of dy, from those with respect to its results (None: zero)."""
    names = names_of(bound)
    given = [(name, dd) for name, dd in zip(names, dds, strict=True) if dd is not None]
    along = None  # sum of dd_v df/dv: the gradient of dy
    across: list[Tensor | None] = [None] * len(names)  # sum of dd_v d2f/dv du for each u
    for name, dd in given:
        slope = _call(bound, bound.function.slope(name), tensors)
        wide = _spread(bound, name, dd, slope).to(slope.dtype)
        along = wide * slope if along is None else along + wide * slope
        for place, second in enumerate(slopes(bound, tensors, name)):
            term = wide * second
            known = across[place]
            across[place] = term if known is None else known + term
    if along is None:
        return (*(torch.zeros_like(t) for t in tensors), torch.zeros_like(dy))
    gradients = [
        _gather(bound, name, dy * term, tensor)
        for name, tensor, term in zip(names, tensors, across, strict=True)
        if term is not None
    ]
    return (*gradients, along.sum_to_size(dy.shape))


def names_of(bound: Bound) -> tuple[str, ...]:
    """The variables that the tensors stand for."""
    return (*bound.function.inputs, *bound.names)


def _call(bound: Bound, function: ActivationFunction, tensors: Sequence[Tensor]) -> Tensor:
    parameters = dict(zip(bound.names, tensors[bound.count :], strict=True))
    return function(*tensors[: bound.count], **parameters, **bound.numbers)


def _axis_of(bound: Bound, name: str, shape: Sequence[int], rank: int) -> int | None:
    """The axis of a result of so many that a parameter given per channel goes along; None for one number."""
    for parameter in bound.function.activation.parameters:
        if parameter.name == name and parameter.axis is not None and len(shape) == 1:
            return parameter.axis % rank if rank else None
    return None


def spread_shape(bound: Bound, name: str, shape: Sequence[int], rank: int) -> list[int]:
    """The shape in which a value of the variable's shape broadcasts to a result of so many axes."""
    if name in bound.function.inputs:
        return list(shape)
    axis = _axis_of(bound, name, shape, rank)
    return [] if axis is None else [shape[0] if place == axis else 1 for place in range(rank)]


def _spread(bound: Bound, name: str, value: Tensor, like: Tensor) -> Tensor:
    """A value of the variable's shape, so that it broadcasts to the result's."""
    return value.reshape(spread_shape(bound, name, value.shape, like.dim()))


def _gather(bound: Bound, name: str, values: Tensor, like: Tensor) -> Tensor:
    """Elements' gradients summed to the shape and dtype of the variable; parameters' in their own precision."""
    if name in bound.function.inputs:
        return values if values.shape == like.shape else values.sum_to_size(like.shape)
    axis = _axis_of(bound, name, like.shape, values.dim())
    wide = values.to(torch.promote_types(like.dtype, torch.float32))
    if axis is not None and like.numel() == values.shape[axis]:
        total = wide.sum([place for place in range(values.dim()) if place != axis]) if values.dim() > 1 else wide
    else:
        total = wide.sum()
    return total.to(like.dtype).reshape(like.shape)
