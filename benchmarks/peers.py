"""The same functions in other libraries, as plain callables on one array: forward, and the gradient for a given dy.

A peer that is not installed is left out. Every callable allocates its result, as its library does by default; where the
library can write into a given buffer, ``into`` does so.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Call = Callable[[], Any]


@dataclass(frozen=True)
class Formula:
    """One function in every library's words; None where the library has no better way than its composition."""

    numpy: Callable[[Any], Any]
    numexpr: str | None
    torch: Callable[[Any, Any], Any]  # (torch, x)
    jax: Callable[[Any, Any, Any], Any]  # (jax.nn, jnp, x)


FORMULAS: dict[str, Formula] = {
    "relu": Formula(
        lambda x: np.maximum(x, 0), "where(x > 0, x, 0)", lambda t, x: t.relu(x), lambda nn, jnp, x: nn.relu(x)
    ),
    "silu": Formula(
        lambda x: x / (1 + np.exp(-x)), "x/(1 + exp(-x))", lambda t, x: t.nn.functional.silu(x),
        lambda nn, jnp, x: nn.silu(x),
    ),
    "gelu": Formula(
        lambda x: 0.5 * x * (1 + _erf(x * x.dtype.type(math.sqrt(0.5)))), None, lambda t, x: t.nn.functional.gelu(x),
        lambda nn, jnp, x: nn.gelu(x, approximate=False),
    ),
    "gelu_tanh": Formula(
        lambda x: 0.5 * x * (1 + np.tanh(x.dtype.type(math.sqrt(2 / math.pi)) * (x + x.dtype.type(0.044715) * x**3))),
        "0.5*x*(1 + tanh(0.7978845608*(x + 0.044715*x*x*x)))",
        lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), lambda nn, jnp, x: nn.gelu(x),
    ),
    "mish": Formula(
        lambda x: x * np.tanh(np.log1p(np.exp(x))), "x*tanh(log1p(exp(x)))", lambda t, x: t.nn.functional.mish(x),
        lambda nn, jnp, x: nn.mish(x),
    ),
    "softplus": Formula(
        lambda x: np.logaddexp(x, x.dtype.type(0)), "log1p(exp(x))", lambda t, x: t.nn.functional.softplus(x),
        lambda nn, jnp, x: nn.softplus(x),
    ),
    "tanh": Formula(np.tanh, "tanh(x)", lambda t, x: t.tanh(x), lambda nn, jnp, x: jnp.tanh(x)),
    "sigmoid": Formula(
        lambda x: 1 / (1 + np.exp(-x)), "1/(1 + exp(-x))", lambda t, x: t.sigmoid(x), lambda nn, jnp, x: nn.sigmoid(x)
    ),
    "elu": Formula(
        lambda x: np.where(x > 0, x, np.expm1(x)), "where(x > 0, x, expm1(x))", lambda t, x: t.nn.functional.elu(x),
        lambda nn, jnp, x: nn.elu(x),
    ),
    "hardswish": Formula(
        lambda x: x * np.clip(x + 3, 0, 6) / 6, None, lambda t, x: t.nn.functional.hardswish(x),
        lambda nn, jnp, x: nn.hard_silu(x),
    ),
    "serf": Formula(
        lambda x: x * _erf(np.log1p(np.exp(x))), None, lambda t, x: x * t.erf(t.nn.functional.softplus(x)),
        lambda nn, jnp, x: x * _jax_erf(nn.softplus(x)),
    ),
}  # fmt: skip
# Others are catalog names. The catalog's elu has a learnable alpha, whose gradient no peer computes here.
OURS = {"serf": "x*erf(log(1 + exp(x)))", "elu": "where(x > 0, x, expm1(x))"}


def _erf(x: Any) -> Any:
    from scipy.special import erf

    return erf(x)


