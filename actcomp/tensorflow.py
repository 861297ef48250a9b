"""Activations for TensorFlow: differentiable to any order, in eager mode and in tf.function; a Keras layer.

    import actcomp.tensorflow as act_tf

    mish = act_tf.function("mish")                                       # y = mish(x), recorded by tf.GradientTape
    layer = act_tf.Layer("x*sigmoid(beta*x)", parameters={"beta": 1.0})  # beta is learned

Eager tensors are read where they lie, and results are handed over without a copy. In graphs the kernels are run by
tf.numpy_function, in this process and under Python's lock: what tf.saved_model exports of them is refused in any other
process when it is run, and XLA (``jit_compile=True``) refuses them.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

try:
    import tensorflow as tf
except ImportError as fault:
    what = 'actcomp.tensorflow needs TensorFlow: pip install "actcomp[tensorflow]"'
    raise ImportError(what, name="tensorflow") from fault
try:  # private, and worth 60 us a call where no gradient is wanted
    from tensorflow.python.eager.record import could_possibly_record as _is_recording
except ImportError:

    def _is_recording() -> bool:
        return True


import actcomp as ac

from . import saved
from .errors import ArgumentError, DeviceError, DTypeError, ShapeError
from .runtime import arena
from .runtime.arrays import is_weak
from .runtime.launch import not_together
from .runtime.parameters import learned_names, require_known

__all__ = ["ActivationFunction", "Layer", "function"]

_DTYPES = (tf.float64, tf.float32, tf.float16, tf.bfloat16)
_OPERATION = "actcomp_runs_outside_XLA_use_jit_compile_False"  # what XLA's refusal shows
_PROCESS = np.int64(secrets.randbits(62))  # which process made a graph
_DENSE = {
    tf.RaggedTensor: "x.to_tensor()",
    tf.SparseTensor: "tf.sparse.to_dense(x)",
    tf.IndexedSlices: "tf.convert_to_tensor(x)",
}
_ZERO = tf.UnconnectedGradients.ZERO
_Arrays = Sequence[Any]


class ActivationFunction:
    """An activation on tensors: ``f(x)``, ``f(a, b)``, ``f(x, beta=beta)``. Made by ``act_tf.function``, with arguments
    as for :func:`actcomp.compile`; raises ParseError, UnsupportedExpression.

    **Inputs**: dense tensors, variables, or what tf.convert_to_tensor takes, of float64, float32, float16 or bfloat16,
    on the CPU. Several broadcast and agree in dtype; beside a tensor a Python number takes its dtype. The result has
    the inputs' dtype.

    **Parameters** are keywords: a number, or a tensor or variable of one element (shape (channels,) if declared per
    channel), of any of these dtypes, which then has a gradient.

    **Derivatives** of every order. The first and the second by one fused kernel each, from the inputs, which is all
    that is kept; from the third on they are composed of the derivatives' own kernels.

    Calls raise ArgumentError, DTypeError, ShapeError, DeviceError; in a graph, what is only known when it runs is
    raised as tf.errors.InvalidArgumentError with the same text.
    """

    def __init__(
        self,
        source: Any,
        *,
        inputs: Sequence[str] | None = None,
        parameters: Mapping[str, float | ac.Parameter] | None = None,
        name: str | None = None,
    ) -> None:
        self._source = source
        self._options: dict[str, Any] = {"inputs": inputs, "parameters": parameters, "name": name}
        self.kernel = ac.compile(source, **self._options)
        self.name = self.__name__ = self.kernel.name  # Keras asks functions for __name__
        self.inputs, self.parameters = self.kernel.inputs, self.kernel.parameters
        self._slopes: dict[tuple[str, ...], ActivationFunction] = {}
        self._bound: dict[tuple[str, ...], _Bound] = {}  # by the parameters that are tensors, without numbers

    @functools.cached_property
    def activation(self) -> ac.Activation:
        """The formula; derivatives from the third on come from it."""
        return ac.activation(self._source, **self._options)

    def slope(self, *by: str) -> ActivationFunction:
        """The partial derivative by the named inputs or parameters in turn, a function of the same arguments."""
        if by not in self._slopes:
            self._slopes[by] = ActivationFunction(self.activation.derivative(*by))
        return self._slopes[by]

    def __repr__(self) -> str:
        words = [repr(self.name), *(f"{name}={value:g}" for name, value in self.parameters.items())]
        return f"act_tf.function({', '.join(words)})"

    def __reduce__(self) -> Any:
        return functools.partial(ActivationFunction, self._source, **self._options), ()

    @tf.autograph.experimental.do_not_convert
    def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """f(inputs), elementwise; keywords are parameters."""
        try:
            bound, tensors = self._read(inputs, parameters)
            return bound.call("forward", *tensors)[0]
        except ac.ActcompError as fault:
            fault.ag_pass_through = True  # type: ignore[attr-defined]  # tf.function keeps its type then
            raise

    def _read(self, inputs: _Arrays, parameters: Mapping[str, Any]) -> tuple[_Bound, list[Any]]:
        """The function with its numbers bound, and the tensors: inputs, then parameters."""
        if len(inputs) != len(self.inputs):
            wanted = f"input{'s' * (len(self.inputs) > 1)} ({', '.join(self.inputs)})"
            what = f"{self.name} takes {len(self.inputs)} {wanted}, got {len(inputs)}"
            raise ArgumentError(what, do="pass tensors by position, parameters by keyword")
        like = next((value.dtype for value in inputs if isinstance(value, (tf.Tensor, tf.Variable))), None)
        tensors = [_tensor(value, name, like) for name, value in zip(self.inputs, inputs, strict=True)]
        for name, tensor in zip(self.inputs, tensors, strict=True):
            if tensor.dtype != tensors[0].dtype:
                what = f"{self.inputs[0]} is {tensors[0].dtype.name}, {name} is {tensor.dtype.name}"
                raise DTypeError(what, do=f"tf.cast({name}, tf.{tensors[0].dtype.name})")
        require_known(self.name, parameters, self.parameters)
        numbers, learned = {}, {}
        for name, value in parameters.items():
            if is_weak(value):
                numbers[name] = value
            else:
                learned[name] = _tensor(value, name, None)
        names, given = tuple(learned), [*tensors, *learned.values()]
        if numbers:
            return _Bound(self, names, numbers), given
        return self._bound.get(names) or self._bound.setdefault(names, _Bound(self, names, {})), given

    def get_config(self) -> dict[str, Any]:
        """What Keras writes of a function that is some layer's ``activation``. Raises ArgumentError: see Layer."""
        return saved.told(self._source, self._options)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ActivationFunction:
        source, options = saved.read(config)
        return cls(source, **options)


