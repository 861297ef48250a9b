"""NVPTX kernels of Programs, as LLVM IR: the values are those of llvm.py, one frame around them for each form.

    text  = emit_cuda({"silu": program}, cuda_target((9, 0)), Form("dense"))   # a module with one kernel each
    entry = entry_of(program, "silu", Form("dense"))                           # what its launch must know

Operands must be aligned to their element size; an output may be exactly an input, but not overlap one otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..program.program import Program
from .entry import THREADS, Entry, Form, arguments_of
from .interface import sum_outputs
from .nvptx_dense import emit_dense
from .nvptx_frame import Frame, elements_each
from .target import Target


def emit_cuda(programs: Mapping[str, Program], target: Target, form: Form) -> str:
    """One module with a kernel for each Program, by name, all of the form; tables that several read are there once."""
    functions: list[str] = []
    tables: dict[str, str] = {}
    for name, program in programs.items():
        frame = Frame(program, target, name, form)
        frame.start()
        emit_dense(frame)
        functions += frame.finish()
        tables |= frame.tables()
    head = [f'target triple = "{target.triple}"']
    attributes = f'nounwind "nvvm.maxntid"="{THREADS}" "target-cpu"="{target.cpu}" "target-features"="{target.features}"'
    tail = [f"attributes #0 = {{ {attributes} }}", '!1 = !{!"branch_weights", i32 1, i32 4000}']
    return "\n".join([*head, *tables.values(), *functions, *tail]) + "\n"


def entry_of(program: Program, name: str, form: Form) -> Entry:
    """What a launch of the Program's kernel must know."""
    each = 1 if form.kind == "strided" else elements_each(program)
    return Entry(name, form, arguments_of(program, form), each, bool(sum_outputs(program)), THREADS)
