"""Activations for PyTorch: differentiable to any order, known to torch.compile, torch.func, autocast and torch.export.

import actcomp.torch as act

mish = act.function("mish")                                    # y = mish(x), with autograd
swish = act.Module("x*sigmoid(beta*x)", parameters={"beta": 1.0})   # beta is learned
done = act.replace(model, {nn.SiLU: "silu"})                   # in a model that is there; done.undo()
plan = act.rewrite(model, rule="inverse")                      # f and f* by turns; plan.undo()
"""

from __future__ import annotations

try:
    import torch  # noqa: F401  (this package: absolute imports name the framework)
except ImportError as fault:
    raise ImportError('actcomp.torch needs PyTorch: pip install "actcomp[torch]"', name="torch") from fault

from . import ops as _ops  # noqa: F401  (defines torch.ops.actcomp)
from .function import ActivationFunction, function
from .module import Module
from .replacement import Replacement, replace
from .rewriting import Rewriting, rewrite

__all__ = ["ActivationFunction", "Module", "Replacement", "Rewriting", "function", "replace", "rewrite"]
