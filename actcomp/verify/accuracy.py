"""Checks of values: accuracy, subnormals, kinks, parameter gradients, and that backward is linear in dy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .case import Case
from .formats import FORMATS, round_to, to_array, to_float64, ulp
from .reference import KNOWN, error_unit
from .report import Check, hexadecimal


def accuracy(case: Case) -> Iterator[Check]:
    """f, its first and its second derivatives against the enclosures, at every sample; and apart at subnormals and
    kinks."""
    smallest = FORMATS[case.dtype].smallest_normal
    small_input = ((np.abs(case.points) < smallest) & (case.points != 0)).any(axis=1)
    for key in case.keys:
        yield case.verdict("accuracy", key, case.points, case.answers[key], case.reference)
        truth = np.abs(case.reference.quantities[key].value())
        small = small_input | ((truth < smallest) & (truth > 0))
        yield case.verdict("subnormals", key, case.points, case.answers[key], case.reference, small)
    for key in case.keys:
        if len(case.kinks):
            reference = case.reference_at(case.kinks)
            yield case.verdict("kinks", key, case.kinks, case.found(key, case.kinks), reference)
        else:
            yield Check("kinks", case.label(key), case.dtype, None)


def unselected_branches(case: Case) -> Iterator[Check]:
    """No NaN where there is a value, whatever a branch not taken or an intermediate step would give."""
    for key in case.keys:
        known = case.reference.quantities[key].status == KNOWN
        wrong = known & np.isnan(case.answers[key])
        where = case.points[int(np.argmax(wrong))] if wrong.any() else ()
        yield Check(
            "no stray NaN", case.label(key), case.dtype, not wrong.any(), int(known.sum()),
            worst_input=hexadecimal(where),
            actual="nan" if wrong.any() else "", expected="a number" if wrong.any() else "",
        )  # fmt: skip


def linear_in_dy(case: Case) -> Iterator[Check]:
    """backward(x, dy) is dy f'(x), the product adding one rounding; so it is for dy of either sign, 0, tiny and
    large."""
    if "backward" not in case.subject.variants:
        return
    rng = np.random.default_rng(case.seed + 7)
    rows = rng.permutation(len(case.points))[: max(200, case.count // 4)]
    points, length = case.points[rows], len(rows)
    tiny = FORMATS[case.dtype].tiny
    scales = rng.choice([0.0, -0.0, 1.0, -1.0, 2.0, -0.5, 1024.0, 2.0**-10, 3.0 * tiny], length)
    dy = round_to(np.where(rng.random(length) < 0.5, scales, rng.normal(0.0, 3.0, length)), case.dtype)
    reference = case.reference_at(points, order=1)
    given = to_array(dy, case.dtype)
    found = case.subject.run("backward", case.dtype, case.arrays(points), given)
    for index, symbol in enumerate(case.activation.inputs):
        actual, quantity = to_float64(found[f"d.{symbol}"]), reference.quantities[(index,)]
        with np.errstate(all="ignore"):
            product = dy * quantity.value()
            # In units of the contract: the derivative's error carried through the product, which rounds once more,
            # and the float64 product here, which is off by half an ulp where the format is float64 itself.
            allowed = case.bound * np.abs(dy) * error_unit(quantity, reference.points, case.dtype) + 1.5 * ulp(
                product, case.dtype
            )
            error = np.where(np.isnan(actual), np.inf, np.abs(actual - product) / allowed)
            # A derivative or a product near the end of the format may be infinite: not judged here.
            size = np.maximum(np.abs(product), np.abs(quantity.value()))
            judged = (quantity.status == KNOWN) & (size < FORMATS[case.dtype].largest / 2) & ~np.isnan(error)
        yield _product_check(case, "linear in dy", case.label((index,)), judged, error, points, actual, product)


def _product_check(
    case: Case, name: str, label: str, judged: Any, error: Any, points: Any, actual: Any, product: Any
) -> Check:
    if not judged.any():
        return Check(name, label, case.dtype, None)
    worst = int(np.argmax(np.where(judged, error, -1.0)))
    return Check(
        name, label, case.dtype, bool(error[worst] <= 1.0), int(judged.sum()), float(case.bound * error[worst]), None,
        hexadecimal(points[worst]), float(actual[worst]).hex(), float(product[worst]).hex(),
    )  # fmt: skip


def parameter_gradients(case: Case) -> Iterator[Check]:
    """Gradients of each parameter in backward, and in double backward those of f_i; one element at a time where they
    are summed."""
    parameters = case.activation.parameters
    limit = 2000 if case.subject.elementwise else 300
    rows = np.random.default_rng(case.seed + 9).permutation(len(case.points))[:limit]
    if not parameters or not len(rows):
        return
    points = case.points[rows]
    reference = case.reference_at(points, with_parameters=True)
    for variant in ("backward", "double_backward"):
        if variant not in case.subject.variants:
            continue
        for order in range(1 if variant == "backward" else case.arity):
            h = [float(index == order) for index in range(case.arity)] if variant == "double_backward" else None
            found = _parameter_answers(case, variant, points, h)
            for place, parameter in enumerate(parameters):
                key = (case.arity + place,) if h is None else (order, case.arity + place)
                if f"d.p.{parameter.name}" not in found:
                    yield Check("parameter gradient", case.label(key), case.dtype, None)
                    continue
                actual = found[f"d.p.{parameter.name}"]
                yield case.verdict("parameter gradient", key, points, actual, reference)


def _parameter_answers(case: Case, variant: str, points: Any, h: list[float] | None) -> dict[str, Any]:
    step = len(points) if case.subject.elementwise else 1
    columns: dict[str, list[Any]] = {}
    for start in range(0, len(points), step):
        block = points[start : start + step]
        ones = case.constant(1.0, len(block))
        given = None if h is None else [case.constant(one, len(block)) for one in h]
        for name, value in case.subject.run(variant, case.dtype, case.arrays(block), ones, given).items():
            columns.setdefault(name, []).append(np.atleast_1d(to_float64(value)))
    return {name: np.concatenate(parts) for name, parts in columns.items()}
