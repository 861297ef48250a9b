"""Whether alternating can change a network at a site, and which weights would take up a change of sign there.

Where f*(x) = +-f(+-x), the linear maps around the activation can take up the signs: A(-f(-(Bx + b))) =
(-A) f((-B)x - b). Training is then the same in distribution from a sign-symmetric initialisation, whatever lies between
that commutes with a change of sign. A sum with another branch, max-pooling, weights that are used elsewhere too, and
another activation do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .flow import Flow, Node

# What sign_symmetric says -> (outer sign, inner sign)
SIGNS = {"f*(x) = f(x)": (1, 1), "f*(x) = -f(-x)": (-1, -1), "f*(x) = -f(x)": (-1, 1), "f*(x) = f(-x)": (1, -1)}


@dataclass
class Taking:
    """Which nodes take up a change of sign (``linear``), by way of which (``passed``), and what does not."""

    linear: list[Node] = field(default_factory=list)
    passed: list[Node] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def taking(flow: Flow, nodes: Iterable[Node], signs: tuple[int, int]) -> Taking:
    """What takes up the signs of f*(x) = signs[0] f(signs[1] x) at the nodes of a site."""
    found = Taking()
    for node in nodes:
        if signs[0] < 0:
            _after(flow, node, found, node)
        if signs[1] < 0:
            _before(flow, node, found)
    return found


def effect(flow: Flow, nodes: Iterable[Node], sign_symmetric: str | None) -> tuple[str, str]:
    """("yes" | "no" | "not known", why): whether f* in the place of f can change what is learned."""
    if sign_symmetric is None:
        return "yes", "f* is not f with changed signs"
    signs = SIGNS[sign_symmetric]
    if signs == (1, 1):
        return "no", "f* is f itself"
    found = taking(flow, nodes, signs)
    if found.against:
        return "yes", found.against[0]
    if found.unknown:
        return "not known", found.unknown[0]
    return "no", "the linear maps around it take up the sign"


def _after(flow: Flow, node: Node, found: Taking, start: Node) -> None:
    if not node.users:
        found.unknown.append(f"what reads {node.name} is not seen")
    for user in node.users:
        if user.kind == "product":
            if any(other is not node and _follows(other, start) for other in user.inputs):
                found.against.append("a product of two that both come from it follows")
                continue
            found.passed.append(user)  # (-a) b = -(a b), whatever b is
            _after(flow, user, found, start)
        elif _takes_sign(flow, user, found, "follows"):
            _after(flow, user, found, start)


def _follows(node: Node, start: Node) -> bool:
    """Whether the node's result depends on what ``start`` gave."""
    seen, waiting = set(), [node]
    while waiting:
        one = waiting.pop()
        if one is start:
            return True
        if one not in seen:
            seen.add(one)
            waiting += one.inputs
    return False


def _before(flow: Flow, node: Node, found: Taking) -> None:
    if not node.inputs:
        found.unknown.append(f"what feeds {node.name} is not seen")
    for source in node.inputs:
        if len(source.users) > 1 and source.kind != "elsewhere":
            found.against.append(f"what goes into it is read elsewhere too ({source.name})")
        elif _takes_sign(flow, source, found, "stands before it"):
            _before(flow, source, found)


def _takes_sign(flow: Flow, node: Node, found: Taking, where: str) -> bool:
    """Whether the sign goes on through the node."""
    if node.kind == "linear":
        if node.weight is not None and flow.uses[node.weight] > 1:
            found.against.append(f"the weights of {flow.path(node.module)}, which {where}, are shared")
        else:
            found.linear.append(node)
    elif node.kind in ("even", "norm"):
        if node.weight is not None and flow.uses[node.weight] > 1:
            found.against.append(f"the weights of {flow.path(node.module)}, which {where}, are shared")
            return False
        found.passed.append(node)
        return True
    elif node.kind == "sum":
        found.against.append(f"a residual sum {where}")
    elif node.kind == "max":
        found.against.append(f"max-pooling {where}")
    elif node.kind == "site":
        found.against.append(f"another activation ({node.name}) {where}")
    elif node.kind in ("input", "output"):
        found.against.append(f"{node.name} {where}")
    elif node.kind == "elsewhere":
        found.unknown.append(f"{node.name} is not seen: pass example=")
    else:
        found.unknown.append(f"{node.name} {where}")
    return False
