"""What one call of a Kernel needs, once its arguments are read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .arrays import Array
from .launch import fresh, launch
from .layout import Shape
from .parameters import Setting, uniform_values

if TYPE_CHECKING:
    from .native import Native


@dataclass(frozen=True)
class Call:
    """One call, checked: its code, the operands by the names of the Program's inputs, the result's shape."""

    native: Native
    operands: dict[str, Array]
    inputs: dict[str, Array]
    shape: Shape
    settings: dict[str, Setting]

    def fresh(self) -> Array:
        """Memory for a result."""
        inputs = list(self.inputs.values())
        return fresh(inputs[0], self.shape, inputs)

    def run(self, outputs: Mapping[str, Array]) -> dict[str, float]:
        """Fills the outputs; gives the sums by name."""
        operands = [(outputs if o.is_output else self.operands)[o.name] for o in self.native.operands]
        sums = launch(self.native, operands, self.shape, uniform_values(self.native.uniforms, self.settings))
        for array in outputs.values():
            if array.kind.written is not None:
                array.kind.written(array)
        return sums
