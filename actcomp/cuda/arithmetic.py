"""Arithmetic as a graph, of a Program and of PTX alike, in a form that does not see what compilers may change.

What may change without a change of bits, and how the form hides it:

- signs are kept beside values: ``a - b`` is ``a + (-b)``, a product or quotient carries the sign of its operands, an
  fma says whether its product and its addend agree in sign. So a negation may move into an operand or a constant;
- ``1*x`` is x, also in an fma, a Program's ``2*x`` may be ``x + x``, and division by a power of two is multiplication
  by its exact inverse;
- ``1/x`` is a division, whatever it is called;
- operands of sums and products have no order;
- ``c - (a - b)`` is ``(b - a) + c`` for a constant c that is not 0, where the sign of a zero could tell;
- what is not arithmetic (selections, integer operations, values that meet after a branch) is *opaque*, for compilers
  rewrite it freely: of such a value only its *sources* are known, the arithmetic results and the inputs that it may be
  made of, and one of PTX must have no source that the Program's has not. Conditions are no sources in PTX, as they may
  become branches. Flipping or clearing a sign bit counts as arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..program.primitives import FLOATS, WIDTH_BITS
from ..program.program import Program

FRACTION = {"f16": 10, "f32": 23, "f64": 52}  # bits
CONSTANT = "constant"  # detail of what is opaque and one of some constants
COMMUTATIVE = ("add", "mul")
FUSED = ("fma", "fms")  # a*b + c, and a*b - c


@dataclass(frozen=True, slots=True)
class Node:
    """``op`` over operands in a type: "add", "sub", "mul", "div", "fma", "fms", "sqrt", "rint", "floor", "abs", "cvt"
    (``detail``: the source's type), "const" (``bits`` without the sign), "input" (whatever is loaded); "" is opaque,
    its operands are its sources."""

    op: str
    type: str = ""
    operands: tuple[Signed, ...] = ()
    bits: int = 0
    detail: str = ""
    number: int = 0  # what makes nodes of a graph distinct, for quick comparison


@dataclass(frozen=True, slots=True)
class Signed:
    negative: bool
    node: Node

    def flipped(self, flip: bool = True) -> Signed:
        return Signed(self.negative ^ flip, self.node)


OPAQUE = Signed(False, Node(""))  # of no sources
INPUT = Signed(False, Node("input", number=-1))


class Graph:
    """Makes nodes; equal ones once, so that they compare by their numbers."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Node] = {}

    def _node(self, op: str, type: str, operands: tuple[Signed, ...] = (), bits: int = 0, detail: str = "") -> Node:
        key = (op, type, tuple((o.negative, o.node.number) for o in operands), bits, detail)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Node(op, type, operands, bits, detail, len(self._made) + 1)
        return found

    def constant(self, bits: int, width: int) -> Signed:
        """PTX moves bits without a type, so that constants have none."""
        sign = 1 << (width - 1)
        return Signed(bool(bits & sign), self._node("const", "", bits=bits & (sign - 1)))

    def opaque(self, operands: Iterable[Signed], chosen: Sequence[Signed] = ()) -> Signed:
        """What is made of the operands in a way that is not looked at. ``chosen``: one of these; if all are constants,
        a compiler may know which; then the value has the sign of those that are not 0."""
        sources: dict[int, Signed] = {}
        for operand in operands:
            node = operand.node
            while node.op == "abs":  # which integer operations do too
                node = node.operands[0].node
            own = node.operands if not node.op else (Signed(False, node),)
            sources.update((one.node.number, Signed(False, one.node)) for one in own if one.node.op != "const")
        is_constant = bool(chosen) and all(one.node.op == "const" or one.node.detail == CONSTANT for one in chosen)
        signs = {one.negative for one in chosen if one.node.bits or one.node.op != "const"}
        ordered = tuple(sources[number] for number in sorted(sources))
        node = self._node("", "", ordered, detail=CONSTANT if is_constant else "")
        return Signed(is_constant and signs == {True}, node)

    def apply(self, op: str, type: str, operands: list[Signed], detail: str = "") -> Signed:
        """The value of an operation, op named as in a Program, in the form of this module."""
        if op in ("add", "sub"):
            a, b = operands[0], operands[1].flipped(op == "sub")
            if a.negative == b.negative:
                return Signed(a.negative, self._node("add", type, (a.flipped(a.negative), b.flipped(b.negative))))
            if a.negative:
                a, b = b, a
            return self._difference(type, a, b.flipped())
        if op == "neg":
            return operands[0].flipped()
        if op in ("mul", "div"):
            return self._product(op, type, *operands)
        if op == "fma":
            a, b, c = operands
            for one, other in ((a, b), (b, a)):
                if _is_power(one, type, 0):
                    return self.apply("add", type, [other.flipped(one.negative), c])
            sign = a.negative ^ b.negative
            bare = tuple(o.flipped(o.negative) for o in operands)
            return Signed(sign, self._node("fms" if c.negative != sign else "fma", type, bare))
        if op == "abs":
            return Signed(False, self._node(op, "", (operands[0].flipped(operands[0].negative),)))
        return Signed(False, self._node(op, type, tuple(operands), detail=detail))

    def _difference(self, type: str, a: Signed, b: Signed) -> Signed:
        for one, other, is_negative in ((a, b, False), (b, a, True)):
            if one.node.op == "const" and one.node.bits and other.node.op == "sub" and other.node.type == type:
                p, q = other.node.operands
                return Signed(is_negative, self._node("add", type, (self._difference(type, q, p), one)))
        return Signed(False, self._node("sub", type, (a, b)))

    def _product(self, op: str, type: str, a: Signed, b: Signed) -> Signed:
        sign = a.negative ^ b.negative
        a, b = a.flipped(a.negative), b.flipped(b.negative)
        fraction = FRACTION[type]
        two = 1 << (WIDTH_BITS[type] - 2)  # the bits of 2.0
        if op == "div" and b.node.op == "const" and not b.node.bits & ((1 << fraction) - 1):
            inverse = 2 * (two - (1 << fraction)) - b.node.bits  # of a power of two; in range if it is normal
            if 0 < inverse >> fraction and 0 < b.node.bits >> fraction:
                op, b = "mul", self.constant(inverse, WIDTH_BITS[type])
        if op == "mul" and a.node.op == "const" and b.node.op != "const":
            a, b = b, a
        if op == "mul" and _is_power(b, type, 0):
            return a.flipped(sign)
        return Signed(sign, self._node(op, type, (a, b)))


def _may_double(node: Node) -> bool:
    """Whether this is a product by 2, or by what is made of constants alone."""
    if node.op != "mul":
        return False
    factor = node.operands[1]
    return _is_power(factor, node.type, 1) or (
        not factor.node.op and (not factor.node.operands or factor.node.detail == CONSTANT)
    )


def _is_power(value: Signed, type: str, exponent: int) -> bool:
    """Whether the value is 2**exponent or its negative."""
    one = (1 << (WIDTH_BITS[type] - 2)) - (1 << FRACTION[type])
    return value.node.op == "const" and value.node.bits == one + (exponent << FRACTION[type])


class Matcher:
    """Whether nodes of two graphs can be the same value, as far as what is opaque allows. Overall signs do not count
    at the root; below it they do."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def agree(self, p: Node, q: Node) -> bool:
        """Whether p, of PTX, may be q, of a Program."""
        key = (p.number, q.number)
        found = self._known.get(key)
        if found is None:
            self._known[key] = True  # graphs have no cycles; this only bounds the work
            found = self._known[key] = self._compare(p, q)
        return found

    def _compare(self, p: Node, q: Node) -> bool:
        if "abs" in (p.op, q.op) and p.op != q.op:  # done by integer operations on one side
            return (
                self.agree(p.operands[0].node, q) if p.op == "abs" else not p.op and self.agree(p, q.operands[0].node)
            )
        if not p.op:  # an empty one is a constant from memory, a parameter, or cut from a cycle
            within = q.operands if not q.op else (Signed(False, q),)
            return all(any(self.agree(one.node, other.node) for other in within) for one in p.operands)
        if not q.op:
            return p.op == "const" or any(self.agree(p, other.node) for other in q.operands)
        if p.op == "add" and p.type == q.type and _may_double(q):
            return p.operands[0] == p.operands[1] and self.agree(p.operands[0].node, q.operands[0].node)
        if p.op != q.op or p.type != q.type or p.detail != q.detail or p.bits != q.bits:
            return False
        return any(all(self._alike(a, b) for a, b in zip(p.operands, order, strict=True)) for order in _orders(q))

    def agree_but_for_sign(self, p: Node, q: Node) -> bool:
        """As agree; a difference may also be the other way round."""
        if self.agree(p, q):
            return True
        if not (p.op == q.op == "sub" and p.type == q.type):
            return False
        return all(self._alike(a, b) for a, b in zip(p.operands, reversed(q.operands), strict=True))

    def _alike(self, a: Signed, b: Signed) -> bool:
        signs_count = bool(a.node.op) == bool(b.node.op)
        return (a.negative == b.negative or not signs_count) and self.agree(a.node, b.node)


def _orders(node: Node) -> list[tuple[Signed, ...]]:
    orders = [node.operands]
    if node.op in COMMUTATIVE or node.op in FUSED:
        a, b, *rest = node.operands
        orders.append((b, a, *rest))
    return orders


@dataclass(frozen=True, slots=True)
class Named:
    """An arithmetic operation that a Program names, by its place there."""

    index: int
    node: Node
    may_double: bool  # be done by adding a value to itself


@dataclass(frozen=True, slots=True)
class Clamp:
    """``min(first, constant)`` or ``max(first, constant)`` of a Program where PTX's instruction gives the same bits.

    A Program's gives the second operand for NaN and for ties, PTX's the operand that is no NaN, and holds -0.0 for less
    than 0.0. With a constant as second operand they agree, unless it is a 0.0 of the sign that a tie can lose."""

    name: str
    type: str
    first: Node
    constant: Signed


COMPUTED = frozenset({"add", "sub", "mul", "div", "fma", "fms", "sqrt", "rint", "floor", "cvt"})
ARITHMETIC = ("add", "sub", "mul", "div", "fma", "sqrt", "rint", "floor", "convert")


def of_program(program: Program) -> tuple[list[Named], list[Clamp]]:
    """The arithmetic of a Program, and its clamps; operations on constants alone are left out, compilers do them.

    Raises ValueError for arithmetic in f16, which emissions do in float32."""
    graph = Graph()
    values: list[Signed] = []
    named: list[Named] = []
    clamps: list[Clamp] = []
    for index, operation in enumerate(program.operations):
        operands = [values[k] for k in operation.operands]
        types = [program.type_of(k) for k in operation.operands]
        name, type = operation.name, operation.type
        value = graph.opaque(operands, operands[1:] if name in ("select", "rare") else ())
        if name == "const":
            value = graph.constant(operation.payload, WIDTH_BITS[type])
        elif name == "input":
            value = INPUT
        elif name == "table":
            value = graph.opaque([*operands, INPUT])
        elif name == "bitcast":
            value = operands[0]
        elif name in ("xor", "and") and type[0] == "i":
            value = sign_bit(graph, name, WIDTH_BITS[type], operands)
        elif name in ("min", "max") and type[0] == "f" and is_clamp(name, type, operands[1]):
            clamps.append(Clamp(name, type, operands[0].node, operands[1]))
        elif name in ("neg", "abs"):
            value = graph.apply(name, type, operands)
        elif name in ARITHMETIC and any(o.node.op != "const" for o in operands):
            is_conversion = name == "convert"
            if is_conversion and not any(t in FLOATS for t in (type, *types)) or "b" in types:
                values.append(value)
                continue
            if "f16" in (type, *types) and not is_conversion:
                raise ValueError(f"{program.name}: %{index} computes in f16")
            if is_conversion:
                value = graph.apply("cvt", _kind(type), operands, _kind(types[0]))
            else:
                value = graph.apply(name, type, operands)
            if value.node.op in COMPUTED:
                named.append(Named(index, value.node, _may_double(value.node)))
        values.append(value)
    return named, clamps


def _kind(type: str) -> str:
    """The type of a conversion: integers are one."""
    return type if type in FLOATS else "i"


def is_clamp(name: str, type: str, constant: Signed) -> bool:
    """Whether the constant is one that Clamp allows as second operand."""
    infinity = {"f16": 0x7C00, "f32": 0x7F800000, "f64": 0x7FF << 52}[type]
    if constant.node.op != "const" or constant.node.bits > infinity:
        return False
    return constant.node.bits != 0 or constant.negative == (name == "min")


def sign_bit(graph: Graph, name: str, width: int, operands: list[Signed]) -> Signed:
    """Of integers: "xor" with the sign bit negates a float, "and" with all other bits takes its magnitude."""
    sign = 1 << (width - 1)
    for a, b in (operands, operands[::-1]):
        if b.node.op == "const" and a.node.op != "const":
            bits = b.node.bits | (sign if b.negative else 0)
            if name == "xor" and bits == sign:
                return a.flipped()
            if name == "and" and bits == sign - 1:
                return graph.apply("abs", "", [a])
    return graph.opaque(operands)
