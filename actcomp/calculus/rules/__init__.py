"""The opposition rules: each takes f' and its image to the derivative f*' of the adversary. One file a rule."""

from __future__ import annotations

import importlib

from ...errors import ArgumentError
from .problem import Opposed, Problem, Rule

__all__ = ["RULES", "Opposed", "Problem", "Rule", "rule_named"]

_BUILT_IN = ("reflect", "reciprocal", "inverse", "negate")
RULES: dict[str, Rule] = {name: importlib.import_module(f".{name}", __name__).RULE for name in _BUILT_IN}


def rule_named(name: str) -> Rule:
    """The rule. Raises ArgumentError naming those that there are."""
    if not isinstance(name, str) or name not in RULES:
        raise ArgumentError(f"there is no rule {name!r}", do=f"use one of {', '.join(RULES)}, or ac.register_rule")
    return RULES[name]
