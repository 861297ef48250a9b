"""What the calculus found, in words and as JSON: for ``image``, ``adversary`` and the page of all adversaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import actcomp as ac

if TYPE_CHECKING:
    from actcomp import Activation, Adversary, DerivativeImage, Moment, Moments

# An exact number with a longer formula is shown as a decimal one.
_LONGEST = 24
_DIRECTIONS = {-1: "falling", 0: "constant", 1: "rising"}
_MOMENTS = (("E f", "mean"), ("E f^2", "square"), ("E f'", "slope"), ("E f'^2", "slope_square"), ("gain", "gain"),
            ("chi", "chi"))  # fmt: skip


def number(place: Any, digits: int = 12) -> str:
    """A Place: its exact formula where that is short, else a decimal number."""
    return f"{float(place):.{digits}g}" if place.exact is None else exact(place.exact, digits)


def exact(value: Any, digits: int = 12) -> str:
    """An exact number: its formula where that is short, else a decimal number."""
    shown = str(value)
    return shown if len(shown) <= _LONGEST else f"{float(value):.{digits}g}"


def hull(image: DerivativeImage | str, digits: int = 6) -> str:
    """``[m, M]``, a round bracket where the end is only approached."""
    if isinstance(image, str):
        return f"not known: {image}"
    low, high = image.infimum, image.supremum
    left, right = "[" if low.attained else "(", "]" if high.attained else ")"
    return f"{left}{_decimal(low.place, digits)}, {_decimal(high.place, digits)}{right}"


def _decimal(place: Any, digits: int) -> str:
    if place.exact is not None and len(str(place.exact)) <= 6:
        return str(place.exact)
    return f"{float(place):.{digits}g}"


def image_facts(image: DerivativeImage) -> list[tuple[str, str]]:
    """Everything in a DerivativeImage, as names and values."""
    left, right = image.limits
    facts = [
        ("inf f'", _extremum(image.infimum)),
        ("sup f'", _extremum(image.supremum)),
        ("limits of f'", f"{_known(left)} for x -> -oo, {_known(right)} for x -> oo"),
        ("f' is", "; ".join(_monotone(image))),
        ("zeros of f", _places(image.zeros)),
        ("zeros of f'", _places(image.slope_zeros)),
        ("fixed points", _places(image.fixed_points)),
        ("symmetry", _symmetry(image)),
        ("asymptotes", f"{_asymptote(image.asymptotes[0], '-oo')}, {_asymptote(image.asymptotes[1], 'oo')}"),
        ("growth of |f|", f"{image.growth[0]} towards -oo, {image.growth[1]} towards oo"),
        ("Lipschitz constant", f"{image.lipschitz:.12g}" if image.bounded else "none: f' is unbounded"),
    ]
    if image.period is not None:
        facts.append(("period of f'", f"{image.period}; all of the above over one period"))
    if image.window is not None:
        facts.append(("window", f"({image.window[0]}, {image.window[1]})"))
    if image.symbolic is not None:
        low, high = (ac.activation(end).shown() if end.free_symbols else exact(end) for end in image.symbolic)
        held = ", ".join(f"{name} = {value:g}" for name, value in image.parameters.items())
        facts.append(("in the parameters", f"inf f' = {low}, sup f' = {high} (here {held})"))
    return [(name, value) for name, value in facts if value]


def image_json(image: DerivativeImage) -> dict[str, Any]:
    return {
        "infimum": _extremum_json(image.infimum),
        "supremum": _extremum_json(image.supremum),
        "limits": [None if limit is None else str(limit) for limit in image.limits],
        "monotone": [
            {"low": _place_json(one.low), "high": _place_json(one.high), "direction": _DIRECTIONS[one.direction]}
            for one in image.monotone
        ],
        "zeros": _places_json(image.zeros),
        "slope_zeros": _places_json(image.slope_zeros),
        "fixed_points": _places_json(image.fixed_points),
        "parity": image.parity,
        "slope_sum": _text(image.slope_sum),
        "asymptotes": [None if one is None else [str(part) for part in one] for one in image.asymptotes],
        "growth": list(image.growth),
        "lipschitz": image.lipschitz if image.bounded else None,
        "period": _text(image.period),
        "window": None if image.window is None else [str(end) for end in image.window],
        "symbolic": None if image.symbolic is None else [str(end) for end in image.symbolic],
        "parameters": image.parameters,
    }


def moments_of(f: Activation, q: float = 1.0) -> Moments | str:
    """The moments, or why there are none."""
    try:
        return ac.moments(f, q)
    except (ac.UnboundedImage, ac.UndecidedImage, ac.UnsupportedExpression) as refusal:
        return refusal.what


def pair_chi(star: Adversary) -> Moment | str:
    """chi of f and f* together, or why there is none."""
    try:
        return ac.pair_chi(star)
    except (ac.UnboundedImage, ac.UndecidedImage, ac.UnsupportedExpression) as refusal:
        return refusal.what


def image_of(f: Activation) -> DerivativeImage | str:
    """The image of the derivative, or why there is none."""
    try:
        return ac.image(f)
    except (ac.UndecidedImage, ac.UnsupportedExpression) as refusal:
        return refusal.what


def moment_facts(found: Moments | str) -> list[tuple[str, str]]:
    if isinstance(found, str):
        return [("moments", found)]
    return [(name, f"{moment.value:.12g}  (error at most {moment.error:.1e})") for name, moment in _each(found)]


def moments_json(found: Moments | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"refused": found}
    words = dict(_MOMENTS)
    return {"q": found.q} | {words[name]: moment_json(moment) for name, moment in _each(found)}


def moment_json(found: Moment | str) -> dict[str, Any]:
    return {"refused": found} if isinstance(found, str) else {"value": found.value, "error": found.error}


def _each(found: Moments) -> list[tuple[str, Any]]:
    return [(name, getattr(found, field)) for name, field in _MOMENTS]


def growth(star: Adversary) -> str:
    """Of |f*| towards both ends, and where it outgrows f."""
    left, right = star.growth
    ends = f"{left} towards both ends" if left == right else f"{left} towards -oo, {right} towards oo"
    return "; ".join([ends, *star.warnings])


def label(star: Adversary) -> str:
    """``exact`` or ``unproved``, or ``certified`` with the proved distance from the ideal."""
    if star.label != "certified":
        return star.label
    return f"certified, within {float(star.distance):.1e}"


def words_of(star: Adversary) -> dict[str, str]:
    """What the functions in the formulas of an adversary mean that are no words of the language."""
    functions = [star, *star.terms, *(term.original for term in (star, *star.terms) if term.original is not None)]
    return {name: meaning for f in functions for name, meaning in f.shown_words().items()}


def formula_lines(f: Activation, digits: int = 12) -> list[str]:
    """The formula; of a piecewise one, a line for each piece."""
    rows = f.shown_rows(digits)
    if len(rows) == 1:
        return [rows[0][0]]
    width = max(len(value) for value, _ in rows)
    return [f"{value:<{width}}  {f'for {condition}' if condition else 'elsewhere'}" for value, condition in rows]


def _extremum(one: Any) -> str:
    if not one.finite:
        return f"{one.place}, unbounded towards {_places(one.where)}"
    low, high = one.enclosure
    if one.exact is not None:
        proof = "exact"
        short = len(str(one.exact)) <= _LONGEST
        shown = number(one.place, 15)
        if short and not one.exact.is_Rational:
            shown += f" = {float(one):.15g}"
    else:
        shown, proof = f"{float(one):.15g}", f"enclosed to {float(high - low):.0e}"
    there = _places(one.where)
    return f"{shown}, {'attained at' if one.attained else 'approached towards'} x = {there} ({proof})"


def _monotone(image: DerivativeImage) -> list[str]:
    parts = [
        f"{_DIRECTIONS[one.direction]} on ({_decimal(one.low, 9)}, {_decimal(one.high, 9)})" for one in image.monotone
    ]
    return parts if len(parts) <= 8 else [*parts[:7], f"and {len(parts) - 7} more pieces"]


def _places(found: Sequence[Any] | None) -> str:
    if found is None:
        return "not all known"
    if not found:
        return "none"
    texts = [f"all of [{number(one[0])}, {number(one[1])}]" if isinstance(one, tuple) else number(one) for one in found]
    return ", ".join(texts if len(texts) <= 6 else [*texts[:5], f"and {len(texts) - 5} more"])


def _symmetry(image: DerivativeImage) -> str:
    words = [] if image.parity is None else [f"f is {image.parity}"]
    if image.slope_sum is not None:
        words.append(f"f'(x) + f'(-x) = {image.slope_sum}")
    return ", ".join(words) + " (proved)" if words else "none found"


def _asymptote(one: tuple[Any, Any] | None, end: str) -> str:
    if one is None:
        return f"none for x -> {end}"
    slope, offset = (None if part == 0 else exact(part) for part in one)
    terms = [] if slope is None else ["x" if slope == "1" else f"{slope}*x"]
    terms += [] if offset is None else [offset]
    return f"{' + '.join(terms) or '0'} for x -> {end}"


def _known(limit: Any) -> str:
    return "none" if limit is None else exact(limit)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _place_json(place: Any) -> dict[str, Any]:
    return {"value": float(place), "exact": _text(place.exact)}


def _places_json(found: Sequence[Any] | None) -> list[Any] | None:
    if found is None:
        return None
    return [[_place_json(end) for end in one] if isinstance(one, tuple) else _place_json(one) for one in found]


def _extremum_json(one: Any) -> dict[str, Any]:
    return {
        **_place_json(one.place),
        "enclosure": [str(end) for end in one.enclosure],
        "attained": one.attained,
        "where": _places_json(one.where),
    }
