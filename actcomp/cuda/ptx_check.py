"""Whether PTX computes what Programs name and nothing else: each float instruction is one of the Program's operations.

    for fault in check(read(ptx)["silu"], program, copies=5):
        print(fault)           # line 93: mul.rn.f32 ...: no mul of the Program has such operands

An instruction is looked for among the Program's operations by its operands, as far back as arithmetic goes (see
arithmetic.py for what counts as equal), and must round to nearest. What else is allowed, and why:

- ``min`` and ``max`` whose results only comparisons read: for ``a < c or b < c`` LLVM asks ``min(a, b) < c``, where
  NaN loses as it does in both comparisons; and those with a constant that the Program names (see Clamp);
- ``add.rn.f32.f16`` and its like, which convert a float16 operand first: exactly;
- float64 sums, and conversions to float64 before them, where the Program has a sum output: its tree of partial sums;
- ``add`` and ``sub`` without ``.rn``: they round to nearest, but may be fused with a product that has no ``.rn``
  either; so those that read such a product, through selections and signs too, are foreign.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..emit.interface import sum_outputs
from ..emit.rare import separate_slow_paths
from ..program.program import Program
from .arithmetic import COMPUTED, INPUT, OPAQUE, Clamp, Graph, Matcher, Named, Node, Signed, of_program, sign_bit
from .ptx import Function, Instruction, read

FLOAT_TYPES = {"f32": 1, "f64": 1, "f32x2": 2}
# PTX's names of operations -> a Program's.
OPERATIONS = {"add": "add", "sub": "sub", "mul": "mul", "div": "div", "fma": "fma", "sqrt": "sqrt", "rcp": "div"}
EXACT = ("neg", "abs", "mov", "selp", "setp", "set", "slct", "ld", "st", "min", "max", "testp", "copysign", "shfl")
CONVERSIONS_TO_WHOLE = {"rni": "rint", "rmi": "floor"}
PASSES_ON = ("mov", "selp", "neg", "abs")


@dataclass(frozen=True, slots=True)
class Fault:
    """An instruction that the Program does not name, or (line 0) an operation of it that no instruction computes."""

    function: str
    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.function}, line {self.line}" if self.line else self.function
        return f"{place}: {self.text}: {self.reason}"


def check_module(ptx: str, programs: Mapping[str, Program], copies: int | None = None) -> list[Fault]:
    """The faults of all kernels of a module, named as their Programs, and of kernels that are missing."""
    functions = read(ptx)
    faults = []
    for name, program in programs.items():
        if name not in functions:
            faults.append(Fault(name, 0, ".entry", "is not there"))
        else:
            faults += check(functions[name], program, copies)
    return faults


def check(function: Function, program: Program, copies: int | None = None) -> list[Fault]:
    """What is foreign in a kernel of the Program, and what is missing from it.

    ``copies``: at most how often each operation may stand there (for each element that a thread computes at a time,
    and once more where elements go singly); None: any number of times. Raises ValueError for Programs that compute in
    f16."""
    program = separate_slow_paths(program)
    named, clamps = of_program(program)
    code = Code(function)
    faults = [*_forms(code, clamps), *_fusible(code)]
    told = {fault.line for fault in faults}
    matcher = Matcher()
    by_kind: dict[tuple[str, str], list[Named]] = collections.defaultdict(list)
    for operation in named:
        by_kind[operation.node.op, operation.node.type].append(operation)
        if operation.may_double:
            by_kind["add", operation.node.type].append(operation)
    seen: set[int] = set()
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for instruction, node in code.arithmetic():
        kind = (node.op, node.type)
        if instruction.line in told or node.op not in COMPUTED:  # 1*x is allowed
            continue
        found = [operation.index for operation in by_kind[kind] if matcher.agree_but_for_sign(node, operation.node)]
        seen.update(found)
        if _is_of_a_sum(node, program) or (node.op == "cvt" and node.detail == "f16"):  # exact, done again at will
            continue
        counts[kind] += 1
        limit = None if copies is None else copies * len(by_kind[kind])
        if not found:
            reason = f"no {_shown(node)} of the Program has such operands" if by_kind[kind] else "the Program has none"
            faults.append(Fault(function.name, instruction.line, instruction.text, reason))
        elif limit is not None and counts[kind] > limit:
            reason = f"the Program has {len(by_kind[kind])} {_shown(node)}, more than {copies} times that stand here"
            faults.append(Fault(function.name, instruction.line, instruction.text, reason))
    needed = _needed(program)
    for operation in named:
        if operation.index in needed and operation.index not in seen:
            text = f"%{operation.index} {program.operations[operation.index].name}"
            faults.append(Fault(function.name, 0, text, "no instruction computes it"))
    return sorted(faults, key=lambda fault: fault.line)


def _shown(node: Node) -> str:
    return f"{node.op}.{node.type}" + (f".{node.detail}" if node.detail else "")


def _needed(program: Program) -> set[int]:
    needed: set[int] = set()
    stack = [output.value for output in program.outputs]
    while stack:
        value = stack.pop()
        if value not in needed:
            needed.add(value)
            stack += program.operations[value].operands
    return needed


def _is_of_a_sum(node: Node, program: Program) -> bool:
    """Partial sums are added in float64, and what is added up is converted to it."""
    if not sum_outputs(program) or node.type != "f64":
        return False
    return node.op == "add" or (node.op == "cvt" and node.detail == "f32")


class Code:
    """A function's instructions as arithmetic: what each register holds."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.graph = Graph()
        self.definitions: dict[str, list[Instruction]] = collections.defaultdict(list)
        for instruction in function.instructions:
            for name in instruction.outputs:
                self.definitions[name].append(instruction)
        self._values: dict[str, tuple[Signed, ...]] = {}

    def arithmetic(self) -> Iterator[tuple[Instruction, Node]]:
        """Each instruction that computes, with what it computes (one node for each element of a pair)."""
        for instruction in self.function.instructions:
            if operation_of(instruction):
                self._know(instruction)
                hidden = self._mixed(instruction)[:-1] if is_mixed(instruction) else ()
                for value in (*hidden, *self._compute(instruction)):
                    yield instruction, value.node

    def value(self, name: str) -> tuple[Signed, ...]:
        """What a register holds: one value, or two for packed pairs; opaque where it is assigned more than once."""
        stack, begun = [name], set[str]()
        while stack:
            top = stack[-1]
            if top in self._values:
                stack.pop()
                continue
            sources = self.definitions.get(top, [])
            begun.add(top)
            waiting = [o for source in sources for o in _data(source) if o not in self._values and o not in begun]
            if waiting:
                stack += waiting
            else:
                self._values[top] = self._held(top, sources)
        return self._values[name]

    def _held(self, name: str, sources: list[Instruction]) -> tuple[Signed, ...]:
        if len(sources) != 1 or sources[0].guard:
            # a predicated instruction may leave what was there; that is another definition, or nothing
            return (self.graph.opaque(value for source in sources for value in self._compute(source)),)
        (instruction,) = sources
        is_packing = instruction.words[0] == "mov" and len(instruction.inputs) + len(instruction.outputs) > 2
        if is_packing and instruction.type == "b64":  # a pair
            if len(instruction.inputs) == 2:
                return tuple(self._operand(o, 1, 32)[0] for o in instruction.inputs)
            halves = self._operand(instruction.inputs[0], 2, 64)
            return (halves[instruction.outputs.index(name)],)
        if len(instruction.outputs) == 1 and not is_packing:
            return self._compute(instruction)
        return (self._opaque(instruction),)

    def _operand(self, text: str, count: int, width: int) -> tuple[Signed, ...]:
        if text[0] == "%":
            held = self._values.get(text, (OPAQUE,))  # if it is not known, it is in a cycle
            return held if len(held) == count else (self.graph.opaque(held),) * count
        bits = number(text)
        if bits is None:  # an address, a special register
            return (OPAQUE,) * count
        half = width // count
        return tuple(self.graph.constant(bits >> half * k & ((1 << half) - 1), half) for k in range(count))

    def operands(self, instruction: Instruction) -> list[Signed]:
        """What a scalar instruction reads."""
        width = 64 if instruction.type[-2:] == "64" else 32
        self._know(instruction)
        return [self._operand(name, 1, width)[0] for name in instruction.inputs]

    def _know(self, instruction: Instruction) -> None:
        for name in _data(instruction):
            self.value(name)

    def _opaque(self, instruction: Instruction) -> Signed:
        loaded = [INPUT] if instruction.words[0] in ("ld", "shfl", "atom") and "param" not in instruction.words else []
        values = [value for name in _data(instruction) for value in self._values.get(name, (OPAQUE,))]
        return self.graph.opaque([*values, *loaded])

    def _mixed(self, instruction: Instruction) -> list[Signed]:
        """The operands of a sum in mixed precision: the last one is float32, the others are converted first."""
        *halves, last = (self._operand(o, 1, 32)[0] for o in instruction.inputs)
        return [*(self.graph.apply("cvt", "f32", [half], "f16") for half in halves), last]

    def _compute(self, instruction: Instruction) -> tuple[Signed, ...]:
        """What an instruction gives, if what it reads is known."""
        words, type = instruction.words, instruction.type
        count = FLOAT_TYPES.get(type, 1)
        scalar = "f32" if type == "f32x2" else type
        width = 64 if type[-2:] == "64" or count == 2 else 16 if type[-2:] == "16" else 32
        operation = operation_of(instruction)
        if is_mixed(instruction):
            operands = self._mixed(instruction)
            return (self.graph.apply(operation, "f32", operands),)
        if operation == "cvt":
            target, source = (word.removesuffix("x2") if word[0] == "f" else "i" for word in words[-2:])
            operands = [self._operand(o, 1, width)[0] for o in instruction.inputs]  # two for a packed result
            return tuple(self.graph.apply("cvt", target, [operand], source) for operand in operands)
        if not operation and words[0] not in ("mov", "neg", "abs", "xor", "and"):
            return (self._opaque(instruction),)
        columns = [self._operand(o, count, width) for o in instruction.inputs]
        rows = [list(row) for row in zip(*columns, strict=True)]
        if operation:
            if words[0] == "rcp":
                one = 0x3F800000 if scalar == "f32" else 0x3FF << 52
                rows = [[self.graph.constant(one, width), *row] for row in rows]
            return tuple(self.graph.apply(operation, scalar, row) for row in rows)
        if words[0] == "mov" and len(instruction.inputs) == len(instruction.outputs) == 1:
            return columns[0]
        if words[0] in ("neg", "abs") and type[0] == "f":
            return tuple(self.graph.apply(words[0], scalar, row) for row in rows)
        if words[0] in ("xor", "and") and type[0] == "b":
            return (sign_bit(self.graph, words[0], width, rows[0]),)
        return (self._opaque(instruction),)


