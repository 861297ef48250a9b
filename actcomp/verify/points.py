"""Where an activation is hard: kinks, regime borders, zeros of f, f' and f'', overflow and underflow, and samples
around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from .. import functions as fn
from ..calculus.balls import BallFunction, OutsideDomain, Singular, Unresolved, derivatives
from .formats import Format, format_of, from_bits, landmarks, neighbourhood, round_to, step

# Where signs are looked at: steps of 0.05 up to 12, which separates the zeros of anything that is used as an
# activation, then powers of 2**(1/4) to the end of float32, then of 2**8 to the end of float64.
_NEAR = np.arange(1, 241) * 0.05
_GRID = np.unique(np.concatenate([_NEAR, 2.0 ** np.arange(-160, 130, 0.25), 2.0 ** np.arange(-1070, 1024, 8.0)]))
MAX_ZEROS = 16
GRID = np.concatenate([-_GRID[::-1], [0.0], _GRID])


def border_expressions(expression: sp.Expr) -> list[sp.Expr]:
    """Expressions whose zeros are kinks or regime borders: what abs, sign and powers are taken of, the two sides of
    comparisons."""
    borders: list[sp.Expr] = []
    for node in sp.preorder_traversal(expression):
        if isinstance(node, (sp.Abs, sp.sign, sp.log)):
            borders.append(node.args[0])
        elif isinstance(node, (fn.maximum, fn.minimum)) or isinstance(node, sp.core.relational.Relational):
            borders.append(node.args[0] - node.args[1])
        elif isinstance(node, sp.Pow) and not (node.exp.is_Integer and node.exp > 0):
            borders.append(node.base)
        elif isinstance(node, (sp.tanh, sp.erf, sp.erfc, sp.exp, fn.RealFunction)):
            borders.append(node.args[0])
    return [border for border in dict.fromkeys(borders) if border.free_symbols]


def hard_points(expression: sp.Expr, symbol: sp.Symbol, values: Mapping[sp.Symbol, float] | None = None) -> list[float]:
    """Points in ``symbol`` near which rounding is most visible, each the float64 next to a border; ``values`` fixes
    the others.

    Kinks and regime borders, zeros of f, f' and f'', and where |f| passes the largest number, the smallest normal one
    and the smallest subnormal of float32, float64 and float16. Found by signs on a grid and bisection: a hint for
    sampling, no proof.
    """
    others = dict(values or {})
    symbols, tail = (symbol, *others), [others[other] for other in others]
    found: set[float] = {0.0}
    for border in border_expressions(expression):
        if symbol in border.free_symbols:
            found.update(_sign_changes(_Probe(border, symbols, tail, 0), [(0, 0.0)]))
    thresholds = (2.0**128, 2.0**-126, 2.0**-149, 65520.0, 2.0**-14, 2.0**-25, 2.0**-1022, 1.5 * 2.0**1023)
    questions = [(order, 0.0) for order in range(3)] + [(0, threshold) for threshold in thresholds]
    found.update(_sign_changes(_Probe(expression, symbols, tail, 2), questions))
    return sorted(found)


class _Probe:
    """f and its derivatives in the first symbol at a point, roughly, or None where they do not exist."""

    def __init__(self, expression: sp.Expr, symbols: Sequence[sp.Symbol], tail: Sequence[float], order: int) -> None:
        self.function = BallFunction(expression, symbols)
        self.tail, self.terms = tail, order + 1
        self.direction = [[1] + [0] * len(tail)]

    def __call__(self, x: float) -> Sequence[Any] | None:
        try:
            return self.function.enclose(
                [x, *self.tail], self.direction, self.terms, lambda rows: derivatives(rows[0]), 4
            )
        except (OutsideDomain, Singular, Unresolved):
            return None


def _sign(balls: Sequence[Any] | None, question: tuple[int, float]) -> int | None:
    """The sign of the derivative of that order, or of |f| - threshold."""
    if balls is None:
        return None
    order, threshold = question
    ball = abs(balls[order]) - threshold if threshold else balls[order]
    return 1 if ball > 0 else -1 if ball < 0 else 0


def _sign_changes(probe: _Probe, questions: Sequence[tuple[int, float]]) -> list[float]:
    """float64 numbers beside which a sign changes, or the value begins to exist: from the grid, by bisection.

    Of each question at most MAX_ZEROS, those nearest to 0."""
    values = [probe(x) for x in GRID.tolist()]
    found: list[float] = []
    for question in questions:
        signs = [_sign(balls, question) for balls in values]
        cells = [i for i in range(len(GRID) - 1) if signs[i] != signs[i + 1]]
        cells.sort(key=lambda i: abs(GRID[i] + GRID[i + 1]))
        for i in cells[:MAX_ZEROS]:
            found.append(_bisect(probe, question, float(GRID[i]), float(GRID[i + 1]), signs[i]))
    return found


def _bisect(probe: _Probe, question: tuple[int, float], left: float, right: float, at_left: int | None) -> float:
    low, high = _rank(left), _rank(right)
    while high - low > 1:
        middle = (low + high) // 2
        if _sign(probe(_unrank(middle)), question) == at_left:
            low = middle
        else:
            high = middle
    return _unrank(high)


def _rank(x: float) -> int:
    bits = int(np.float64(abs(x)).view(np.int64))
    return -bits if x < 0 else bits


def _unrank(rank: int) -> float:
    magnitude = float(np.int64(abs(rank)).view(np.float64))
    return -magnitude if rank < 0 else magnitude


def samples(dtype: str, hard: Sequence[float], count: int, seed: int) -> Any:
    """``count`` finite numbers of the format as float64: landmarks and neighbourhoods of the hard points first (a
    quarter at most each, chosen at random where there are more), then normal ones, uniform ones in [-30, 30], and
    random bit patterns. With 1,000 or more, besides, one number in every stretch of 1/50 from -12 to 12, so that no
    wider fault there stays unseen."""
    rng = np.random.default_rng(seed)
    form = format_of(dtype)
    around = neighbourhood(hard, dtype, reach=24) if len(hard) else np.zeros(0)
    parts = [_limited(part[np.isfinite(part)], count // 4, rng) for part in (landmarks(dtype), around)]
    rest = count - sum(map(len, parts))
    third = rest // 3
    parts.append(round_to(rng.normal(0.0, 4.0, third), dtype))
    parts.append(round_to(rng.uniform(-30.0, 30.0, third), dtype))
    parts.append(_random_bits(form, rest - 2 * third, rng))
    if count >= 1_000:
        strata = np.arange(-600, 600)
        parts.append(round_to((strata + rng.random(len(strata))) / 50, dtype))
    return np.concatenate(parts)


def _limited(values: Any, count: int, rng: np.random.Generator) -> Any:
    return values if len(values) <= count else rng.choice(values, count, replace=False)


def _random_bits(form: Format, count: int, rng: np.random.Generator) -> Any:
    bits = rng.integers(0, (1 << form.width_bits) - 1, count, dtype=np.uint64, endpoint=True)
    values = from_bits(bits, form.name)
    finite = np.isfinite(values)
    return np.where(finite, values, form.largest)


def kink_points(expression: sp.Expr, symbol: sp.Symbol, values: Mapping[sp.Symbol, float], dtype: str) -> list[float]:
    """Numbers of the format that lie exactly on a kink: where what abs, sign, max, min or a condition compares is
    equal."""
    symbols, tail = (symbol, *values), list(values.values())
    found: set[float] = set()
    for node in sp.preorder_traversal(expression):
        if isinstance(node, (sp.Abs, sp.sign)):
            border = node.args[0]
        elif isinstance(node, (fn.maximum, fn.minimum, sp.core.relational.Relational)):
            border = node.args[0] - node.args[1]
        else:
            continue
        if symbol not in border.free_symbols:
            continue
        probe = _Probe(border, symbols, tail, 0)
        for place in [0.0, *_sign_changes(probe, [(0, 0.0)])]:
            for candidate in {place, float(step(place, -1, "f64")), float(step(place, 1, "f64"))}:
                balls = probe(candidate)
                if balls is not None and balls[0].is_zero() and float(round_to(candidate, dtype)) == candidate:
                    found.add(candidate)
    return sorted(found)