function = ActivationFunction


class _Bound:
    """A function whose parameters are bound: ``names`` are tensors behind the inputs, ``numbers`` are constants, the
    others have their defaults.

    A variant's operands are the tensors, then dy, then (double_backward) the gradient with respect to each dx."""

    def __init__(self, function: ActivationFunction, names: tuple[str, ...], numbers: Mapping[str, float]) -> None:
        self.function, self.kernel, self.names, self.numbers = function, function.kernel, names, numbers
        self.count, self.variables = len(function.inputs), (*function.inputs, *names)
        variants = {"forward": self._forward, "backward": self._backward, "double_backward": self._double_backward}
        self.recorded = {variant: tf.custom_gradient(f) for variant, f in variants.items()}

    def call(self, variant: str, *tensors: Any) -> Any:
        """A kernel's results, recorded where they may be differentiated."""
        if tf.executing_eagerly() and not _is_recording():
            return self.run(variant, tensors, [])
        return self.recorded[variant](*tensors)

    def _forward(self, *tensors: Any) -> Any:
        def gradient(dy: Any) -> Any:
            return self.call("backward", *_here(*tensors, tf.convert_to_tensor(dy)))

        return self.run("forward", tensors, [(tensors[0].dtype, self._shape(tensors))]), gradient

    def _backward(self, *given: Any) -> Any:
        def gradient(*dds: Any) -> Any:
            return self._second(*_here(*given, *map(tf.convert_to_tensor, dds)))

        return self.run("backward", given, [(t.dtype, t.shape) for t in given[:-1]]), gradient

    def _second(self, *given: Any) -> list[Any]:
        """The gradients of backward. What comes by the gradients of inputs is one kernel; what comes by those of
        parameters (nothing, where the loss has no use for them) is composed."""
        own, dds = given[: len(self.variables) + 1], given[len(self.variables) + 1 :]
        found = list(self.call("double_backward", *own, *dds[: self.count]))
        if all(map(_is_zero, dds[self.count :])):
            return found
        rest = self._composed(own, dds, range(self.count, len(self.variables)))
        return [a + b for a, b in zip(found, rest, strict=True)]

    def _double_backward(self, *given: Any) -> Any:
        end = len(self.variables) + 1

        def gradient(*upstream: Any) -> Any:
            own = _here(*given)
            with tf.GradientTape() as tape:
                tape.watch(own)
                again = self._composed(own[:end], own[end:], range(self.count))
            return tape.gradient(again, own, upstream, unconnected_gradients=_ZERO)

        return self.run("double_backward", given, [(t.dtype, t.shape) for t in given[:end]]), gradient

    def _composed(self, own: _Arrays, dds: _Arrays, places: Iterable[int]) -> list[Any]:
        """The gradients of backward (of ``own``, tensors and dy) from those with respect to its results at the places:
        by the kernels of the partial derivatives, whose own gradients TensorFlow finds."""
        settings = dict(zip(self.names, own[self.count : -1], strict=True))
        with tf.GradientTape() as tape:
            tape.watch(own)
            results = []
            for place in places:
                slope = self.function.slope(self.variables[place])
                values = own[-1] * slope(*own[: self.count], **settings, **self.numbers)
                results.append(self._gathered(self.variables[place], values, own[place]))
        return tape.gradient(results, own, [dds[place] for place in places], unconnected_gradients=_ZERO)

    def run(self, variant: str, tensors: _Arrays, results: Sequence[tuple[Any, Any]]) -> list[Any]:
        """A kernel's results, whose dtypes and static shapes are told: at once, or as an operation of the graph."""
        if tf.executing_eagerly():
            return [_handed_over(array) for array in self.compute(variant, *map(_view, tensors))]
        compute = functools.partial(self._compute_here, variant)
        dtypes = [dtype for dtype, _ in results]
        made = tf.numpy_function(compute, [_PROCESS, *tensors], dtypes, stateful=False, name=_OPERATION)
        for tensor, (_, shape) in zip(made, results, strict=True):
            tensor.set_shape(shape)
        return list(made)

    def _compute_here(self, variant: str, process: Any, *arrays: Any) -> list[Any]:
        """As compute. TensorFlow finds functions by a number of the process: in a graph of another one, wrong ones."""
        if process != _PROCESS:
            what = "this graph was saved by another process, whose functions are not here"
            raise ArgumentError(what, do="make the function again, or save the Keras model in a .keras file")
        return self.compute(variant, *arrays)

    def compute(self, variant: str, *arrays: Any) -> list[Any]:
        """A kernel's results on NumPy arrays."""
        inputs, rest = arrays[: self.count], arrays[len(self.variables) :]
        settings = {**dict(zip(self.names, arrays[self.count :], strict=False)), **self.numbers}
        out = {}
        if variant == "forward" or (variant == "backward" and self.count == 1):
            shape = self._shape(inputs) if self.count > 1 else inputs[0].shape
            out = {"out": _memory(tuple(shape), inputs[0].dtype)}
        kernel = self.kernel if variant == "forward" else getattr(self.kernel, variant)
        found = kernel(*inputs, *rest, **out, **settings)
        if not isinstance(found, tuple):
            return [found]
        last = [found[self.count]] if variant == "double_backward" else []
        own = dict(zip(self.function.parameters, found[self.count + len(last) :], strict=True))
        return [*found[: self.count], *(own[name] for name in self.names), *last]

    def _shape(self, tensors: _Arrays) -> Any:
        """The inputs' common shape, as far as it is known. Raises ShapeError."""
        shapes = [tf.TensorShape(t.shape) for t in tensors[: self.count]]
        try:
            return functools.reduce(tf.broadcast_static_shape, shapes)
        except ValueError:
            raise not_together(dict(zip(self.function.inputs, shapes, strict=True))) from None

    def _gathered(self, name: str, values: Any, like: Any) -> Any:
        """Elements' gradients summed to the shape and dtype of the variable, in float32 at least."""
        values = tf.cast(values, tf.float64 if tf.float64 in (values.dtype, like.dtype) else tf.float32)
        shape = tf.shape(like)
        if name in self.names:
            along = next(p.axis for p in self.kernel.source.parameters if p.name == name)
            axes = tf.range(0 if along is None else tf.rank(values) * tf.minimum(tf.rank(like), 1))
            shape = tf.where(axes == (along or 0) % tf.rank(values), tf.size(like), 1)
        _, summed = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(values), s1=shape)
        return tf.cast(tf.reshape(tf.reduce_sum(values, summed), tf.shape(like)), like.dtype)


