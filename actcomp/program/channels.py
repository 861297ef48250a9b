"""A Program whose parameters have a value for each channel."""

from __future__ import annotations

from dataclasses import replace

from .program import Program


def per_channel(program: Program, names: frozenset[str], rows: bool = False) -> Program:
    """The Program with ``p.<name>`` of the names as element inputs, and ``d.p.<name>`` as element outputs, or, for
    ``rows`` (emit/entry.py), still as sums."""
    inputs = tuple(
        replace(i, role="element") if i.name[:2] == "p." and i.name[2:] in names else i for i in program.inputs
    )
    if rows:
        return replace(program, inputs=inputs)
    outputs = tuple(
        replace(o, reduction="element") if o.name[:4] == "d.p." and o.name[4:] in names else o
        for o in program.outputs
    )
    return replace(program, inputs=inputs, outputs=outputs)
