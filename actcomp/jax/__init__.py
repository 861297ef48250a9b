"""Activations for JAX: one fused kernel inside jit, grad, vmap, shard_map and export.

import actcomp.jax as acj

mish = acj.function("mish")                                              # y = mish(x)
swish = acj.function("x*sigmoid(beta*x)", parameters={"beta": 1.0})      # y = swish({"beta": beta}, x)
"""

from __future__ import annotations

try:
    import jax  # noqa: F401  (this package: absolute imports name the framework)
except ImportError as fault:
    raise ImportError('actcomp.jax needs JAX: pip install "actcomp[jax]"', name="jax") from fault

from .exported import export_checks, provide
from .function import ActivationFunction, function
from .pair import Pair, pair

__all__ = ["ActivationFunction", "Pair", "export_checks", "function", "pair", "provide"]
