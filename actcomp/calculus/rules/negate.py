"""negate: f*' = -f'. f* = -f + c; between linear maps it changes nothing."""

from __future__ import annotations

from .line import line_minus
from .problem import Opposed, Problem, Rule


def oppose(problem: Problem) -> Opposed:
    """Every function has one."""
    c = problem.anchored() + problem.value_at_zero()
    return Opposed(line_minus(c, problem.with_parameters, problem.x), -problem.slope, constants={"c": c})


RULE = Rule("negate", "f*' = -f'", oppose)
