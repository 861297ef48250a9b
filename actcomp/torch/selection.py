"""Which of a model's activations the user means."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentError
from .sites import Site

# Paths, indices among those found, one of these, a predicate, or all.
Chosen = Sequence[str | int] | str | int | Callable[[Site], bool] | None


def select(found: Sequence[Site], chosen: Chosen) -> list[Site]:
    """The sites that the user means, in the order found. Raises ArgumentError."""
    if not found:
        raise ArgumentError("the model has no activation that is known", do="pass one that has some")
    if chosen is None:
        return list(found)
    if callable(chosen):
        picked = [site for site in found if chosen(site)]
    else:
        wanted = [chosen] if isinstance(chosen, (str, int)) else list(chosen)
        places = {_index(found, one) for one in wanted}
        picked = [site for k, site in enumerate(found) if k in places]
    if not picked:
        listed = ", ".join(site.path for site in found[:8])
        raise ArgumentError("sites chooses no activation", do=f"there are {len(found)}: {listed}")
    return picked


def _index(found: Sequence[Site], one: Any) -> int:
    paths = [site.path for site in found]
    if isinstance(one, str) and one in paths:
        return paths.index(one)
    if isinstance(one, int) and not isinstance(one, bool) and -len(found) <= one < len(found):
        return one % len(found)
    near = difflib.get_close_matches(str(one), paths, 1) if isinstance(one, str) else []
    fix = f"did you mean {near[0]!r}?" if near else f"there are {len(found)}: {', '.join(paths[:8])}"
    raise ArgumentError(f"there is no activation {one!r} among the sites", do=fix)
