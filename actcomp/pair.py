"""AlternatingKernel: an activation and its adversary, for layers 0, 2, 4 ... and 1, 3, 5 ... of a network."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import ArgumentError
from .kernel import Kernel
from .program.source import KernelSource
from .program.stored import whole
from .runtime import engine

if TYPE_CHECKING:
    from .program.program import Program
    from .program.stored import StoredProgram
    from .runtime.native import Native

HALVES = ("even", "odd")


class AlternatingKernel:
    """Two activations with the same inputs, chosen by the parity of the layer. What ``ac.compile_pair`` returns.

    ``pair(x, layer=3)``, ``pair.backward(x, dy, layer=3)``, ``pair.double_backward(x, dy, ddx, layer=3)`` and
    ``pair.forward_and_derivative(x, layer=3)`` are those of the Kernel ``pair.even`` for even layers and of
    ``pair.odd`` for odd ones, with the same arrays, parameters, ``out=`` and errors. Which one runs is decided once a
    call, not for each element: both are machine code of one image, compiled together.

    A parameter belongs to the half that has it: an adversary made at its default values has none, and its layers
    refuse it. ``layer`` is required, a whole number from 0 up; ArgumentError otherwise.
    """

    def __init__(
        self,
        even: KernelSource,
        odd: KernelSource,
        remake: Callable[[], AlternatingKernel] | None = None,
        backend: str = "nvptx",
    ) -> None:
        """``remake`` makes the pair again in another process: what pickling stores. Raises ArgumentError if the inputs
        differ, or the defaults of a parameter that both have."""
        _require_alike(even, odd)
        self._remake = remake
        self._images: dict[tuple[str, str, frozenset[str]], dict[str, Native]] = {}
        self.even, self.odd = (
            Kernel(
                source,
                remake and functools.partial(_half, remake, name),
                functools.partial(self._load, name),
                backend,
                functools.partial(self._both_halves, name),
            )
            for name, source in zip(HALVES, (even, odd), strict=True)
        )
        self._halves = (self.even, self.odd)
        self._calls: list[Callable[..., Any]] = [functools.partial(self._first, parity) for parity in (0, 1)]
        parameters = {p.name: p for p in (*odd.parameters, *even.parameters)}
        joint = KernelSource(even.name, even.inputs, tuple(parameters.values()), even.saves, self._join)
        self._joint = Kernel(joint, backend=backend)

    # What it is -------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The formula of the even layers, or the name it was given."""
        return self.even.name

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of calls."""
        return self.even.inputs

    @property
    def parameters(self) -> dict[str, float]:
        """Default values of the parameters of both halves by name."""
        return {**self.even.parameters, **self.odd.parameters}

    @property
    def saves(self) -> str:
        """What backward wants of the forward pass: "input"."""
        return self.even.saves

    def __reduce__(self) -> Any:
        if self._remake is None:
            raise TypeError(f"{self!r} was not made by actcomp.compile_pair, so that pickle cannot make it again")
        return self._remake, ()

    def __copy__(self) -> AlternatingKernel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> AlternatingKernel:
        return self

    def __repr__(self) -> str:
        return f"AlternatingKernel(even={self.even!r}, odd={self.odd!r})"

    def _repr_html_(self) -> str:
        cells = "".join(f"<td>{kernel._repr_html_()}</td>" for kernel in self._halves)
        return f"<table><tr><th>layers 0, 2, 4 ...</th><th>layers 1, 3, 5 ...</th></tr><tr>{cells}</tr></table>"

    # Calls ------------------------------------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, layer: Any = None, **options: Any) -> Any:
        """f(inputs) for even layers, the adversary's value for odd ones, elementwise; see Kernel."""
        run = self._calls[layer & 1] if type(layer) is int and layer >= 0 else self.of_layer(layer)
        return run(*inputs, **options) if options else run(*inputs)

    def backward(self, *arrays: Any, layer: Any = None, **options: Any) -> Any:
        """The gradients of the layer, as Kernel.backward gives them: ``pair.backward(x, dy, layer=3)``."""
        kernel = self._halves[layer & 1] if type(layer) is int and layer >= 0 else self.of_layer(layer)
        return kernel.backward(*arrays, **options)

    def double_backward(self, *arrays: Any, layer: Any = None, **parameters: Any) -> Any:
        """The gradients of the layer's backward, as Kernel.double_backward gives them."""
        return self.of_layer(layer).double_backward(*arrays, **parameters)

    def forward_and_derivative(self, *inputs: Any, layer: Any = None, **parameters: Any) -> tuple[Any, ...]:
        """(y, dy/dx1, ..., dy/dxk) of the layer at each element."""
        return self.of_layer(layer).forward_and_derivative(*inputs, **parameters)

    def both(self, *inputs: Any, **parameters: Any) -> tuple[Any, Any]:
        """(f(inputs), the adversary's value), with the bits of the two calls; what they share is computed once."""
        even, odd = self._joint.outputs("both", tuple(f"y.{name}" for name in HALVES), inputs, parameters)
        return even, odd

    def of_layer(self, layer: Any) -> Kernel:
        """The Kernel of the layer. Raises ArgumentError if that is no whole number from 0 up."""
        if layer is None:
            raise ArgumentError(
                f"{self.name}: the layer is missing",
                do="pass layer=0, 1, 2 ...: even ones run f, odd ones its adversary",
            )
        try:
            if isinstance(layer, bool) or "bool" in str(getattr(layer, "dtype", "")):
                raise TypeError("a truth value")
            index = operator.index(layer)
        except TypeError:
            raise ArgumentError(
                f"{self.name}: layer is {str(layer)[:40]!r} ({type(layer).__name__}), no whole number",
                do="pass the layer's place in the network: 0, 1, 2 ...",
            ) from None
        if index < 0:
            raise ArgumentError(
                f"{self.name}: layer is {index}", do="count layers from the input, the first one being 0"
            )
        return self._halves[index & 1]

    # For adapters and verification ------------------------------------------------------------------------------------

    def program(
        self, variant: str = "forward", dtype: str = "f32", per_channel: frozenset[str] = frozenset(), *, layer: Any
    ) -> Program:
        """The Program of the layer's Kernel; "both" (for any layer): that with the outputs ``y.even`` and ``y.odd``."""
        kernel = self.of_layer(layer)
        return (self._joint if variant == "both" else kernel).program(variant, dtype, per_channel)

    def native(
        self, variant: str = "forward", dtype: str = "f32", per_channel: frozenset[str] = frozenset(), *, layer: Any
    ) -> Native:
        """The machine code of a Program, made once; that of the other half is made with it."""
        return self.of_layer(layer).native(variant, dtype, per_channel)

    # Inside -----------------------------------------------------------------------------------------------------------

    def _first(self, parity: int, *inputs: Any, **options: Any) -> Any:
        """The first call of a half; those after it go to its machine code at once."""
        y = self._halves[parity](*inputs, **options)
        self._calls[parity] = self._halves[parity].__call__
        return y

    def _load(self, name: str, variant: str, dtype: str, per_channel: frozenset[str]) -> Native:
        """The code of one half; called with the lock of runtime/making.py held."""
        key = (variant, dtype, per_channel)
        if key not in self._images:
            halves = zip(HALVES, self._halves, strict=True)
            self._images[key] = engine.load_together({half: _program(kernel, *key) for half, kernel in halves})
        return self._images[key][name]

    def _both_halves(
        self, name: str, variant: str, dtype: str, per_channel: frozenset[str], rows: bool
    ) -> tuple[dict[str, Program | StoredProgram], str]:
        """What is compiled together for CUDA."""
        key = (variant, dtype, per_channel, rows)
        return {half: _program(kernel, *key) for half, kernel in zip(HALVES, self._halves, strict=True)}, name

    def _join(self, variant: str, dtype: str) -> Program:
        """The Program of both halves, of the variant "both"."""
        from .program.join import join

        programs = {
            name: whole(k.source.program("forward", dtype)) for name, k in zip(HALVES, self._halves, strict=True)
        }
        return join(programs, f"{programs['even'].name}_both")


