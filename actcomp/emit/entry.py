"""What a launch of a CUDA kernel must know: the entry's name and arguments, and how its work is cut into threads.

Both emissions for CUDA, nvptx.py and numba_kernels.py, describe their kernels so, and one runtime launches either.

A *form* says how the operands lie:

- ``dense``: all element operands are contiguous, of ``count`` elements.
- ``strided``: any layout; ``axes`` axes, outermost first, with their lengths, and a stride in bytes for each element
  operand and axis (0 repeats). Elements count in C order.
- ``rows``: element operands are contiguous matrices of ``rows`` x ``columns``, but for those of the Program's
  parameters (``p.<name>``), which are vectors of ``columns`` elements of the computing type. Sums go down the columns.

*Sums.* For ``dense`` and ``strided`` a sum output goes by the fixed tree of program/interpreter.py: a warp takes a run
of SUM_RUN elements and writes one double, ``partials[run]``. For ``rows`` each thread adds up CHUNK_ROWS rows of a
column, in order, in float64, and writes ``partials[chunk * columns + column]``. What adds the partials up is no part of
these kernels: see totals.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..program.program import Program

THREADS = 256  # of a block
WARP = 32
CHUNK_ROWS = 32  # that one thread adds up; part of the definition of sums by columns

FormKind = Literal["dense", "strided", "rows"]
# operand: address of element operand ``index`` (inputs, then outputs). uniform: the value of uniform input ``index``.
# address: of that uniform input in device memory, or 0 to take the value. count, rows, columns: numbers of elements.
# length: of axis ``axis``. stride: bytes of operand ``index`` along axis ``axis``. partials: address of the doubles of
# sum ``index``. constant: ``value``.
Role = Literal[
    "operand", "uniform", "address", "count", "rows", "columns", "length", "stride", "partials", "constant"
]


@dataclass(frozen=True, slots=True)
class Form:
    kind: FormKind
    axes: int = 0  # of "strided": 1 or more

    def __str__(self) -> str:
        return f"{self.kind}{self.axes or ''}"


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of an entry, in order: what to put there and as which type ("ptr", "i64", "f32", "f64")."""

    role: Role
    type: str
    index: int = 0
    axis: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A kernel: its name in the PTX, its arguments, threads of a block, and what a thread does at a time.

    ``each``: elements of a thread in one turn of the grid-stride loop (dense, strided), columns (rows). Any number of
    blocks computes the right thing; ``blocks_for`` is the number that leaves no thread of the last block idle twice.
    """

    name: str
    form: Form
    arguments: tuple[Argument, ...]
    each: int = 1
    has_sums: bool = False
    threads: int = THREADS

    def blocks_for(self, count: int, columns: int = 0) -> int:
        """Blocks that cover ``count`` elements (of matrices with so many columns) in one turn; at least 1."""
        from ..program.interpreter import SUM_RUN

        if self.form.kind == "rows":
            chunks = -(-(count // columns) // CHUNK_ROWS) if columns else 0
            threads = chunks * -(-columns // self.each)
        elif self.has_sums:
            threads = -(-count // SUM_RUN) * WARP
        else:
            threads = -(-count // self.each)
        return max(1, -(-threads // self.threads))


def arguments_of(program: Program, form: Form) -> tuple[Argument, ...]:
    """The arguments of nvptx.py's entries: element inputs, for each uniform input its address and its value, element
    outputs, partials of each sum, then the counts of the form.

    In the form ``rows`` the uniform inputs ``p.<name>`` that have one value per channel are element inputs of the
    Program, as Kernel.program(per_channel=...) makes them, and their gradients stay sums."""
    from .interface import element_inputs, element_outputs, sum_outputs, uniform_inputs

    inputs, outputs = element_inputs(program), element_outputs(program)
    found = [Argument("operand", "ptr", index) for index in range(len(inputs))]
    for index, entry in enumerate(uniform_inputs(program)):
        found += [Argument("address", "ptr", index), Argument("uniform", entry.type, index)]
    found += [Argument("operand", "ptr", len(inputs) + index) for index in range(len(outputs))]
    found += [Argument("partials", "ptr", index) for index in range(len(sum_outputs(program)))]
    if form.kind == "dense":
        found.append(Argument("count", "i64"))
    elif form.kind == "rows":
        found += [Argument("rows", "i64"), Argument("columns", "i64")]
    else:
        found += [Argument("length", "i64", axis=axis) for axis in range(form.axes)]
        operands = range(len(inputs) + len(outputs))
        found += [Argument("stride", "i64", index, axis) for index in operands for axis in range(form.axes)]
    return tuple(found)
