"""Values of a Program as C99: one statement an operation, on scalars.

bool is ``int`` 0 or 1, integers are unsigned and wrap, f16 and bfloat16 are ``uint16_t``. Nothing here decides
numerics: fma is that of math.h, which rounds once, no operation is left to a compiler's choice (see c_support.GUARD),
and constants are hexadecimal or bits. f16 is computed in f32 with one rounding, as llvm.py does.
"""

from __future__ import annotations

import struct
from hashlib import sha256

from ..program.primitives import FLOATS, INTEGER_OF, WIDTH_BITS
from ..program.program import Operation, Program
from .rare import find_regions

C_TYPE = {
    "b": "int", "i16": "uint16_t", "i32": "uint32_t", "i64": "uint64_t", "f16": "uint16_t", "f32": "float",
    "f64": "double",
}  # fmt: skip
STORED_TYPE = {**C_TYPE, "b": "uint8_t"}

# {0} {1} {2} the operands; {t} the C type of the last of them, {w} its width, {m} width - 1, {f} "f" for functions of
# float. A pair: for floats, for integers. None: code of its own in _Writer, or none at all.
TEMPLATES: dict[str, str | tuple[str, str] | None] = {
    "const": None,
    "input": None,
    "call": None,
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "fma": "fma{f}({0}, {1}, {2})",
    "neg": "-{0}",
    "abs": "fabs{f}({0})",
    "min": "{0} < {1} ? {0} : {1}",
    "max": "{0} > {1} ? {0} : {1}",
    "sqrt": "sqrt{f}({0})",
    "rint": "rint{f}({0})",
    "floor": "floor{f}({0})",
    "lt": ("{0} < {1}", "ac_s{w}_of_u{w}({0}) < ac_s{w}_of_u{w}({1})"),
    "le": ("{0} <= {1}", "ac_s{w}_of_u{w}({0}) <= ac_s{w}_of_u{w}({1})"),
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "xor": "{0} ^ {1}",
    "not": None,
    "select": "{0} ? {1} : {2}",
    "rare": "{0} ? {2} : {1}",
    "iadd": "({t})({0} + {1})",
    "isub": "({t})({0} - {1})",
    "imul": "({t})(1u * {0} * {1})",
    "imulhi": None,
    "ishl": "({t})((1u * {0}) << ({1} & {m}u))",
    "ilshr": "({t})({0} >> ({1} & {m}u))",
    "iashr": "ac_iashr_u{w}({0}, (unsigned)({1} & {m}u))",
    "bitcast": None,
    "convert": None,
    "zext": "({T}){0}",
    "table": None,
}


def constant(bits: int, type: str) -> str:
    """The constant as a C expression; the bits are exact, NaN and -0.0 too."""
    if type in ("f32", "f64"):
        letter, code, suffix = ("f", "I", "f") if type == "f32" else ("d", "Q", "")
        value = struct.unpack(letter, struct.pack(code, bits))[0]
        if value - value == 0:
            text = _hex_float(value) + suffix
            return f"({text})" if text.startswith("-") else text
        return f"ac_{type}_of_u{WIDTH_BITS[type]}(0x{bits:X}u)"
    if type == "i64":
        return f"UINT64_C(0x{bits:X})"
    if type == "b":
        return str(bits)
    return f"0x{bits:X}u" if type == "i32" else f"(uint16_t)0x{bits:X}u"


def _hex_float(value: float) -> str:
    mantissa, exponent = value.hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}"


def scalar_lines(program: Program, inputs: dict[str, str], tables: dict[str, str]) -> tuple[list[str], list[str]]:
    """Statements that compute all values, from the C names of the inputs; and the C expressions of the outputs.

    Constant arrays that the statements read are added to ``tables``: text by name."""
    writer = _Writer(program, inputs, tables)
    home = find_regions(program).home
    for index in range(len(program)):
        if home[index] is not None:
            writer.write(index)
    return writer.lines, [writer.names[output.value] for output in program.outputs]


