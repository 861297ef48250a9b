"""PTX text as data: functions, their instructions and labels, with the lines they stand in. See ptx_check.py."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Instruction:
    """``@guard opcode outputs, inputs;``: operands as written, those in braces one by one."""

    line: int
    text: str
    guard: str
    opcode: str
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The opcode's words: ("fma", "rn", "f32")."""
        return tuple(self.opcode.split("."))

    @property
    def type(self) -> str:
        return self.words[-1]


@dataclass(slots=True)
class Function:
    """One ``.entry`` or ``.func``. ``labels``: where each stands, as a number of instructions before it. ``local``: the
    directives that ask for local memory."""

    name: str
    is_entry: bool
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    local: list[str] = field(default_factory=list)


_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_HEAD = re.compile(r"\.(entry|func)\b\s*(?:\([^()]*\)\s*)?([\w$.]+)\s*(\([^()]*\))?([^{};]*)([{;])")
_LABEL = re.compile(r"([$\w%]+):(?!:)")
_INSTRUCTION = re.compile(r"(?:@(!?%\w+)\s+)?([a-z][\w.:]*)\s*(.*)", re.DOTALL)
# Instructions without a result: all their operands are read.
WITHOUT_RESULT = frozenset({
    "st", "bra", "brx", "ret", "exit", "bar", "barrier", "membar", "fence", "red", "prefetch", "prefetchu", "trap",
    "nanosleep", "call", "discard", "applypriority", "griddepcontrol",
})  # fmt: skip


def read(text: str) -> dict[str, Function]:
    """The functions of a module that have a body, by name. Raises ValueError where the text is no PTX."""
    if ".version" not in text:
        raise ValueError("no PTX: .version is missing")
    plain = _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    found: dict[str, Function] = {}
    for head in _HEAD.finditer(plain):
        if head[5] == "{":
            function = Function(head[2], head[1] == "entry")
            found[function.name] = function
            _read_body(function, plain, head.end())
    return found


def _read_body(function: Function, plain: str, start: int) -> None:
    """Statements end with a semicolon. Braces at the start of one are blocks, elsewhere lists of operands."""
    depth, position = 1, start
    line = plain.count("\n", 0, start) + 1
    while depth:
        match = re.compile(r"\s*").match(plain, position)
        assert match is not None
        line += match[0].count("\n")
        position = match.end()
        if position >= len(plain):
            raise ValueError(f"{function.name} does not end")
        if plain[position] in "{}":
            depth += 1 if plain[position] == "{" else -1
            position += 1
        elif label := _LABEL.match(plain, position):
            function.labels[label[1]] = len(function.instructions)
            position = label.end()
        else:
            end = plain.find(";", position)
            newline = plain.find("\n", position)
            if plain.startswith((".loc", ".file"), position):  # these end with their line
                end = newline
            if end < 0:
                raise ValueError(f"line {line}: no end of {plain[position : position + 40]!r}")
            _read_statement(function, plain[position:end], line)
            line += plain.count("\n", position, end)
            position = end + 1 if plain[end] == ";" else end


def _read_statement(function: Function, statement: str, line: int) -> None:
    statement = " ".join(statement.split())
    if statement.startswith("."):
        if statement.startswith(".local"):
            function.local.append(statement)
        return
    match = _INSTRUCTION.fullmatch(statement)
    if match is None:
        raise ValueError(f"line {line}: not understood: {statement!r}")
    guard, opcode, rest = match[1] or "", match[2], match[3]
    groups = _operands(rest)
    outputs: tuple[str, ...] = ()
    if groups and opcode.split(".")[0] not in WITHOUT_RESULT:
        outputs, groups = groups[0], groups[1:]
    inputs = tuple(name for group in groups for name in group)
    function.instructions.append(Instruction(line, statement, guard, opcode, outputs, inputs))


def _operands(text: str) -> list[tuple[str, ...]]:
    """Operands between commas, each as one name, or those within its braces; of ``%p|%q`` both."""
    groups = []
    for match in re.finditer(r"\{([^{}]*)\}|\[[^\[\]]*\]|\([^()]*\)|[^,\s][^,]*", text):
        names = match[1] if match[1] is not None else match[0]
        separator = "," if match[1] is not None else "|"
        groups.append(tuple(name.strip() for name in names.split(separator) if name.strip()))
    return groups
