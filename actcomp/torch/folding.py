"""Exact sign folding: f*(x) = a f(b x) takes the place of f in a trained network, and its neighbours take up the signs.

The linear map before changes the sign of its weights and offset, the one after that of its weights; norm layers between
change the sign of their offset and running mean. Changing signs is exact, so that the outputs keep their bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ArgumentError
from .effect import SIGNS, taking
from .flow import Flow, Node

_JOINING = ("cat", "concat", "stack")
_STATELESS = ("layer_norm", "group_norm", "rms_norm", "instance_norm", "LayerNorm", "GroupNorm", "RMSNorm")


class Flip(NamedTuple):
    """A tensor that changes its sign: by module and name, since ``to`` and its like put others there."""

    module: Any
    name: str


def flips(flow: Flow, nodes: Iterable[Node], sign_symmetric: str | None, path: str) -> list[Flip]:
    """What changes its sign when f* takes the place of f, as often as it is listed.

    Raises ArgumentError where the signs cannot be taken up."""
    do = "leave the site out with sites=, or go over to f* in steps with blend="
    if sign_symmetric is None:
        raise ArgumentError(f"{path}: f* is not f with changed signs, so that no signs can be folded", do=do)
    nodes, signs = list(nodes), SIGNS[sign_symmetric]
    found: list[Flip] = []
    for side, offset in (((signs[0], 1), False), ((1, signs[1]), True)):
        taken = taking(flow, nodes, side)
        for reason in (*taken.against, *taken.unknown):
            raise ArgumentError(f"{path}: the sign cannot be folded, because {reason}", do=do)
        for node in taken.linear:
            if node.module is None:
                raise ArgumentError(f"{path}: the sign cannot be folded into {node.name}, no nn.Linear", do=do)
            found += _there(node.module, "weight", *(["bias"] if offset else []))
        for node in taken.passed:
            if node.name in _JOINING or len(node.inputs) > 1 and node.kind != "product":
                raise ArgumentError(f"{path}: the sign cannot be folded past {node.name}, which joins branches", do=do)
            if node.kind == "norm":
                if node.module is None and node.name not in _STATELESS:
                    raise ArgumentError(f"{path}: whose {node.name} follows is not known", do=do)
                found += _there(node.module, "bias", "running_mean")
    return found


def flip(chosen: Iterable[Flip]) -> None:
    """Changes signs in place; a second time changes them back."""
    with torch.no_grad():
        for module, name in chosen:
            getattr(module, name).neg_()


def _there(module: Any, *names: str) -> list[Flip]:
    return [Flip(module, name) for name in names if isinstance(getattr(module, name, None), Tensor)]