# From tensors to arrays and back --------------------------------------------------------------------------------------


def _here(*tensors: Any) -> list[Any]:
    """The tensors as ones of the graph that is made: gradients of gradients cannot reach into a graph of earlier."""
    return list(tensors) if tf.executing_eagerly() else [tf.identity(tensor) for tensor in tensors]


def _view(tensor: Any) -> Any:
    """The tensor's own memory, read-only."""
    if "CPU" not in tensor.device:
        fix = "with tf.device('CPU'): x = tf.identity(x)"
        raise DeviceError(f"a tensor lives on {tensor.device}; there are kernels for the CPU alone as yet", do=fix)
    return np.asarray(tensor if tensor.ndim else tensor.numpy())  # NumPy refuses a bfloat16 tensor without axes


def _memory(shape: tuple[int, ...], dtype: Any) -> Any:
    """Memory that TensorFlow takes over as it is: aligned to 64 bytes, which its own kernels may count on."""
    return arena.take(prod(shape) * dtype.itemsize).view(dtype).reshape(shape)


def _handed_over(array: Any) -> Any:
    """The array as a tensor over the same memory, where its alignment allows that."""
    if array.__array_interface__["data"][0] % arena.ALIGNMENT:
        aligned = _memory(array.shape, array.dtype)
        aligned[...] = array
        array = aligned
    if array.dtype.kind == "f":
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    bits = tf.experimental.dlpack.from_dlpack(array.view(np.uint16).__dlpack__())  # NumPy exports no bfloat16
    return tf.bitcast(bits, tf.bfloat16)


