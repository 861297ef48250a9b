"""vmap: the mapped axis goes to the front of every tensor, and elementwise work is done on all of it at once.

Parameters are one number, or one for each channel of an axis that the mapped one would shift: they become inputs of
the function's promoted form, where they broadcast as inputs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from . import compose
from .arguments import Bound, Call

if TYPE_CHECKING:
    from torch import Tensor

Dims = Sequence[int | None]


def batched_forward(bound: Bound, tensors: Sequence[Tensor], dims: Dims) -> Tensor:
    """f(tensors) with the mapped axis in front; ``dims`` has that of each tensor."""
    dtype = tensors[0].dtype
    bound, tensors = _fronted(bound, tensors, dims)
    return bound.function(*tensors, **bound.numbers).to(dtype)


def batched_backward(
    bound: Bound, dy: Tensor, tensors: Sequence[Tensor], dy_dim: int | None, dims: Dims
) -> tuple[Tensor, ...]:
    """The gradients of each tensor for each index of the mapped axis, which stands in front."""
    from .autograd import gradients

    wide, dy, expanded = _expanded(bound, dy, tensors, dy_dim, dims)
    found = dict(zip(wide.function.inputs, gradients(Call(wide, tuple(expanded)), dy), strict=True))
    named = zip(compose.names_of(bound), tensors, dims, strict=True)
    return tuple(_back(found[name], tensor, dim) for name, tensor, dim in named)


def batched_double_backward(
    bound: Bound, dy: Tensor, tensors: Sequence[Tensor], dds: Sequence[Tensor], dy_dim: int | None, dims: Dims,
    dd_dims: Dims,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The gradients of backward for each index of the mapped axis, that of dy last."""
    rank = _rank(bound, tensors, dims)
    wide, front_dy, expanded = _expanded(bound, dy, tensors, dy_dim, dims)
    names = compose.names_of(bound)
    moved = {
        name: _front(bound, name, dd, dim, rank).to(front_dy.dtype)
        for name, dd, dim in zip(names, dds, dd_dims, strict=True)
    }
    given = [
        moved[name].expand(t.shape) if name in moved else None
        for name, t in zip(wide.function.inputs, expanded, strict=True)
    ]
    *second, of_dy = compose.double_backward(wide, expanded, front_dy, given)
    found = dict(zip(wide.function.inputs, second, strict=True))
    gradients = [_back(found[name], t, dim) for name, t, dim in zip(names, tensors, dims, strict=True)]
    return (*gradients, _back(of_dy, dy, dy_dim))


def _rank(bound: Bound, tensors: Sequence[Tensor], dims: Dims) -> int:
    """Axes of the result, without the mapped one."""
    pairs = zip(tensors[: bound.count], dims, strict=False)
    return max(t.dim() - (dim is not None) for t, dim in pairs)


def _front(bound: Bound, name: str, tensor: Tensor, dim: int | None, rank: int) -> Tensor:
    """The tensor as it broadcasts to the result with the mapped axis in front, of as many axes as that."""
    moved = tensor.unsqueeze(0) if dim is None else tensor.movedim(dim, 0)
    own = compose.spread_shape(bound, name, moved.shape[1:], rank)
    return moved.reshape(moved.shape[0], *[1] * (rank - len(own)), *own)


def _fronted(bound: Bound, tensors: Sequence[Tensor], dims: Dims) -> tuple[Bound, list[Tensor]]:
    rank = _rank(bound, tensors, dims)
    names = compose.names_of(bound)
    moved = [_front(bound, *each, rank) for each in zip(names, tensors, dims, strict=True)]
    if not bound.names:
        return bound, moved
    dtype = torch.promote_types(tensors[0].dtype, torch.float32)
    given = dict(zip(bound.names, moved[bound.count :], strict=True))
    numbers = {**bound.function.parameters, **bound.numbers}
    like = {"dtype": dtype, "device": tensors[0].device}
    parameters = [given[name] if name in given else torch.tensor(v, **like) for name, v in numbers.items()]
    promoted = Bound(bound.function.promoted(), (), {})
    return promoted, [t.to(dtype) for t in (*moved[: bound.count], *parameters)]


def _expanded(
    bound: Bound, dy: Tensor, tensors: Sequence[Tensor], dy_dim: int | None, dims: Dims
) -> tuple[Bound, Tensor, list[Tensor]]:
    """dy and the tensors with the mapped axis at full length, so that no gradient is summed over it."""
    size = next(t.shape[d] for t, d in zip((dy, *tensors), (dy_dim, *dims), strict=True) if d is not None)
    wide, moved = _fronted(bound, tensors, dims)
    dy = dy.unsqueeze(0) if dy_dim is None else dy.movedim(dy_dim, 0)
    expanded = [t.expand(size, *t.shape[1:]) if t.dim() else t for t in moved]
    return wide, dy.expand(size, *dy.shape[1:]).to(expanded[0].dtype), expanded


def _back(gradient: Tensor, like: Tensor, dim: int | None) -> Tensor:
    """A gradient with the mapped axis in front, in the shape that one index of ``like`` has."""
    own: Any = like.shape if dim is None else like.movedim(dim, 0).shape[1:]
    return gradient.reshape(gradient.shape[0], *own).to(like.dtype)
