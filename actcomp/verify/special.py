"""Checks of special values: NaN, the infinities, signed zeros, symmetry."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..calculus.limits import limits_at_infinity
from .case import NEUTRAL, Case
from .formats import FORMATS, round_to, ulp
from .reference import Key
from .report import Check, hexadecimal

_PROBES = np.array([-50.0, -6.5, -2.5, -1.25, -0.75, -0.5, -0.125, 0.25, 0.375, 0.625, 1.5, 2.25, 3.5, 7.5, 60.0])


def not_a_number(case: Case) -> Iterator[Check]:
    """NaN in, NaN out, for what depends on that input: f, f', f'', at any place in the array."""
    for index in range(case.arity):
        probes = np.full((len(_PROBES), case.arity), NEUTRAL)
        probes[:, index] = _PROBES
        reference = case.reference_at(probes)
        places = (0, 3, 16, 36)
        points = np.full((37, case.arity), NEUTRAL)
        points[places, index] = np.nan
        for key in case.keys:
            values = reference.quantities[key].value()
            if np.nanmax(values) == np.nanmin(values):  # constant in this input: nothing depends on it
                yield Check("NaN", _of(case, key, index), case.dtype, None)
                continue
            found = case.found(key, points)[list(places)]
            good = bool(np.isnan(found).all())
            actual = "" if good else float(found[~np.isnan(found)][0]).hex()
            yield Check(
                "NaN",
                _of(case, key, index),
                case.dtype,
                good,
                len(places),
                worst_input=("nan",),
                actual=actual,
                expected="nan",
            )


def _of(case: Case, key: Key, index: int) -> str:
    return case.label(key) if case.arity == 1 else f"{case.label(key)} at {case.activation.inputs[index]}"


def infinities(case: Case) -> Iterator[Check]:
    """At +-inf in one input: the limit of f, f' and f'', NaN where there is none (limits.py says how it is decided)."""
    function = case.oracle.function
    for index in range(case.arity):
        for sign in (1, -1):
            point = [*([NEUTRAL] * case.arity), *case.defaults]
            limits = limits_at_infinity(function, index, point, sign)
            where = np.full((1, case.arity), NEUTRAL)
            where[0, index] = sign * math.inf
            for key in case.keys:
                if any(entry != index for entry in key):
                    continue
                yield _infinity(case, key, index, where, limits[len(key)])


def _infinity(case: Case, key: Key, index: int, where: np.ndarray, limit: float | None) -> Check:
    label = _of(case, key, index)
    if limit is None:
        return Check("infinities", label, case.dtype, None, detail="limit not decided")
    found = float(case.found(key, where)[0])
    if math.isnan(limit):
        good = math.isnan(found)
    elif abs(limit) > FORMATS[case.dtype].largest:
        good = found == math.copysign(math.inf, limit)
    else:
        good = bool(abs(found - limit) <= case.bound * ulp(limit, case.dtype))
    return Check(
        "infinities",
        label,
        case.dtype,
        good,
        1,
        worst_input=hexadecimal(where[0]),
        actual=found.hex(),
        expected=limit.hex(),
    )


def symmetry(case: Case) -> Iterator[Check]:
    """Where f is odd or even, it is so bit for bit, and if odd it keeps the sign of zero. One input only.

    Which it is, the enclosures at 15 pairs of points say."""
    if case.arity != 1 or () not in case.keys:
        return
    probes = np.concatenate([_PROBES, -_PROBES])[:, None]
    quantity = case.reference_at(probes, order=0).quantities[()]
    right, left = np.split(quantity.value(), 2)
    with np.errstate(all="ignore"):
        tolerance = 2.0**-45 * np.abs(right) + 8 * quantity.radius.max()
        odd, even = ((np.abs(right + s * left) <= tolerance).all() for s in (1.0, -1.0))
    if odd == even:  # neither, or identically zero
        yield Check("symmetry", "f", case.dtype, None)
    else:
        yield _symmetric(case, (), -1.0 if odd else 1.0)


def _symmetric(case: Case, key: Key, sign: float) -> Check:
    points = np.concatenate([[0.0], round_to(case.points[:4000, 0], case.dtype)])
    right, left = case.found(key, points[:, None]), case.found(key, -points[:, None])
    same = (left == sign * right) | (np.isnan(left) & np.isnan(right))
    detail = "odd" if sign < 0 else "even"
    flat = case.reference_at([[2.0**-20] * case.arity], order=0).quantities[()].value()[0] == 0
    if sign < 0 and not flat:  # it passes through zero with the sign of its argument, or through a pole
        zero_kept = bool(np.signbit(right[0]) != np.signbit(left[0])) or math.isnan(right[0])
        same[0] = same[0] and zero_kept
    worst = int(np.argmin(same))
    good = bool(same.all())
    return Check(
        "symmetry", case.label(key), case.dtype, good, len(points),
        worst_input=() if good else hexadecimal([-points[worst]]),
        actual="" if good else float(left[worst]).hex(), expected="" if good else float(sign * right[worst]).hex(),
        detail=detail,
    )  # fmt: skip
