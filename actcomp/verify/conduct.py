"""How a user's functions behave, whatever their values: arguments are left alone, results have their type."""

from __future__ import annotations

from collections.abc import Iterator

from .case import Case
from .report import Check
from .subjects import CallableSubject

VARIANTS = {"forward": "f", "backward": "f'", "double_backward": "f''"}


def conduct(case: Case) -> Iterator[Check]:
    """After all other checks have called the functions: arguments unchanged, results of the arguments' type."""
    if not isinstance(case.subject, CallableSubject):
        return
    due = str(case.constant(0.0, 1).dtype)
    for variant in sorted(case.subject.variants):
        returned = case.subject.returned.pop(variant, set())
        changed = variant in case.subject.overwritten
        case.subject.overwritten.discard(variant)
        label = VARIANTS[variant]
        if returned:
            yield Check("arguments unchanged", label, case.dtype, not changed, detail="overwritten" if changed else "")
            wrong = ", ".join(sorted(returned - {due}))
            yield Check("result type", label, case.dtype, not wrong, actual=wrong, expected=due if wrong else "")
