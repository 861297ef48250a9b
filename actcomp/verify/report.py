"""Report: what verify found, as a table in a terminal or a notebook, as JSON, as one truth value."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Check:
    """One question asked of one variant in one dtype.

    ``passed`` is None where the question does not arise (no parameter, not odd, nothing of the kind given); ``count``
    is how many inputs answered it. ``worst`` is the largest mixed error, ``worst_ulps`` the largest error in ulp of
    the result, ``worst_input`` where the former is, ``actual`` and ``expected`` what was found and due there: numbers
    in hexadecimal, so that they can be put in again.
    """

    name: str
    subject: str
    dtype: str
    passed: bool | None
    count: int = 0
    worst: float | None = None
    worst_ulps: float | None = None
    worst_input: tuple[str, ...] = ()
    actual: str = ""
    expected: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """All checks of one activation. True as a condition if it passed."""

    name: str
    expression: str
    checks: tuple[Check, ...]
    seed: int
    bound: float

    @property
    def passed(self) -> bool:
        """No check failed, and at least one was answered."""
        answers = [check.passed for check in self.checks if check.passed is not None]
        return bool(answers) and all(answers)

    def __bool__(self) -> bool:
        return self.passed

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.passed is False)

    def worst(self, subject: str, dtype: str) -> Check | None:
        """The accuracy check of "f", "f'" or "f''" in a dtype."""
        found = [c for c in self.checks if c.subject == subject and c.dtype == dtype and c.name == "accuracy"]
        return found[0] if found else None

    def to_json(self) -> str:
        """Everything, as a JSON object; infinities and NaN as strings."""
        fields = {**asdict(self), "passed": self.passed}
        return json.dumps(_plain(fields), indent=1)

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for check in self.checks:
            if check.passed is None:
                continue
            where = ", ".join(check.worst_input)
            verdict = "ok" if check.passed else "FAILED"
            numbers = (_short(check.worst), _short(check.worst_ulps))
            found = f"got {check.actual}, due {check.expected}" if check.actual and not check.passed else ""
            note = "; ".join(part for part in (check.detail, found) if part)
            rows.append((check.name, check.subject, check.dtype, verdict, str(check.count), *numbers, where, note))
        return rows

    def __str__(self) -> str:
        titles = ("check", "of", "dtype", "", "inputs", "mixed", "ulps", "worst at", "")
        rows = [titles, *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        verdict = "passed" if self.passed else f"FAILED: {len(self.failures)} of {len(rows) - 1} checks"
        head = f"{self.name}: {self.expression}\n{verdict} (bound {self.bound:g}, seed {self.seed})"
        return "\n".join([head, *lines]) + "\n"

    def _repr_html_(self) -> str:
        titles = ("check", "of", "dtype", "", "inputs", "mixed", "ulps", "worst at", "")
        body = []
        for row in self._rows():
            colour = "" if row[3] == "ok" else ' style="background:#fdd"'
            body.append(f"<tr{colour}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
        head = "".join(f"<th>{title}</th>" for title in titles)
        verdict = "passed" if self.passed else "FAILED"
        return f"<p><b>{html.escape(self.name)}</b>: {verdict}</p><table><tr>{head}</tr>" + "".join(body) + "</table>"


def _short(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:.3f}" if abs(number) < 1000 else f"{number:.2e}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def hexadecimal(numbers: Sequence[float]) -> tuple[str, ...]:
    """The numbers as float.fromhex reads them."""
    return tuple(float(number).hex() for number in numbers)
