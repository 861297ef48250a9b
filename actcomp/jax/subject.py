"""Subject: an activation as the primitives see it: its kernels by variant, its partial derivatives as subjects."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import actcomp as ac

from ..errors import UnsupportedExpression
from ..runtime import engine, native
from . import target
from .target import Label

if TYPE_CHECKING:
    from ..program.program import Output, Program


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
            key = (label.variant, label.dtype, label.elementwise)
            kernel = self.kernel.native(*key)
            if set(label.wanted) != {output.name for output in kernel.program.outputs}:
                program = self.kernel.program(*key)
                kernel = engine.load(replace(program, outputs=_chosen(program, label.wanted)))
            found = self._targets[label] = Target(kernel, target.register(kernel, label))
        return found


def _chosen(program: Program, wanted: Sequence[str]) -> tuple[Output, ...]:
    return tuple(output for output in program.outputs if output.name in wanted)


@dataclass(frozen=True, eq=False)
class Target:
    """A registered kernel: the order of its operands and results."""

    kernel: native.Native
    name: str

    @functools.cached_property
    def operands(self) -> tuple[str, ...]:
        kernel = self.kernel
        return (*(operand.name for operand in kernel.operands if not operand.is_output), *kernel.uniforms)

    @functools.cached_property
    def results(self) -> tuple[str, ...]:
        return (*(operand.name for operand in self.kernel.operands if operand.is_output), *self.kernel.sums)


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
    """A kernel's source is known by what pickling stores of it."""
    remake = kernel._remake
    if not isinstance(remake, functools.partial) or remake.func is not ac.compile:
        raise UnsupportedExpression(
            f"the kernel {kernel.name} does not tell its formula",
            do="pass the formula, or what ac.activation made of it",
        )
    return subject(*remake.args, **remake.keywords)
