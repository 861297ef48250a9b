"""NVPTX kernels of Programs, as LLVM IR: the values are those of llvm.py, one frame around them for each form.

    text  = emit_cuda({"silu": program}, cuda_target((9, 0)), Form("dense"))   # a module with one kernel each
    entry = entry_of(program, "silu", Form("dense"))                           # what its launch must know

Operands must be aligned to their element size, partials to 16 bytes; an output may be exactly an input, but not
overlap one otherwise. Blocks have THREADS threads at most, in whole warps.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..program.program import Program
from .entry import THREADS, Entry, Form, arguments_of
from .interface import sum_outputs
from .nvptx_dense import emit_dense
from .nvptx_frame import Frame, elements_each
from .nvptx_rows import emit_rows
from .nvptx_strided import emit_strided
from .nvptx_sums import emit_runs
from .nvptx_writer import module
from .target import Target


def _dense(frame: Frame) -> None:
    if frame.sums:
        emit_runs(frame, "%n", frame.contiguous, is_wide=True)
    else:
        emit_dense(frame)


_FORMS = {"dense": _dense, "strided": emit_strided, "rows": emit_rows}


def emit_cuda(programs: Mapping[str, Program], target: Target, form: Form) -> str:
    """One module with a kernel for each Program, by name, all of the form; tables that several read are there once."""
    functions: list[str] = []
    tables: dict[str, str] = {}
    for name, program in programs.items():
        frame = Frame(program, target, name, form)
        frame.start()
        _FORMS[form.kind](frame)
        functions += frame.finish()
        tables |= frame.tables()
    return module(target, list(tables.values()), functions)


def entry_of(program: Program, name: str, form: Form) -> Entry:
    """What a launch of the Program's kernel must know."""
    each = 1 if form.kind == "strided" else elements_each(program)
    return Entry(name, form, arguments_of(program, form), each, bool(sum_outputs(program)), THREADS)
