"""What every family of elementary functions needs: the layout of the float types and how coefficients are written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FloatLayout:
    """A binary float type; ``magic`` added to a number below 2**(mantissa_bits - 1) rounds it to an integer."""

    width_bits: int
    mantissa_bits: int
    bias: int

    @property
    def magic(self) -> float:
        return 1.5 * 2.0**self.mantissa_bits

    @property
    def magic_bits(self) -> int:
        return (self.bias + self.mantissa_bits) << self.mantissa_bits | 1 << (self.mantissa_bits - 1)

    @property
    def one_bits(self) -> int:
        return self.bias << self.mantissa_bits

    @property
    def infinity_bits(self) -> int:
        return (2 * self.bias + 1) << self.mantissa_bits

    @property
    def nan_bits(self) -> int:
        return self.infinity_bits | 1 << (self.mantissa_bits - 1)

    @property
    def sign_bit(self) -> int:
        return 1 << (self.width_bits - 1)

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)


LAYOUT = {"f32": FloatLayout(32, 23, 127), "f64": FloatLayout(64, 52, 1023)}


def hex_floats(text: str) -> tuple[float, ...]:
    """The numbers of a table, lowest power first, separated by blanks."""
    return tuple(float.fromhex(word) for word in text.split())
