"""What notebooks show of a kernel."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .kernel import Kernel


def kernel_table(kernel: Kernel, compiled: Sequence[str]) -> str:
    """A table in HTML: inputs, parameters, what backward wants, what is ``compiled`` so far."""
    parameters = ", ".join(
        f"{p.name} = {p.default:g}" + ("" if p.axis is None else f" per channel, axis {p.axis}")
        for p in kernel.source.parameters
    )
    rows = [("inputs", ", ".join(kernel.inputs)), ("parameters", parameters), ("saves", kernel.saves)]
    rows.append(("compiled", ", ".join(compiled)))
    body = "".join(f"<tr><td>{key}</td><td>{html.escape(value or 'none')}</td></tr>" for key, value in rows)
    return f"<table><caption>Kernel <code>{html.escape(kernel.name)}</code></caption>{body}</table>"
