"""ActivationFunction: an activation as a function of JAX arrays, under every transformation of JAX."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import actcomp as ac

from ..errors import ArgumentError, DTypeError
from ..runtime.launch import not_together
from ..runtime.parameters import channel_axis, require_known
from .operation import Operation, parameter_type
from .primitive import run
from .subject import Subject, subject
from .target import Label

_FLOATS = ("float64", "float32", "float16", "bfloat16")


def function(
    source: Any,
    *,
    inputs: Sequence[str] | None = None,
    parameters: Mapping[str, float | ac.Parameter] | None = None,
    name: str | None = None,
) -> ActivationFunction:
    """The activation as a differentiable function of JAX arrays.

    Arguments as for :func:`actcomp.compile`; a Kernel that compile made counts as what it was made of. Machine code is
    made when the function is traced. Raises ParseError, UnsupportedExpression.
    """
    if isinstance(source, ActivationFunction):
        return source
    return _function_of(subject(source, inputs, parameters, name))


class ActivationFunction:
    """An activation on JAX arrays: ``f(x)``, ``f(a, b)``; with parameters also ``f(params, x)``. What ``acj.function``
    returns.

    **Inputs** of float64, float32, float16 or bfloat16; several broadcast as in jax.numpy and agree in element type,
    where a Python number takes that of the others. The result has the same type and the common shape, and the bits of
    ``f.kernel``. On the CPU and on CUDA devices; other platforms have no kernel.

    **Parameters**: ``params`` maps names to numbers or arrays: scalars (or one element), or for a parameter declared
    per channel also an array of shape (channels,). Names left out, and all of them in ``f(x)``, take their defaults.
    Kernels read them as float32, for float64 inputs as float64.

    **Transformations**: jit, grad, jvp, vjp, vmap, checkpoint, shard_map, automatic sharding, export, in any nesting
    and order. Gradients and second gradients are one fused kernel each, from the inputs; derivatives beyond are those
    of the formula.

    Raises ArgumentError, DTypeError, ShapeError when it is called or traced.
    """

    def __init__(self, of: Subject) -> None:
        """Use :func:`function`."""
        self._subject = of
        self._traced = jax.jit(self._general, inline=True)

    @property
    def kernel(self) -> ac.Kernel:
        """The same activation on arrays outside of JAX."""
        return self._subject.kernel

    @property
    def activation(self) -> ac.Activation:
        """The mathematics."""
        return self._subject.activation

    def target(self, label: Label) -> str:
        """The name under which XLA finds the kernel of the label, which is made if it is not there yet."""
        return self._subject.target(label).name

    @property
    def name(self) -> str:
        """The formula, or the name it was given."""
        return self.kernel.name

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of calls."""
        return self.kernel.inputs

    @property
    def parameters(self) -> dict[str, float]:
        """Default values of the parameters by name: a first ``params``."""
        return self.kernel.parameters

    def __repr__(self) -> str:
        arguments = [*self.inputs, *(f"{name}={value:g}" for name, value in self.parameters.items())]
        return f"acj.function({self.name!r})({', '.join(arguments)})"

    def __copy__(self) -> ActivationFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ActivationFunction:
        return self

    def __reduce__(self) -> Any:
        return function, (self.kernel,)

    def __call__(self, *arguments: Any) -> jax.Array:
        """f at each element; see the class."""
        if all(isinstance(a, jax.Array) or (type(a) is dict and _are_arrays(a)) for a in arguments):
            return self._traced(*arguments)
        return self._general(*arguments)

    def _general(self, *arguments: Any) -> jax.Array:
        count = len(self.inputs)
        given: Mapping[str, Any] = {}
        if len(arguments) == count + 1 and self.parameters:
            given, *rest = arguments
            arguments = tuple(rest)
            self._require_mapping(given)
        if len(arguments) != count:
            first = "params and " if self.parameters else ""
            raise ArgumentError(
                f"{self.name} takes {first}{', '.join(self.inputs)}, got {len(arguments)} arrays",
                do=f"pass {count} array{'s' if count > 1 else ''} by position",
            )
        arrays = self._read_inputs(arguments)
        shape = self._common_shape(arrays)
        dtype = arrays[0].dtype
        values = [jnp.broadcast_to(array, shape) for array in arrays]
        channels = set()
        for info in self.kernel.source.parameters:
            value = _read_parameter(info, given.get(info.name, info.default), shape, parameter_type(dtype))
            values.append(value)
            if jnp.ndim(value):
                channels.add(info.name)
        operation = Operation(self._subject, "forward", ("y",), frozenset(channels))
        return run(operation, *_cut_alike(_varying_alike(values)))[0]

    def _require_mapping(self, given: Any) -> None:
        if not isinstance(given, Mapping):
            fix = f"pass a dictionary with values of {', '.join(self.parameters)}"
            raise ArgumentError(f"{self.name}: params is {type(given).__name__}", do=fix)
        require_known(self.name, given, self.parameters)

    def _read_inputs(self, arguments: Sequence[Any]) -> list[Any]:
        """The arrays, checked; plain numbers in the others' type."""
        named = dict(zip(self.inputs, arguments, strict=True))
        arrays = {name: value for name, value in named.items() if not _is_number(value)}
        for name, value in arrays.items():
            arrays[name] = _read_array(value, name)
        types = {np.dtype(array.dtype) for array in arrays.values()}
        if len(types) > 1:
            told = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
            raise DTypeError(f"the inputs differ in type: {told}", do="convert them to one type by .astype(...)")
        dtype = types.pop() if types else jnp.result_type(float)
        return [arrays[name] if name in arrays else _read_number(value, dtype, name) for name, value in named.items()]

    def _common_shape(self, arrays: Sequence[Any]) -> tuple[int, ...]:
        shapes = [array.shape for array in arrays]
        try:
            return jnp.broadcast_shapes(*shapes)
        except ValueError as fault:
            raise not_together(dict(zip(self.inputs, shapes, strict=True))) from fault


