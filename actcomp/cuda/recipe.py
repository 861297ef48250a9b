"""A call on CUDA tensors of torch that was thought through once, to be repeated on tensors that lie in memory alike."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..runtime.arrays import Array, torch_written
from ..runtime.launch import plan_of
from ..runtime.layout import extent
from ..runtime.recipe import places, starts_of
from .arrays import torch_stream

if TYPE_CHECKING:
    from ..runtime.layout import Shape
    from .native import CudaNative


class CudaRecipe:
    """The kernel, where its operands and fresh results lie, and the walk over them. As runtime/recipe.py's Recipe."""

    def __init__(
        self, native: CudaNative, inputs: Mapping[str, Array], outputs: Mapping[str, Array], shape: Shape
    ) -> None:
        """``inputs`` in the order of the call, ``outputs`` in the order of the answer."""
        self.native = native
        self.order, self.answer_order = places(native.operands, list(inputs), list(outputs))
        self.outputs = [(a.shape, a.owner.stride(), a.owner.dtype, a.owner.device) for a in outputs.values()]
        operands = [(outputs if operand.is_output else inputs)[operand.name] for operand in native.operands]
        self.shape, self.strides, self.offsets = plan_of(operands, shape, False)
        self.moved = any(self.offsets)
        self.device = operands[0].device
        self.lies = [(a.shape, a.strides, a.itemsize) for a in operands]
        self.extents = [extent(*lie) for lie in self.lies]

    def run(self, arrays: Sequence[Any], uniforms: Sequence[float]) -> tuple[list[Any], Mapping[str, float]] | None:
        """Fresh results in the order of the answer, and no sums; None for a tensor without memory."""
        make = sys.modules["torch"].empty_strided
        results = [make(shape, steps, dtype=dtype, device=device) for shape, steps, dtype, device in self.outputs]
        return (results, {}) if self._launch(arrays, results, uniforms) else None

    def run_into(self, arrays: Sequence[Any], out: Any, uniforms: Sequence[float]) -> bool:
        """Writes the one result to a tensor that lies as the fresh one did; False where that is to be thought about."""
        if out.requires_grad or not self._launch(arrays, [out], uniforms, apart=True):
            return False
        torch_written(out)
        return True

    def _launch(
        self, arrays: Sequence[Any], results: Sequence[Any], uniforms: Sequence[float], apart: bool = False
    ) -> bool:
        operands = [*(arrays[place] for place in self.order), *(results[place] for place in self.answer_order)]
        starts = starts_of(operands)
        if starts is None or (apart and not self._are_apart(starts)):
            return False
        if self.moved:
            starts = [start + offset for start, offset in zip(starts, self.offsets, strict=True)]
        self.native.run(self.device, torch_stream(self.device), starts, self.shape, self.strides, uniforms)
        return True

    def _are_apart(self, starts: Sequence[int]) -> bool:
        """Whether the last operand shares no memory with the others; one that it lies on exactly is no matter."""
        low, high = self.extents[-1]
        first, end = starts[-1] + low, starts[-1] + high
        for start, (low, high), lies in zip(starts[:-1], self.extents, self.lies, strict=False):
            same = start == starts[-1] and lies == self.lies[-1]
            if start + low < end and first < start + high and not same:
                return False
        return True
