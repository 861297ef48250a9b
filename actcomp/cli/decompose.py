"""``decompose``: an activation taken apart into a gate: its terms, their rule, the lifted formula, the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import actcomp as ac

from .arguments import read_activation, read_cut
from .plot import check_path
from .screen import print_facts, print_json, progress

if TYPE_CHECKING:
    from actcomp import Decomposition


def run(*, expression: str, cut: str | None, param: Sequence[str], plot: str | None, json: bool) -> int:
    if plot is not None:
        check_path(plot)
    with progress(2, timed=False) as step:
        step("decomposing")
        parted = ac.decompose(read_activation(expression, param), read_cut(cut))
        if plot is not None:
            step("drawing")
            from .graph import plot_graph

            plot_graph(parted, plot)
    if json:
        print_json(decomposition_json(parted) | ({} if plot is None else {"plot": plot}))
        return 0
    print(parted)
    facts = [("cut", parted.cut), ("known gate", parted.known_as or "none of those with a name")]
    facts += parted.lifted.shown_words().items()
    facts.append(("LaTeX of F", parted.lifted.latex()))
    if plot is not None:
        facts.append(("picture", plot))
    print()
    print_facts(f"{parted.activation.name}: {len(parted.terms)} terms, F(x, ..., x) = f(x) proved", facts)
    return 0


def decomposition_json(parted: Decomposition) -> dict[str, Any]:
    return {
        "name": parted.activation.name,
        "expression": str(parted.activation.expression),
        "cut": parted.cut,
        "rule": str(parted.rule),
        "terms": {
            str(symbol): str(term.expression) for symbol, term in zip(parted.rule_symbols, parted.terms, strict=True)
        },
        "inputs": [str(one) for one in parted.lifted.inputs],
        "lifted": str(parted.lifted.expression),
        "latex": parted.lifted.latex(),
        "known_as": parted.known_as,
    }
