"""``adversary``: the function whose derivative has the opposite image, with all that is proved of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import actcomp as ac

from .arguments import read_activation, read_anchor, read_cut
from .describe import (
    exact,
    formula_lines,
    growth,
    hull,
    image_json,
    image_of,
    label,
    moment_json,
    moments_json,
    moments_of,
    pair_chi,
    words_of,
)
from .plot import check_path
from .screen import print_facts, print_json, progress

if TYPE_CHECKING:
    from actcomp import Adversary

LONG = "numbers of more than 12 digits are rounded here; --json has them in full"


def run(
    *,
    expression: str | None,
    rule: str,
    mode: str,
    cut: str | None,
    eps: float | None,
    anchor: str,
    param: Sequence[str],
    plot: str | None,
    all: bool,
    output: str,
    json: bool,
) -> int:
    if all == (expression is not None):
        raise ac.ArgumentError(
            "--all is of the whole catalog" if all else "there is no formula",
            do='write adversary "x*sigmoid(x)", or adversary --all',
        )
    if all:
        from .adversaries import write_page

        return write_page(output)
    assert expression is not None
    if plot is not None:
        check_path(plot)
    with progress(3, timed=False) as step:
        step("adversary")
        star = ac.adversary(
            read_activation(expression, param),
            rule=rule, mode=mode, cut=read_cut(cut), eps=eps, anchor=read_anchor(anchor),
        )  # fmt: skip
        step("image and moments")
        found = _facts(star)
        as_json = adversary_json(star) if json else {}
        if plot is not None:
            step("drawing")
            from .pictures import plot_adversary

            plot_adversary(star, plot)
    if json:
        print_json(as_json | ({} if plot is None else {"plot": plot}))
        return 0
    for i, (title, facts) in enumerate(found):
        if i:
            print()
        print_facts(title, [*facts, ("picture", plot)] if plot is not None and i == 0 else facts)
    return 0


def _facts(star: Adversary) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titles and lines: the adversary, then for mode "split" each term's."""
    f = star.original
    assert f is not None
    arguments = ", ".join(map(str, star.inputs))
    head = "f*" if star.mode == "global" else "F*"
    facts = [(f"f({f.inputs[0]})" if i == 0 else "", line) for i, line in enumerate(formula_lines(f))]
    if star.decomposition is not None:
        facts.append((f"F({arguments})", star.decomposition.lifted.shown()))
    lines = formula_lines(star) if star.mode == "global" else [star.shown()]
    facts += [(f"{head}({arguments})" if i == 0 else "", line) for i, line in enumerate(lines)]
    facts.append((f"LaTeX of {head}", star.latex()))
    if star.shown() != str(star.expression):
        facts.append(("", LONG))
    facts += _proof(star)
    if star.mode == "global":
        facts += [("image of f'", _hull(f)), ("image of f*'", _hull(star))]
    facts.append(("growth", growth(star)))
    facts.append(("sign symmetry", star.sign_symmetric or "none"))
    facts.append(("", star.reason))
    chi = pair_chi(star)
    facts.append(("chi of the pair", chi if isinstance(chi, str) else f"{chi.value:.12g}, for z ~ N(0, 1)"))
    if star.mode == "global":
        return [(f"{star.name}: {label(star)}", facts)]
    parts = []
    for i, term in enumerate(star.terms):
        one = [] if term.original is None else [
            ("t" if k == 0 else "", line) for k, line in enumerate(formula_lines(term.original))
        ]  # fmt: skip
        one += [("t*" if k == 0 else "", line) for k, line in enumerate(formula_lines(term))]
        one += _proof(term)
        one += [("image of t'", _hull(term.original)), ("image of t*'", _hull(term))]
        one += [("growth", growth(term)), ("sign symmetry", term.sign_symmetric or "none"), ("", term.reason)]
        parts.append((f"t{i + 1}: {label(term)}", one))
    return [(f"{star.name}: {label(star)}", facts), *parts]


def _proof(star: Adversary) -> list[tuple[str, str]]:
    """What stands for functions that are no words of the language, and the numbers that the rule took."""
    facts = list(words_of(star).items())
    facts += [
        (
            str(table.name),
            f"{table.ideal}: {len(table.pieces)} polynomials of degree {table.degree} at most, "
            f"proved within {float(table.distance):.1e}",
        )
        for table in star.tables
    ]
    if star.mode == "global" and star.constants:
        words = (f"{name} = {exact(value)}" for name, value in star.constants.items())
        facts.append(("constants", ", ".join(words)))
    if star.defaults and star.mode == "global":
        held = ", ".join(f"{name} = {value:g}" for name, value in star.defaults.items())
        facts.append(("at the parameters", held))
    return facts


def _hull(f: Any) -> str:
    return hull(image_of(f), 12)


def adversary_json(star: Adversary) -> dict[str, Any]:
    """Everything, with every digit."""
    f = star.original
    assert f is not None
    alone = {}
    if star.mode == "global":
        images = {"image": image_of(f), "image_of_adversary": image_of(star)}
        alone = {
            name: {"refused": found} if isinstance(found, str) else image_json(found) for name, found in images.items()
        } | {"moments": moments_json(moments_of(star))}
    return {
        "name": star.name,
        "original": str(f.expression),
        "rule": star.rule,
        "mode": star.mode,
        "inputs": [str(one) for one in star.inputs],
        "expression": str(star.expression),
        "shown": star.shown(),
        "latex": star.latex(),
        "label": star.label,
        "distance": float(star.distance),
        "constants": {name: str(value) for name, value in star.constants.items()},
        "parameters": star.defaults,
        "tables": [
            {
                "name": str(table.name), "ideal": table.ideal, "pieces": len(table.pieces), "degree": table.degree,
                "distance": float(table.distance),
            }
            for table in star.tables
        ],
        **alone,
        "sign_symmetric": star.sign_symmetric,
        "reason": star.reason,
        "growth": list(star.growth),
        "warnings": list(star.warnings),
        "chi_of_pair": moment_json(pair_chi(star)),
        "terms": [adversary_json(term) for term in star.terms],
    }  # fmt: skip
