"""A module of the gallery: an activation as Numba CUDA source that a person copies, reads and changes.

The module stands by itself: helpers, scalar functions (``forward_at``, ``backward_at`` ...), makers of array kernels
around them, the text of gallery_launch.py, and for each operation a function that launches its kernel.

Scalar functions compute in one type. Elements in float16 and bfloat16 are read as float32 and rounded on the way out,
as program/storage.py does it to a Program, so that one scalar function is enough for the three.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..program.interpreter import SUM_RUN
from ..program.mirror import is_turned, sign_of
from ..program.program import Program
from .entry import WARP
from .gallery_launch import ADD_RUNS, FORMATS, launch_text
from .interface import element_inputs, element_outputs, sum_outputs, uniform_inputs
from .prelude import cuda_prelude
from .python import scalar_function
from .python_names import argument_names, output_name

# What the module's own text calls by name, so that no operand is called so.
TAKEN = (
    "function", "read", "write", "kernel", "keep", "first", "count", "i", "step", "run", "runs", "lane", "warps", "end",
    "block_run", "sum_of_warp", "out", "stream", "layer", "launch", "forward", "backward", "second", "adversary",
    "adversary_backward", "pair", "pair_backward", "sys",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One operation of the module: its Program in the computing type, and what its functions' docstrings say.

    ``signs``: outer and inner, where the Program is that of the operation ``of`` with them, as mirror() makes it."""

    name: str
    variant: str
    program: Program
    doc: str
    of: str = ""
    signs: tuple[int, int] = (1, 1)


def gallery_source(head: str, parts: Sequence[Part], parameters: Mapping[str, float], dtype: str) -> str:
    """The module. ``head``: its docstring; ``parameters``: default values by name; ``dtype``: what it computes in,
    "f32" (for arrays of float32, float16 and bfloat16) or "f64". Where ``adversary`` is among the parts, functions for
    the pair are added. Raises ValueError as scalar_function does."""
    operations = [_Operation(part, parameters) for part in parts]
    bodies = {one.part.name: one for one in operations}
    helpers, tables, scalars = set[str](FORMATS[dtype].helpers), dict[str, str](), []
    for one in operations:
        if one.part.of:
            scalars.append(one.mirrored(bodies[one.part.of]))
            continue
        scalar = scalar_function(one.part.program, f"{one.part.name}_at", one.part.doc)
        scalars.append(scalar.text)
        tables |= scalar.tables
        helpers |= set(scalar.helpers)
    has_sums = any(one.sums for one in operations)
    if has_sums:
        helpers.add("sum_of_warp")
    prelude = cuda_prelude(helpers).replace(
        "import math\n", "import math\nimport sys\nfrom functools import cache\n", 1
    )
    makers: dict[str, str] = {}
    for one in operations:
        makers.setdefault(one.maker, one.kernel_maker())
    texts = [
        f'"""{head}"""\n\n{prelude}',
        *tables.values(),
        _title("The mathematics at one element"),
        *scalars,
        _title("Kernels"),
        FORMATS[dtype].text,
        *makers.values(),
        *([ADD_RUNS] if has_sums else []),
        _table(operations, has_sums, FORMATS[dtype].table),
        _title("Launching"),
        launch_text(dtype, has_sums),
        *(one.launcher() for one in operations),
    ]
    if "adversary" in bodies:
        texts.append(_pair(bodies["forward"], bodies["adversary"], ""))
        texts.append(_pair(bodies["backward"], bodies["adversary_backward"], "_backward"))
    return "\n\n\n".join(text.strip("\n") for text in texts) + "\n"


