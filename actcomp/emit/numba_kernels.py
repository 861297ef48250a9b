"""Numba CUDA kernels of Programs, as Python source that stands by itself: it imports numpy, math and numba alone.

    text  = emit_numba({"silu": program}, Form("dense"))     # a module with the kernel silu around silu_at(x)
    entry = entry_of_numba(program, "silu", Form("dense"))   # what a raw launch must know

Each kernel takes, in this order, by names of python_names.py:

- the element inputs, one-dimensional contiguous arrays (int16 for float16 and bfloat16: a view of the bits);
- for each uniform input its value, an array whose item 0 is the value if the next is not 0 (any array else, of one
  item or more), and ``<name>_is_given``, an int64;
- the element outputs, then for each sum its partials, arrays of float64;
- form ``dense``: nothing more; the last element output's size counts (the first input's, if there is none);
- form ``rows``: the numbers of rows and of columns;
- form ``strided``: the lengths of the axes, then for each element operand the item of its array that element 0 is,
  and a stride in bytes for each axis.

All of them 64-bit integers. Index arithmetic is unsigned, which wraps, so that strides may be negative.

A raw launch passes each array as Numba does, as 7 parameters: two null pointers, the number of items, the bytes of
one, the address, the length, the stride in bytes. Any grid does; blocks must have whole warps if there are sums.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping

from ..program.interpreter import SUM_RUN
from ..program.program import Program
from .entry import CHUNK_ROWS, WARP, Argument, Entry, Form
from .interface import BYTES, element_inputs, element_outputs, sum_outputs, uniform_inputs
from .prelude import cuda_prelude
from .python import scalar_function
from .python_names import RESERVED, argument_names, output_name

ARRAY_TYPE = {
    "b": "uint8", "i16": "int16", "i32": "int32", "i64": "int64", "f16": "int16", "f32": "float32", "f64": "float64",
}  # fmt: skip

OWN = frozenset(
    "count i step run runs lane end block_run warps rows columns chunk column row chunks task last sum_of_warp "
    "rest".split()
)
# Names that a kernel makes of its operands' names.
DERIVED = re.compile(r"_(array|is_given|first|stride\d+|at|here|value|total|partials)$")


def emit_numba(
    programs: Mapping[str, Program], form: Form, docs: Mapping[str, str] | None = None, head: str = ""
) -> str:
    """One module with a kernel for each Program, by name, all of the form. ``docs``: docstrings of the scalar functions
    (the formula, its source) by the same names; ``head``: the module's docstring. Raises ValueError as
    scalar_function does."""
    return emit_module([(name, program, form) for name, program in programs.items()], docs, head)


def emit_module(
    kernels: list[tuple[str, Program, Form]], docs: Mapping[str, str] | None = None, head: str = "", tail: str = ""
) -> str:
    """As emit_numba, with a form for each kernel; a Program that several kernels have is written once. ``tail``:
    source that stands at the end."""
    scalars = {}
    names: dict[str, str] = {}
    for name, program, _ in kernels:
        if program.digest not in names:
            names[program.digest] = scalar_name(name)
            scalars[name] = scalar_function(program, scalar_name(name), (docs or {}).get(name, ""))
    tables: dict[str, str] = {}
    helpers: set[str] = set()
    for scalar in scalars.values():
        tables |= scalar.tables
        helpers |= set(scalar.helpers)
    written = [_Kernel(name, program, form, names[program.digest]) for name, program, form in kernels]
    if any(kernel.sums and kernel.form.kind != "rows" for kernel in written):
        helpers.add("sum_of_warp")
    texts = [cuda_prelude(helpers), *tables.values(), *(scalar.text for scalar in scalars.values())]
    texts += [kernel.text() for kernel in written]
    if head:
        texts.insert(0, f'"""{head}"""\n')
    joined = "\n\n".join(text.strip("\n") + "\n" for text in texts if text)
    return joined + (f"\n\n{tail}" if tail else "")


def scalar_name(name: str) -> str:
    """Of the device function inside the kernel."""
    return f"{name}_at"


def entry_of_numba(program: Program, name: str, form: Form) -> Entry:
    """What a raw launch of the Program's kernel must know."""
    kernel = _Kernel(name, program, form, "")
    return Entry(name, form, tuple(kernel.arguments()), has_sums=bool(kernel.sums))


