"""``adversary --all``: docs/adversaries.md, the adversaries of the whole catalog by every rule, and their pictures."""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import actcomp as ac

from .describe import formula_lines, growth, hull, image_of, pair_chi, words_of
from .screen import Steps, progress

if TYPE_CHECKING:
    from actcomp import Activation, Adversary

PAGE = "adversaries.md"
FOLDER = "adversaries"
DIGITS = 6
RULES = {
    "global": ("reflect", "reciprocal", "inverse", "negate"),
    "split": ("reflect", "reciprocal", "inverse"),
}
_INTRODUCTION = """\
# Adversaries of the catalog

Written by `python -m actcomp adversary --all`; a test writes it again and compares. Nothing is sampled: images are
exact or enclosed, and the derivative of every adversary is compared with its rule on each piece, in ball arithmetic.
Numbers are rounded to {digits} digits for reading; `python -m actcomp adversary NAME --rule RULE --json` has them in
full. The anchor is "auto", eps is 0.1, parameters are at their defaults.

Pictures: f dark, f\\* orange; on the right the derivatives, dashed, with their images shaded.

- **label**: exact: a closed form; certified: where there is none, polynomials that are proved to be as near as stated.
- **image**: of the derivative; a round bracket where an end is approached only.
- **growth**: of |f\\*| towards -oo and oo, with a warning where it exceeds that of f.
- **alternating**: the form f\\*(x) = ±f(±x), if one is proved, and what that means.
- **chi**: what a layer of f and one of f\\* together multiply gradients by, both with the gain that keeps the variance
  of z ~ N(0, 1).
"""
_GLOBAL = """
## f' opposed as a whole: mode="global"

| f | rule | f\\* | picture | label | image of f' | image of f\\*' | growth | alternating | chi |
|---|---|---|---|---|---|---|---|---|---|
"""
_SPLIT = """
## Each term opposed: mode="split"

f(x) = R(t1(x), ..., tk(x)) by the catalog's cut, F\\*(x1, ..., xk) = R(t1\\*(x1), ..., tk\\*(xk)). Growth is that of
F\\*(x, ..., x); chi is of gates whose inputs are independent. A picture has a row for each term.

| f | rule | terms, adversaries | picture | label | images of t' | images of t\\*' | growth | alternating | chi |
|---|---|---|---|---|---|---|---|---|---|
"""

Draw = Callable[["Adversary", str], None]


@dataclass(frozen=True)
class _Row:
    name: str
    mode: str
    rule: str

    @property
    def picture(self) -> str:
        return f"{self.name}-{self.rule}{'-split' if self.mode == 'split' else ''}.png"


def write_page(folder: str) -> int:
    """Writes the page and its pictures, if matplotlib is there, into the folder. Raises ArgumentError."""
    root = Path(folder)
    if not (root.is_dir() and os.access(root, os.W_OK)):
        raise ac.ArgumentError(f"--output {folder!r} is no folder that can be written to", do="make it first")
    if importlib.util.find_spec("matplotlib") is None:
        raise ac.ArgumentError("the page has pictures, for which matplotlib is missing", do="pip install matplotlib")
    from .pictures import plot_small

    pictures = root / FOLDER
    pictures.mkdir(exist_ok=True)
    drawn = set()

    def draw(star: Adversary, name: str) -> None:
        plot_small(star, str(pictures / name))
        drawn.add(name)

    count = len(list(_rows()))
    with progress(count, timed=False) as step:
        text = page_text(draw, step)
    for old in pictures.glob("*.png"):
        if old.name not in drawn:
            old.unlink()
    (root / PAGE).write_text(text, encoding="utf-8")
    print(f"{root / PAGE}: {count} rows, {len(drawn)} pictures in {pictures}")
    return 0


def page_text(draw: Draw | None = None, step: Steps = lambda name: None) -> str:
    """The page; ``draw`` gets each adversary and the name of its picture."""
    tables = {"global": [_GLOBAL], "split": [_SPLIT]}
    outcomes: dict[tuple[str, str], Counter[str]] = {}
    words: dict[str, str] = {}
    for row in _rows():
        step(f"{row.name} {row.rule} {row.mode}")
        outcome, cells = _cells(row, draw, words)
        outcomes.setdefault((row.mode, row.rule), Counter())[outcome] += 1
        tables[row.mode].append(f"| {' | '.join(cells)} |\n")
    head = [_INTRODUCTION.format(digits=DIGITS), _glossary(words), _summary(outcomes)]
    return "".join([*head, *tables["global"], *tables["split"]])


