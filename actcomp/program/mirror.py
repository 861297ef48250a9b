"""Programs of f(x) = a g(b x), with signs a and b, from those of g: changes of sign around them, and nothing else.

With b = -1 every input of g is negated, with several inputs all of them together. A derivative of order n in the inputs
is a b^n times that of g at b x; the gradients that come in are multiplied by it and keep their sign. Rounding to
nearest knows no sign, so that each result has the bits of g's up to its own sign bit, and so have sums over elements.
"""

from __future__ import annotations

from dataclasses import replace

from .builder import Builder, Value
from .passes import PRESERVE
from .program import Operation, Program, check

# variant -> how often each of its outputs is differentiated in the inputs: "d" for d.<input>, "d.p" for parameters
_ORDERS = {
    "forward": {"y": 0},
    "derivative": {"y": 0, "d": 1},
    "backward": {"d": 1, "d.p": 0},
    "double_backward": {"d": 2, "d.g.y": 1, "d.p": 1},
}


def mirror(program: Program, variant: str, outer: int, inner: int, name: str) -> Program:
    """The Program of one variant of outer * g(inner * x), both signs 1 or -1, from that of g, in a computing type.

    To be called before store_as: bfloat16 as integers has no sign to change. Raises ValueError for other factors."""
    if {outer, inner} - {1, -1}:
        raise ValueError(f"{name}: signs are 1 or -1, not {outer} and {inner}")
    builder = Builder(name)
    turned = {entry.name for entry in program.inputs if is_turned(entry.name, entry.role, inner)}
    values: list[Value] = []
    for entry in program.inputs:
        builder.input(entry.name, entry.type, entry.role)
    for operation in program.operations:
        values.append(_copy(builder, operation, values, turned))
    for output in program.outputs:
        value = values[output.value]
        sign = sign_of(variant, output.name, outer, inner)
        builder.output(output.name, value if sign > 0 else -value, output.reduction)
    mirrored = builder.build()
    for step in PRESERVE:  # a change of sign undoes another
        mirrored = step(mirrored)
    return check(replace(mirrored, name=name), "mirror")


def sign_of(variant: str, output: str, outer: int, inner: int) -> int:
    """What the output of the variant's Program of g is multiplied by; see above."""
    return outer * inner ** _order(variant, output)


def is_turned(name: str, role: str, inner: int) -> bool:
    """Whether the input of the Program goes to that of g with its sign changed."""
    return inner < 0 and role == "element" and not name.startswith(("g.", "h."))  # no parameter, no gradient


def _copy(builder: Builder, operation: Operation, values: list[Value], turned: set[str]) -> Value:
    operands = tuple(values[operand] for operand in operation.operands)
    value = builder.emit(operation.name, operands, operation.type, operation.payload)
    return -value if operation.name == "input" and operation.payload in turned else value


def _order(variant: str, output: str) -> int:
    orders = _ORDERS[variant]
    if output in orders:
        return orders[output]
    return orders["d.p" if output.startswith("d.p.") else "d"]
