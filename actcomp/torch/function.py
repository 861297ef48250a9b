"""ActivationFunction: an activation as a function of torch tensors that every part of torch sees through."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

import actcomp as ac

from ..errors import ArgumentError
from ..runtime.tensorcall import TensorEntry
from . import arguments, autograd, description
from .arguments import DTYPES, Bound, Call
from .autograd import FORWARD_AD, PLAIN, is_dynamo, is_traced, mode_count, needs_operator, transforms

if TYPE_CHECKING:
    from torch import Tensor


def function(
    source: Any,
    *,
    inputs: Sequence[str] | None = None,
    parameters: Mapping[str, float | ac.Parameter] | None = None,
    name: str | None = None,
) -> ActivationFunction:
    """The activation as a differentiable function of torch tensors; arguments as for :func:`actcomp.activation`.

    Raises ParseError, UnsupportedExpression."""
    made = _activation(source, inputs, parameters, name)
    return of_description(description.describe(made))


def _activation(source: Any, inputs: Any, parameters: Any, name: str | None) -> ac.Activation:
    if isinstance(source, ActivationFunction):
        source = source.activation
    if isinstance(source, ac.Kernel):
        fix = "pass the formula, or what ac.activation made of it"
        raise ArgumentError(f"{source.name} is compiled already", do=fix)
    return ac.activation(source, inputs=inputs, parameters=parameters, name=name)


_functions: dict[str, ActivationFunction] = {}
_lock = threading.RLock()


def of_description(key: str) -> ActivationFunction:
    """The function of a description, made once in a process."""
    found = _functions.get(key)
    if found is None:
        with _lock:
            found = _functions.get(key)
            if found is None:
                found = _functions[key] = ActivationFunction(description.activation_of(key), key)
    return found


class ActivationFunction:
    """An activation on torch tensors: ``f(x)``, ``f(a, b)``, ``f(x, beta=beta)``. What ``act.function`` returns.

    **Tensors** of float64, float32, float16 or bfloat16 on the CPU or CUDA, in any layout, read where they lie; inputs
    are never written. Several inputs broadcast and agree in dtype; under autocast they are promoted to the widest. The
    result has the inputs' dtype and layout. Beside a tensor a Python number counts as a tensor of its dtype.

    **Parameters** are keywords: a number, or a tensor of one element (shape (channels,) if declared per channel), of
    any of these dtypes, which then has a gradient.

    **Derivatives** of every order, backward and forward mode. The first and second by one fused kernel each, from the
    inputs, which is all that is saved; beyond that by the derivatives' own kernels.

    Raises ArgumentError, DTypeError, ShapeError, DeviceError before anything is computed.
    """

    def __init__(self, activation: ac.Activation, key: str) -> None:
        """Use :func:`function`, which makes each function once."""
        self.activation, self.key = activation, key
        self.kernel = ac.compile(activation)
        self.plain = Bound(self, (), {})
        self._bounds: dict[tuple[str, ...], Bound] = {(): self.plain}
        single = self.plain.count == 1
        self._gradient = TensorEntry(activation.name, self._first_gradient)
        self._single = autograd.single(self.plain, self._gradient.call)
        record = self._single if single else None
        self._entry = TensorEntry(activation.name, self._general, tracked=True, record=record)
        self._fast = self._entry.call
        self._known: set[torch.dtype] = set()

    def bound(self, names: tuple[str, ...]) -> Bound:
        """With the named parameters given as tensors, the others at their defaults."""
        found = self._bounds.get(names)
        if found is None:
            found = self._bounds[names] = Bound(self, names, {})
        return found

    @property
    def name(self) -> str:
        """The formula, or the name it was given."""
        return self.activation.name

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of calls."""
        return self.kernel.inputs

    @property
    def parameters(self) -> dict[str, float]:
        """Default values of the parameters by name."""
        return self.kernel.parameters

    def __repr__(self) -> str:
        words = [repr(self.name), *(f"{name}={value:g}" for name, value in self.parameters.items())]
        return f"act.function({', '.join(words)})"

    def __reduce__(self) -> Any:
        return function, (self.activation,)

    def __copy__(self) -> ActivationFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ActivationFunction:
        return self

    def __call__(self, *inputs: Any, **parameters: Any) -> Tensor:
        """f(inputs), elementwise; keywords are parameters."""
        if is_dynamo():
            tensors, settings = arguments.for_operator(self, inputs, parameters)
            return torch.ops.actcomp.forward(tensors, settings, self.key)
        if mode_count() or is_traced() or transforms() or FORWARD_AD._current_level >= 0:
            return self._general(*inputs, **parameters)
        return self._fast(*inputs, **parameters)

    def slope(self, *by: str) -> ActivationFunction:
        """The partial derivative by the named inputs or parameters in turn, a function of the same arguments."""
        return _slope(self.key, by)

    def promoted(self) -> ActivationFunction:
        """The same function with its parameters as inputs behind the others."""
        return _promoted(self.key)

    def _general(self, *inputs: Any, **parameters: Any) -> Tensor:
        """The way of all calls that are not plain."""
        if parameters or len(inputs) != 1 or self.plain.count != 1 or type(inputs[0]) not in PLAIN:
            call = arguments.read(self, inputs, parameters)
        else:
            call = Call(self.plain, inputs)
        if any(isinstance(t, torch.fx.Proxy) for t in call.tensors):
            return torch.ops.actcomp.forward(*call.for_operator(), self.key)
        if needs_operator(call.tensors):
            arguments.require(call)
            return torch.ops.actcomp.forward(*call.for_operator(), self.key)
        return self._run(call)

    def _run(self, call: Call) -> Tensor:
        """The call on tensors with memory."""
        bound, tensors = call
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            return autograd.apply_reverse(bound, *tensors)
        y = bound.forward(tensors)
        if bound is self.plain and y.is_cpu:
            self._shorten(y.dtype)
        return y

    def _first_gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        """The first gradients of a dtype, and those of tensors that are not plain."""
        if needs_operator((x, dy)):
            return autograd.gradients(Call(self.plain, (x,)), dy)[0]
        if x.is_cpu:
            self._shorten(x.dtype)
        return self.kernel.input_gradients(x, dy)

    def _shorten(self, dtype: torch.dtype) -> None:
        """From now on plain tensors of the dtype go the short way, with the parameters' defaults."""
        if dtype in self._known:
            return
        with _lock:
            self._known.add(dtype)
            for entry, variant in ((self._entry, "forward"), (self._gradient, "input_gradients")):
                native = self.kernel.native(variant, DTYPES[dtype])
                entry.add(DTYPES[dtype], native, native.pack([self.parameters[name[2:]] for name in native.uniforms]))


@functools.lru_cache(maxsize=4096)
def _slope(key: str, by: tuple[str, ...]) -> ActivationFunction:
    return of_description(description.derivative_of(key, *by))


@functools.lru_cache(maxsize=1024)
def _promoted(key: str) -> ActivationFunction:
    return of_description(description.promoted_of(key))
