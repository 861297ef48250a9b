"""From the strings of the command line to what the API takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import actcomp as ac

if TYPE_CHECKING:
    from actcomp import Activation


def read_parameters(given: Sequence[str]) -> dict[str, float] | None:
    """``["beta=1.0"]`` to ``{"beta": 1.0}``; None where nothing is given. Raises ParseError."""
    parameters: dict[str, float] = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            parameters[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.strip().isidentifier():
            raise ac.ParseError(f"--param {text!r} is no name and number", do="write --param beta=1.0")
    return parameters or None


def read_activation(expression: str, given: Sequence[str]) -> Activation:
    return ac.activation(expression, parameters=read_parameters(given))


def read_sizes(text: str) -> list[int]:
    """``"4096,65536"`` to numbers of elements. Raises ParseError."""
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise ac.ParseError(f"--sizes {text!r} is no list of numbers of elements", do="write --sizes 4096,1048576")
    return sizes


def read_window(text: str | None) -> tuple[float, float] | None:
    """``"-10,10"`` to the ends of an interval. Raises ParseError."""
    if text is None:
        return None
    try:
        low, high = (float(end) for end in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise ac.ParseError(f"--window {text!r} is no interval", do='write --window "-10,10"')
    return low, high


def read_cut(text: str | None) -> str | list[str] | None:
    """The name of a cut, or the subexpressions between the commas that stand in no parentheses."""
    if text is None:
        return None
    word = text.strip()
    if word.isalpha() and len(word) > 1 and word not in ac.CATALOG:
        return word
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def read_anchor(text: str) -> str | float:
    """A number where it is one, else the word, which the rule checks."""
    try:
        return float(text)
    except ValueError:
        return text
