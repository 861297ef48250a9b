"""What is verified, behind one form: Programs by the interpreter, compiled Kernels, a user's own functions.

A Subject answers ``run(variant, dtype, inputs, dy, h)`` with arrays by the names of KernelSource's outputs: "y";
"d.<input>" and "d.p.<parameter>"; "d.g.y". ``inputs``, ``dy`` and each of ``h`` are NumPy arrays of the dtype.
Parameters are at their defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import ShapeError
from ..program.interpreter import interpret
from ..program.primitives import NUMPY_TYPE
from ..program.program import Program

if TYPE_CHECKING:
    from ..activation import Activation


class Subject(Protocol):
    """See the module's text. ``elementwise`` says that parameter gradients come one an element, not summed."""

    variants: frozenset[str]
    elementwise: bool

    def run(
        self, variant: str, dtype: str, inputs: Sequence[Any], dy: Any = None, h: Sequence[Any] | None = None
    ) -> dict[str, Any]: ...


class ProgramSubject:
    """Programs of an activation, run by the interpreter; ``make(variant, dtype)`` gives them."""

    variants = frozenset({"forward", "backward", "double_backward"})

    def __init__(self, activation: Activation, make: Callable[[str, str], Program], elementwise: bool = True) -> None:
        self.activation, self.make, self.elementwise = activation, make, elementwise
        self._programs: dict[tuple[str, str], Program] = {}

    def program(self, variant: str, dtype: str) -> Program:
        key = variant, dtype
        if key not in self._programs:
            self._programs[key] = self.make(variant, dtype)
        return self._programs[key]

    def run(
        self, variant: str, dtype: str, inputs: Sequence[Any], dy: Any = None, h: Sequence[Any] | None = None
    ) -> dict[str, Any]:
        program = self.program(variant, dtype)
        if self.elementwise:
            program = replace(
                program, outputs=tuple(replace(output, reduction="element") for output in program.outputs)
            )
        names = [str(symbol) for symbol in self.activation.inputs]
        given = dict(zip(names, inputs, strict=True))
        if dy is not None:
            given["g.y"] = dy
        given |= {f"h.{name}": one for name, one in zip(names, h or (), strict=False)}
        shape = np.broadcast_shapes(*(np.shape(one) for one in inputs))
        values = {}
        for entry in program.inputs:
            if entry.name.startswith("p."):
                default = next(p.default for p in self.activation.parameters if f"p.{p.name}" == entry.name)
                values[entry.name] = np.full(shape, default).astype(NUMPY_TYPE[entry.type])
            else:
                values[entry.name] = _as_type(given[entry.name], entry.type)
        results = interpret(program, values)
        as_inputs = np.asarray(inputs[0]).dtype
        return {name: _from_type(np.asarray(value), dtype, as_inputs) for name, value in results.items()}


def _as_type(array: Any, type: str) -> Any:
    array = np.asarray(array)
    return array.view(np.int16) if type == "i16" else array.astype(NUMPY_TYPE[type], copy=False)


def _from_type(value: Any, dtype: str, as_inputs: np.dtype[Any]) -> Any:
    if dtype == "bf16" and value.dtype == np.int16:
        return np.ascontiguousarray(value).view(as_inputs)
    return value


class KernelSubject:
    """A compiled Kernel."""

    variants = frozenset({"forward", "backward", "double_backward"})
    elementwise = False

    def __init__(self, activation: Activation, kernel: Any) -> None:
        self.names = [str(symbol) for symbol in activation.inputs]
        self.parameters = [p.name for p in activation.parameters]
        self.kernel = kernel

    def run(
        self, variant: str, dtype: str, inputs: Sequence[Any], dy: Any = None, h: Sequence[Any] | None = None
    ) -> dict[str, Any]:
        gradients = [f"d.{name}" for name in self.names]
        sums = [f"d.p.{name}" for name in self.parameters]
        if variant == "forward":
            return {"y": self.kernel(*inputs)}
        if variant == "backward":
            return _named(self.kernel.backward(*inputs, dy), [*gradients, *sums])
        return _named(self.kernel.double_backward(*inputs, dy, *(h or ())), [*gradients, "d.g.y", *sums])


class UserFunctionFailed(Exception):
    """A user's function raised, or gave something that is no result: a finding, which becomes a row of the report."""


