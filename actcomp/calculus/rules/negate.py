"""negate: f*' = -f'. f* = -f + c; between linear maps it changes nothing."""

from __future__ import annotations

from .problem import Opposed, Problem, Rule


def oppose(problem: Problem) -> Opposed:
    """Every function has one."""
    c = problem.anchored() + problem.value_at_zero()
    return Opposed(c - problem.with_parameters, -problem.slope, constants={"c": c})


RULE = Rule("negate", "f*' = -f'", oppose)
