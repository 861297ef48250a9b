"""A call that was thought through once, to be repeated on NumPy arrays that lie in memory in the same way.

Checking operands and planning the walk takes 20 us, as long as a kernel takes for 50,000 elements, and depends on
types, shapes and strides alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Array, address_of, empty_as
from .launch import plan_of

if TYPE_CHECKING:
    from .layout import Shape
    from .native import Native

MOST_RECIPES = 256  # of one kernel


def key_of(variant: str, arrays: Sequence[Any]) -> Hashable:
    """What a recipe depends on; None if the arrays are not all NumPy's own."""
    key: list[Hashable] = [variant]
    for array in arrays:
        if type(array) is not np.ndarray:
            return None
        key += (array.dtype, array.shape, array.strides)
    return tuple(key)


class Recipe:
    """The kernel, where its operands and fresh results lie, and the walk over them."""

    def __init__(
        self, native: Native, inputs: Mapping[str, Array], outputs: Mapping[str, Array], shape: Shape
    ) -> None:
        """``inputs`` in the order of the call, ``outputs`` in the order of the answer."""
        self.native = native
        names, answers = list(inputs), list(outputs)
        self.order = [names.index(operand.name) for operand in native.operands if not operand.is_output]
        self.answer_order = [answers.index(operand.name) for operand in native.operands if operand.is_output]
        self.outputs = [(array.shape, array.strides, array.owner.dtype) for array in outputs.values()]
        operands = [(outputs if operand.is_output else inputs)[operand.name] for operand in native.operands]
        self.shape, self.strides, self.offsets = plan_of(operands, shape, bool(native.sums))

    def run(self, arrays: Sequence[Any], uniforms: Sequence[float]) -> tuple[list[Any], Mapping[str, float]]:
        """Fresh results in the order of the answer, and the sums by name."""
        results = [empty_as(*output) for output in self.outputs]
        operands = [*(arrays[place] for place in self.order), *(results[place] for place in self.answer_order)]
        addresses = [address_of(array) + offset for array, offset in zip(operands, self.offsets, strict=True)]
        sums = self.native.run(addresses, self.shape, self.strides, uniforms)
        return results, dict(zip(self.native.sums, sums, strict=True))
