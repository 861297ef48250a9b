"""The CPU's frame around the values of a Program: one function that runs them over contiguous arrays.

    void block(void **pointers, int64_t begin, int64_t end)

``pointers``: element inputs, uniform inputs (one value each), element outputs, and for each sum output an array of
doubles, whose item r receives the sum over run r, elements SUM_RUN*r to SUM_RUN*(r+1), by the interpreter's fixed tree.
``begin`` is a multiple of SUM_RUN if there are sums. Elements begin..end-1 of the arrays are read and written.

The last, partial block of lanes runs the same machine code on buffers on the stack, so that every element gets the
same bits wherever it stands. What depends on uniform inputs alone is computed once, before the loop.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..program.interpreter import SUM_LANES, SUM_RUN
from ..program.program import Input, Output, Program
from .convert import convert
from .interface import BYTES, element_inputs, element_outputs, sum_outputs, uniform_inputs
from .llvm import STORED, Emission, vector
from .rare import separate_slow_paths
from .target import Target

PREFETCH_BYTES = 2048
CACHE_LINE = 64


# Cycles from an operand to the result, about, as the processors of the last ten years have them; others take one.
LATENCY = dict.fromkeys(("add", "sub", "mul", "fma", "min", "max"), 4) | {"rint": 8, "floor": 8, "div": 16, "sqrt": 19}
DEEP = 120


def lanes_of(program: Program, target: Target, streaming: bool = False) -> int:
    """How many elements are computed at once: 128 bytes of the widest type, 256 where whole cache lines are streamed.

    16 lanes of f32 are as fast on large arrays (8 are 1.35 times slower); 32 hide more latency. 256 bytes also where
    the longest chain of operations takes more than DEEP cycles, which the next round through the loop does not hide:
    5 to 20 % faster, at one and a half times the time to compile."""
    if target.lanes:
        return target.lanes
    is_wide = any(BYTES[operation.type] == 8 for operation in program.operations)
    lanes = 16 if is_wide else 32
    wider = streaming or longest_chain(program) > DEEP
    return max(lanes * (2 if wider else 1), SUM_LANES if sum_outputs(program) else 1)


def longest_chain(program: Program) -> int:
    """Cycles that pass from the inputs to the last output, whatever runs beside."""
    ready: list[int] = []
    for operation in program.operations:
        start = max((ready[operand] for operand in operation.operands), default=0)
        is_free = operation.name in ("const", "input", "bitcast")
        ready.append(start + (0 if is_free else LATENCY.get(operation.name, 1)))
    return max((ready[output.value] for output in program.outputs), default=0)


def read_once(program: Program) -> list[int]:
    """The values that depend on uniform inputs alone and that outputs, or values that do not, read; in order."""
    operations = program.operations
    uniform = {entry.name for entry in uniform_inputs(program)}
    is_once: list[bool] = []
    for operation in operations:
        reads = [k for k in operation.operands if operations[k].name != "const"]
        is_input = operation.name == "input" and operation.payload in uniform
        is_once.append(is_input or bool(reads) and all(is_once[k] for k in reads))
    read = {k for i, operation in enumerate(operations) if not is_once[i] for k in operation.operands}
    read |= {output.value for output in program.outputs}
    return sorted(k for k in read if is_once[k])


def emit_module(program: Program, target: Target, streaming: bool = False) -> str:
    """The module with the function ``block``. Streaming stores outputs past the caches (aligned to 64 bytes)."""
    return emit_together({"block": program}, target, streaming)


def emit_together(programs: Mapping[str, Program], target: Target, streaming: bool = False) -> str:
    """One module with a function for each Program, by name; tables that several of them read are there once."""
    blocks = [_Block(separate_slow_paths(program), target, streaming, name) for name, program in programs.items()]
    functions = [line for block in blocks for line in block.text()]
    tables: dict[str, str] = {}
    for block in blocks:
        tables |= block.values.globals | block.once.globals
    head = [f'target triple = "{target.triple}"']
    attributes = f'nounwind "target-cpu"="{target.cpu}" "target-features"="{target.features}"'
    tail = [f"attributes #0 = {{ {attributes} }}", "!0 = !{i32 1}", '!1 = !{!"branch_weights", i32 1, i32 4000}']
    return "\n".join([*head, *tables.values(), *functions, *tail]) + "\n"


class _Block:
    def __init__(self, program: Program, target: Target, streaming: bool, name: str) -> None:
        self.program, self.target, self.streaming, self.name = program, target, streaming, name
        self.lanes = lanes_of(program, target, streaming)
        self.inputs, self.uniforms = element_inputs(program), uniform_inputs(program)
        self.outputs, self.sums = element_outputs(program), sum_outputs(program)
        if self.sums and self.lanes % SUM_LANES:
            raise ValueError(f"sums need a multiple of {SUM_LANES} lanes, not {self.lanes}")
        self.lines: list[str] = []
        self.values = Emission(program, target, self.lanes, self.lines)
        self.once = Emission(program, target, 1, self.lines, "u")

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def text(self) -> list[str]:
        """The function's lines."""
        self.lines.append(f"define void @{self.name}(ptr %pointers, i64 %begin, i64 %end) #0 {{")
        self._entry()
        self._loop()
        self.lines.append("}")
        return self.lines

    # before the loop

    def _entry(self) -> None:
        self.once.start_block("entry")
        for index, (label, type) in enumerate(self._operands()):
            self._load_pointer(label, index if label[0] == "x" else index + len(self.uniforms))
            if type:
                self.line(f"%{label}.stack = alloca {vector(STORED[type], self.lanes)}, align {CACHE_LINE}")
        for index, entry in enumerate(self.uniforms):
            self._load_pointer(f"u{index}", len(self.inputs) + index)
            self._load_value(self.once, entry, f"%u{index}.base", 1)
        self._compute_once()
        self.line("br label %run")
        self.lines.append("run:")
        self.values.label = "run"
        self.line("%r = phi i64 [%begin, %" + self.once.label + "]" + (", [%r.end, %run.next]" if self.sums else ""))
        if self.sums:
            self.line(f"%r.full = add i64 %r, {SUM_RUN}")
            self.line("%r.end = call i64 @llvm.smin.i64(i64 %r.full, i64 %end)")

    def _operands(self) -> list[tuple[str, str]]:
        """Label and type of each array, in order of the pointers; sums have no type."""
        named = [(f"x{index}", entry.type) for index, entry in enumerate(self.inputs)]
        named += [(f"y{index}", self.program.type_of(output.value)) for index, output in enumerate(self.outputs)]
        return named + [(f"s{index}", "") for index in range(len(self.sums))]

    def _load_pointer(self, label: str, index: int) -> None:
        self.line(f"%{label}.slot = getelementptr ptr, ptr %pointers, i64 {index}")
        self.line(f"%{label}.base = load ptr, ptr %{label}.slot")

    def _load_value(self, emission: Emission, entry: Input, pointer: str, align: int) -> None:
        whole, r = vector(STORED[entry.type], emission.lanes), emission.fresh()
        self.line(f"{r} = load {whole}, ptr {pointer}, align {align}")
        if entry.type == "b":
            truth = emission.fresh()
            zero = "0" if emission.lanes == 1 else "zeroinitializer"
            self.line(f"{truth} = icmp ne {whole} {r}, {zero}")
            r = truth
        emission.inputs[entry.name] = r

    def _compute_once(self) -> None:
        """Computes what uniform inputs alone decide, as scalars, and spreads what others read of it."""
        for value in read_once(self.program):
            if self.values.regions.home[value] is not None:
                self.once.demand([value])
                self.values.bind(value, self._spread(self.once.name(value), value))

    def _spread(self, scalar: str, value: int) -> str:
        if self.lanes == 1:
            return scalar
        type, first, r = self.program.type_of(value), self.values.fresh(), self.values.fresh()
        whole = self.values.type_text(type)
        self.line(f"{first} = insertelement {whole} poison, {self.once.type_text(type)} {scalar}, i32 0")
        self.line(f"{r} = shufflevector {whole} {first}, {whole} poison, <{self.lanes} x i32> zeroinitializer")
        return r

    # the loop

    def _loop(self) -> None:
        lanes, end = self.lanes, "%r.end" if self.sums else "%end"
        self.line("br label %head")
        self.lines.append("head:")
        self.line("%i = phi i64 [%r, %run], [%i.next, %latch]")
        wide = f"<{SUM_LANES} x double>"
        for index in range(len(self.sums)):
            self.line(f"%a{index} = phi {wide} [zeroinitializer, %run], [%a{index}.next, %latch]")
        self.line(f"%left = sub i64 {end}, %i")
        self.line(f"%full = icmp sge i64 %left, {lanes}")
        arrays = [(label, type) for label, type in self._operands() if type]
        for label, type in arrays:
            self.line(f"%{label}.here = getelementptr {STORED[type]}, ptr %{label}.base, i64 %i")
        self.line("br i1 %full, label %body, label %part")
        self.lines.append("part:")
        self.line("%some = icmp sgt i64 %left, 0")
        self.line("br i1 %some, label %stage, label %done")
        self.lines.append("stage:")
        for label, type in arrays:
            if label[0] == "x":
                self.line(f"store {vector(STORED[type], lanes)} zeroinitializer, ptr %{label}.stack")
                self._copy(f"%{label}.stack", f"%{label}.here", label, type)
        self.line("br label %body")
        self._body(arrays)
        self.line("br i1 %full, label %latch, label %copyout")
        self.lines.append("latch:")
        self.line(f"%i.next = add i64 %i, {lanes}")
        self.line("br label %head")
        self.lines.append("copyout:")
        for label, type in arrays:
            if label[0] == "y":
                self._copy(f"%{label}.here", f"%{label}.stack", label, type)
        self.line("br label %done")
        self._done()

    def _copy(self, to: str, source: str, label: str, type: str) -> None:
        if self.lanes == 1:
            return
        self.line(f"%{label}.bytes = mul i64 %left, {BYTES[type]}")
        self.line(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 %{label}.bytes, i1 false)")

    def _body(self, arrays: list[tuple[str, str]]) -> None:
        self.values.start_block("body")
        for label, _ in arrays:
            self.line(f"%{label}.at = phi ptr [%{label}.here, %head], [%{label}.stack, %stage]")
        for index, entry in enumerate(self.inputs):
            self._load_value(self.values, entry, f"%x{index}.at", 1)
            if self.streaming:
                self._prefetch(index, entry)
        self.values.demand(output.value for output in self.program.outputs)
        for index, output in enumerate(self.outputs):
            self._store(index, output)
        for index, output in enumerate(self.sums):
            self._accumulate(index, output)

    def _prefetch(self, index: int, entry: Input) -> None:
        for offset in range(0, self.lanes * BYTES[entry.type], CACHE_LINE):
            ahead = self.values.fresh()
            self.line(f"{ahead} = getelementptr i8, ptr %x{index}.at, i64 {PREFETCH_BYTES + offset}")
            self.line(f"call void @llvm.prefetch.p0(ptr {ahead}, i32 0, i32 3, i32 1)")

    def _store(self, index: int, output: Output) -> None:
        type, name = self.program.type_of(output.value), self.values.name(output.value)
        whole = vector(STORED[type], self.lanes)
        if type == "b":
            byte = self.values.fresh()
            self.line(f"{byte} = zext {self.values.type_text('b')} {name} to {whole}")
            name = byte
        align = min(CACHE_LINE, self.lanes * BYTES[type]) if self.streaming else 1
        hint = ", !nontemporal !0" if self.streaming else ""
        self.line(f"store {whole} {name}, ptr %y{index}.at, align {align}{hint}")

    # sums

    def _accumulate(self, index: int, output: Output) -> None:
        """Adds the values to the lanes of the tree; lanes past the end add 0: no change of bits, for no lane is -0."""
        wide = convert(self.values, self.values.name(output.value), self.program.type_of(output.value), "f64")
        doubles, booleans = self.values.type_text("f64"), self.values.type_text("b")
        number = ", ".join(f"i64 {lane}" for lane in range(self.lanes))
        first, left, inside, kept = (self.values.fresh() for _ in range(4))
        whole = self.values.type_text("i64")
        self.line(f"{first} = insertelement {whole} poison, i64 %left, i32 0")
        self.line(f"{left} = shufflevector {whole} {first}, {whole} poison, <{self.lanes} x i32> zeroinitializer")
        self.line(f"{inside} = icmp slt {whole} <{number}>, {left}")
        self.line(f"{kept} = select {booleans} {inside}, {doubles} {wide}, {doubles} zeroinitializer")
        total = f"%a{index}"
        for start in range(0, self.lanes, SUM_LANES):
            part = kept
            if self.lanes > SUM_LANES:
                part = self.values.fresh()
                self._shuffle(part, kept, self.lanes, range(start, start + SUM_LANES))
            next_total = f"%a{index}.next" if start + SUM_LANES == self.lanes else self.values.fresh()
            self.line(f"{next_total} = fadd <{SUM_LANES} x double> {total}, {part}")
            total = next_total

    def _shuffle(self, result: str, value: str, width: int, picked: range) -> None:
        mask = ", ".join(f"i32 {lane}" for lane in picked)
        whole = f"<{width} x double>"
        self.line(f"{result} = shufflevector {whole} {value}, {whole} poison, <{len(picked)} x i32> <{mask}>")

    def _done(self) -> None:
        """The end of a run with sums, else of all."""
        self.lines.append("done:")
        for index in range(len(self.sums)):
            self.line(f"%a{index}.0 = phi <{SUM_LANES} x double> [%a{index}, %part], [%a{index}.next, %copyout]")
        for index in range(len(self.sums)):
            total, width = f"%a{index}.0", SUM_LANES
            while width > 1:
                width //= 2
                low, high, total_next = (f"%a{index}.{letter}{width}" for letter in "lht")
                self._shuffle(low, total, 2 * width, range(width))
                self._shuffle(high, total, 2 * width, range(width, 2 * width))
                self.line(f"{total_next} = fadd <{width} x double> {low}, {high}")
                total = total_next
            self.line(f"%a{index}.sum = extractelement <1 x double> {total}, i32 0")
            self.line(f"%a{index}.run = sdiv exact i64 %r, {SUM_RUN}")
            self.line(f"%a{index}.slot = getelementptr double, ptr %s{index}.base, i64 %a{index}.run")
            self.line(f"store double %a{index}.sum, ptr %a{index}.slot")
        if self.sums:
            self.line("br label %run.next")
            self.lines.append("run.next:")
            self.line("%more = icmp slt i64 %r.end, %end")
            self.line("br i1 %more, label %run, label %exit")
        else:
            self.line("br label %exit")
        self.lines.append("exit:")
        if self.streaming:
            self.line("call void @llvm.x86.sse.sfence()" if self.target.architecture == "x86_64" else "fence seq_cst")
        self.line("ret void")
