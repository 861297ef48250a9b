"""Which operations only the slow operand of a ``rare`` needs: they go into a branch that is seldom taken."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..program.program import Operation, Output, Program

# A branch costs about as much as this many operations; less work than that is done always.
WORTH_A_BRANCH = 4


@dataclass(frozen=True, slots=True)
class Region:
    """The operations that are needed only where some lane of the mask holds. The root has no parent: needed always."""

    mask: int
    parent: Region | None
    depth: int
    members: list[int] = field(default_factory=list, compare=False)

    def encloses(self, other: Region | None) -> bool:
        while other is not None and other.depth > self.depth:
            other = other.parent
        return other is self


@dataclass(frozen=True, slots=True)
class Regions:
    """``home[v]`` is the innermost region that all uses of value v lie in (None: nothing uses it); ``behind[r]`` the
    region of rare r's slow operand; ``depends[v]`` the rares that v is computed from, as bits by their index."""

    home: list[Region | None]
    behind: dict[int, Region]
    depends: list[int]


def find_regions(program: Program) -> Regions:
    """Each use of a value lies in its reader's home, or behind the rare whose slow operand it is; backwards over the
    operations, the home of a value is the nearest common ancestor of its uses. Rares of one home and mask share."""
    root = Region(-1, None, 0)
    home: list[Region | None] = [None] * len(program)
    behind: dict[int, Region] = {}
    shared: dict[tuple[int, int], Region] = {}
    for output in program.outputs:
        home[output.value] = root
    for index in range(len(program) - 1, -1, -1):
        operation, place = program.operations[index], home[index]
        if place is None:
            continue
        place.members.append(index)
        for position, operand in enumerate(operation.operands):
            use = place
            if operation.name == "rare" and position == 2:
                mask = operation.operands[0]
                key = (mask, id(place))
                use = behind[index] = shared.setdefault(key, Region(mask, place, place.depth + 1))
            home[operand] = _common(home[operand], use)
    return Regions(home, behind, _dependences(program))


def _common(a: Region | None, b: Region) -> Region:
    if a is None:
        return b
    while a is not b:
        if a.depth >= b.depth:
            assert a.parent is not None
            a = a.parent
        else:
            assert b.parent is not None
            b = b.parent
    return a


def _dependences(program: Program) -> list[int]:
    depends: list[int] = []
    for operation in program.operations:
        bits = 0
        for operand in operation.operands:
            bits |= depends[operand]
            if program.operations[operand].name == "rare":
                bits |= 1 << operand
        depends.append(bits)
    return depends


def separate_slow_paths(program: Program) -> Program:
    """The same Program, with a copy for each slow path of what several slow paths need and nothing else does.

    Equal operations are stored once in a Program; two slow paths that share work would otherwise have it done in front
    of both, always. Bits do not change.
    """
    if sum(operation.name == "rare" for operation in program.operations) < 2:
        return program
    writer = _Writer(program)
    usual = _Path(None)
    writer.write(usual, [output.value for output in program.outputs])
    outputs = tuple(Output(o.name, usual.copies[o.value], o.reduction) for o in program.outputs)
    return Program(program.name, program.inputs, tuple(writer.operations), outputs)


class _Path:
    """What is computed on one path: the usual one, or behind one mask of another path."""

    def __init__(self, parent: _Path | None) -> None:
        self.parent = parent
        self.copies: dict[int, int] = {}
        self.behind: dict[int, _Path] = {}

    def find(self, value: int) -> int | None:
        path: _Path | None = self
        while path is not None:
            if value in path.copies:
                return path.copies[value]
            path = path.parent
        return None


class _Writer:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.operations: list[Operation] = []

    def write(self, path: _Path, roots: list[int]) -> None:
        """Writes what the roots need on this path, in the Program's order."""
        needed: set[int] = set()
        pending = list(roots)
        while pending:
            value = pending.pop()
            if value in needed or path.find(value) is not None:
                continue
            needed.add(value)
            operation = self.program.operations[value]
            pending += operation.operands[:2] if operation.name == "rare" else operation.operands
        for value in sorted(needed):
            operation = self.program.operations[value]
            places = [path] * len(operation.operands)
            if operation.name == "rare":
                places[2] = path.behind.setdefault(operation.operands[0], _Path(path))
                self.write(places[2], [operation.operands[2]])
            found = (place.find(operand) for place, operand in zip(places, operation.operands, strict=True))
            copies = tuple(copy for copy in found if copy is not None)  # all of them are there by now
            path.copies[value] = len(self.operations)
            self.operations.append(Operation(operation.name, copies, operation.type, operation.payload))
