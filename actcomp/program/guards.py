"""Guards for products with vanishing functions: x*sigmoid(x) far out on the left, where sigmoid is subnormal or zero.

Functions such as exp, sigmoid and the normal density vanish faster than any power. Where such a factor E has become subnormal it has few
bits, which a large factor a would magnify; where it is 0 and a is infinite, a*E is NaN though the limit is 0. Both happen only where E is
tiny, so the product is computed again there, in a rare path, with E lifted by 2**64 (2**128 in float64), and scaled
back at the end, which rounds once.
"""

from __future__ import annotations

import numpy as np

from .builder import Builder, Value
from .elementary import ELEMENTARY, SCALE
from .primitives import FLOATS, NUMPY_TYPE
from .program import Operation, Program

# Below this a vanishing factor counts as tiny: its bits are all there, and everything that follows is small.
TINY_EXPONENT = {"f32": -100, "f64": -960}


def guard_vanishing(program: Program) -> Program:
    """Every maximal vanishing value that multiplies a vanishing function by something else gets a rare, scaled form.

    Needs: calls not yet lowered, no fma. Changes bits: only where a factor is below 2**-100 (2**-960), or a product is NaN.
    """
    kinds = _classify(program)
    if not any(kind == "mixed" for kind in kinds):
        return program
    readers = program.uses()
    outputs = {output.value for output in program.outputs}
    builder = Builder(program.name)
    for entry in program.inputs:
        builder.input(entry.name, entry.type, entry.role)
    copies: list[Value] = []
    guards = _Guards(program, kinds, copies)
    for index, operation in enumerate(program.operations):
        operands = tuple(copies[operand] for operand in operation.operands)
        copies.append(builder.emit(operation.name, operands, operation.type, operation.payload))
        inside = [reader for reader in readers[index] if kinds[reader] == "mixed"]
        if kinds[index] == "mixed" and (index in outputs or len(inside) < len(readers[index])):
            copies[index] = guards.guarded(index)
    for output in program.outputs:
        builder.output(output.name, copies[output.value], output.reduction)
    return builder.build()


def _classify(program: Program) -> list[str]:
    """For each value: "pure" a product of vanishing functions, "mixed" vanishing with another factor or sum, "" neither."""
    kinds: list[str] = []
    for operation in program.operations:
        kinds.append(_kind(operation, [kinds[operand] for operand in operation.operands]))
    return kinds


def _kind(operation: Operation, operands: list[str]) -> str:
    if operation.type not in FLOATS:
        return ""
    if operation.name == "call":
        return "pure" if ELEMENTARY[operation.payload[0]].vanishes is not None else ""
    if operation.name == "mul":
        if operands == ["pure", "pure"]:
            return "pure"
        return "mixed" if any(operands) else ""
    if operation.name in ("add", "sub"):
        return "mixed" if all(operands) else ""
    if operation.name == "neg":
        return "mixed" if operands[0] else ""
    if operation.name == "div":
        return "mixed" if operands[0] and not operands[1] else ""
    return ""


class _Guards:
    """Writes the scaled forms. Originals are indices of the Program, copies the values already written."""

    def __init__(self, program: Program, kinds: list[str], copies: list[Value]) -> None:
        self.program, self.kinds, self.copies = program, kinds, copies

    def guarded(self, index: int) -> Value:
        usual = self.copies[index]
        pures = sorted(self._pure_factors(index))
        if not self._gains(index):
            return usual
        type_ = usual.type
        builder = usual.builder
        tiny = None
        for pure in pures:
            small = self.copies[pure] < 2.0 ** TINY_EXPONENT[type_]
            tiny = small if tiny is None else tiny & small
        assert tiny is not None
        scale = SCALE[type_]
        scaled = self._scaled(index, scale) * (2.0**-scale)
        if len(pures) == 1:
            return builder.rare(tiny, usual, scaled)
        # With several, one may be 0 while another is not tiny: 0 * inf is then NaN, and needs no scale.
        slow = builder.select(tiny, scaled, self._scaled(index, 0))
        return builder.rare(tiny | usual.is_nan(), usual, slow)

    def _pure_factors(self, index: int) -> set[int]:
        """The largest pure products under a value."""
        if self.kinds[index] == "pure":
            return {index}
        found: set[int] = set()
        for operand in self.program.operations[index].operands:
            if self.kinds[operand]:
                found |= self._pure_factors(operand)
        return found

    def _gains(self, index: int) -> bool:
        """Whether some vanishing value is multiplied or divided by what is neither vanishing nor constant."""
        operation = self.program.operations[index]
        if self.kinds[index] != "mixed":
            return False
        if operation.name in ("mul", "div"):
            for operand in operation.operands:
                if not self.kinds[operand] and self.program.operations[operand].name != "const":
                    return True
        return any(self._gains(operand) for operand in operation.operands)

    def _scaled(self, index: int, scale: int) -> Value:
        """The value times 2**scale, with every factor that meets a zero made finite."""
        operation = self.program.operations[index]
        builder = self.copies[index].builder
        if operation.name == "call":
            if scale == 0:
                return self.copies[index]
            function, already = operation.payload
            operands = tuple(self.copies[operand] for operand in operation.operands)
            return builder.emit("call", operands, operation.type, (function, already + scale))
        if operation.name in ("add", "sub"):
            left, right = (self._scaled(operand, scale) for operand in operation.operands)
            return left + right if operation.name == "add" else left - right
        if operation.name == "neg":
            return -self._scaled(operation.operands[0], scale)
        first, second = operation.operands
        if operation.name == "div":
            return self._scaled(first, scale) / self.copies[second]
        if self.kinds[first] == self.kinds[second] == "pure":
            return self._scaled(first, scale) * self._scaled(second, 0)
        vanishing, other = (second, first) if self.kinds[second] == "pure" or not self.kinds[first] else (first, second)
        lifted = self._scaled(vanishing, scale)
        factor = self._scaled(other, 0) if self.kinds[other] else self.copies[other]
        largest = float(np.finfo(NUMPY_TYPE[factor.type]).max)
        clipped = builder.const(largest, factor.type).minimum(builder.const(-largest, factor.type).maximum(factor))
        return lifted * builder.select(lifted.eq(0.0), clipped, factor)
