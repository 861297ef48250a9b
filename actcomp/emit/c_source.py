"""A C99 source and its header: a function over arrays for each Program, around the values of c.py.

    void silu_forward_f32(const float *x, float *y, int64_t n);

Arguments: element inputs, uniform inputs by value, element outputs, sums (a double each), the number of elements.
Arrays are contiguous; an output may be an input itself, but not overlap one otherwise. Sums go by the fixed tree of
program/interpreter.py, so that all results have the bits of the other emissions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..program.interpreter import SUM_LANES, SUM_RUN
from ..program.program import Program
from . import c, c_support
from .interface import element_inputs, element_outputs, sum_outputs, uniform_inputs

_RESERVED = frozenset(
    """auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true false
    class new delete this template namespace operator private public protected virtual try catch throw
    n i run end lane lanes fma fmaf sqrt sqrtf rint rintf floor floorf fabs fabsf NAN INFINITY""".split()
)  # of C, of C++ for the header, and of the text itself


@dataclass(frozen=True)
class Operand:
    """One argument: its name in C and in the Program, its C type, and "input", "uniform", "output" or "sum"."""

    name: str
    program_name: str
    type: str
    role: str

    @property
    def declaration(self) -> str:
        if self.role == "uniform":
            return f"{self.type} {self.name}"
        return f"{'const ' if self.role == 'input' else ''}{self.type} *{self.name}"


def operands_of(program: Program) -> tuple[Operand, ...]:
    """The arguments in order, but for the last, ``n``."""
    found: list[tuple[str, str, str]] = [(e.name, c.C_TYPE[e.type], "input") for e in element_inputs(program)]
    found += [(e.name, c.C_TYPE[e.type], "uniform") for e in uniform_inputs(program)]
    found += [(o.name, c.C_TYPE[program.type_of(o.value)], "output") for o in element_outputs(program)]
    found += [(o.name, "double", "sum") for o in sum_outputs(program)]
    taken: set[str] = set(_RESERVED)
    operands = []
    for program_name, type, role in found:
        name = _readable(program_name)
        while name in taken or re.fullmatch(r"v\d+|ac_\w*|x_\d+", name):
            name += "_"
        taken.add(name)
        operands.append(Operand(name, program_name, type, role))
    return tuple(operands)


def _readable(name: str) -> str:
    """``d.p.beta`` to dbeta, ``p.beta`` to beta, ``g.y`` to dy, ``h.x`` to ddx, ``d.g.y`` to ddy."""
    name = name.replace("d.g.", "dd").replace("d.p.", "d").replace("p.", "", 1) if name[:2] in ("d.", "p.") else name
    for start, word in (("d.", "d"), ("g.", "d"), ("h.", "dd")):
        if name.startswith(start):
            name = word + name[len(start) :]
    return re.sub(r"\W", "_", name)


def signature(name: str, program: Program) -> str:
    arguments = ", ".join([*(operand.declaration for operand in operands_of(program)), "int64_t n"])
    return f"void {name}({arguments})"


_CONDUCT = """\
/* Arrays are contiguous, of n elements; n may be 0. An output may be one of the inputs itself, but not overlap one
   otherwise. uint16_t holds the bits of a float16 or bfloat16. Parameters are one value for the call; their gradients
   are sums over all elements, by a fixed tree. Nothing is kept between calls: threads may call at the same time.
   Results are for rounding to nearest with subnormals kept, as processors start. */
"""


def emit_header(programs: Mapping[str, Program], docs: Mapping[str, str], guard: str) -> str:
    """The header: a declaration for each Program, with its text of ``docs``."""
    parts = [f"{_CONDUCT}\n#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n"]
    parts.append('#ifdef __cplusplus\nextern "C" {\n#endif\n')
    for name, program in programs.items():
        parts.append(f"/* {docs.get(name, name)} */\n{signature(name, program)};\n")
    parts.append("#ifdef __cplusplus\n}\n#endif\n\n#endif\n")
    return "\n".join(parts)


def emit_c(programs: Mapping[str, Program], docs: Mapping[str, str], header: str) -> str:
    """The source, which includes the header of that name. Needs libm alone: link with -lm."""
    tables: dict[str, str] = {}
    functions = [_function(name, program, tables) for name, program in programs.items()]
    body = "\n\n".join(functions)
    support = c_support.support_for("\n".join([*tables.values(), body]))
    includes = f'#include "{header}"\n\n#include <float.h>\n#include <math.h>\n#include <string.h>\n'
    about = (
        "/* Compile with -O3 -march=native -ffp-contract=off, which makes fma an instruction and loops vectors; other\n"
        "   levels give the same bits, some thirty times slower where there is no such instruction. Needs -lm. */\n"
    )
    return "\n".join([about, includes, c_support.GUARD, support, "", *tables.values(), "", body]) + "\n"


def _function(name: str, program: Program, tables: dict[str, str]) -> str:
    operands = operands_of(program)
    inputs = [operand for operand in operands if operand.role == "input"]
    names = {operand.program_name: f"x_{index}" for index, operand in enumerate(inputs)}
    names |= {operand.program_name: operand.name for operand in operands if operand.role == "uniform"}
    lines, values = c.scalar_lines(program, names, tables)
    value_of = {output.name: value for output, value in zip(program.outputs, values, strict=True)}
    loads = [f"{operand.type} x_{index} = {operand.name}[i];" for index, operand in enumerate(inputs)]
    stores = [f"{o.name}[i] = {value_of[o.program_name]};" for o in operands if o.role == "output"]
    sums = [operand for operand in operands if operand.role == "sum"]
    body = [*loads, *lines, *stores]
    if not sums:
        text = [f"{signature(name, program)} {{", "    for (int64_t i = 0; i < n; i++) {"]
        return "\n".join([*text, *(f"        {line}" for line in body), "    }", "}"])
    text = [f"{signature(name, program)} {{"]
    text += [f"    *{operand.name} = 0.0;" for operand in sums]
    text += [f"    for (int64_t run = 0; run < n; run += {SUM_RUN}) {{"]
    text += [f"        int64_t end = n - run < {SUM_RUN} ? n : run + {SUM_RUN};"]
    text += [f"        double lanes[{len(sums)}][{SUM_LANES}] = {{{{0.0}}}};"]
    text += ["        for (int64_t i = run; i < end; i++) {", *(f"            {line}" for line in body)]
    for index, operand in enumerate(sums):
        value = value_of[operand.program_name]
        text.append(f"            lanes[{index}][(i - run) % {SUM_LANES}] += (double){value};")
    text.append("        }")
    for index, operand in enumerate(sums):
        text.append(f"        for (int width = {SUM_LANES // 2}; width > 0; width /= 2)")
        text.append(f"            for (int lane = 0; lane < width; lane++) lanes[{index}][lane] += "
                    f"lanes[{index}][lane + width];")  # fmt: skip
        text.append(f"        *{operand.name} += lanes[{index}][0];")
    return "\n".join([*text, "    }", "}"])
