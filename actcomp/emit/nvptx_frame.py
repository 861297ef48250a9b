"""What all NVPTX kernels share: arguments, thread numbers, uniform values, guarded loads and stores, the warp's vote.

All threads of a warp go through all code together: loops are as long for each of them, and only loads and stores of
elements that do not exist are left out. So a slow path is a branch that a warp takes as one, after a vote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..program.program import Program
from .block import read_once
from .entry import Form, arguments_of
from .interface import BYTES, element_inputs, element_outputs, sum_outputs, uniform_inputs
from .llvm import SCALAR, STORED, Emission, vector
from .rare import separate_slow_paths
from .target import Target

GLOBAL = "ptr addrspace(1)"
ACCESS_BYTES = 16  # of the widest load and store
LLVM_TYPE = {"ptr": GLOBAL, "i64": "i64", "f32": "float", "f64": "double", "i32": "i32", "i16": "i16", "b": "i1"}
INTRINSICS = {
    "tid": "i32 @llvm.nvvm.read.ptx.sreg.tid.x()",
    "ctaid": "i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()",
    "ntid": "i32 @llvm.nvvm.read.ptx.sreg.ntid.x()",
    "nctaid": "i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()",
}

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


class Values(Emission):
    """Values of one thread; a slow path is taken if any thread of the warp needs it."""

    @property
    def goes_along(self) -> bool:
        return True

    def any_lane(self, mask: str) -> str:
        mine, r = super().any_lane(mask), self.fresh()
        self.line(f"{r} = call i1 @llvm.nvvm.vote.any.sync(i32 -1, i1 {mine})")
        return r


def elements_each(program: Program) -> int:
    """Elements that a thread takes at a time: 16 bytes of the widest operand, as a power of two."""
    types = [entry.type for entry in element_inputs(program)]
    types += [program.type_of(output.value) for output in element_outputs(program)]
    return ACCESS_BYTES // max((BYTES[type] for type in types), default=4)


class Frame:
    """The function of one Program: ``start``, then code of the form, then ``finish``."""

    def __init__(self, program: Program, target: Target, name: str, form: Form) -> None:
        self.program = program = separate_slow_paths(program)
        self.target, self.name, self.form = target, name, form
        self.uniforms, self.sums = uniform_inputs(program), sum_outputs(program)
        inputs, outputs = element_inputs(program), element_outputs(program)
        self.inputs = tuple(Operand(index, entry.name, entry.type) for index, entry in enumerate(inputs))
        self.outputs = tuple(
            Operand(len(inputs) + index, output.name, program.type_of(output.value))
            for index, output in enumerate(outputs)
        )
        self.output_values = tuple(output.value for output in outputs)
        self.each = elements_each(program)
        self.lines: list[str] = []
        self.once = Emission(program, target, 1, self.lines, "once")
        self._emissions: list[Emission] = [self.once]
        self._count = 0
        self.shared: dict[str, str] = {}

    # lines

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def compute(self, text: str) -> str:
        """A line with a result of a fresh name."""
        self._count += 1
        self.line(f"%f{self._count} = {text}")
        return f"%f{self._count}"

    def tables(self) -> dict[str, str]:
        """Constants and shared memory that the module must define, by name."""
        found = dict(self.shared)
        for emission in self._emissions:
            found |= emission.globals
        return found

    # before the loops

    def start(self) -> None:
        """The head, thread numbers (i64 %tid, %lane, %first, %threads), values that uniform inputs decide."""
        arguments = arguments_of(self.program, self.form)
        names = {
            "operand": "p{i}", "address": "a{i}", "uniform": "u{i}", "partials": "t{i}", "count": "n", "rows": "rows",
            "columns": "columns", "length": "length{x}", "stride": "stride{i}.{x}",
        }  # fmt: skip
        listed = (f"{LLVM_TYPE[a.type]} %{names[a.role].format(i=a.index, x=a.axis)}" for a in arguments)
        self.lines.append(f"define ptx_kernel void @{self.name}({', '.join(listed)}) #0 {{")
        self.once.start_block("entry")
        for name, intrinsic in INTRINSICS.items():
            self.line(f"%{name}.i = call {intrinsic}")
            self.line(f"%{name} = zext i32 %{name}.i to i64")
        self.line("%lane = and i64 %tid, 31")
        self.line("%first = mul i64 %ctaid, %ntid")
        self.line("%threads = mul i64 %nctaid, %ntid")
        for index, entry in enumerate(self.uniforms):
            type, before = SCALAR[entry.type], self.once.label
            self.line(f"%a{index}.given = icmp ne {GLOBAL} %a{index}, null")
            self.line(f"br i1 %a{index}.given, label %a{index}.load, label %a{index}.done")
            self.lines.append(f"a{index}.load:")
            self.line(f"%a{index}.value = load {type}, {GLOBAL} %a{index}")
            self.line(f"br label %a{index}.done")
            self.once.start_block(f"a{index}.done")
            self.line(f"%g{index} = phi {type} [%u{index}, %{before}], [%a{index}.value, %a{index}.load]")
            self.once.inputs[entry.name] = f"%g{index}"
        self.once.demand(value for value in read_once(self.program) if self.once.regions.home[value] is not None)

    def values(self, lanes: int, prefix: str) -> Values:
        """An emission of so many elements a thread, that knows the uniform values. Its lines start where ``once``
        stands, or wherever its first block is started."""
        emission = Values(self.program, self.target, lanes, self.lines, prefix)
        emission.label = self.once.label
        for value in read_once(self.program):
            if self.once.regions.home[value] is not None:
                emission.bind(value, self.spread(emission, self.once.name(value), self.program.type_of(value)))
        self._emissions.append(emission)
        return emission

    def spread(self, emission: Emission, scalar: str, type: str) -> str:
        if emission.lanes == 1:
            return scalar
        whole = emission.type_text(type)
        first = self.compute(f"insertelement {whole} poison, {SCALAR[type]} {scalar}, i32 0")
        return self.compute(f"shufflevector {whole} {first}, {whole} poison, <{emission.lanes} x i32> zeroinitializer")

    def finish(self) -> list[str]:
        self.line("ret void")
        self.lines.append("}")
        return self.lines

    # memory

    def load(self, e: Values, addresses: Mapping[int, str], inside: str | None) -> None:
        """Loads the inputs that have an address; where ``inside`` does not hold, nothing is read and the bits are
        any. All lie as their first element's type is aligned, and whole vectors to ACCESS_BYTES."""
        wanted = [operand for operand in self.inputs if operand.index in addresses]
        wholes = [vector(STORED[operand.type], e.lanes) for operand in wanted]
        if inside is None:
            results = [self._load(e, operand, addresses[operand.index]) for operand in wanted]
        else:
            self._count += 1
            before, tag = e.label, f"load{self._count}"
            nothing = [self.compute(f"freeze {whole} poison") for whole in wholes]
            self.line(f"br i1 {inside}, label %{tag}, label %{tag}.done")
            e.start_block(tag)
            loaded = [self._load(e, operand, addresses[operand.index]) for operand in wanted]
            self.line(f"br label %{tag}.done")
            e.start_block(f"{tag}.done")
            rows = zip(wholes, nothing, loaded, strict=True)
            results = [self.compute(f"phi {whole} [{no}, %{before}], [{yes}, %{tag}]") for whole, no, yes in rows]
        for operand, whole, result in zip(wanted, wholes, results, strict=True):
            if operand.type == "b":
                zero = "0" if e.lanes == 1 else "zeroinitializer"
                result = self.compute(f"icmp ne {whole} {result}, {zero}")
            e.inputs[operand.name] = result

    def _load(self, e: Values, operand: Operand, address: str) -> str:
        whole = vector(STORED[operand.type], e.lanes)
        return self.compute(f"load {whole}, {GLOBAL} {address}, align {self._alignment(e, operand)}")

    def _alignment(self, e: Values, operand: Operand) -> int:
        return min(ACCESS_BYTES, e.lanes * BYTES[operand.type])

    def store(self, e: Values, addresses: Mapping[int, str], inside: str | None) -> None:
        """Computes the element outputs, and what sums add up, and stores the outputs where ``inside`` holds."""
        e.demand(output.value for output in self.program.outputs)
        if not self.outputs:
            return
        self._count += 1
        tag = f"store{self._count}"
        if inside is not None:
            self.line(f"br i1 {inside}, label %{tag}, label %{tag}.done")
            e.start_block(tag)
        for operand, value in zip(self.outputs, self.output_values, strict=True):
            whole, name = vector(STORED[operand.type], e.lanes), e.name(value)
            if operand.type == "b":
                name = self.compute(f"zext {e.type_text('b')} {name} to {whole}")
            address = addresses[operand.index]
            self.line(f"store {whole} {name}, {GLOBAL} {address}, align {self._alignment(e, operand)}")
        if inside is not None:
            self.line(f"br label %{tag}.done")
            e.start_block(f"{tag}.done")

    def contiguous(self, element: str) -> dict[int, str]:
        """Addresses of the element with the number in contiguous operands."""
        return {
            operand.index: self.compute(
                f"getelementptr {STORED[operand.type]}, {GLOBAL} {operand.address}, i64 {element}"
            )
            for operand in (*self.inputs, *self.outputs)
        }

    # loops

    def loop(self, e: Values, first: str, step: str, end: str, body: Callable[[str], None]) -> None:
        """``for (i = first; i < end; i += step) body(i)``, from the block where ``e`` stands to a new one."""
        self._count += 1
        before, tag = e.label, f"loop{self._count}"
        self.line(f"br label %{tag}")
        head = len(self.lines)
        e.start_block(tag)
        self.line("")
        self.line(f"%{tag}.more = icmp slt i64 %{tag}.i, {end}")
        self.line(f"br i1 %{tag}.more, label %{tag}.body, label %{tag}.end")
        e.start_block(f"{tag}.body")
        body(f"%{tag}.i")
        self.line(f"%{tag}.next = add i64 %{tag}.i, {step}")
        self.lines[head + 1] = f"  %{tag}.i = phi i64 [{first}, %{before}], [%{tag}.next, %{e.label}]"
        self.line(f"br label %{tag}")
        e.start_block(f"{tag}.end")

    def elements(self, e: Values, first: str, count: str, place: Place) -> None:
        """One element a thread and turn, from ``first`` (of the block) on, all threads of the grid abreast."""

        def body(turn: str) -> None:
            element = self.compute(f"add i64 {turn}, %tid")
            inside = self.compute(f"icmp slt i64 {element}, {count}")
            addresses = place(element)
            self.load(e, addresses, inside)
            self.store(e, addresses, inside)

        self.loop(e, first, "%threads", count, body)
