"""What one call of a Kernel needs, once its arguments are read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .arrays import Array, scratch
from .gradients import back_to_shape, sum_to_axis
from .launch import fresh, launch
from .layout import Shape
from .parameters import Setting, uniform_values
from .recipe import Recipe

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

    def gradients(self, results: Mapping[str, Array], learned: Sequence[str]) -> list[Any]:
        """Runs a backward variant: fills the results; gives the gradients of the parameters, in their forms."""
        settings = {name: self.settings[name] for name in learned}
        channels = {f"d.p.{name}": s.channels for name, s in settings.items() if s.channels is not None}
        scratches = {name: scratch(array, self.shape) for name, array in channels.items()}
        sums = self.run({**results, **scratches})
        values = []
        for name, setting in settings.items():
            array = scratches.get(f"d.p.{name}")
            total = sums[f"d.p.{name}"] if array is None else sum_to_axis(array, setting.axis)
            values.append(setting.gradient(total))
        return values

    def recipe(self, outputs: Mapping[str, Array]) -> Recipe:
        """How to do it again for arrays alike."""
        return Recipe(self.native, self.operands, outputs, self.shape)

    def back_to_shape(self, gradient: Array, operand: Array) -> Array:
        """The gradient of an operand that was broadcast: summed to its shape."""
        return back_to_shape(gradient, operand)