def _data(instruction: Instruction) -> list[str]:
    """The registers that an instruction's result is made of: no conditions, no addresses."""
    return [name for name in instruction.inputs if name[0] == "%" and name[1] != "p"]


def operation_of(instruction: Instruction) -> str:
    """The Program's name of what the instruction computes in floats ("cvt" of conversions); "" if it does not."""
    words = instruction.words
    if is_mixed(instruction):
        return OPERATIONS[words[0]]
    if words[0] == "cvt" and any(word[0] == "f" for word in words[-2:]):
        if words[-1] == words[-2]:
            return next((CONVERSIONS_TO_WHOLE[word] for word in words if word in CONVERSIONS_TO_WHOLE), "cvt")
        return "cvt"
    return OPERATIONS.get(words[0], "") if instruction.type in FLOAT_TYPES else ""


def is_mixed(instruction: Instruction) -> bool:
    """Whether it takes float16 operands into a float32 sum, as add.rn.f32.f16 does: the conversion is exact."""
    return instruction.words[0] in ("add", "sub", "fma") and instruction.words[-2:] == ("f32", "f16")


def number(text: str) -> int | None:
    """The bits of a constant: 0fXXXXXXXX, 0dXXXXXXXXXXXXXXXX, or a whole number."""
    if text[:2] in ("0f", "0d", "0F", "0D"):
        return int(text[2:], 16)
    try:
        return int(text, 0)
    except ValueError:
        return None


