"""actcomp: an activation written as mathematics becomes fused, verified kernels: forward, backward, double backward.

    import actcomp as ac

    mish = ac.compile("x * tanh(log(1 + exp(x)))")
    y = mish(x)
    dx = mish.backward(x, dy)

Nothing but this file is imported by ``import actcomp``; each name is fetched where it is first used.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> module that has it
_PUBLIC = {
    "compile": "api",
    "image": "api",
    "moments": "api",
    "adversary": "api",
    "register_rule": "api",
    "pair_chi": "api",
    "Moment": "calculus.moments",
    "Moments": "calculus.moments",
    "Adversary": "calculus.adversary",
    "DerivativeImage": "calculus.derivative_image",
    "show": "api",
    "verify": "api",
    "decompose": "api",
    "Decomposition": "calculus.decompose",
    "activation": "activation",
    "Activation": "activation",
    "Parameter": "activation",
    "gallery_module": "gallery",
    "export": "exporting",
    "Kernel": "kernel",
    "compile_pair": "api",
    "AlternatingKernel": "pair",
    "CudaArray": "cuda.memory",
    "CATALOG": "catalog",
    "FUNCTIONS": "language",
    "ALIASES": "language",
    "set_num_threads": "api",
    "get_num_threads": "api",
    **dict.fromkeys(
        (
            "ActcompError", "ParseError", "UnsupportedExpression", "NotDifferentiable", "DTypeError", "ShapeError",
            "DeviceError", "CacheError", "ArgumentError", "UnboundedImage", "NotMonotone", "NoClosedForm",
            "NoDecomposition", "UndecidedImage", "ProofFailed", "ToolchainError", "AssemblyError",
            "OutOfMemory", "LaunchError",
        ),
        "errors",
    ),
}  # fmt: skip
# the words of the language, for functions that are traced: ac.sigmoid(beta * x)
_LANGUAGE = (
    "exp", "expm1", "log", "log1p", "sqrt", "abs", "sign", "min", "max", "clip", "where", "sin", "cos", "atan",
    "tanh", "erf", "erfc", "Phi", "phi", "sigmoid", "logsigmoid", "softplus", "relu", "pi", "e",
)  # fmt: skip

__all__ = ["__version__", "cache", *_PUBLIC, *_LANGUAGE]  # noqa: PLE0604 (names of the tables above)

if TYPE_CHECKING:
    from .activation import Activation as Activation
    from .activation import Parameter as Parameter
    from .activation import activation as activation
    from .api import adversary as adversary
    from .api import compile as compile
    from .api import compile_pair as compile_pair
    from .api import decompose as decompose
    from .api import get_num_threads as get_num_threads
    from .api import image as image
    from .api import moments as moments
    from .api import pair_chi as pair_chi
    from .api import register_rule as register_rule
    from .api import set_num_threads as set_num_threads
    from .api import show as show
    from .api import verify as verify
    from .calculus.adversary import Adversary as Adversary
    from .calculus.decompose import Decomposition as Decomposition
    from .calculus.derivative_image import DerivativeImage as DerivativeImage
    from .calculus.moments import Moment as Moment
    from .calculus.moments import Moments as Moments
    from .catalog import CATALOG as CATALOG
    from .cuda.memory import CudaArray as CudaArray
    from .errors import ActcompError as ActcompError
    from .errors import ArgumentError as ArgumentError
    from .errors import AssemblyError as AssemblyError
    from .errors import CacheError as CacheError
    from .errors import DeviceError as DeviceError
    from .errors import DTypeError as DTypeError
    from .errors import LaunchError as LaunchError
    from .errors import NoClosedForm as NoClosedForm
    from .errors import NoDecomposition as NoDecomposition
    from .errors import NotDifferentiable as NotDifferentiable
    from .errors import NotMonotone as NotMonotone
    from .errors import OutOfMemory as OutOfMemory
    from .errors import ParseError as ParseError
    from .errors import ProofFailed as ProofFailed
    from .errors import ShapeError as ShapeError
    from .errors import ToolchainError as ToolchainError
    from .errors import UnboundedImage as UnboundedImage
    from .errors import UndecidedImage as UndecidedImage
    from .errors import UnsupportedExpression as UnsupportedExpression
    from .exporting import export as export
    from .gallery import gallery_module as gallery_module
    from .kernel import Kernel as Kernel
    from .language import ALIASES as ALIASES
    from .language import FUNCTIONS as FUNCTIONS
    from .pair import AlternatingKernel as AlternatingKernel
    from .runtime import cache as cache


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    elif name == "cache":
        value = importlib.import_module(".runtime.cache", __name__)
    elif name in _LANGUAGE:
        language = importlib.import_module(".language", __name__)
        value = language.CONSTANTS[name] if name in language.CONSTANTS else language.traced_function(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """Keeps ``actcomp.activation`` and ``actcomp.verify`` the functions that users call: importing the submodule of the
    same name would otherwise put the module in their place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
