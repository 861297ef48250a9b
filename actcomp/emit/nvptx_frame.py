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

    def values(self, lanes: int, prefix: str) -> Values:
        """An emission of so many elements a thread, that knows the uniform values."""
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

    def load(self, e: Values, addresses: Mapping[int, str], inside: str | None) -> None:
        """Loads the inputs that have an address; where ``inside`` does not hold, nothing is read and the bits are
        any. Vectors are taken to be aligned to ACCESS_BYTES, or to their size."""
        wanted = [operand for operand in self.inputs if operand.index in addresses]
        wholes = [vector(STORED[operand.type], e.lanes) for operand in wanted]
        if inside is None:
            results = [self._load(e, operand, addresses[operand.index]) for operand in wanted]
        else:
            before, tag = self.label, self.tag("load")
            nothing = [self.compute(f"freeze {whole} poison") for whole in wholes]
            self.line(f"br i1 {inside}, label %{tag}, label %{tag}.done")
            self.block(tag)
            loaded = [self._load(e, operand, addresses[operand.index]) for operand in wanted]
            self.line(f"br label %{tag}.done")
            self.block(f"{tag}.done")
            rows = zip(wholes, nothing, loaded, strict=True)
            results = [self.compute(f"phi {whole} [{no}, %{before}], [{yes}, %{tag}]") for whole, no, yes in rows]
        for operand, whole, result in zip(wanted, wholes, results, strict=True):
            if operand.type == "b":
                zero = "0" if e.lanes == 1 else "zeroinitializer"
                result = self.compute(f"icmp ne {whole} {result}, {zero}")
            e.inputs[operand.name] = result

    def _load(self, e: Values, operand: Operand, address: str) -> str:
        whole = vector(STORED[operand.type], e.lanes)
        return self.compute(f"load {whole}, {GLOBAL} {address}, align {alignment(e.lanes, operand.type)}")

    def store(self, e: Values, addresses: Mapping[int, str], inside: str | None) -> None:
        """Computes the element outputs, and what sums add up, and stores the outputs where ``inside`` holds."""
        e.demand(output.value for output in self.program.outputs)
        if not self.outputs:
            return
        if inside is None:
            self._store(e, addresses)
        else:
            with self.only(inside):
                self._store(e, addresses)

    def _store(self, e: Values, addresses: Mapping[int, str]) -> None:
        for operand, value in zip(self.outputs, self.output_values, strict=True):
            whole, name = vector(STORED[operand.type], e.lanes), e.name(value)
            if operand.type == "b":
                name = self.compute(f"zext {e.type_text('b')} {name} to {whole}")
            align = alignment(e.lanes, operand.type)
            self.line(f"store {whole} {name}, {GLOBAL} {addresses[operand.index]}, align {align}")

    def contiguous(self, element: str, operands: Sequence[Operand] | None = None) -> dict[int, str]:
        """Addresses of the element with the number in contiguous operands (None: in all)."""
        chosen = (*self.inputs, *self.outputs) if operands is None else operands
        texts = {o.index: f"getelementptr {STORED[o.type]}, {GLOBAL} {o.address}, i64 {element}" for o in chosen}
        return {index: self.compute(text) for index, text in texts.items()}

    def elements(self, first: str, count: str, place: Place) -> None:
        """One element a thread and turn, from ``first`` (of the block) on, all threads of the grid abreast."""
        single = self.values(1, "single")

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