def _glossary(words: Mapping[str, str]) -> str:
    """The functions that are no words of the language: each is computed as one, since its definition would cancel."""
    meanings = (f"`{name}` = `{meaning}`" for name, meaning in sorted(words.items()))
    return f"- **functions** that are computed as one, without cancellation: {', '.join(meanings)}.\n"


def _summary(outcomes: Mapping[tuple[str, str], Counter[str]]) -> str:
    """How many of the catalog each rule opposes, by closed forms or certified, and how many it refuses."""
    lines = ["\n| mode | rule | exact | certified | refused |\n|---|---|---|---|---|\n"]
    for (mode, rule), counts in outcomes.items():
        refused = [f"{count} {name}" for name, count in sorted(counts.items()) if name not in ("exact", "certified")]
        lines.append(f"| {mode} | {rule} | {counts['exact']} | {counts['certified']} | {', '.join(refused) or 0} |\n")
    return "".join(lines)


def _rows() -> Iterator[_Row]:
    for mode, rules in RULES.items():
        for name in ac.CATALOG:
            if len(ac.activation(name).inputs) == 1:
                for rule in rules:
                    yield _Row(name, mode, rule)


def _cells(row: _Row, draw: Draw | None, words: dict[str, str]) -> tuple[str, Sequence[str]]:
    """The label or the name of the refusal, and the row of the table; ``words`` gets what its functions mean."""
    try:
        star = ac.adversary(row.name, rule=row.rule, mode=row.mode)
    except ac.ActcompError as refusal:
        advice = f" Do: {_short(refusal.do)}." if refusal.do else ""
        reason = f"refused, {type(refusal).__name__}: {_short(refusal.what)}.{advice}"
        return type(refusal).__name__, (_code(row.name), row.rule, reason, *[""] * 7)
    words.update(words_of(star))
    if draw is not None:
        draw(star, row.picture)
    chi = pair_chi(star)
    formulas = _pair_lines(star) if star.mode == "split" else _formula(star)
    pairs = [(term.original, term) for term in star.terms] or [(star.original, star)]
    cells = (
        _code(row.name),
        row.rule,
        "<br>".join(formulas),
        f'<img src="{FOLDER}/{row.picture}" width="320" alt="{row.name}, {row.rule}, {row.mode}">',
        _label(star),
        _images([one for one, _ in pairs]),
        _images([two for _, two in pairs]),
        _prose(growth(star)),
        _alternating(star),
        _short(chi) if isinstance(chi, str) else f"{chi.value:.{DIGITS}g}",
    )
    return star.label, cells


def _formula(star: Adversary) -> list[str]:
    lines = [_code(" ".join(line.split())) for line in formula_lines(star, DIGITS)]
    return [*lines, *(f"({table.name}: {_code(str(table.ideal))})" for table in star.tables)]


def _pair_lines(star: Adversary) -> list[str]:
    """The rule, then of each term itself and its adversary."""
    parted = star.decomposition
    assert parted is not None
    lines = [f"R = {_code(str(parted.rule))}"]
    for symbol, term in zip(parted.rule_symbols, star.terms, strict=True):
        if term.original is not None:
            lines.append(f"{symbol} = {_code(term.original.shown(DIGITS))}")
        lines.append(f"{symbol}\\* = {'<br>'.join(_formula(term))}<br>{_alternating(term)}")
    return lines


def _images(functions: Sequence[Activation | None]) -> str:
    found = (image_of(f) for f in functions if f is not None)
    return "<br>".join(_short(hull(one, DIGITS)) for one in found)


def _label(star: Adversary) -> str:
    if star.label != "certified":
        return star.label
    return f"certified, within 1e{math.ceil(math.log10(star.distance))}"


def _alternating(star: Adversary) -> str:
    """The sign form, and the sentence that tells what alternating changes."""
    form = star.sign_symmetric or ""
    if form and star.reason.startswith(form):
        return _code(form) + _prose(star.reason.removeprefix(form))
    return f"{_code(form)}: {_prose(star.reason)}" if form else _prose(star.reason)


def _prose(text: str) -> str:
    """Words of a table: an asterisk is one, and no emphasis."""
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*")


def _code(text: str) -> str:
    return f"`{text}`"


def _short(text: str) -> str:
    """A message in a table, its decimal numbers rounded."""
    rounded = re.sub(r"-?\d+\.\d{7,}(e-?\d+)?", lambda number: f"{float(number.group()):.{DIGITS}g}", text)
    return _prose(rounded)
