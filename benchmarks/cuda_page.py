"""The tables of docs/cuda.md, of machine code that nothing has run: python benchmarks/cuda_page.py

Kernels of the catalog are assembled for sm_90 and read back; no GPU is needed. A test compares the page, where the same
versions of LLVM and ptxas are installed as the page names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import actcomp as ac
from actcomp.cuda import sass, toolchain
from actcomp.cuda.model import MACHINES, Cost, cost, predict
from actcomp.emit.cuda_target import cuda_target
from actcomp.emit.entry import Form
from actcomp.emit.interface import BYTES, element_inputs, element_outputs, sum_outputs
from actcomp.emit.nvptx import emit_cuda
from actcomp.program.program import Program
from actcomp.runtime import cpu

PAGE = Path(__file__).parents[1] / "docs" / "cuda.md"
BEGIN, END = "<!-- machine code: written by benchmarks/cuda_page.py -->", "<!-- end of machine code -->"
VARIANTS, DTYPES = ("forward", "backward"), ("f32", "bf16")
CAPABILITY, ARCHITECTURE = (9, 0), "sm_90"
DENSE = Form("dense")


@dataclass(frozen=True)
class Row:
    """What one kernel is in machine code. ``elements``: of a thread's turn in the main loop."""

    name: str
    variant: str
    dtype: str
    program: Program
    usage: toolchain.Usage
    function: sass.Function
    loop: sass.Loop
    elements: float
    cost: Cost


def main() -> None:
    PAGE.write_text(written(PAGE.read_text(), rows()))


def rows() -> list[Row]:
    """All kernels of the catalog, forward and backward, in the element types of the page."""
    found = [row for dtype in DTYPES for variant in VARIANTS for row in assembled(variant, dtype)]
    order = list(ac.CATALOG)
    return sorted(found, key=lambda row: order.index(row.name))


def assembled(variant: str, dtype: str) -> Iterator[Row]:
    """The catalog's kernels of one variant and element type, as one module."""
    programs = {name: ac.compile(name).program(variant, dtype) for name in ac.CATALOG}
    made = toolchain.assemble(
        cpu.assembly(emit_cuda(programs, cuda_target(CAPABILITY), DENSE), cuda_target(CAPABILITY)), ARCHITECTURE
    )
    functions = sass.read(toolchain.disassemble(made.cubin))
    for name, program in programs.items():
        yield row_of(name, variant, dtype, program, made.usage[name], functions[name])


def row_of(
    name: str, variant: str, dtype: str, program: Program, usage: toolchain.Usage, function: sass.Function
) -> Row:
    """Raises ValueError for a kernel without a loop over memory."""
    loop = sass.main_loop(function)
    if loop is None:
        raise ValueError(f"{name} {variant} {dtype} has no loop over memory")
    written = sum(BYTES[program.type_of(output.value)] for output in element_outputs(program))
    read = sum(BYTES[entry.type] for entry in element_inputs(program))
    elements = loop.stored / written
    return Row(
        name, variant, dtype, program, usage, function, loop, elements, cost(loop.usual, elements, read + written)
    )


def versions() -> str:
    return f"ptxas {toolchain.ptxas_version()}, llvmlite {cpu.llvm_version()}"


def written(page: str, found: list[Row]) -> str:
    """The page with the tables of the rows."""
    lines = [BEGIN, f"Made with {versions()}, for {ARCHITECTURE}.", ""]
    for dtype in DTYPES:
        lines += [f"### {dtype}", "", *table([row for row in found if row.dtype == dtype]), ""]
    lines.append(END)
    return page.split(BEGIN)[0] + "\n".join(lines) + page.split(END)[1]


def table(found: list[Row]) -> list[str]:
    names = ["kernel", "registers", "instructions", "with slow paths", "bytes", *(machine.name for machine in MACHINES)]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in found:
        sums = ", with sums" if sum_outputs(row.program) else ""
        cells = [f"{row.name} {row.variant}{sums}", str(row.usage.registers), f"{row.cost.instructions:.1f}"]
        cells += [f"{len(row.loop.all) / row.elements:.1f}", f"{row.cost.bytes:g}"]
        for machine in MACHINES:
            found_ = predict(row.cost, machine)
            cells.append("memory" if found_.bound == "memory" else f"{found_.bound} {found_.fraction:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