def _tensor(value: Any, name: str, like: Any) -> Any:
    """A dense tensor of a float type. Raises DTypeError."""
    if isinstance(value, tuple(_DENSE)):
        what = f"{name} is a {type(value).__name__}; a dense tensor is needed"
        raise DTypeError(what, do=f"{_DENSE[type(value)]}, or pass the values of {name}")
    try:
        tensor = tf.convert_to_tensor(value, dtype=like if is_weak(value) else None)
    except (TypeError, ValueError) as fault:
        is_symbolic = isinstance(value, tf.keras.KerasTensor)
        fix = f"act_tf.Layer(...)({name})" if is_symbolic else f"tf.convert_to_tensor({name}, tf.float32)"
        raise DTypeError(f"{name} is a {type(value).__name__}, of which no tensor is made", do=fix) from fault
    if tensor.dtype not in _DTYPES:
        fix = f"tf.cast({name}, tf.float32)" if tensor.dtype != tf.string else f"tf.strings.to_number({name})"
        what = f"{name} holds {tensor.dtype.name}; an activation takes float64, float32, float16 or bfloat16"
        raise DTypeError(what, do=fix)
    return tensor


def _is_zero(tensor: Any) -> bool:
    """Whether it is known to be 0, as what TensorFlow puts in the place of gradients that nothing has."""
    value = tf.get_static_value(tensor)
    return value is not None and not np.any(value)


