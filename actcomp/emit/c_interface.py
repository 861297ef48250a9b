"""The C functions of Programs seen from outside: names and types of arguments, declarations, what a header says of them.

    void silu_backward_f32(const float *x, const float *dy, float *dx, int64_t n)

Element inputs, uniform inputs by value, element outputs, one double for each sum, the number of elements. bfloat16 and
f16 elements are ``uint16_t`` that hold the bits. The same for source (c_source.py) and object code (c_object.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..program.program import Program
from .interface import element_inputs, element_outputs, sum_outputs, uniform_inputs

C_TYPE = {
    "b": "int", "i16": "uint16_t", "i32": "uint32_t", "i64": "uint64_t", "f16": "uint16_t", "f32": "float",
    "f64": "double",
}  # fmt: skip
STORED_TYPE = {**C_TYPE, "b": "uint8_t"}

_KEYWORDS = set(
    """auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while asm typeof bool
    true false and or not xor class new delete this template typename namespace public private protected operator try
    catch throw friend virtual using export explicit mutable alignas alignof constexpr nullptr
    n i run end lanes memcpy size_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t
    fma fmaf fabs fabsf sqrt sqrtf rint rintf floor floorf main""".split()
)


@dataclass(frozen=True, slots=True)
class CArgument:
    """``of``: the name of the Program's input or output. ``type``: that of the value, as the Program names it."""

    name: str
    kind: Literal["input", "uniform", "output", "sum"]
    of: str
    type: str

    def __str__(self) -> str:
        if self.kind == "uniform":
            return f"{C_TYPE[self.type]} {self.name}"
        if self.kind == "sum":
            return f"double *{self.name}"
        return f"{'const ' if self.kind == 'input' else ''}{STORED_TYPE[self.type]} *{self.name}"


def identifier(text: str, taken: Iterable[str] = ()) -> str:
    """A name that C and C++ take, close to the text, and not among those taken."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    if not name or name[0].isdigit() or name[0] == "_":
        name = f"a{name}"
    if re.fullmatch(r"v\d+|ac_.*|(sum|lanes)_.*", name):
        name = f"a_{name}"
    while name in _KEYWORDS or name in taken:
        name += "_"
    return name


def arguments_of(program: Program) -> tuple[CArgument, ...]:
    """All but the last, ``int64_t n``."""
    entries: list[tuple[str, Literal["input", "uniform", "output", "sum"], str]] = []
    entries += [(entry.name, "input", entry.type) for entry in element_inputs(program)]
    entries += [(entry.name, "uniform", entry.type) for entry in uniform_inputs(program)]
    entries += [(out.name, "output", program.type_of(out.value)) for out in element_outputs(program)]
    entries += [(out.name, "sum", program.type_of(out.value)) for out in sum_outputs(program)]
    found: list[CArgument] = []
    for name, kind, type in entries:
        own = identifier(_short(name), [argument.name for argument in found])
        found.append(CArgument(own, kind, name, type))
    return tuple(found)


def _short(name: str) -> str:
    """``g.y`` is dy, ``h.x`` ddx, ``d.x`` dx, ``d.g.y`` ddy, ``d.p.beta`` dbeta, ``p.beta`` beta."""
    for prefix, short in (("d.g.", "dd"), ("d.p.", "d"), ("p.", ""), ("g.", "d"), ("h.", "dd"), ("d.", "d")):
        if name.startswith(prefix):
            return short + name[len(prefix) :]
    return name


def declaration(name: str, arguments: Sequence[CArgument]) -> str:
    return f"void {name}({', '.join(map(str, arguments))}, int64_t n)"


_LAYOUT = """\
Arrays are contiguous, of n elements{halves}; n may be 0. An output may be exactly one of the inputs, but not overlap one
otherwise. Parameters are one value for the call{sums}. Functions keep no state: any number of threads may call them, on
arrays of their own. Results are for rounding to nearest with subnormals kept, as processors start."""
_HALVES = ", f16 and bfloat16 as uint16_t that hold the bits"
_SUMS = """;
their gradients are sums over all elements by a fixed tree (runs of 4096 elements on 32 lanes), as double"""


def header_text(functions: Mapping[str, Program], about: Mapping[str, str], words: str, guard: str) -> str:
    """The header that declares the functions: ``about`` says what each is, ``words`` stand above all."""
    types = {p.type_of(out.value) for p in functions.values() for out in p.outputs if out.reduction == "element"}
    has_sums = any(sum_outputs(program) for program in functions.values())
    layout = _LAYOUT.format(halves=_HALVES if types & {"f16", "i16"} else "", sums=_SUMS if has_sums else "")
    lines = [comment(f"{words}\n\n{layout}"), "", f"#ifndef {guard}", f"#define {guard}", "", "#include <stdint.h>"]
    lines += ["", "#ifdef __cplusplus", 'extern "C" {', "#endif"]
    for name, program in functions.items():
        lines += ["", *([comment(about[name])] if name in about else []), declaration(name, arguments_of(program)) + ";"]
    lines += ["", "#ifdef __cplusplus", "}", "#endif", "", f"#endif /* {guard} */"]
    return "\n".join(lines) + "\n"


def comment(text: str) -> str:
    """The text as a comment of C89, whatever it holds."""
    safe = text.replace("*/", "* /").replace("/*", "/ *").replace("??/", "?? /").encode("ascii", "backslashreplace")
    return "/* " + "\n   ".join(safe.decode().split("\n")) + " */"
