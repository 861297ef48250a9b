"""Machine code of NVIDIA GPUs, as nvdisasm prints it, as data: instructions, loops, and what one turn of a loop costs.

function = read(disassemble(cubin))["silu"]
body = main_loop(function)          # the loop that loads and stores the widest
body.usual, body.all, body.elements(4)
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field

_ADDRESS = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;?\s*$")
_LABEL = re.compile(r"^(\.L_[\w.]+|\$?[\w$.]+):\s*$")
_TARGET = re.compile(r"`\((\.L_[\w.]+)\)")
MOST_ACCESSES = 64  # of one turn; a loop within the loop could pass more
_SECTION = re.compile(r"^\s*\.section\s+\.text\.([\w$.]+)")


@dataclass(frozen=True, slots=True)
class Instruction:
    """``guard`` such as "@!P0" or ""; ``words``: the opcode's words, ("LDG", "E", "128")."""

    address: int
    text: str
    guard: str
    words: tuple[str, ...]
    target: str

    @property
    def name(self) -> str:
        return self.words[0]

    @property
    def access_bytes(self) -> int:
        """Bytes that a thread loads or stores in global memory; 0 of other instructions."""
        if self.name not in ("LDG", "STG"):
            return 0
        sizes = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16, "256": 32}
        return next((sizes[word] for word in self.words if word in sizes), 4)

    @property
    def is_f64(self) -> bool:
        """Whether it is done by the float64 units."""
        words = [word for word in self.words if "F64" in word]
        return bool(words) or self.name in ("DADD", "DMUL", "DFMA", "DSETP", "DMNMX") or "64H" in self.words

    @property
    def uses_local_memory(self) -> bool:
        return self.name in ("LDL", "STL")


@dataclass(slots=True)
class Function:
    """A kernel with the functions that the assembler put behind it. ``labels``: numbers of instructions."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)

    def count(self, *names: str) -> int:
        return sum(instruction.name in names for instruction in self.instructions)


def read(text: str) -> dict[str, Function]:
    """The functions of a listing by name. Raises ValueError where there is none."""
    found: dict[str, Function] = {}
    function: Function | None = None
    for line in text.splitlines():
        if section := _SECTION.match(line):
            function = found.setdefault(section[1], Function(section[1]))
        elif line.split(None, 1)[:1] == [".section"]:
            function = None
        elif function is None:
            continue
        elif label := _LABEL.match(line):
            function.labels[label[1]] = len(function.instructions)
        elif match := _ADDRESS.match(line):
            function.instructions.append(_instruction(int(match[1], 16), match[2]))
    if not found:
        raise ValueError("no machine code: no .text section is there")
    return found


def _instruction(address: int, text: str) -> Instruction:
    guard, rest = "", text
    if text.startswith("@"):
        guard, _, rest = text.partition(" ")
        rest = rest.lstrip()
    target = _TARGET.search(rest)
    opcode = rest.split(None, 1)[0].rstrip(";") if rest else ""
    return Instruction(address, text, guard, tuple(opcode.split(".")), target[1] if target else "")


@dataclass(frozen=True, slots=True)
class Loop:
    """``usual``: the instructions of the shortest way round that passes the most of its widest loads and stores, which
    is the way when no slow path is taken; ``all``: all of the loop, wherever they stand."""

    usual: tuple[Instruction, ...]
    all: tuple[Instruction, ...]

    @property
    def loaded(self) -> int:
        return sum(one.access_bytes for one in self.usual if one.name == "LDG")

    @property
    def stored(self) -> int:
        return sum(one.access_bytes for one in self.usual if one.name == "STG")


def loops(function: Function) -> list[Loop]:
    """The loops that hold accesses to global memory and no smaller loop that does."""
    graph = _Graph(function)
    found = []
    for head, body in graph.loops().items():
        accesses = {n for n in body if function.instructions[n].access_bytes}
        smaller = (other for other in graph.loops().values() if other < body)
        if accesses and not any(accesses & other for other in smaller):
            usual = graph.way(head, body)
            found.append(Loop(*(tuple(function.instructions[n] for n in part) for part in (usual, sorted(body)))))
    return found


def main_loop(function: Function) -> Loop | None:
    """The loop with the widest accesses, and of these the most; None where there is none."""

    def width(loop: Loop) -> tuple[int, int]:
        sizes = [one.access_bytes for one in loop.all if one.access_bytes]
        return max(sizes), sum(sizes)

    return max(loops(function), key=width, default=None)


class _Graph:
    """Where control may go, by numbers of instructions. A call comes back; what is called is not followed."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.after = [_following(function, place) for place in range(len(function.instructions))]
        self.before: list[list[int]] = [[] for _ in self.after]
        for place, following in enumerate(self.after):
            for other in following:
                self.before[other].append(place)
        self._loops: dict[int, set[int]] | None = None

    def loops(self) -> dict[int, set[int]]:
        """The natural loops by their heads: the head is on every way to the branch back to it."""
        if self._loops is None:
            self._loops = {}
            for source, following in enumerate(self.after):
                for head in following:
                    if head <= source and self._is_on_every_way(head, source):
                        self._loops.setdefault(head, {head}).update(self._body(head, source))
        return self._loops

    def _reach(self, start: int, without: int) -> set[int]:
        seen, stack = {start}, [start]
        while stack:
            for other in self.after[stack.pop()]:
                if other != without and other not in seen:
                    seen.add(other)
                    stack.append(other)
        return seen

    def _is_on_every_way(self, head: int, place: int) -> bool:
        return head == 0 or place == head or place not in self._reach(0, without=head)

    def _body(self, head: int, source: int) -> set[int]:
        body, stack = {head, source}, [source] if source != head else []
        while stack:
            for other in self.before[stack.pop()]:
                if other not in body:
                    body.add(other)
                    stack.append(other)
        return body

    def way(self, head: int, body: set[int]) -> list[int]:
        """The shortest way round a loop among those that pass the most of its widest accesses."""
        code = self.function.instructions
        widest = max(code[n].access_bytes for n in body)
        best = {(head, 0): 0}  # cost of a place with so many accesses passed
        came: dict[tuple[int, int], tuple[int, int]] = {}
        queue = [(0, head, 0)]
        rounds: list[tuple[int, int, tuple[int, int]]] = []
        while queue:
            cost, place, passed = heapq.heappop(queue)
            if best[place, passed] < cost:
                continue
            now = passed + (code[place].access_bytes == widest)
            for other in self.after[place]:
                if other == head:
                    rounds.append((-now, cost, (place, passed)))
                elif other in body and now <= MOST_ACCESSES and cost + 1 < best.get((other, now), 1 << 30):
                    best[other, now] = cost + 1
                    came[other, now] = (place, passed)
                    heapq.heappush(queue, (cost + 1, other, now))
        at: tuple[int, int] | None = min(rounds)[2]
        way = []
        while at is not None:
            way.append(at[0])
            at = came.get(at)
        return way[::-1]


def _following(function: Function, place: int) -> list[int]:
    """Where control may go from an instruction."""
    instruction = function.instructions[place]
    following = []
    if instruction.name in ("BRA", "BRX") and instruction.target in function.labels:
        following.append(function.labels[instruction.target])
        # a condition may stand before the branch, or among its operands: "@P0 BRA !P1", "BRA.DIV", "BRA UP0"
        if not instruction.guard and not re.search(r"\bU?P\d|DIV|CONV", instruction.text):
            return following
    elif instruction.name in ("EXIT", "RET") and not instruction.guard:
        return []
    if place + 1 < len(function.instructions):
        following.append(place + 1)
    return following
