"""How the tables of coefficients are written: hexadecimal floats, exact in the type that they are meant for."""

from __future__ import annotations


def hex_floats(text: str) -> tuple[float, ...]:
    """The numbers of a table, lowest power first, separated by blanks."""
    return tuple(float.fromhex(word) for word in text.split())
