"""What the NVPTX kernels of Programs share: arguments, uniform values, guarded loads and stores.

All threads of a warp go through all code together: loops are as long for each of them, and only loads and stores of
elements that do not exist are left out. So a slow path is a branch that a warp takes as one, after a vote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..program.program import Program
from .block import read_once
from .entry import Form, arguments_of
from .interface import BYTES, element_inputs, element_outputs, sum_outputs, uniform_inputs
from .llvm import SCALAR, STORED, vector
from .nvptx_writer import GLOBAL, Values, Writer
from .rare import separate_slow_paths
from .target import Target

ACCESS_BYTES = 16  # of the widest load and store
LLVM_TYPE = {"ptr": GLOBAL, "i64": "i64", **{type: SCALAR[type] for type in ("f32", "f64", "i32", "i16")}}

# From the element's number in C order to the addresses of the operands, by number of the operand.
Place = Callable[[str], dict[int, str]]


@dataclass(frozen=True, slots=True)
class Operand:
    index: int
    name: str
    type: str

    @property
    def address(self) -> str:
        return f"%p{self.index}"


def elements_each(program: Program) -> int:
    """Elements that a thread takes at a time: 16 bytes of the widest operand."""
    types = [entry.type for entry in element_inputs(program) if entry.name[:2] != "p."]
    types += [program.type_of(output.value) for output in element_outputs(program)]
    return ACCESS_BYTES // max((BYTES[type] for type in types), default=4)


class Group:
    """The elements that a thread has in hand, in parts that are computed one after the other: fewer registers."""

    def __init__(self, frame: Frame, lanes: int, parts: list[Values]) -> None:
        self.frame, self.lanes, self.parts = frame, lanes, parts
        self.each = lanes // len(parts)

    def give(self, operand: Operand, whole: str) -> None:
        """The loaded elements of the input."""
        type = vector(STORED[operand.type], self.lanes)
        for number, part in enumerate(self.parts):
            value = whole
            if len(self.parts) > 1:
                first = number * self.each
                mask = ", ".join(f"i32 {lane}" for lane in range(first, first + self.each))
                words = f"shufflevector {type} {whole}, {type} poison, <{self.each} x i32> <{mask}>"
                value = self.frame.compute(words if self.each > 1 else f"extractelement {type} {whole}, i32 {first}")
            if operand.type == "b":
                zero = "0" if self.each == 1 else "zeroinitializer"
                value = self.frame.compute(f"icmp ne {vector('i8', self.each)} {value}, {zero}")
            part.inputs[operand.name] = value

    def take(self, value: int) -> str:
        """The computed elements as they are stored."""
        type = self.frame.program.type_of(value)
        pieces = [part.name(value) for part in self.parts]
        if type == "b":
            words = f"zext {vector('i1', self.each)} {{}} to {vector('i8', self.each)}"
            pieces = [self.frame.compute(words.format(piece)) for piece in pieces]
        lanes = self.each
        if lanes == 1 < len(pieces):
            whole, joined = vector(STORED[type], self.lanes), "poison"
            for number, piece in enumerate(pieces):
                words = f"insertelement {whole} {joined}, {STORED[type]} {piece}, i32 {number}"
                joined = self.frame.compute(words)
            return joined
        while len(pieces) > 1:
            whole = vector(STORED[type], lanes)
            mask = ", ".join(f"i32 {lane}" for lane in range(2 * lanes))
            pairs = zip(pieces[::2], pieces[1::2], strict=True)
            words = f"shufflevector {whole} {{}}, {whole} {{}}, <{2 * lanes} x i32> <{mask}>"
            pieces, lanes = [self.frame.compute(words.format(*pair)) for pair in pairs], 2 * lanes
        return pieces[0]


def part_lanes(program: Program) -> int:
    """How many elements are computed at a time: two hide latency; one where sums take registers of their own."""
    return 1 if sum_outputs(program) else 2


class Frame(Writer):
    """The function of one Program: ``start``, then code of the form, then ``finish``."""

    def __init__(self, program: Program, target: Target, name: str, form: Form) -> None:
        super().__init__(target)
        self.program = program = separate_slow_paths(program)
        self.name, self.form = name, form
        self.uniforms, self.sums = uniform_inputs(program), sum_outputs(program)
        inputs, outputs = element_inputs(program), element_outputs(program)
        self.inputs = tuple(Operand(index, entry.name, entry.type) for index, entry in enumerate(inputs))
        self.outputs = tuple(
            Operand(len(inputs) + index, output.name, program.type_of(output.value))
            for index, output in enumerate(outputs)
        )
        self.output_values = tuple(output.value for output in outputs)
        self.each = elements_each(program)
        self.once = Values(self, program, 1, "once", votes=False)
        self._emissions: list[Values] = [self.once]
        self.shared: dict[str, str] = {}

    def tables(self) -> dict[str, str]:
        """Constants and shared memory that the module must define, by name."""
        found = dict(self.shared)
        for emission in self._emissions:
            found |= emission.globals
        return found

    # before the loops

    def start(self) -> None:
        """The head, and the values that uniform inputs decide."""
        names = {
            "operand": "p{i}", "address": "a{i}", "uniform": "u{i}", "partials": "t{i}", "count": "n", "rows": "rows",
            "columns": "columns", "length": "length{x}", "stride": "stride{i}.{x}",
        }  # fmt: skip
        arguments = arguments_of(self.program, self.form)
        self.head(self.name, [f"{LLVM_TYPE[a.type]} %{names[a.role].format(i=a.index, x=a.axis)}" for a in arguments])
        for index, entry in enumerate(self.uniforms):
            type, before = SCALAR[entry.type], self.label
            self.line(f"%a{index}.given = icmp ne {GLOBAL} %a{index}, null")
            self.line(f"br i1 %a{index}.given, label %a{index}.load, label %a{index}.done")
            self.block(f"a{index}.load")
            self.line(f"%a{index}.value = load {type}, {GLOBAL} %a{index}")
            self.line(f"br label %a{index}.done")
            self.block(f"a{index}.done")
            self.line(f"%g{index} = phi {type} [%u{index}, %{before}], [%a{index}.value, %a{index}.load]")
            self.once.inputs[entry.name] = f"%g{index}"
        self.once.demand(self._read_once())

    def _read_once(self) -> list[int]:
        return [value for value in read_once(self.program) if self.once.regions.home[value] is not None]

    def group(self, lanes: int, prefix: str) -> Group:
        """Emissions of so many elements a thread, that know the uniform values."""
        each = min(lanes, part_lanes(self.program))
        return Group(self, lanes, [self._values(each, f"{prefix}{number}.") for number in range(lanes // each)])

    def _values(self, lanes: int, prefix: str) -> Values:
        emission = Values(self, self.program, lanes, prefix)
        for value in self._read_once():
            emission.bind(value, self.spread(emission, self.once.name(value), self.program.type_of(value)))
        self._emissions.append(emission)
        return emission

    def spread(self, emission: Values, scalar: str, type: str) -> str:
        if emission.lanes == 1:
            return scalar
        whole = emission.type_text(type)
        first = self.compute(f"insertelement {whole} poison, {SCALAR[type]} {scalar}, i32 0")
        return self.compute(f"shufflevector {whole} {first}, {whole} poison, <{emission.lanes} x i32> zeroinitializer")

    # memory

    def load(self, group: Group, addresses: Mapping[int, str], inside: str | None) -> None:
        """Loads the inputs that have an address; where ``inside`` does not hold, nothing is read and the bits are
        any. Vectors are taken to be aligned to ACCESS_BYTES, or to their size."""
        wanted = [operand for operand in self.inputs if operand.index in addresses]
        wholes = [vector(STORED[operand.type], group.lanes) for operand in wanted]
        if inside is None:
            results = [self._load(group.lanes, operand, addresses[operand.index]) for operand in wanted]
        else:
            before, tag = self.label, self.tag("load")
            nothing = [self.compute(f"freeze {whole} poison") for whole in wholes]
            self.line(f"br i1 {inside}, label %{tag}, label %{tag}.done")
            self.block(tag)
            loaded = [self._load(group.lanes, operand, addresses[operand.index]) for operand in wanted]
            self.line(f"br label %{tag}.done")
            self.block(f"{tag}.done")
            rows = zip(wholes, nothing, loaded, strict=True)
            results = [self.compute(f"phi {whole} [{no}, %{before}], [{yes}, %{tag}]") for whole, no, yes in rows]
        for operand, result in zip(wanted, results, strict=True):
            group.give(operand, result)

    def _load(self, lanes: int, operand: Operand, address: str) -> str:
        whole = vector(STORED[operand.type], lanes)
        return self.compute(f"load {whole}, {GLOBAL} {address}, align {alignment(lanes, operand.type)}")

    def store(self, group: Group, addresses: Mapping[int, str], inside: str | None) -> None:
        """Computes the element outputs, and what sums add up, and stores the outputs where ``inside`` holds."""
        for part in group.parts:
            part.demand(output.value for output in self.program.outputs)
        if not self.outputs:
            return
        if inside is None:
            self._store(group, addresses)
        else:
            with self.only(inside):
                self._store(group, addresses)

    def _store(self, group: Group, addresses: Mapping[int, str]) -> None:
        for operand, value in zip(self.outputs, self.output_values, strict=True):
            words = f"store {vector(STORED[operand.type], group.lanes)} {group.take(value)}"
            align = alignment(group.lanes, operand.type)
            self.line(f"{words}, {GLOBAL} {addresses[operand.index]}, align {align}")

    def contiguous(self, element: str, operands: Sequence[Operand] | None = None) -> dict[int, str]:
        """Addresses of the element with the number in contiguous operands (None: in all)."""
        chosen = (*self.inputs, *self.outputs) if operands is None else operands
        texts = {o.index: f"getelementptr {STORED[o.type]}, {GLOBAL} {o.address}, i64 {element}" for o in chosen}
        return {index: self.compute(text) for index, text in texts.items()}

    def elements(self, first: str, count: str, place: Place) -> None:
        """One element a thread and turn, from ``first`` (of the block) on, all threads of the grid abreast."""
        single = self.group(1, "single")

        def body(turn: str, _: list[str]) -> list[str]:
            element = self.compute(f"add i64 {turn}, %tid")
            inside = self.compute(f"icmp slt i64 {element}, {count}")
            addresses = place(element)
            self.load(single, addresses, inside)
            self.store(single, addresses, inside)
            return []

        self.loop(first, "%threads", count, body)


def alignment(lanes: int, type: str) -> int:
    return min(ACCESS_BYTES, lanes * BYTES[type])