def signature_of(program: Program, form: Form) -> str:
    """The kernel's Numba signature, as text: arrays are ``float32[::1]``."""
    return f"void({', '.join(_Kernel('', program, form, '').types())})"


TOTALS = '''\
@cuda.jit
def add_runs(partials, total):
    """total[0] = the sum of partials, in order. One thread."""
    if cuda.grid(1) == 0:
        found = f64(0.0)
        run = u64(0)
        while run < u64(partials.size):
            found += partials[run]
            run += u64(1)
        total[0] = found


@cuda.jit
def add_chunks(partials, totals):
    """totals[column] = the sum over chunks of partials[chunk, column], in order; both lie in C order."""
    columns = u64(totals.size)
    column = u64(cuda.grid(1))
    while column < columns:
        found = f64(0.0)
        place = column
        while place < u64(partials.size):
            found += partials[place]
            place += columns
        totals[column] = found
        column += u64(cuda.gridsize(1))
'''


class _Kernel:
    """Names, types and text of one kernel."""

    def __init__(self, name: str, program: Program, form: Form, function: str) -> None:
        self.name, self.program, self.form, self.function = name, program, form, function
        self.inputs, self.uniforms = element_inputs(program), uniform_inputs(program)
        self.outputs, self.sums = element_outputs(program), sum_outputs(program)
        # What the kernel names itself, so that no operand is called so; `silu_at` is what `silu` would lie at.
        own = {*OWN, *(f"{word}{axis}" for axis in range(form.axes) for word in ("length", "at"))}
        own |= {name, function, function.removesuffix("_at")}
        plain = (*argument_names(program).values(), *map(output_name, program.outputs))
        own |= {word for word in plain if DERIVED.search(word)}
        self.names = argument_names(program, own)
        taken = {*self.names.values(), *own, *RESERVED, *keyword.kwlist}
        self.results = {output.name: _fresh(output_name(output), taken) for output in program.outputs}
        self.partials = {output.name: f"{self.results[output.name]}_partials" for output in self.sums}
        self.arrays = [(self.names[entry.name], entry.type) for entry in self.inputs]
        self.written = [(self.results[output.name], program.type_of(output.value)) for output in self.outputs]

    # what a launch passes

    def arguments(self) -> list[Argument]:
        kind = self.form.kind
        found: list[Argument] = []
        for index, entry in enumerate(self.inputs):
            is_vector = kind == "rows" and entry.name.startswith("p.")
            found += _array("operand", index, BYTES[entry.type], "columns" if is_vector else self._size_role())
        for index, entry in enumerate(self.uniforms):
            found.append(Argument("uniform", entry.type, index))
            found += _array("address", index, BYTES[entry.type], "")
            found.append(Argument("address", "i64", index))
        for index, output in enumerate(self.outputs, len(self.inputs)):
            found += _array("operand", index, BYTES[self.program.type_of(output.value)], self._size_role())
        for index in range(len(self.sums)):
            found += _array("partials", index, 8, "")
        if kind == "rows":
            found += [Argument("rows", "i64"), Argument("columns", "i64")]
        if kind == "strided":
            axes = range(self.form.axes)
            found += [Argument("length", "i64", axis=axis) for axis in axes]
            for index in range(len(self.inputs) + len(self.outputs)):
                found.append(Argument("constant", "i64"))
                found += [Argument("stride", "i64", index, axis) for axis in axes]
        return found

    def _size_role(self) -> str:
        return "count" if self.form.kind == "dense" else ""

    def types(self) -> list[str]:
        types = [f"{ARRAY_TYPE[entry.type]}[::1]" for entry in self.inputs]
        for entry in self.uniforms:
            scalar = ARRAY_TYPE[entry.type]
            types += [scalar, f"{scalar}[::1]", "int64"]
        types += [f"{ARRAY_TYPE[self.program.type_of(output.value)]}[::1]" for output in self.outputs]
        types += ["float64[::1]"] * len(self.sums)
        if self.form.kind == "rows":
            types += ["int64", "int64"]
        if self.form.kind == "strided":
            types += ["int64"] * (self.form.axes + (1 + self.form.axes) * (len(self.inputs) + len(self.outputs)))
        return types

    # text

    def text(self) -> str:
        parameters = [name for name, _ in self.arrays]
        for entry in self.uniforms:
            name = self.names[entry.name]
            parameters += [name, f"{name}_array", f"{name}_is_given"]
        parameters += [name for name, _ in self.written]
        parameters += list(self.partials.values())
        if self.form.kind == "rows":
            parameters += ["rows", "columns"]
        axes = range(self.form.axes)
        if self.form.kind == "strided":
            parameters += [f"length{axis}" for axis in axes]
            for name, _ in (*self.arrays, *self.written):
                parameters += [f"{name}_first", *(f"{name}_stride{axis}" for axis in axes)]
        lines = ["@cuda.jit", *_definition(self.name, parameters)]
        for entry in self.uniforms:
            name = self.names[entry.name]
            lines += [f"    if {name}_is_given:", f"        {name} = {name}_array[0]"]
        if self.form.kind == "rows":
            lines += self._rows()
        else:
            lines += self._count()
            lines += self._runs() if self.sums else self._grid_stride()
        return "\n".join(lines) + "\n"

    def _count(self) -> list[str]:
        if self.form.kind == "dense":
            name = (self.written[-1:] or self.arrays[:1])[0][0]
            return [f"    count = u64({name}.size)"]
        axes = range(self.form.axes)
        lines = [f"    length{axis} = u64(length{axis})" for axis in axes]
        lines.append(f"    count = {' * '.join(f'length{axis}' for axis in axes)}")
        for name, type in (*self.arrays, *self.written):
            lines.append(f"    {name}_first = u64({name}_first)")
            for axis in axes:  # in bytes, of which items have a power of two
                divided = f"{name}_stride{axis}" + (f" >> {BYTES[type].bit_length() - 1}" if BYTES[type] > 1 else "")
                lines.append(f"    {name}_stride{axis} = u64({divided})")
        return lines

    def _grid_stride(self) -> list[str]:
        lines = ["    i = u64(cuda.grid(1))", "    step = u64(cuda.gridsize(1))", "    while i < count:"]
        lines += ["        " + line for line in self._element()]
        return [*lines, "        i += step"]

    def _runs(self) -> list[str]:
        """A warp takes a run; all warps of a block turn equally often, as the simulator's shuffles ask."""
        warp, run = WARP.bit_length() - 1, SUM_RUN.bit_length() - 1
        lines = [
            f"    runs = (count + u64({SUM_RUN - 1})) >> u64({run})",
            f"    lane = u64(cuda.threadIdx.x) & u64({WARP - 1})",
            f"    warps = u64(cuda.blockDim.x) >> u64({warp})",
            "    block_run = u64(cuda.blockIdx.x) * warps",
            "    while block_run < runs:",
            f"        run = block_run + (u64(cuda.threadIdx.x) >> u64({warp}))",
            f"        end = min((run + u64(1)) << u64({run}), count)",
            f"        i = (run << u64({run})) + lane",
            *(f"        {self._total(output.name)} = f64(0.0)" for output in self.sums),
            "        while i < end:",
            *("            " + line for line in self._element()),
            f"            i += u64({WARP})",
        ]
        for output in self.sums:
            lines.append(f"        {self._total(output.name)} = sum_of_warp({self._total(output.name)})")
        lines.append("        if lane == 0 and run < runs:")
        lines += [f"            {self.partials[o.name]}[run] = {self._total(o.name)}" for o in self.sums]
        return [*lines, "        block_run += u64(cuda.gridDim.x) * warps"]

    def _rows(self) -> list[str]:
        """A thread takes CHUNK_ROWS rows of a column."""
        shift = CHUNK_ROWS.bit_length() - 1
        vectors = [entry for entry in self.inputs if entry.name.startswith("p.")]
        lines = [
            "    rows = u64(rows)",
            "    columns = u64(columns)",
            f"    chunks = (rows + u64({CHUNK_ROWS - 1})) >> u64({shift})",
            "    task = u64(cuda.grid(1))",
            "    while task < chunks * columns:",
            "        chunk = task // columns",
            "        column = task - chunk * columns",
            f"        row = chunk << u64({shift})",
            f"        last = min(row + u64({CHUNK_ROWS}), rows)",
            *(f"        {self._value(entry.name)} = {self.names[entry.name]}[column]" for entry in vectors),
            *(f"        {self._total(output.name)} = f64(0.0)" for output in self.sums),
            "        while row < last:",
            "            i = row * columns + column",
            *("            " + line for line in self._element()),
            "            row += u64(1)",
            *(f"        {self.partials[o.name]}[task] = {self._total(o.name)}" for o in self.sums),
        ]
        return [*lines, "        task += u64(cuda.gridsize(1))"]

    def _element(self) -> list[str]:
        """Loads, computes, stores and adds up element ``i``."""
        lines, places = self._places()
        operands = []
        for entry in self.program.inputs:
            name = self.names[entry.name]
            if entry.role == "uniform":
                operands.append(name)
            elif self.form.kind == "rows" and entry.name.startswith("p."):
                operands.append(self._value(entry.name))
            else:
                operands.append(f"{name}[{places[name]}]" + (" != 0" if entry.type == "b" else ""))
        call = f"{self.function}({', '.join(operands)})"
        values = [f"{self.results[output.name]}_value" for output in self.program.outputs]
        if len(values) == 1 and not self.sums:
            values = [call]
        else:
            lines.append(f"{', '.join(values)} = {call}")
        for output, value in zip(self.program.outputs, values, strict=True):
            name = self.results[output.name]
            if output.reduction == "sum":
                lines.append(f"{self._total(output.name)} += f64({value})")
            elif self.program.type_of(output.value) == "b":
                lines.append(f"{name}[{places[name]}] = np.uint8({value})")
            else:
                lines.append(f"{name}[{places[name]}] = {value}")
        return lines

    def _places(self) -> tuple[list[str], dict[str, str]]:
        """Lines that find where element ``i`` lies in each array, and the indices."""
        names = [name for name, _ in (*self.arrays, *self.written)]
        if self.form.kind != "strided":
            return [], dict.fromkeys(names, "i")
        lines, axes = [], self.form.axes
        indices = ["i"]
        if axes > 1:
            lines.append("rest = i")
            for axis in range(axes - 1, 0, -1):
                lines += [f"at{axis} = rest % length{axis}", f"rest = rest // length{axis}"]
            indices = ["rest", *(f"at{axis}" for axis in range(1, axes))]
        for name in names:
            terms = (f"{index} * {name}_stride{axis}" for axis, index in enumerate(indices))
            lines += _broken(f"{name}_at", [f"{name}_first", *terms])
        return lines, {name: f"{name}_at" for name in names}

    def _total(self, output: str) -> str:
        return f"{self.results[output]}_total"

    def _value(self, entry: str) -> str:
        return f"{self.names[entry]}_here"