def _forms(code: Code, clamps: Sequence[Clamp]) -> Iterator[Fault]:
    """Instructions whose very form is foreign."""
    readers: dict[str, list[Instruction]] = collections.defaultdict(list)
    for instruction in code.function.instructions:
        for name in instruction.inputs:
            readers[name].append(instruction)
    matcher = Matcher()
    for instruction in code.function.instructions:
        reason = _form(instruction)
        if instruction.words[0] in ("min", "max") and instruction.type in FLOAT_TYPES and not reason:
            read_by = [reader for name in instruction.outputs for reader in readers[name]]
            is_asked = read_by and all(reader.words[0] in ("min", "max", "setp") for reader in read_by)
            if not is_asked and not any(_is_clamp(code, instruction, clamp, matcher) for clamp in clamps):
                reason = "chooses otherwise than the Program where a number is NaN or 0"
        if reason:
            yield Fault(code.function.name, instruction.line, instruction.text, reason)


def _is_clamp(code: Code, instruction: Instruction, clamp: Clamp, matcher: Matcher) -> bool:
    if instruction.words != (clamp.name, clamp.type):
        return False
    a, b = code.operands(instruction)
    pairs = [(first.node, constant) for first, constant in ((a, b), (b, a)) if constant.node.op == "const"]
    return any(
        constant.node.bits == clamp.constant.node.bits
        and constant.negative == clamp.constant.negative
        and matcher.agree(first, clamp.first)
        for first, constant in pairs
    )