class _Writer:
    def __init__(self, program: Program, inputs: dict[str, str], tables: dict[str, str]) -> None:
        self.program, self.inputs, self.tables = program, inputs, tables
        self.names: dict[int, str] = {}
        self.lines: list[str] = []

    def write(self, index: int) -> None:
        operation = self.program.operations[index]
        if operation.name == "const":
            self.names[index] = constant(operation.payload, operation.type)
        elif operation.name == "input":
            self.names[index] = self.inputs[operation.payload]
        else:
            self.names[index] = f"v{index}"
            self.lines.append(f"{C_TYPE[operation.type]} v{index} = {self.expression(operation)};")

    def expression(self, operation: Operation) -> str:
        operands = [self.names[operand] for operand in operation.operands]
        types = [self.program.type_of(operand) for operand in operation.operands]
        name, result = operation.name, operation.type
        if name == "call":
            raise ValueError(f"{self.program.name}: call {operation.payload} is left; lower the Program first")
        if name == "convert":
            return converted(operands[0], types[0], result)
        if name == "bitcast":
            return _bitcast(operands[0], types[0], result)
        if name == "table":
            return self.table(operands[0], types[0], operation)
        if name == "not":
            return f"!{operands[0]}" if result == "b" else f"({C_TYPE[result]})~{operands[0]}"
        if name == "imulhi":
            return _upper_half(operands, types[0])
        if "f16" in types and name not in ("select", "rare"):
            return _half(name, operands, result)
        return _filled(name, operands, types[-1], result)

    def table(self, index: str, type: str, operation: Operation) -> str:
        width, kind = WIDTH_BITS[operation.type], operation.type
        stored = "uint8_t" if kind == "b" else f"uint{width}_t"
        digits = max(1, width // 4)
        items = [f"0x{bits:0{digits}X}u" if width < 64 else f"UINT64_C(0x{bits:016X})" for bits in operation.payload]
        row = max(1, 96 // (len(items[0]) + 2))
        lines = [", ".join(items[start : start + row]) for start in range(0, len(items), row)]
        body = ",\n    ".join(lines)
        name = f"ac_table_{sha256(f'{stored} {body}'.encode()).hexdigest()[:16]}"
        self.tables[name] = f"static const {stored} {name}[{len(items)}] = {{\n    {body}\n}};"
        bits = f"{name}[ac_place({_signed(index, type)}, {len(items)})]"
        return _bitcast(bits, INTEGER_OF[kind], kind) if kind in FLOATS else bits


def _signed(value: str, type: str) -> str:
    width = WIDTH_BITS[type]
    return f"ac_s{width}_of_u{width}({value})"


def _filled(name: str, operands: list[str], type: str, result: str) -> str:
    template = TEMPLATES[name]
    if isinstance(template, tuple):
        template = template[type not in FLOATS]
    assert template is not None
    width = WIDTH_BITS[type]
    return template.format(
        *operands, t=C_TYPE[type], T=C_TYPE[result], w=width, m=width - 1, f="f" if type == "f32" else ""
    )


def _half(name: str, operands: list[str], result: str) -> str:
    if name in ("neg", "abs"):
        return f"(uint16_t)({operands[0]} {'^ 0x8000u' if name == 'neg' else '& 0x7FFFu'})"
    if name == "fma":
        return f"ac_fma_f16({', '.join(operands)})"
    wide = _filled(name, [f"ac_f32_of_f16({operand})" for operand in operands], "f32", result)
    return wide if result == "b" else f"ac_f16_of_f32({wide})"


def _upper_half(operands: list[str], type: str) -> str:
    if type == "i64":
        return f"ac_imulhi_u64({operands[0]}, {operands[1]})"
    return f"({C_TYPE[type]})((uint64_t){operands[0]} * {operands[1]} >> {WIDTH_BITS[type]})"


def _bitcast(value: str, source: str, result: str) -> str:
    if C_TYPE[source] == C_TYPE[result]:
        return value
    letters = {**{t: f"u{WIDTH_BITS[t]}" for t in ("i16", "i32", "i64")}, "f32": "f32", "f64": "f64"}
    return f"ac_{letters[result]}_of_{letters[source]}({value})"


def converted(value: str, source: str, result: str) -> str:
    """The conversion of primitives.py, which is defined for every input."""
    if source == result:
        return value
    if source == "f16":
        return converted(f"ac_f32_of_f16({value})", "f32", result)
    if result == "b":
        return f"{value} != 0"
    if result == "f16":
        if source in ("f32", "f64"):
            return f"ac_f16_of_{source}({value})"
        # i64 is rounded in double only beyond 2**53, where f16 is infinite anyhow
        return f"ac_f16_of_f64({converted(value, source, 'f64')})"
    if source in FLOATS and result not in FLOATS:
        return f"ac_u{WIDTH_BITS[result]}_of_f64_saturated({value})"
    if source in FLOATS or source == "b":
        return f"({C_TYPE[result]}){value}"
    return f"({C_TYPE[result]}){_signed(value, source)}"