@functools.cache
def _function_of(of: Subject) -> ActivationFunction:
    """Made once, so that what JAX has traced is found again."""
    return ActivationFunction(of)


def _are_arrays(params: dict[Any, Any]) -> bool:
    return all(type(name) is str and isinstance(value, jax.Array) for name, value in params.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, (bool, np.generic))


def _read_number(value: float, dtype: Any, name: str) -> Any:
    try:
        return jnp.asarray(float(value), dtype)
    except OverflowError as fault:
        raise DTypeError(f"{name} is beyond float64", do="give a number below 1.8e308") from fault


def _read_array(value: Any, name: str) -> Any:
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as fault:
        raise DTypeError(f"{name} is {type(value).__name__}, no array: {fault}", do="pass a JAX array") from fault
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended):
        raise DTypeError(f"{name} has the type {array.dtype}", do="pass numbers; jax.random.key_data has those of keys")
    if str(array.dtype) not in _FLOATS:
        raise DTypeError(f"{name} has the type {array.dtype}", do=f"convert it: {name}.astype(jnp.float32)")
    return array


def _read_parameter(info: Any, value: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A scalar of the type, or for one value per channel an array of the shape."""
    is_number = _is_number(value)
    array = _read_number(value, dtype, info.name) if is_number else _read_array(value, info.name).astype(dtype)
    if array.size == 1 and (info.axis is None or array.ndim == 0):
        return array.reshape(())
    axis = channel_axis(info, array.shape, shape)
    return jnp.broadcast_to(array.reshape([-1 if place == axis else 1 for place in range(len(shape))]), shape)


def _varying_alike(values: Sequence[Any]) -> list[Any]:
    """Inside shard_map: the values, each said to vary along every axis of the mesh along which one of them does."""
    kinds = [_varying(jax.typeof(value)) for value in values]
    every = frozenset[Any]().union(*kinds)
    if all(kind == every for kind in kinds):
        return list(values)
    return [_vary(value, tuple(sorted(every - kind))) for value, kind in zip(values, kinds, strict=True)]


def _cut_alike(values: Sequence[Any]) -> list[Any]:
    """On a mesh with explicit axes: the arrays, each cut as what JAX makes of them together, so that gradients fit."""
    arrays = [value for value in values if jnp.ndim(value)]
    if len({jax.typeof(array).sharding for array in arrays}) < 2:
        return list(values)
    total = jax.eval_shape(lambda *some: functools.reduce(jnp.logical_or, [one != 0 for one in some]), *arrays)
    return [jax.sharding.reshard(value, total.sharding) if jnp.ndim(value) else value for value in values]


def _vary(value: Any, axes: tuple[Any, ...]) -> Any:
    if not axes:
        return value
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(value, axes, to="varying")
    return jax.lax.pvary(value, axes)  # jax before 0.8


def _varying(kind: Any) -> frozenset[Any]:
    if hasattr(kind, "vma"):  # jax before 0.10
        return frozenset(kind.vma)
    manual = getattr(kind, "manual_axis_type", None)
    return frozenset() if manual is None else frozenset(manual.varying)
