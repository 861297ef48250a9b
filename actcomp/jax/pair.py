"""The pair of an activation and its adversary, for alternating layers."""

from __future__ import annotations

from typing import Any

import jax

import actcomp as ac

from ..errors import ArgumentError
from .function import ActivationFunction, function


def pair(f: Any, *, rule: Any = "reflect", mode: str = "global", adversary: Any = None, **options: Any) -> Pair:
    """f on layers 0, 2, 4 ..., its adversary on layers 1, 3, 5 ...: ``pair(x, layer=3)``.

    ``f``: what :func:`actcomp.activation` takes; ``rule``, ``mode``, other options as for :func:`actcomp.adversary`.
    With mode "split" the even layers are the lifted activation that ``actcomp.decompose`` gives. ``adversary``: an
    activation to pair with instead. Raises what adversary and decompose raise; ArgumentError if the two do not have
    the same inputs."""
    if isinstance(f, ActivationFunction):
        f = f.activation
    first = ac.activation(f)
    if adversary is None:
        second = function(ac.adversary(first, rule=rule, mode=mode, **options))
    elif (rule, mode) != ("reflect", "global") or options:
        raise ArgumentError("adversary= takes the place of rule, mode and their options", do="give it alone")
    else:
        second = function(adversary)
    cut = {"cut": options["cut"]} if "cut" in options else {}
    even = function(ac.decompose(first, **cut).lifted if mode == "split" else f)
    if even.inputs != second.inputs:
        raise ArgumentError(
            f"{even.name} has inputs {even.inputs}, its adversary {second.inputs}",
            do="give them inputs of the same names",
        )
    return Pair(even, second)


class Pair:
    """Two functions in turn. ``even``, ``odd``: the functions themselves."""

    def __init__(self, even: ActivationFunction, odd: ActivationFunction) -> None:
        self.even, self.odd = even, odd

    def __repr__(self) -> str:
        return f"acj.pair({self.even.name!r}, {self.odd.name!r})"

    def __call__(self, *arguments: Any, layer: int) -> jax.Array:
        """The function of the layer, counted from 0, at the arguments."""
        if isinstance(layer, bool) or not hasattr(layer, "__index__"):
            raise ArgumentError(f"the layer is {layer!r:.60}", do="give a Python integer")
        return (self.odd if layer.__index__() % 2 else self.even)(*arguments)
