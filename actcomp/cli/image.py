"""``image``: what is proved of a derivative, and the moments of the function."""

from __future__ import annotations

from collections.abc import Sequence

import actcomp as ac

from .arguments import read_activation, read_window
from .describe import formula_lines, image_facts, image_json, moment_facts, moments_json, moments_of
from .plot import check_path
from .screen import print_facts, print_json, progress


def run(*, expression: str, param: Sequence[str], window: str | None, plot: str | None, json: bool) -> int:
    if plot is not None:
        check_path(plot)
    ends = read_window(window)
    with progress(3, timed=False) as step:
        step("image")
        f = read_activation(expression, param)
        found = ac.image(f, window=ends)
        step("moments")
        moments = moments_of(f)
        if plot is not None:
            step("drawing")
            from .pictures import plot_image

            plot_image(f, found, plot)
    if json:
        print_json(
            {"name": f.name, "expression": str(f.expression)}
            | image_json(found)
            | {"moments": moments_json(moments)}
            | ({} if plot is None else {"plot": plot})
        )
        return 0
    held = [("parameters", ", ".join(f"{name} = {value:g}" for name, value in found.parameters.items()))]
    formula = [("f" if i == 0 else "", line) for i, line in enumerate(formula_lines(f))]
    facts = [*formula, *(held if found.parameters else []), *image_facts(found)]
    print_facts(f.name, facts if plot is None else [*facts, ("picture", plot)])
    print()
    print_facts("for z ~ N(0, 1)", moment_facts(moments))
    return 0
