"""The activations that torch and transformers have under their own names, told as formulas of actcomp.

One rule for each: a function of the settings of the original (as torch calls them) that says which activation it is.
The formulas are those of torch's documentation; each agrees with torch at its kinks too, in value and in derivative.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Known:
    """What ``act.function(source, parameters=parameters)`` computes just as the original does.

    ``name``: of the catalog, or None where the catalog has no such activation; ``in_place``: the original writes its
    input.
    """

    source: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    name: str | None = None
    in_place: bool = False


def _same(name: str, **parameters: float) -> Known:
    return Known(name, parameters, name)


def _plain(name: str) -> Callable[..., Known]:
    """The rule of an activation without settings."""

    def rule(*, inplace: bool = False) -> Known:
        return Known(name, {}, name, inplace)

    return rule


def _formula(source: str) -> Callable[..., Known]:
    def rule(*, inplace: bool = False) -> Known:
        return Known(source, {}, None, inplace)

    return rule


def _gelu(*, approximate: str = "none") -> Known | None:
    return {"none": _same("gelu"), "tanh": _same("gelu_tanh")}.get(approximate)


def _leaky_relu(*, negative_slope: float = 0.01, inplace: bool = False) -> Known:
    return Known("leaky_relu", {"slope": float(negative_slope)}, "leaky_relu", inplace)


def _elu(*, alpha: float = 1.0, inplace: bool = False) -> Known:
    return Known("elu", {"alpha": float(alpha)}, "elu", inplace)


def _celu(*, alpha: float = 1.0, inplace: bool = False) -> Known:
    if alpha == 1:
        return Known("elu", {"alpha": 1.0}, "elu", inplace)
    return Known("where(x > 0, x, alpha*expm1(x/alpha))", {"alpha": float(alpha)}, None, inplace)


def _hardtanh(*, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Known | None:
    if (min_val, max_val) == (-1, 1):
        return Known("hardtanh", {}, "hardtanh", inplace)
    if not (math.isfinite(min_val) and math.isfinite(max_val) and min_val < max_val):
        return None
    return Known(f"clip(x, {float(min_val)!r}, {float(max_val)!r})", {}, None, inplace)


def _softplus(*, beta: float = 1.0, threshold: float = 20.0) -> Known | None:
    """torch puts x for values with beta*x > threshold; above 20 that is the function itself to 2.1e-9."""
    if threshold < 20 or beta <= 0:
        return None
    if beta == 1:
        return _same("softplus")
    return Known("softplus(beta*x)/beta", {"beta": float(beta)})


def _quick_gelu() -> Known:
    return _same("swish", beta=1.702)


def _hardshrink(*, lambd: float = 0.5) -> Known:
    return Known("where(abs(x) > lambd, x, 0)", {"lambd": float(lambd)})


def _softshrink(*, lambd: float = 0.5) -> Known:
    return Known("where(x > lambd, x - lambd, where(x < -lambd, x + lambd, 0))", {"lambd": float(lambd)})


def _threshold(*, threshold: float, value: float, inplace: bool = False) -> Known:
    settings = {"threshold": float(threshold), "value": float(value)}
    return Known("where(x > threshold, x, value)", settings, None, inplace)


_TANH_GELU = _plain("gelu_tanh")
Rule = Callable[..., Known | None]

# By name in torch.nn.functional and, where it is there, in torch; the class of torch.nn beside it.
_ROWS: tuple[tuple[str, type[nn.Module], Rule], ...] = (
    ("relu", nn.ReLU, _plain("relu")),
    ("relu6", nn.ReLU6, _formula("clip(x, 0, 6)")),
    ("leaky_relu", nn.LeakyReLU, _leaky_relu),
    ("elu", nn.ELU, _elu),
    ("selu", nn.SELU, _plain("selu")),
    ("celu", nn.CELU, _celu),
    ("gelu", nn.GELU, _gelu),
    ("silu", nn.SiLU, _plain("silu")),
    ("mish", nn.Mish, _plain("mish")),
    ("softplus", nn.Softplus, _softplus),
    ("tanh", nn.Tanh, _plain("tanh")),
    ("sigmoid", nn.Sigmoid, _plain("sigmoid")),
    ("logsigmoid", nn.LogSigmoid, _formula("-softplus(-x)")),
    ("hardswish", nn.Hardswish, _plain("hardswish")),
    ("hardsigmoid", nn.Hardsigmoid, _formula("clip((x + 3)/6, 0, 1)")),
    ("hardtanh", nn.Hardtanh, _hardtanh),
    ("tanhshrink", nn.Tanhshrink, _plain("tanhshrink")),
    ("softsign", nn.Softsign, _formula("x/(1 + abs(x))")),
    ("hardshrink", nn.Hardshrink, _hardshrink),
    ("softshrink", nn.Softshrink, _softshrink),
    ("threshold", nn.Threshold, _threshold),
)

# Classes of transformers.activations, by name: the library need not be there.
_TRANSFORMERS: dict[str, Rule] = {
    "GELUActivation": _plain("gelu"),
    "GELUTanh": _TANH_GELU,
    "PytorchGELUTanh": _TANH_GELU,
    "NewGELUActivation": _TANH_GELU,
    "AccurateGELUActivation": _TANH_GELU,
    "FastGELUActivation": _formula("0.5*x*(1 + tanh(x*0.7978845608*(1 + 0.044715*x*x)))"),
    "QuickGELUActivation": _quick_gelu,
    "SiLUActivation": _plain("silu"),
    "MishActivation": _plain("mish"),
    "ReLUSquaredActivation": _formula("relu(x)**2"),
}

MODULES: dict[type[nn.Module], Rule] = {cls: rule for _, cls, rule in _ROWS}
FUNCTIONS: dict[Callable[..., Any], Rule] = {}
METHODS: dict[str, Rule] = {}
for _name, _cls, _rule in _ROWS:
    for _home in (F, torch, torch.special):
        for _one in (getattr(_home, _name, None), getattr(_home, "expit", None) if _name == "sigmoid" else None):
            if _one is not None:
                FUNCTIONS[_one] = _rule
    if callable(getattr(torch.Tensor, _name, None)):
        METHODS[_name] = _rule
# What writes its input and is called for that is left alone: relu_ and its like are in no table.


def of_module(module: nn.Module) -> Known | None:
    """What a module computes, where it is exactly of a known class; its settings are read from its attributes."""
    cls = type(module)
    rule = MODULES.get(cls)
    if rule is None and cls.__module__ == "transformers.activations":
        rule = _TRANSFORMERS.get(cls.__name__)
    if rule is None:
        return None
    settings = {name: getattr(module, name) for name in settings_of(rule) if hasattr(module, name)}
    return rule(**settings)


def of_callable(value: Any, arguments: tuple[Any, ...] = (), keywords: Mapping[str, Any] | None = None) -> Known | None:
    """What a function of torch computes of its first argument, with these arguments behind it; partials are looked
    into. None where it is unknown, or an argument is no setting."""
    given = dict(keywords or {})
    while isinstance(value, functools.partial):
        if value.args:
            return None
        given = {**value.keywords, **given}
        value = value.func
    rule = function_rule(value)
    if rule is None:
        return None
    names = settings_of(rule)
    if len(arguments) > len(names):
        return None
    given.update(zip(names, arguments, strict=False))
    try:
        return rule(**given) if set(given) <= set(names) else None
    except TypeError:  # a setting is missing, or is no number
        return None


def function_rule(value: Any) -> Rule | None:
    """The rule of a function of torch, or None."""
    try:
        return FUNCTIONS.get(value)
    except TypeError:  # what cannot be hashed is no function of torch
        return None


def base_of(value: Any) -> Any:
    """The function under partials."""
    while isinstance(value, functools.partial):
        value = value.func
    return value


def word_of(value: Any) -> str:
    """A callable by its name, with what partials have bound: ``gelu(approximate='tanh')``."""
    base = base_of(value)
    name = getattr(base, "__name__", None) or repr(base)
    bound = value.keywords if isinstance(value, functools.partial) else {}
    return f"{name}({', '.join(f'{key}={one!r}' for key, one in bound.items())})" if bound else str(name)


def settings_of(rule: Rule) -> tuple[str, ...]:
    """The names of the settings, in the order that torch's function takes them behind its input."""
    return tuple(inspect.signature(rule).parameters)