def _jax_erf(x: Any) -> Any:
    import jax

    return jax.scipy.special.erf(x)


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@dataclass(frozen=True)
class Contender:
    """One library's way to compute one function: fresh results, results into a given buffer, the gradient."""

    name: str
    forward: Call | None = None
    into: Call | None = None
    backward: Call | None = None


def contenders(function: str, x: Any, dy: Any, compiled: bool = True) -> list[Contender]:
    """Every installed library's callables on this data; ``compiled`` False: but those that compile for seconds."""
    formula = FORMULAS[function]
    found = [_actcomp(function, x, dy), _numpy(formula, x)]
    if installed("numexpr") and formula.numexpr:
        found.append(_numexpr(formula.numexpr, x))
    if installed("torch"):
        found += _torch(formula, x, dy, compiled)
    if installed("jax") and compiled:
        found.append(_jax(formula, x, dy))
    return found


def _actcomp(function: str, x: Any, dy: Any) -> Contender:
    import actcomp as ac

    kernel, out = ac.compile(OURS.get(function, function)), np.empty_like(x)
    return Contender("actcomp", lambda: kernel(x), lambda: kernel(x, out=out), lambda: kernel.backward(x, dy))


def _numpy(formula: Formula, x: Any) -> Contender:
    return Contender("numpy", lambda: formula.numpy(x))


def _numexpr(text: str, x: Any) -> Contender:
    import numexpr

    out = np.empty_like(x)
    names = {"x": x}
    return Contender(
        "numexpr",
        lambda: numexpr.evaluate(text, names, casting="same_kind"),
        lambda: numexpr.evaluate(text, names, out=out, casting="same_kind"),
    )


def _torch(formula: Formula, x: Any, dy: Any, compiled: bool) -> list[Contender]:
    import torch

    tx, tdy = torch.from_numpy(x), torch.from_numpy(dy)

    def gradient(call: Callable[[Any], Any]) -> Call:
        leaf = tx.clone().requires_grad_()
        y = call(leaf)
        return lambda: torch.autograd.grad(y, leaf, tdy, retain_graph=True)

    def eager(value: Any) -> Any:
        return formula.torch(torch, value)

    into = None
    if torch_out := _torch_out(formula):
        buffer = torch.empty_like(tx)

        def into() -> Any:
            return torch_out(tx, buffer)

    found = [Contender("torch", lambda: eager(tx), into, gradient(eager))]
    if compiled:
        import torch._functorch.config

        torch._functorch.config.donated_buffer = False  # the graph is kept, to time its backward alone
        torch.compiler.reset()
        fused = torch.compile(eager, dynamic=False)
        found.append(Contender("torch.compile", lambda: fused(tx), None, gradient(fused)))
    return found


def _torch_out(formula: Formula) -> Callable[[Any, Any], Any] | None:
    """torch's own out= form of the function, where it has one."""
    import torch

    ops = torch.ops.aten
    known = {
        "silu": ops.silu.out, "gelu": ops.gelu.out, "mish": ops.mish.out, "softplus": ops.softplus.out,
        "tanh": ops.tanh.out, "sigmoid": ops.sigmoid.out, "elu": ops.elu.out, "hardswish": ops.hardswish.out,
        "relu": ops.relu.out,
    }  # fmt: skip
    name = next(key for key, value in FORMULAS.items() if value is formula)
    op = known.get(name)
    return None if op is None else lambda x, out: op(x, out=out)


def _jax(formula: Formula, x: Any, dy: Any) -> Contender:
    import jax
    import jax.numpy as jnp

    if x.dtype == np.float64:
        jax.config.update("jax_enable_x64", True)
    jx, jdy = jnp.asarray(x), jnp.asarray(dy)

    def call(value: Any) -> Any:
        return formula.jax(jax.nn, jnp, value)

    forward = jax.jit(call)
    backward = jax.jit(lambda value, cotangent: jax.vjp(call, value)[1](cotangent)[0])
    return Contender(
        "jax.jit",
        lambda: forward(jx).block_until_ready(),
        None,
        lambda: backward(jx, jdy).block_until_ready(),
    )
