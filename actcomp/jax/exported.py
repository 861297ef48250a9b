"""jax.export: which checks to switch off when a program is exported, and the kernels that a loaded one calls."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import jax.export

from ..errors import ArgumentError
from . import cuda_target, target
from .function import ActivationFunction
from .target import Label

_CALLED = re.compile(f'"({re.escape(target.PREFIX)}[^"]+)"')


def export_checks(f: Any, *arguments: Any, **keywords: Any) -> list[Any]:
    """``disabled_checks=`` for ``jax.export.export(f)(*arguments)``: that it calls kernels of actcomp is meant so.

    They serve for ``platforms=`` of that as well, "cpu" and "cuda", whether or not there is such a device here.
    ``f``: the jitted function; arguments: arrays or shapes, as for export. It is lowered once for this purpose."""
    with contextlib.suppress(ValueError):  # the refusal comes after the kernels have been named, and made
        jax.export.export(f)(*arguments, **keywords)
    names = {name for known in (*target.targets(), *cuda_target.targets()) for name in target.on_every_platform(known)}
    return [jax.export.DisabledSafetyCheck.custom_call(name) for name in sorted(names)]


def provide(exported: Any, *functions: ActivationFunction) -> None:
    """Makes the kernels that an exported program calls, from the functions that it was made of.

    ``exported``: what ``jax.export.deserialize`` gives. Call this before ``exported.call``; in a process that has run
    the same functions in the same way it has nothing to do. Raises ArgumentError where a kernel belongs to none of
    them: another formula, another version of actcomp, or a derivative beyond the second, which the process has to
    have run itself."""
    for name in sorted(set(_CALLED.findall(exported.mlir_module())) - {*target.targets(), *cuda_target.targets()}):
        label = Label.of_name(name)
        if not any(_provides(function, label, name) for function in functions):
            told = ", ".join(function.name for function in functions) or "no function"
            raise ArgumentError(
                f"the program calls {name}, which {told} does not have",
                do="pass every function that the program was made of, as it was made there",
            )


def _provides(function: ActivationFunction, label: Label, name: str) -> bool:
    kernel = function.kernel
    known = {"y", "d.g.y", *(f"d.{x}" for x in kernel.inputs), *(f"d.p.{p}" for p in kernel.parameters)}
    if not known.issuperset(label.wanted) or not label.elementwise.issubset(kernel.parameters):
        return False
    return function.target(label) == name