def _array(role: str, index: int, itemsize: int, size: str) -> list[Argument]:
    """Numba's 7 parameters of an array. Where the kernel does not ask for the size, it is 1."""
    count = Argument(size, "i64") if size else Argument("constant", "i64", value=1)  # type: ignore[arg-type]
    bytes_each = Argument("constant", "i64", value=itemsize)
    nothing = Argument("constant", "i64")
    address = Argument(role, "ptr", index)  # type: ignore[arg-type]
    return [nothing, nothing, count, bytes_each, address, count, bytes_each]


def _broken(name: str, terms: list[str]) -> list[str]:
    """``name = sum of the terms``, in as many lines as it takes."""
    lines, line = [], f"{name} = {terms[0]}"
    for term in terms[1:]:
        if len(line) + len(term) > 100:
            lines.append(line)
            line = f"{name} += {term}"
        else:
            line += f" + {term}"
    return [*lines, line]


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _definition(name: str, parameters: list[str]) -> list[str]:
    line = f"def {name}({', '.join(parameters)}):"
    if len(line) <= 120:
        return [line]
    lines, row = [f"def {name}("], ""
    for parameter in parameters:
        if len(row) + len(parameter) > 110:
            lines.append(f"    {row.rstrip()}")
            row = ""
        row += f"{parameter}, "
    return [*lines, f"    {row.rstrip()}", "):"]
