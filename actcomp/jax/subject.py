"""Subject: an activation as the primitives see it: its kernels by variant, its partial derivatives as subjects."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import actcomp as ac

from ..emit.interface import element_inputs, element_outputs, sum_outputs, uniform_inputs
from ..errors import UnsupportedExpression
from ..runtime import engine
from . import cuda_target, target
from .target import Label

if TYPE_CHECKING:
    from ..program.program import Program
    from ..program.stored import StoredProgram


class Subject:
    """Compared by identity: the same activation is made once in a process (:func:`subject`)."""

    def __init__(self, kernel: ac.Kernel, activation: Callable[[], ac.Activation]) -> None:
        """``activation`` is called when derivatives beyond the kernel's own are asked for: it may import SymPy."""
        self.kernel = kernel
        self._activation = activation
        self._slopes: dict[str, Subject | None] = {}
        self._targets: dict[Label, Target] = {}

    @functools.cached_property
    def activation(self) -> ac.Activation:
        return self._activation()

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.kernel.inputs

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.kernel.source.parameters)

    def __repr__(self) -> str:
        return self.kernel.name

    def slope(self, name: str) -> Subject | None:
        """The partial derivative by an input or parameter; None where it is 0 everywhere."""
        if name not in self._slopes:
            derivative = self.activation.derivative(name)
            self._slopes[name] = None if derivative.expression == 0 else subject(derivative)
        return self._slopes[name]

    def target(self, label: Label) -> Target:
        """The custom call of a kernel."""
        found = self._targets.get(label)
        if found is None:
            make = self._cuda_target if label.platform == "cuda" else self._cpu_target
            found = self._targets[label] = make(label, (label.variant, label.dtype, label.elementwise))
        return found

    def _cpu_target(self, label: Label, key: tuple[str, str, frozenset[str]]) -> Target:
        kernel = self.kernel.native(*key)
        if set(label.wanted) != {output.name for output in kernel.program.outputs}:
            kernel = engine.load(_restricted(self.kernel.program(*key), label.wanted))
        return _target_of(target.register(kernel, label), kernel.program)

    def _cuda_target(self, label: Label, key: tuple[str, str, frozenset[str]]) -> Target:
        program = _restricted(self.kernel.program(*key), label.wanted)
        return _target_of(cuda_target.register(program, label), program)


def _restricted(program: Program, wanted: Sequence[str]) -> Program:
    return replace(program, outputs=tuple(output for output in program.outputs if output.name in wanted))


@dataclass(frozen=True)
class Target:
    """A custom call: its name, the names of its operands and of its results in their order; ``sums`` of the last ones
    are numbers."""

    name: str
    operands: tuple[str, ...]
    results: tuple[str, ...]
    sums: int


def _target_of(name: str, program: Program | StoredProgram) -> Target:
    inputs = (*element_inputs(program), *uniform_inputs(program))
    sums = sum_outputs(program)
    outputs = (*element_outputs(program), *sums)
    return Target(name, tuple(i.name for i in inputs), tuple(o.name for o in outputs), len(sums))


_lock = threading.RLock()
_subjects: dict[Any, Subject] = {}


def subject(
    source: Any,
    inputs: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Subject:
    """The subject of what ``actcomp.compile`` takes, or of a Kernel that it made. Raises as compile does."""
    if isinstance(source, Subject):
        return source
    if isinstance(source, ac.Kernel):
        return _of_kernel(source)
    if isinstance(source, str):
        plain = tuple(
            (key, getattr(p, "default", p), getattr(p, "axis", None)) for key, p in (parameters or {}).items()
        )
        words = (source, None if inputs is None else tuple(inputs), plain, name)
        options: dict[str, Any] = {"inputs": inputs, "parameters": parameters, "name": name}
        return _once(words, lambda: Subject(ac.compile(source, **options), lambda: ac.activation(source, **options)))
    made = ac.activation(source, inputs=inputs, parameters=parameters, name=name)
    return _once((made, made.name, made.mirror), lambda: Subject(ac.compile(made), lambda: made))


def _once(key: Any, make: Callable[[], Subject]) -> Subject:
    with _lock:
        found = _subjects.get(key)
        if found is None:
            found = _subjects[key] = make()
        return found


def _of_kernel(kernel: ac.Kernel) -> Subject:
    """A kernel's source is known by what pickling stores of it. Its backend does not matter: the bits are the same."""
    remake = kernel._remake
    if not isinstance(remake, functools.partial) or remake.func is not ac.compile:
        raise UnsupportedExpression(
            f"the kernel {kernel.name} does not tell its formula",
            do="pass the formula, or what ac.activation made of it",
        )
    return subject(*remake.args, **{name: value for name, value in remake.keywords.items() if name != "backend"})
