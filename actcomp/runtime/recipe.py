"""A call that was thought through once, to be repeated on arrays of NumPy or torch that lie in memory the same way.

Checking operands and planning the walk takes 20 us, as long as a kernel takes for 50,000 elements, and depends on
types, shapes and strides alone.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import TORCH, Array, address_of, empty_as, empty_tensor
from .launch import plan_of

if TYPE_CHECKING:
    from .layout import Shape
    from .native import Native, Operand

MOST_RECIPES = 256  # of one kernel


def key_of(variant: str, arrays: Sequence[Any]) -> Hashable:
    """What a recipe depends on; None if the arrays are not all NumPy's own, or all torch's with plain memory."""
    key: list[Hashable] = [variant]
    for array in arrays:
        kind = type(array)
        if kind is np.ndarray:
            key += (array.dtype, array.shape, array.strides)
        elif (torch := sys.modules.get("torch")) and (kind is torch.Tensor or kind is torch.nn.Parameter):
            if not array.is_cpu:
                if not array.is_cuda:
                    return None
                key.append(array.get_device())
            if array.layout is not torch.strided or array.is_nested or array.is_neg():
                return None
            key += (array.dtype, array.shape, array.stride())
        else:
            return None
    return tuple(key)


def places(
    operands: Sequence[Operand], inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Where a kernel's inputs stand among the arrays of a call, and its outputs among those of the answer."""
    order = [inputs.index(operand.name) for operand in operands if not operand.is_output]
    return order, [outputs.index(operand.name) for operand in operands if operand.is_output]


def starts_of(tensors: Sequence[Any]) -> list[int] | None:
    """The addresses of torch tensors; None where one has no memory."""
    try:
        starts = [tensor.data_ptr() for tensor in tensors]
    except RuntimeError:  # a transform's wrapper
        return None
    return None if 0 in starts else starts


class Recipe:
    """The kernel, where its operands and fresh results lie, and the walk over them."""

    def __init__(self, native: Native, inputs: Mapping[str, Array], outputs: Mapping[str, Array], shape: Shape) -> None:
        """``inputs`` in the order of the call, ``outputs`` in the order of the answer."""
        self.native = native
        self.order, self.answer_order = places(native.operands, list(inputs), list(outputs))
        self.is_torch = all(array.kind is TORCH for array in inputs.values())
        self.outputs = [
            (array.shape, array.owner.stride() if self.is_torch else array.strides, array.owner.dtype)
            for array in outputs.values()
        ]
        operands = [(outputs if operand.is_output else inputs)[operand.name] for operand in native.operands]
        self.shape, self.strides, self.offsets = plan_of(operands, shape, bool(native.sums))

    def run(self, arrays: Sequence[Any], uniforms: Sequence[float]) -> tuple[list[Any], Mapping[str, float]] | None:
        """Fresh results in the order of the answer, and the sums by name; None for a tensor without memory."""
        empty = empty_tensor if self.is_torch else empty_as
        results = [empty(*output) for output in self.outputs]
        operands = [*(arrays[place] for place in self.order), *(results[place] for place in self.answer_order)]
        starts = starts_of(operands) if self.is_torch else [address_of(array) for array in operands]
        if starts is None:
            return None
        addresses = [start + offset for start, offset in zip(starts, self.offsets, strict=True)]
        sums = self.native.run(addresses, self.shape, self.strides, uniforms)
        return results, dict(zip(self.native.sums, sums, strict=True))

    def run_into(self, arrays: Sequence[Any], out: Any, uniforms: Sequence[float]) -> bool:
        """On the CPU the short way of runtime/front.py takes such calls."""
        return False