# Keras ----------------------------------------------------------------------------------------------------------------


@tf.keras.utils.register_keras_serializable("actcomp")
class Layer(tf.keras.layers.Layer):
    """An activation as a Keras layer with learnable parameters. Several inputs are called as a list: ``layer([a, b])``.

    ``source``, ``parameters``, ``inputs`` as for :func:`function`, or what it made. Each parameter becomes a weight of
    its name: of shape () for one number, (channels,) where it is declared with an axis (``actcomp.Parameter(1.0,
    axis=-1)``). ``learnable``: True for all, False for none, or the names of those that are learned. Other keywords are
    Keras's. Weights keep their dtype (float32) under a mixed precision policy. Saved and loaded in a .keras file by
    its formula; loading needs ``import actcomp.tensorflow``. Models with it are compiled without XLA.

    Raises ParseError, UnsupportedExpression, ArgumentError.
    """

    def __init__(
        self,
        source: Any,
        parameters: Mapping[str, float | ac.Parameter] | None = None,
        *,
        inputs: Sequence[str] | None = None,
        learnable: bool | Iterable[str] = True,
        **options: Any,
    ) -> None:
        if (backend := tf.keras.backend.backend()) != "tensorflow":
            raise ArgumentError(f"Keras runs on {backend} here", do='set KERAS_BACKEND="tensorflow" before its import')
        super().__init__(**options)
        self.supports_jit = False
        made = source if isinstance(source, ActivationFunction) else None
        self.function = made or function(source, inputs=inputs, parameters=parameters)
        self.learnable = learned_names(learnable, list(self.function.parameters))

    def build(self, input_shape: Any) -> None:
        """Makes the weights, whose shapes may depend on that of the inputs."""
        shape = self.compute_output_shape(input_shape)
        self._settings = {}
        for p in self.function.kernel.source.parameters:
            if p.axis is not None and not -len(shape) <= p.axis < len(shape):
                what = f"parameter {p.name} goes along axis {p.axis}; the result has shape {shape}"
                raise ShapeError(what, do="pass tensors with that axis, or declare another")
            channels = () if p.axis is None else (shape[p.axis],)
            if None in channels:
                what = f"parameter {p.name} goes along axis {p.axis}, whose length is not known"
                raise ShapeError(what, do="state that length in the model's input shape")
            start = tf.keras.initializers.Constant(p.default)
            options = {"trainable": p.name in self.learnable, "autocast": False}
            self._settings[p.name] = self.add_weight(name=p.name, shape=channels, initializer=start, **options)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """f(inputs), elementwise."""
        settings = {name: tf.convert_to_tensor(weight) for name, weight in self._settings.items()}
        return self.function(*(inputs if isinstance(inputs, (list, tuple)) else [inputs]), **settings)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape that the inputs broadcast to."""
        if len(self.function.inputs) == 1:
            return tuple(input_shape)
        return tuple(functools.reduce(tf.broadcast_static_shape, map(tf.TensorShape, input_shape)))

    def get_config(self) -> dict[str, Any]:
        """What a saved model holds of the layer. Raises ArgumentError if no text says the activation in full."""
        return {**super().get_config(), "activation": self.function.get_config(), "learnable": self.learnable}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Layer:
        options = dict(config)
        return cls(function.from_config(options.pop("activation")), **options)


tf.keras.utils.register_keras_serializable("actcomp")(ActivationFunction)
