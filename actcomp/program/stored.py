"""A Program as the disk cache holds it: its interface at once, its operations when somebody looks at them.

Loading machine code needs names and types alone; parsing the text would take longer than loading.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .program import Input, Output, Program


class StoredProgram:
    """Stands for the Program in all that it has; name, digest, inputs, outputs are known without parsing."""

    def __init__(self, interface: dict[str, Any], text: str) -> None:
        """From interface_of and the text form. Raises KeyError or ValueError if the interface is none."""
        self.text = text
        self.name: str = interface["name"]
        self.digest: str = interface["digest"]
        inputs = [SimpleNamespace(name=n, type=t, role=r) for n, t, r in interface["inputs"]]
        outputs = [SimpleNamespace(name=n, value=v, reduction=r) for n, v, _, r in interface["outputs"]]
        # They have the fields of Input and Output; making those classes known takes a millisecond.
        self.inputs = cast("tuple[Input, ...]", tuple(inputs))
        self.outputs = cast("tuple[Output, ...]", tuple(outputs))
        self._types = {value: type_ for _, value, type_, _ in interface["outputs"]}
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        if self._program is None:
            from .text import parse_program

            self._program = parse_program(self.text)
        return self._program

    def type_of(self, value: int) -> str:
        return self._types[value] if value in self._types else self.program.type_of(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.program, name)

    def __str__(self) -> str:
        return self.text

    def __len__(self) -> int:
        return len(self.program)


def interface_of(program: Program) -> dict[str, Any]:
    """What StoredProgram knows without parsing, as plain JSON values."""
    return {
        "name": program.name,
        "digest": program.digest,
        "inputs": [[entry.name, entry.type, entry.role] for entry in program.inputs],
        "outputs": [[out.name, out.value, program.type_of(out.value), out.reduction] for out in program.outputs],
    }


def whole(program: Program | StoredProgram) -> Program:
    """The Program itself."""
    return program.program if isinstance(program, StoredProgram) else program
