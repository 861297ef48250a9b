"""KernelSource: what a Kernel must know of an activation. Plain data and Programs, so that it is stored as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .program import Program
    from .stored import StoredProgram

VARIANTS = ("forward", "derivative", "backward", "double_backward")
DTYPES = ("f64", "f32", "f16", "bf16")

Make = Callable[[str, str], "Program | StoredProgram"]


@dataclass(frozen=True)
class ParameterInfo:
    """A parameter: its default, and the axis along which there is one value per channel (None: one value for all)."""

    name: str
    default: float
    axis: int | None = None


@dataclass(frozen=True)
class KernelSource:
    """Name to show, element inputs in order, parameters, what backward reads, and the Programs, made when asked for.

    ``make(variant, dtype)`` gives the Program of one of VARIANTS in one of DTYPES. Its inputs are the element inputs by
    name, ``p.<parameter>`` (uniform), for both backward variants ``g.y`` (the gradient with respect to y), and for
    double_backward ``h.<input>`` (the gradient with respect to d.<input>). Its outputs:

    - forward: ``y``;
    - derivative: ``y`` and ``d.<input>``, the plain derivatives;
    - backward: ``d.<input>`` and ``d.p.<parameter>`` (sum);
    - input_gradients: ``d.<input>``, backward without what it does for parameters;
    - double_backward: ``d.<input>``, ``d.g.y`` (the gradient with respect to g.y) and ``d.p.<parameter>`` (sum).

    bfloat16 element inputs and outputs have the type i16 and hold the bits.
    """

    name: str
    inputs: tuple[str, ...]
    parameters: tuple[ParameterInfo, ...] = ()
    saves: str = "input"
    make: Make | None = field(default=None, compare=False, repr=False)

    def program(self, variant: str, dtype: str) -> Program | StoredProgram:
        if self.make is None:
            raise LookupError(f"{self.name}: read from text without a maker of Programs")
        if variant != "input_gradients":
            return self.make(variant, dtype)
        program = self.make("backward", dtype)
        if not self.parameters:
            return program
        from .passes import drop_dead
        from .stored import whole

        kept = whole(program)
        return drop_dead(replace(kept, outputs=tuple(o for o in kept.outputs if not o.name.startswith("d.p."))))

    def to_text(self) -> str:
        """All but the maker, as one line of JSON."""
        import json

        return json.dumps(
            {
                "name": self.name,
                "inputs": self.inputs,
                "parameters": [[p.name, p.default.hex(), p.axis] for p in self.parameters],
                "saves": self.saves,
            },
            sort_keys=True,
        )

    @staticmethod
    def from_text(text: str, make: Make | None = None) -> KernelSource:
        """The source whose text this is. Raises ValueError if it is none."""
        import json

        try:
            fields: dict[str, Any] = json.loads(text)
            return KernelSource(
                name=str(fields["name"]),
                inputs=tuple(fields["inputs"]),
                parameters=tuple(
                    ParameterInfo(name, float.fromhex(default), axis) for name, default, axis in fields["parameters"]
                ),
                saves=str(fields["saves"]),
                make=make,
            )
        except (KeyError, TypeError) as fault:
            raise ValueError(f"no text of a KernelSource: {fault!r}") from fault
