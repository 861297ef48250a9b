"""Functions over arrays as C99 source: a scalar function of the values for each Program, and a loop around it."""

from __future__ import annotations

from collections.abc import Mapping

from ..program.interpreter import SUM_LANES, SUM_RUN
from ..program.program import Program
from .c import C_TYPE, converted, scalar_lines
from .c_interface import CArgument, arguments_of, comment, declaration
from .c_support import GUARD, support_for


def emit_c(functions: Mapping[str, Program], words: str = "", header: str = "") -> str:
    """The source that defines a function for each Program, by name (see c_interface.py).

    ``header``: the name of the header to include, if any. It needs a C99 compiler, libc and libm, nothing else. For
    the documented bits: no -ffast-math; ``fma`` is slow, though right, where the processor has none."""
    tables: dict[str, str] = {}
    bodies = [_functions(name, program, tables) for name, program in functions.items()]
    body = "\n\n".join([*tables.values(), *bodies])
    includes = [f"#include <{name}.h>" for name in ("float", "math", "stddef", "stdint", "string")]
    parts = [comment(words)] if words else []
    parts.append("\n".join([*([f'#include "{header}"'] if header else []), *includes]))
    parts.append(GUARD.rstrip("\n"))
    support = support_for(body)
    return "\n\n".join([*parts, *([support] if support else []), body]) + "\n"


def _functions(name: str, program: Program, tables: dict[str, str]) -> str:
    arguments = arguments_of(program)
    return "\n".join([*_scalar(name, program, arguments, tables), "", *_array(name, arguments)])


def _scalar(
    name: str, program: Program, arguments: tuple[CArgument, ...], tables: dict[str, str]
) -> list[str]:
    """``name_at``: the results of one element through pointers, or the result itself where there is but one."""
    inputs = {a.of: a.name for a in arguments if a.kind in ("input", "uniform")}
    outputs = [a for a in arguments if a.kind in ("output", "sum")]
    lines, results = scalar_lines(program, inputs, tables)
    types = {out.name: program.type_of(out.value) for out in program.outputs}
    values = dict(zip((out.name for out in program.outputs), results, strict=True))
    listed = [f"{C_TYPE[a.type]} {a.name}" for a in arguments if a.kind in ("input", "uniform")]
    kind, endings = "void", [f"*{a.name} = {values[a.of]};" for a in outputs]
    if len(outputs) == 1:
        kind, endings = C_TYPE[types[outputs[0].of]], [f"return {values[outputs[0].of]};"]
    else:
        listed += [f"{C_TYPE[a.type]} *{a.name}" for a in outputs]
    unused = [f"(void){n};" for n in inputs.values() if not _is_read(n, [*lines, *values.values()])]
    body = [f"    {line}" for line in [*unused, *lines, *endings]]
    return [f"static inline {kind} {name}_at({', '.join(listed) or 'void'}) {{", *body, "}"]


def _is_read(name: str, lines: list[str]) -> bool:
    import re

    return any(re.search(rf"\b{name}\b", line) for line in lines)


def _array(name: str, arguments: tuple[CArgument, ...]) -> list[str]:
    given = [f"{a.name}[i]{' != 0' if a.type == 'b' else ''}" for a in arguments if a.kind == "input"]
    given += [a.name for a in arguments if a.kind == "uniform"]
    outputs, sums = ([a for a in arguments if a.kind == kind] for kind in ("output", "sum"))
    made = [*outputs, *sums]
    if len(made) == 1:
        element = [f"{C_TYPE[made[0].type]} r_{made[0].name} = {name}_at({', '.join(given)});"]
    else:
        element = [f"{C_TYPE[a.type]} r_{a.name};" for a in made]
        element.append(f"{name}_at({', '.join([*given, *(f'&r_{a.name}' for a in made)])});")
    element += [f"{a.name}[i] = {'(uint8_t)' if a.type == 'b' else ''}r_{a.name};" for a in outputs]
    head = declaration(name, arguments) + " {"
    if not sums:
        return [head, "    for (int64_t i = 0; i < n; i++) {", *(f"        {line}" for line in element), "    }", "}"]
    lanes = f"[(i - run) % {SUM_LANES}]"
    element += [f"lanes_{a.name}{lanes} += {converted(f'r_{a.name}', a.type, 'f64')};" for a in sums]
    return [
        head,
        *(f"    double sum_{a.name} = 0.0;" for a in sums),
        f"    for (int64_t run = 0; run < n; run += {SUM_RUN}) {{",
        f"        int64_t end = n - run < {SUM_RUN} ? n : run + {SUM_RUN};",
        *(f"        double lanes_{a.name}[{SUM_LANES}] = {{0.0}};" for a in sums),
        "        for (int64_t i = run; i < end; i++) {",
        *(f"            {line}" for line in element),
        "        }",
        *(f"        sum_{a.name} += ac_fold(lanes_{a.name});" for a in sums),
        "    }",
        *(f"    *{a.name} = sum_{a.name};" for a in sums),
        "}",
    ]