class _Operation:
    """Names and texts of one operation."""

    def __init__(self, part: Part, defaults: Mapping[str, float]) -> None:
        self.part, program = part, part.program
        self.defaults = defaults
        names = argument_names(program, (*TAKEN, f"{part.name}_at"))
        self.names = {entry.name: names[entry.name] for entry in program.inputs}
        self.arrays = [names[entry.name] for entry in element_inputs(program)]
        self.uniforms = {names[entry.name]: entry.name[2:] for entry in uniform_inputs(program)}
        self.results = [output_name(output) for output in element_outputs(program)]
        self.sums = [output_name(output) for output in sum_outputs(program)]
        kind = {"double_backward": "second"}.get(part.variant, part.variant)
        has_all = set(self.uniforms.values()) == set(defaults)
        self.maker = f"{kind}_kernel" if has_all else f"{part.name}_kernel"  # the adversary may have no parameters

    def mirrored(self, original: _Operation) -> str:
        """The scalar function by that of the original, with the signs changed that the mirror changes."""
        outer, inner = self.part.signs
        given = [
            ("-" if is_turned(entry.name, entry.role, inner) else "") + self.names[entry.name]
            for entry in self.part.program.inputs
        ]
        signs = [sign_of(self.part.variant, output.name, outer, inner) for output in self.part.program.outputs]
        call = f"{original.part.name}_at({', '.join(given)})"
        lines = ["@device", f"def {self.part.name}_at({', '.join(self.names.values())}):"]
        lines += [f"    {line}".rstrip() for line in f'"""{self.part.doc}"""'.split("\n")]
        if len(signs) == 1 or set(signs) == {1}:
            lines.append(f"    return {'-' if signs[0] < 0 else ''}{call}")
        else:
            results = [output_name(output) for output in self.part.program.outputs]
            lines.append(f"    {', '.join(results)} = {call}")
            signed = (f"{'-' if sign < 0 else ''}{name}" for sign, name in zip(signs, results, strict=True))
            lines.append(f"    return {', '.join(signed)}")
        return "\n".join(lines)

    # kernels

    def kernel_maker(self) -> str:
        """A function that makes the kernel around a scalar function, for a way to read and to write elements."""
        parameters = [*self.arrays, *self.uniforms, *self.results, *(f"{name}_runs" for name in self.sums)]
        given = ["function", "read", "write", *(f"{name}_of" for name in self.uniforms)]
        what = f"{', '.join([*self.results, *self.sums])} = function({', '.join(self.names.values())})"
        how = "the sums by runs of elements" if self.sums else "at each element"
        lines = [
            f"def {self.maker}({', '.join(given)}):",
            f'    """{what}, {how}."""',
            "",
            "    @cuda.jit",
            f"    def kernel({', '.join(parameters)}):",
            *(f"        {name}_here = {name}_of({name})" for name in self.uniforms),
            f"        count = u64({self.results[-1]}.size)",
            *("        " + line for line in (self._runs() if self.sums else self._grid_stride())),
            "",
            "    return kernel",
        ]
        return "\n".join(lines)

    def _call(self) -> str:
        operands = [f"{name}_here" if name in self.uniforms else f"read({name}[i])" for name in self.names.values()]
        return f"function({', '.join(operands)})"

    def _grid_stride(self) -> list[str]:
        lines = ["i = u64(cuda.grid(1))", "step = u64(cuda.gridsize(1))", "while i < count:"]
        return [*lines, *("    " + line for line in self._element()), "    i += step"]

    def _element(self) -> list[str]:
        if len(self.results) == 1 and not self.sums:
            return [f"{self.results[0]}[i] = write({self._call()})"]
        values = [f"{output_name(output)}_here" for output in self.part.program.outputs]
        return [
            f"{', '.join(values)} = {self._call()}",
            *(f"{name}[i] = write({name}_here)" for name in self.results),
            *(f"{name}_total += f64({name}_here)" for name in self.sums),
        ]

    def _runs(self) -> list[str]:
        """A warp takes a run, its lanes every 32nd element: the order of the sum is fixed, for any grid."""
        warp, run = WARP.bit_length() - 1, SUM_RUN.bit_length() - 1
        return [
            f"runs = (count + u64({SUM_RUN - 1})) >> u64({run})  # of {SUM_RUN} elements, one for each warp",
            f"lane = u64(cuda.threadIdx.x) & u64({WARP - 1})",
            f"warps = u64(cuda.blockDim.x) >> u64({warp})",
            "block_run = u64(cuda.blockIdx.x) * warps",
            "while block_run < runs:",
            f"    run = block_run + (u64(cuda.threadIdx.x) >> u64({warp}))",
            f"    end = min((run + u64(1)) << u64({run}), count)",
            f"    i = (run << u64({run})) + lane",
            *(f"    {name}_total = f64(0.0)" for name in self.sums),
            "    while i < end:",
            *("        " + line for line in self._element()),
            f"        i += u64({WARP})",
            *(f"    {name}_total = sum_of_warp({name}_total)" for name in self.sums),
            "    if lane == 0 and run < runs:",
            *(f"        {name}_runs[run] = {name}_total" for name in self.sums),
            "    block_run += u64(cuda.gridDim.x) * warps",
        ]

    # launching

    def signature(self, inserted: Sequence[str] = (), uniforms: Mapping[str, str] | None = None) -> str:
        named = self.uniforms if uniforms is None else uniforms
        values = [f"{name}={self.defaults[parameter]!r}" for name, parameter in named.items()]
        return ", ".join([*self.arrays, *inserted, *values, "out=None", "stream=None"])

    def launcher(self) -> str:
        given = (self.arrays, list(self.uniforms))
        arrays, uniforms = (f"({', '.join(names)}{',' if len(names) == 1 else ''})" for names in given)
        return "\n".join([
            f"def {self.part.name}({self.signature()}):",
            *(f"    {line}".rstrip() for line in f'"""{self.part.doc}"""'.split("\n")),
            f'    return launch("{self.part.name}", {arrays}, {uniforms}, out, stream)',
        ])  # fmt: skip

    def call(self) -> str:
        return f"{self.part.name}({', '.join([*self.arrays, *self.uniforms, 'out', 'stream'])})"


def _pair(even: _Operation, odd: _Operation, suffix: str) -> str:
    uniforms = {**even.uniforms, **odd.uniforms}
    return "\n".join([
        f"def pair{suffix}({even.signature(['layer'], uniforms)}):",
        f'    """``{even.part.name}`` for layers 0, 2, 4 ..., ``{odd.part.name}`` for 1, 3, 5 ..."""',
        "    if layer % 2:",
        f"        return {odd.call()}",
        f"    return {even.call()}",
    ])  # fmt: skip


def _table(operations: Sequence[_Operation], has_sums: bool, formats: str) -> str:
    """What a launch looks up."""
    rows = []
    for one in operations:
        numbers = f"{len(one.results)}, {len(one.sums)}" if has_sums else f"{len(one.results)}"
        rows.append(f'    "{one.part.name}": ({one.maker}, {one.part.name}_at, {numbers}),')
    what = "number of results, number of sums" if has_sums else "number of results"
    head = [f"# what makes the kernel, the function at one element, {what}", "OPERATIONS = {"]
    return "\n".join([*head, *rows, "}", formats])


def _title(text: str) -> str:
    return f"# {text} {'-' * (100 - len(text))}"


def wrapped(text: str, width: int = 110) -> str:
    """In lines, as docstrings have them."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