class CallableSubject:
    """A user's functions: ``forward(*inputs)``, ``backward(*inputs, dy)`` giving the gradients of the inputs (then,
    if it likes, of the parameters), ``double_backward(*inputs, dy, *h)`` giving those of the inputs (then of dy).

    They get NumPy arrays, or torch tensors where they refuse NumPy's and torch is imported. Which of them overwrite
    their arguments is noted in ``overwritten``, what types they return in ``returned``."""

    elementwise = False

    def __init__(
        self,
        activation: Activation,
        forward: Callable[..., Any] | None,
        backward: Callable[..., Any] | None = None,
        double_backward: Callable[..., Any] | None = None,
    ) -> None:
        given = {"forward": forward, "backward": backward, "double_backward": double_backward}
        self.functions = {name: function for name, function in given.items() if function is not None}
        self.variants = frozenset(self.functions)
        self.names = [str(symbol) for symbol in activation.inputs]
        self.parameters = [p.name for p in activation.parameters]
        self.overwritten: set[str] = set()
        self.returned: dict[str, set[str]] = {}
        self._torch: dict[str, bool] = {}

    def run(
        self, variant: str, dtype: str, inputs: Sequence[Any], dy: Any = None, h: Sequence[Any] | None = None
    ) -> dict[str, Any]:
        arguments = [*inputs, *(() if dy is None else (dy,)), *(h or ())]
        try:
            result = self._call(variant, arguments)
        except Exception as error:
            raise UserFunctionFailed(f"{variant} raised {type(error).__name__}: {error}") from error
        gradients = [f"d.{name}" for name in self.names]
        sums = [f"d.p.{name}" for name in self.parameters]
        due = {"forward": ["y"], "backward": gradients, "double_backward": gradients}[variant]
        more = {"forward": [], "backward": sums, "double_backward": ["d.g.y", *sums]}[variant]
        try:
            named = {"y": result} if variant == "forward" else _named(result, [*due, *more])
        except ShapeError as error:
            raise UserFunctionFailed(f"{variant}: {error.what}") from error
        if len(named) < len(due):
            raise UserFunctionFailed(f"{variant} gave {len(named)} results where {len(due)} are due")
        shape = np.broadcast_shapes(*(np.shape(argument) for argument in inputs))
        for name, value in named.items():
            if name not in sums and np.shape(value) != shape:
                raise UserFunctionFailed(f"{variant}: {name} has shape {np.shape(value)} where {shape} is due")
        types = {_type_name(value) for name, value in named.items() if name not in sums}
        self.returned.setdefault(variant, set()).update(types)
        return {name: _to_numpy(value) for name, value in named.items()}

    def _call(self, variant: str, arguments: list[Any]) -> Any:
        torch = sys.modules.get("torch")
        if self._torch.get(variant) and torch is not None:
            return self._watched(variant, [_to_torch(torch, argument) for argument in arguments])
        try:
            with np.errstate(all="ignore"):
                return self._watched(variant, arguments)
        except (TypeError, AttributeError):
            if torch is None or variant in self._torch:
                raise
            result = self._watched(variant, [_to_torch(torch, argument) for argument in arguments])
            self._torch[variant] = True
            return result
        finally:
            self._torch.setdefault(variant, False)

    def _watched(self, variant: str, arguments: list[Any]) -> Any:
        """The function's result; arguments that it has overwritten are put right again."""
        before = [argument.clone() if hasattr(argument, "clone") else np.array(argument) for argument in arguments]
        result = self.functions[variant](*arguments)
        for argument, old in zip(arguments, before, strict=True):
            if not bool(((argument == old) | (argument != argument)).all()):
                self.overwritten.add(variant)
                argument[...] = old
        return result


def _type_name(value: Any) -> str:
    return str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")


def _named(result: Any, names: Sequence[str]) -> dict[str, Any]:
    """Results by name; a single one may come bare, and the last ones may be missing."""
    entries = result if isinstance(result, (tuple, list)) else (result,)
    if len(entries) > len(names):
        raise ShapeError(
            f"got {len(entries)} results where at most {len(names)} are due", do=f"return {', '.join(names)}, in order"
        )
    return dict(zip(names, entries, strict=False))


def _to_torch(torch: Any, array: Any) -> Any:
    array = np.array(array)  # torch takes no read-only and no negatively strided memory
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _to_numpy(value: Any) -> Any:
    if hasattr(value, "detach"):
        value = value.detach()
        if str(value.dtype) == "torch.bfloat16":
            return value.float().numpy()
        return value.numpy()
    return np.asarray(value)
