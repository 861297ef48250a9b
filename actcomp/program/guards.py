"""Guards for products with vanishing functions: x*sigmoid(x) far out on the left, where sigmoid is subnormal or zero.

Functions such as exp, sigmoid and the normal density vanish faster than any power. Where such a factor E has become
subnormal it has few bits, which a large factor a would magnify; where it is 0 and a is infinite, a*E is NaN though the
limit is 0. Both happen only where E is tiny, so the product is computed again there, in a rare path, with E lifted by
2**60 (2**510 in float64), and scaled back at the end, which rounds once.
"""

from __future__ import annotations

import numpy as np

from .builder import Builder, Value
from .elementary import ELEMENTARY, SCALE
from .primitives import FLOATS, NUMPY_TYPE
from .program import Operation, Program

# Below this a vanishing factor counts as tiny: its bits are all there, and everything that follows is small.
TINY_EXPONENT = {"f32": -100, "f64": -960}
# A factor of another input may be as large as the vanishing one is small: it is brought down by so much, for which the
# vanishing factor is lifted further. With SCALE the sum is at most the largest exponent.
RESERVE = {"f32": 67, "f64": 512}


def guard_vanishing(program: Program) -> Program:
    """Every maximal vanishing value that multiplies a vanishing function by something else gets a rare, scaled form.

    Needs: calls not yet lowered, no fma. Changes bits: only where a factor is below 2**-100 (2**-960), or a product is
    NaN.
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
    """For each value: "pure" a product of vanishing functions, "mixed" one with another factor or sum, "" neither."""
    kinds: list[str] = []
    for operation in program.operations:
        kinds.append(_kind(operation, [kinds[operand] for operand in operation.operands]))
    return kinds


def _kind(operation: Operation, operands: list[str]) -> str:
    if operation.type not in FLOATS:
        return ""
    if operation.name == "call":
        return "pure" if ELEMENTARY[operation.payload[0]].vanishes else ""
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


def _dependences(program: Program) -> list[frozenset[str]]:
    """The inputs that each value is computed from."""
    found: list[frozenset[str]] = []
    for operation in program.operations:
        own = {operation.payload} if operation.name == "input" else set()
        found.append(frozenset(own.union(*(found[operand] for operand in operation.operands))))
    return found


class _Guards:
    """Writes the scaled forms. Originals are indices of the Program, copies the values already written."""

    def __init__(self, program: Program, kinds: list[str], copies: list[Value]) -> None:
        self.program, self.kinds, self.copies = program, kinds, copies
        self.depends = _dependences(program)
        self.reserve = 0

    def guarded(self, index: int) -> Value:
        usual = self.copies[index]
        if not self._gains(index):
            return usual
        builder, scale = usual.builder, SCALE[usual.type]
        tiny = self._tiny(index)
        self.reserve = RESERVE[usual.type] // max(1, self._independent_factors(index))
        scaled = self._scaled(index, scale) * (2.0**-scale)
        if self._leaves(index) == 1 and self._is_product(index):
            return builder.rare(tiny, usual, scaled)
        # In a sum one term may be 0 while another is not tiny: 0 * inf is then NaN, and needs no scale.
        slow = builder.select(tiny, scaled, self._scaled(index, 0))
        return builder.rare(tiny | usual.is_nan(), usual, slow)

    def _vanishing_operands(self, index: int) -> list[int]:
        return [operand for operand in self.program.operations[index].operands if self.kinds[operand]]

    def _is_product(self, index: int) -> bool:
        """Whether no sum stands between the value and its vanishing functions."""
        if self.program.operations[index].name in ("add", "sub"):
            return False
        return all(self._is_product(operand) for operand in self._vanishing_operands(index))

    def _leaves(self, index: int) -> int:
        """How many vanishing functions are multiplied, at most, in any term."""
        operation, below = self.program.operations[index], self._vanishing_operands(index)
        if operation.name == "call":
            return 1
        counts = [self._leaves(operand) for operand in below]
        return sum(counts) if operation.name == "mul" else max(counts)

    def _independent(self, vanishing: int, other: int) -> bool:
        """Whether the factor may be large where the vanishing one is tiny: it has an input that the other lacks."""
        return not self.depends[other] <= self.depends[vanishing]

    def _independent_factors(self, index: int) -> int:
        below = self._vanishing_operands(index)
        if not below:
            return 0
        count = max(self._independent_factors(operand) for operand in below)
        others = [o for o in self.program.operations[index].operands if o not in below]
        is_product = self.program.operations[index].name == "mul"
        return count + (is_product and any(self._independent(below[0], other) for other in others))

    def _tiny(self, index: int) -> Value:
        """Where the value is far below the other factors' bits: any factor of a product, every term of a sum."""
        if self.kinds[index] == "pure":
            value = self.copies[index]
            return value < 2.0 ** TINY_EXPONENT[value.type]
        if self.program.operations[index].name in ("add", "sub"):
            left, right = (self._tiny_term(operand) for operand in self.program.operations[index].operands)
            return left & right
        masks = [self._tiny(operand) for operand in self._vanishing_operands(index)]
        return masks[0] if len(masks) == 1 else masks[0] | masks[1]

    def _tiny_term(self, index: int) -> Value:
        """A term of a sum may be small by its other factor too, zero say, and must not hide that the rest is tiny."""
        tiny = self._tiny(index)
        if self.kinds[index] == "pure" or self.program.operations[index].name in ("add", "sub"):
            return tiny
        value = self.copies[index]
        return tiny | (abs(value) < 2.0 ** TINY_EXPONENT[value.type])

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
            left, right = (self._scaled_term(operand, scale) for operand in operation.operands)
            return left + right if operation.name == "add" else left - right
        if operation.name == "neg":
            return -self._scaled(operation.operands[0], scale)
        first, second = operation.operands
        if operation.name == "div":
            return self._scaled(first, scale) / self.copies[second]
        if self.kinds[first] and self.kinds[second]:
            share = scale * self._leaves(first) // self._leaves(index)
            left, right = self._scaled(first, share), self._scaled(second, scale - share)
            if self.kinds[first] == self.kinds[second] == "pure":
                return left * right
            if self.kinds[first] == "pure":
                return self._finite_product(left, right)
            return self._finite_product(right, left)
        vanishing, other = (first, second) if self.kinds[first] else (second, first)
        factor = self.copies[other]
        if scale and self._independent(vanishing, other):
            return self._finite_product(self._scaled(vanishing, scale + self.reserve), factor * 2.0**-self.reserve)
        return self._finite_product(self._scaled(vanishing, scale), factor)

    def _scaled_term(self, index: int, scale: int) -> Value:
        """A term that is small by its other factor alone is right as it is; its vanishing factor may be large."""
        if scale == 0 or self.kinds[index] != "mixed" or self.program.operations[index].name in ("add", "sub"):
            return self._scaled(index, scale)
        usual = self.copies[index]
        return usual.builder.select(self._tiny(index), self._scaled(index, scale), usual * 2.0**scale)

    def _finite_product(self, vanishing: Value, factor: Value) -> Value:
        """The product, in which a zero wins over a factor that is infinite, or NaN though no input is."""
        builder = factor.builder
        largest = float(np.finfo(NUMPY_TYPE[factor.type]).max)
        clipped = builder.const(largest, factor.type).minimum(builder.const(-largest, factor.type).maximum(factor))
        undefined = factor.is_nan()
        for entry in self.program.inputs:
            if entry.type == factor.type:
                undefined = undefined & ~builder.input(entry.name, entry.type, entry.role).is_nan()
        clipped = builder.select(undefined, 0.0, clipped)
        return vanishing * builder.select(vanishing.eq(0.0), clipped, factor)
