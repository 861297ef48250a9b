"""Kernel: a compiled activation, called on arrays. What ``ac.compile`` returns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import ArgumentError
from .program.channels import per_channel as with_channels
from .program.source import KernelSource
from .program.stored import whole
from .runtime import engine
from .runtime.arrays import HOST, Array, is_weak, read_out
from .runtime.call import Call
from .runtime.gradients import together
from .runtime.launch import check_out, common_shape, read_all, require_broadcast
from .runtime.making import LOCK
from .runtime.parameters import operand_names, read_parameters, require_known, unused
from .runtime.recipe import MOST_RECIPES, key_of

if TYPE_CHECKING:
    from .cuda.call import CudaCall
    from .cuda.native import CudaNative
    from .cuda.recipe import CudaRecipe
    from .program.program import Program
    from .program.stored import StoredProgram
    from .runtime.front import Front
    from .runtime.native import Native
    from .runtime.recipe import Recipe

    Load = Callable[[str, str, frozenset[str]], Native]
    Companions = Callable[[str, str, frozenset[str], bool], tuple[Mapping[str, Program | StoredProgram], str]]

BACKENDS = ("nvptx", "numba")
NONE: frozenset[str] = frozenset()

_CALL = """f(inputs), elementwise. ``out=``: an array of the result's library, element type and shape to write to, in
any layout; it may be an input itself, but not overlap one otherwise. Every element is computed; there is no ``where=``
as ufuncs have it: ``numpy.where(mask, f(x), other)``. Other keywords are parameters."""


class Kernel:
    """An activation as machine code: forward, backward, double backward, made for each dtype at its first use.

    **Arrays.** NumPy arrays, torch tensors, JAX arrays and whatever else offers ``__dlpack__`` on the CPU or a CUDA
    device, or ``__cuda_array_interface__``, of float64, float32, float16 or bfloat16 (in NumPy: ml_dtypes), in any
    layout, are read where they lie. The result is of the same library (NumPy, where a library has no
    ``__array_namespace__``; on CUDA a :class:`CudaArray`) and element type, shaped as the inputs broadcast together,
    laid out in memory as they are. Python numbers and lists of numbers count as float64 NumPy arrays; beside an array a
    Python number takes its element type. 0-d in, 0-d array out. Several inputs must agree in library and element type.

    **Parameters** are keywords: a number, anything with one element, or, for a parameter declared per channel, an array
    of shape (channels,). They are rounded to float32 for float32, float16 and bfloat16 arrays.

    **CUDA.** Kernels are launched on the stream that the library uses (torch's, CuPy's current one; the one that
    ``__cuda_array_interface__`` names; else the default one), and nothing waits for them. Gradients of parameters
    are arrays on the device: of the parameter's form, 0-d float64 for a number.

    **torch.** Results carry no history: gradients are not tracked through a Kernel called directly, whatever
    ``requires_grad`` says. ``actcomp.torch`` has the differentiable form.

    Errors, all before anything is written: ArgumentError (inputs, parameters), DTypeError, ShapeError (broadcasting,
    ``out``), DeviceError (memory that the CPU does not reach, arrays of two libraries).
    """

    # What a call reaches is held by each kernel, in a slot: machine code for plain arrays, with no Python in between.
    __slots__ = {"__call__": _CALL, "__dict__": "", "__weakref__": ""}
    __call__: Callable[..., Any]

    def __init__(
        self,
        source: KernelSource,
        remake: Callable[[], Kernel] | None = None,
        load: Load | None = None,
        backend: str = "nvptx",
        companions: Companions | None = None,
    ) -> None:
        """``remake`` makes the Kernel again in another process: what pickling stores. ``load`` makes the machine code
        of (variant, dtype, per_channel), as native() does by itself. ``backend``: what makes the code for CUDA arrays,
        one of BACKENDS. ``companions``: the Programs that are compiled together for CUDA, and the name of its own."""
        if backend not in BACKENDS:
            raise ArgumentError(f"there is no backend {backend!r}", do=f"one of {', '.join(BACKENDS)}")
        for name in (*source.inputs, *(p.name for p in source.parameters)):
            if name in ("out", "self"):
                raise ArgumentError(f"{source.name}: {name!r} has a meaning of its own in calls", do="rename it")
        self.source = source
        self._remake = remake
        self._load = load or (lambda *key: engine.load(self.program(*key) if key[2] else source.program(*key[:2])))
        self.backend = backend
        self._companions = companions or self._alone
        self._natives: dict[tuple[str, str, frozenset[str]], Native] = {}
        self._on_cuda: dict[tuple[str, str, frozenset[str], bool], CudaNative] = {}
        self._fronts: dict[str, Front] = {}
        self._recipes: dict[Hashable, Recipe | CudaRecipe | None] = {}
        self.__call__ = self._first_forward
        self._backward: Callable[..., Any] = functools.partial(self._first_gradients, "backward")
        self._input_gradients: Callable[..., Any] = functools.partial(self._first_gradients, "input_gradients")

    # What it is -------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The formula, or the name it was given."""
        return self.source.name

    @property
    def saves(self) -> str:
        """What backward wants of the forward pass: "input"."""
        return self.source.saves

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of calls."""
        return self.source.inputs

    @property
    def parameters(self) -> dict[str, float]:
        """Default values of the parameters by name."""
        return {parameter.name: parameter.default for parameter in self.source.parameters}

    def __reduce__(self) -> Any:
        if self._remake is None:
            raise TypeError(f"{self!r} was not made by actcomp.compile, so that pickle cannot make it again")
        return self._remake, ()

    def __repr__(self) -> str:
        words = [repr(self.name), f"inputs=({', '.join(self.inputs)})"]
        if self.parameters:
            words.append(f"parameters=({', '.join(f'{name}={value:g}' for name, value in self.parameters.items())})")
        words.append(f"saves={self.saves!r}")
        if self._natives:
            words.append(f"compiled=({', '.join(self._compiled())})")
        return f"Kernel({', '.join(words)})"

    def _repr_html_(self) -> str:
        from .notebook import kernel_table

        return kernel_table(self, self._compiled())

    def _compiled(self) -> list[str]:
        return sorted({f"{variant} {dtype}" for variant, dtype, _ in self._natives})

    def __getattr__(self, name: str) -> Any:
        if name != "__signature__":  # inspect finds none in a slot
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        import inspect

        named = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in self.inputs]
        options = {"out": None, **self.parameters}
        keywords = [inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=v) for k, v in options.items()]
        return inspect.Signature([*named, *keywords])

    def __copy__(self) -> Kernel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Kernel:
        return self

    # Calls ------------------------------------------------------------------------------------------------------------

    def forward_and_derivative(self, *inputs: Any, **parameters: Any) -> tuple[Any, ...]:
        """(y, dy/dx1, ..., dy/dxk) at each element, all of the result's shape."""
        return self.outputs("derivative", ("y", *(f"d.{name}" for name in self.inputs)), inputs, parameters)

    def backward(self, *arrays: Any, **options: Any) -> Any:
        """The gradients, from the inputs and the gradient dy with respect to y: ``backward(x, dy)``,
        ``backward(a, b, dy)``.

        dy has the shape of the result or broadcasts to it. One input and no parameters: dx. Else a named tuple with
        a field for each input, then for each parameter. The gradient of an input has its shape: where the input was
        broadcast, the sum (float64, by a fixed tree, of the elements' gradients in the arrays' element type). That of
        a parameter is a sum in float64 by a fixed tree, the same bits for any layout and number of threads; it comes
        as the parameter was given: a float for a number, else an array of its library, element type and shape.
        ``out=``: where to write dx, for kernels of one input. Other keywords are parameters."""
        return self._backward(*arrays, **options)

    def input_gradients(self, *arrays: Any, **options: Any) -> Any:
        """As backward, without the gradients of parameters: dx, or a named tuple with a field for each input."""
        return self._input_gradients(*arrays, **options)

    def double_backward(self, *arrays: Any, **parameters: Any) -> Any:
        """The gradients of backward itself: ``double_backward(x, dy, ddx)``, with ddx the gradient with respect to dx.

        For several inputs: the inputs, dy, then the gradient with respect to each input's gradient. Returns a named
        tuple: a field for each input, ``dy``, then one for each parameter, as :meth:`backward` does."""
        return self._gradients("double_backward", arrays, parameters, None)

    def outputs(
        self, variant: str, names: Sequence[str], inputs: Sequence[Any], parameters: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """The named outputs of a variant that reads the inputs alone, each of the result's shape."""
        known = self._again(variant, inputs, parameters)
        if known is not None:
            return tuple(known[0])
        call = self._prepare(variant, inputs, parameters)
        results = {name: call.fresh() for name in names}
        call.run(results)
        self._remember(variant, inputs, call, results)
        return tuple(array.kind.result(array) for array in results.values())

    # For adapters and verification ------------------------------------------------------------------------------------

    def program(
        self, variant: str = "forward", dtype: str = "f32", per_channel: frozenset[str] = NONE, rows: bool = False
    ) -> Program:
        """The Program of "forward", "derivative", "backward" or "double_backward" in "f64", "f32", "f16" or "bf16".

        Parameters in ``per_channel`` are element inputs of it, and their gradients element outputs (sums for
        ``rows``)."""
        program = whole(self.source.program(variant, dtype))
        return with_channels(program, per_channel, rows) if per_channel else program

    def native(self, variant: str = "forward", dtype: str = "f32", per_channel: frozenset[str] = NONE) -> Native:
        """The machine code of a Program, made once."""
        key = (variant, dtype, per_channel)
        found = self._natives.get(key)
        if found is None:
            with LOCK:
                found = self._natives.get(key)
                if found is None:
                    found = self._natives[key] = self._load(*key)
        return found

    def cuda(
        self, variant: str = "forward", dtype: str = "f32", per_channel: frozenset[str] = NONE, rows: bool = False
    ) -> CudaNative:
        """The kernels of a Program for CUDA devices, of the kernel's ``backend``, made once; machine code comes with
        the first launch. ``rows``: parameters in ``per_channel`` have a value for each column, their gradients are sums
        (emit/entry.py)."""
        key = (variant, dtype, per_channel, rows)
        found = self._on_cuda.get(key)
        if found is None:
            with LOCK:
                found = self._on_cuda.get(key)
                if found is None:
                    from .cuda.native import CudaNative

                    found = self._on_cuda[key] = CudaNative(*self._companions(*key), self.backend)
        return found

    # Inside -----------------------------------------------------------------------------------------------------------

    def _alone(
        self, variant: str, dtype: str, per_channel: frozenset[str], rows: bool
    ) -> tuple[Mapping[str, Program | StoredProgram], str]:
        """The Program by itself; as stored where nothing changes, so that what the disk cache holds is not parsed."""
        own = self.program(variant, dtype, per_channel, rows) if per_channel else self.source.program(variant, dtype)
        return {f"{variant}_{dtype}": own}, f"{variant}_{dtype}"

    def _front_of(self, variant: str, general: Callable[..., Any]) -> Callable[..., Any]:
        """The short way of a variant, made at its first call."""
        from .runtime.front import Front

        with LOCK:
            if variant not in self._fronts:
                doc = _CALL if variant == "forward" else Kernel.backward.__doc__ or ""
                self._fronts[variant] = Front(self.name, general, doc)
        return self._fronts[variant].call

    def _first_forward(self, *inputs: Any, **options: Any) -> Any:
        self.__call__ = self._front_of("forward", self._general_forward)
        return self.__call__(*inputs, **options)

    def _first_gradients(self, variant: str, /, *arrays: Any, **options: Any) -> Any:
        call = self._front_of(variant, functools.partial(self._general_gradients, variant))
        setattr(self, f"_{variant}", call)
        return call(*arrays, **options)

    def _general_forward(self, *inputs: Any, out: Any = None, **parameters: Any) -> Any:
        if out is None:
            known = self._again("forward", inputs, parameters)
            if known is not None:
                return known[0][0]
        elif self._recipes and self._again("forward", inputs, parameters, out) is not None:
            return out
        call = self._prepare("forward", inputs, parameters, out)
        if out is None:
            y = call.fresh()
        else:
            y = read_out(out, "out")
            check_out(y, "out", call.shape, call.operands)
        call.run({"y": y})
        self._shorten("forward", call)
        if out is None or y.device != HOST:
            self._remember("forward", inputs if out is None else (*inputs, out), call, {"y": y})
        return y.kind.result(y) if out is None else out

    def _general_gradients(self, variant: str, /, *arrays: Any, out: Any = None, **parameters: Any) -> Any:
        return self._gradients(variant, arrays, parameters, out)

    def _shorten(self, variant: str, call: Call | CudaCall) -> None:
        """From now on plain arrays such as those of this call go the short way."""
        x = next(iter(call.inputs.values()))
        if isinstance(call, Call) and all(setting.channels is None for setting in call.settings.values()):
            defaults = [self.parameters[name[2:]] for name in call.native.uniforms]
            with LOCK:
                self._fronts[variant].add(x, call.native, defaults)

    def _again(
        self, variant: str, arrays: Sequence[Any], parameters: Mapping[str, Any], out: Any = None
    ) -> tuple[list[Any], Mapping[str, float]] | None:
        """Results and sums by the recipe of an earlier call on arrays alike; None if there is none. With ``out`` on
        a CUDA device, it is the result."""
        key = key_of(variant, arrays if out is None else (*arrays, out)) if self._recipes else None
        recipe = None if key is None else self._recipes.get(key)
        if recipe is None:
            return None
        uniforms: list[float] = []
        if parameters or recipe.native.uniforms:
            defaults = self.parameters
            if any(name not in defaults or not is_weak(value) for name, value in parameters.items()):
                return None
            values = {**defaults, **parameters}
            uniforms = [float(values[name[2:]]) for name in recipe.native.uniforms]
        if out is None:
            return recipe.run(arrays, uniforms)
        return ([out], {}) if recipe.run_into(arrays, out, uniforms) else None

    def _remember(
        self, variant: str, arrays: Sequence[Any], call: Call | CudaCall, outputs: Mapping[str, Array]
    ) -> None:
        """Keeps the recipe of a call in which nothing was broadcast and every parameter was one number."""
        key = key_of(variant, arrays)
        if key is None or any(array.shape != call.shape for array in call.operands.values()):
            return
        if all(setting.channels is None and setting.scalar is None for setting in call.settings.values()):
            if len(self._recipes) >= MOST_RECIPES:
                self._recipes.clear()
            self._recipes[key] = call.recipe(outputs)

    def _prepare(
        self, variant: str, arrays: Sequence[Any], parameters: Mapping[str, Any], out: Any = None
    ) -> Call | CudaCall:
        """Reads and checks everything that goes in; makes the code if it is not there yet."""
        names = operand_names(variant, self.inputs, self.parameters)
        if len(arrays) != len(names):
            wanted = f"{len(names)} array{'s' if len(names) > 1 else ''} ({', '.join(names.values())})"
            raise ArgumentError(
                f"{self.name}: {variant} takes {wanted}, got {len(arrays)}",
                do="pass the arrays by position, parameters by keyword",
            )
        self._require_known(parameters)
        read_in = read_all(dict(zip(names.values(), arrays, strict=True)))
        operands = {name: read_in[shown] for name, shown in names.items()}
        inputs = {name: operands[name] for name in self.inputs}
        shape = common_shape(inputs)
        for name, shown in names.items():
            if name not in inputs:
                require_broadcast(shown, operands[name], inputs[name[2:]].shape if name[:2] == "h." else shape)
        first = next(iter(inputs.values()))
        settings = read_parameters(self.source.parameters, parameters, shape, first)
        channels = {name: s.channels for name, s in settings.items() if s.channels is not None}
        if first.device != HOST:
            from .cuda.call import CudaCall, is_rows

            rows = is_rows((*operands.values(), *([] if out is None else [read_out(out, "out")])), settings, shape)
            code = self.cuda(variant, first.dtype, frozenset(channels), rows)
            return CudaCall(code, operands, inputs, shape, settings, rows)
        native = self.native(variant, first.dtype, frozenset(channels))
        every = operands | {f"p.{name}": array for name, array in channels.items()}
        return Call(native, every, inputs, shape, settings)

    def _require_known(self, parameters: Mapping[str, Any]) -> None:
        if "where" in parameters and "where" not in self.parameters:
            raise ArgumentError(
                f"{self.name} computes every element; where= of NumPy's ufuncs, which leaves some as they are, is "
                "not offered",
                do="numpy.where(mask, f(x), other), or out[mask] = f(x[mask])",
            )
        require_known(self.name, parameters, self.parameters)

    def _gradients(self, variant: str, arrays: Sequence[Any], parameters: Mapping[str, Any], out: Any) -> Any:
        """Runs a backward variant."""
        wanted = {f"d.{name}": name for name in self.inputs}
        if variant == "double_backward":
            wanted["d.g.y"] = unused("dy", (*self.inputs, *self.parameters))
        learned = () if variant == "input_gradients" else tuple(self.parameters)
        fields = (*wanted.values(), *learned)
        known = self._again(variant, arrays, parameters, out)
        if known is not None:
            return together(fields, [*known[0], *(known[1][f"d.p.{name}"] for name in learned)])
        call = self._prepare(variant, arrays, parameters, out)
        if out is None:
            results = {name: call.fresh() for name in wanted}
        elif len(wanted) == 1:
            target = read_out(out, "out")
            check_out(target, "out", call.shape, call.operands)
            results = dict.fromkeys(wanted, target)
        else:
            raise ArgumentError(f"{self.name} has {len(self.inputs)} gradients", do="leave out= away")
        gradients = call.gradients(results, learned)
        values = [out]
        if out is None:
            of = {name: call.operands["g.y" if name == "d.g.y" else name[2:]] for name in wanted}
            summed = [call.back_to_shape(results[name], operand) for name, operand in of.items()]
            values = [array.kind.result(array) for array in summed]
            self._remember(variant, arrays, call, results)
        elif target.device != HOST:
            self._remember(variant, (*arrays, out), call, results)
        values += gradients
        if variant in self._fronts:
            self._shorten(variant, call)
        return together(fields, values)