def _form(instruction: Instruction) -> str:
    words = instruction.words
    is_float = any(word[0] == "f" and word[1:3].isdigit() or word.startswith("bf16") for word in words[1:])
    if words[0] == "call":
        return "calls a function"
    if not is_float:
        return ""
    if "ftz" in words:
        return "flushes subnormal numbers"
    if "approx" in words or "full" in words:
        return "is approximate"
    if words[0] in EXACT:
        return ""
    operation = operation_of(instruction)
    if not operation:
        return "is no operation of Programs"
    return _rounding(instruction, operation)


def _rounding(instruction: Instruction, operation: str) -> str:
    words = instruction.words
    if operation in ("rint", "floor"):
        return ""
    if operation == "cvt":
        target, source = (word.removesuffix("x2") for word in words[-2:])
        rounding = [word for word in words[1:-2] if word != "sat"]
        if "sat" in words and target[0] == "f":
            return "cuts off at 0 and 1"
        if target[0] != "f":
            return "" if rounding == ["rzi"] else "does not truncate"
        is_exact = source[0] == "f" and int(target[1:]) > int(source[1:])
        return "" if rounding == ([] if is_exact else ["rn"]) else "does not round to nearest"
    if "rn" in words or (len(words) == 2 and words[0] in ("add", "sub", "mul")):
        return ""
    return "does not round to nearest"


def _fusible(code: Code) -> Iterator[Fault]:
    """Sums that the assembler may fuse with a product."""
    for instruction in code.function.instructions:
        if instruction.words[0] not in ("add", "sub") or instruction.type not in FLOAT_TYPES:
            continue
        if "rn" in instruction.words:
            continue
        stack, seen = list(instruction.inputs), set[str]()
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            for source in code.definitions.get(name, []):
                if source.words[0] == "mul" and source.type in FLOAT_TYPES and "rn" not in source.words:
                    reason = f"may be fused with the product of line {source.line}, {source.text}"
                    yield Fault(code.function.name, instruction.line, instruction.text, reason)
                elif source.words[0] in PASSES_ON:
                    stack += source.inputs