def _program(
    kernel: Kernel, variant: str, dtype: str, per_channel: frozenset[str], rows: bool = False
) -> Program | StoredProgram:
    """As stored where nothing changes, so that what the disk cache holds is not parsed."""
    own = per_channel & set(kernel.parameters)
    return kernel.program(variant, dtype, own, rows) if own else kernel.source.program(variant, dtype)


def _half(remake: Callable[[], AlternatingKernel], name: str) -> Kernel:
    """One half of a pair made again."""
    return {"even": remake().even, "odd": remake().odd}[name]


def _require_alike(even: KernelSource, odd: KernelSource) -> None:
    if even.inputs != odd.inputs:
        raise ArgumentError(
            f"{even.name} has the inputs ({', '.join(even.inputs)}), {odd.name} ({', '.join(odd.inputs)})",
            do="pair activations whose inputs have the same names in the same order",
        )
    if "layer" in (*even.inputs, *(p.name for p in (*even.parameters, *odd.parameters))):
        raise ArgumentError(f"{even.name}: 'layer' has a meaning of its own in calls of a pair", do="rename it")
    known = {p.name: p for p in even.parameters}
    for p in odd.parameters:
        if known.get(p.name, p) != p:
            raise ArgumentError(
                f"the parameter {p.name!r} has the default {known[p.name].default:g} (axis {known[p.name].axis}) in "
                f"{even.name} and {p.default:g} (axis {p.axis}) in {odd.name}",
                do="give both the same default and axis, or two names",
            )
