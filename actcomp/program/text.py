"""The text form of a Program: one operation a line; what errors quote, the cache stores and parse reads back."""

from __future__ import annotations

import re

from .builder import constant_value
from .program import Input, Operation, Output, Program, check

_OPERATION = re.compile(r"%(\d+) = (\w+)((?: %\d+)*)(?: \[(.*)\])? : (\w+)")


def format_program(program: Program) -> str:
    lines = [f"program {program.name}"]
    lines += [f"input {entry.name} : {entry.type} {entry.role}" for entry in program.inputs]
    lines += [_format_operation(index, operation) for index, operation in enumerate(program.operations)]
    lines += [f"output {output.name} = %{output.value} {output.reduction}" for output in program.outputs]
    return "\n".join(lines) + "\n"


def _format_operation(index: int, operation: Operation) -> str:
    operands = "".join(f" %{operand}" for operand in operation.operands)
    payload, comment = "", ""
    if operation.name == "const":
        payload = f" [{operation.payload:#x}]"
        comment = f"  # {constant_value(operation.payload, operation.type)}"
    elif operation.name == "input":
        payload = f" [{operation.payload}]"
    elif operation.name == "call":
        payload = f" [{operation.payload[0]} {operation.payload[1]}]"
    elif operation.name == "table":
        payload = " [" + " ".join(f"{entry:#x}" for entry in operation.payload) + "]"
    return f"%{index} = {operation.name}{operands}{payload} : {operation.type}{comment}"


def parse_program(text: str) -> Program:
    """The Program whose text form this is. Raises ValueError naming the first line that is none of its kind."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("program "):
        raise ValueError("a Program's text begins with the line 'program NAME'")
    inputs: list[Input] = []
    operations: list[Operation] = []
    outputs: list[Output] = []
    for number, line in enumerate(lines[1:], start=2):
        bare = line.split("#")[0].strip()
        words = bare.split()
        if not words:
            continue
        if words[0] == "input" and len(words) == 5 and words[4] in ("element", "uniform"):
            inputs.append(Input(words[1], words[3], words[4]))  # type: ignore[arg-type]
        elif words[0] == "output" and len(words) == 5 and words[4] in ("element", "sum"):
            outputs.append(Output(words[1], int(words[3][1:]), words[4]))  # type: ignore[arg-type]
        elif (match := _OPERATION.fullmatch(bare)) and int(match[1]) == len(operations):
            operations.append(_parse_operation(match))
        else:
            raise ValueError(f"line {number} is no line of a Program: {line!r}")
    return check(Program(lines[0][len("program ") :], tuple(inputs), tuple(operations), tuple(outputs)), "parsing")


def _parse_operation(match: re.Match[str]) -> Operation:
    name, type_ = match[2], match[5]
    operands = tuple(int(word[1:]) for word in match[3].split())
    payload: object = None
    if name == "const":
        payload = int(match[4], 16)
    elif name == "input":
        payload = match[4]
    elif name == "call":
        function, scale = match[4].split()
        payload = (function, int(scale))
    elif name == "table":
        payload = tuple(int(entry, 16) for entry in match[4].split())
    return Operation(name, operands, type_, payload)
