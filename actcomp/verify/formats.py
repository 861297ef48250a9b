"""The float formats as numbers: conversion to and from float64, the unit in the last place, neighbours, hard floats.

Everywhere in verify an array of samples is float64 holding values of the format exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError


@dataclass(frozen=True)
class Format:
    """An IEEE-754 binary format: significand bits (the hidden one counted), exponents of the largest and smallest
    numbers."""

    name: str
    significand_bits: int
    exponent_max: int
    width_bits: int

    @property
    def exponent_tiny(self) -> int:
        """The smallest subnormal is 2 to this."""
        return 2 - self.exponent_max - self.significand_bits

    @property
    def largest(self) -> float:
        return float(np.ldexp(2.0 - 2.0 ** (1 - self.significand_bits), self.exponent_max))

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.exponent_max)

    @property
    def tiny(self) -> float:
        return 2.0**self.exponent_tiny


FORMATS = {
    "f64": Format("f64", 53, 1023, 64),
    "f32": Format("f32", 24, 127, 32),
    "f16": Format("f16", 11, 15, 16),
    "bf16": Format("bf16", 8, 127, 16),
}


def format_of(dtype: str) -> Format:
    """The format by name. Raises DTypeError for another."""
    if dtype not in FORMATS:
        raise DTypeError(f"{dtype!r} is no float format", do=f"use one of {', '.join(FORMATS)}")
    return FORMATS[dtype]


def ulp(value: Any, dtype: str) -> Any:
    """Spacing of the format at |value|, the smallest subnormal near 0; beyond the largest number that of its binade.
    float64."""
    form = format_of(dtype)
    exponent = np.frexp(np.abs(np.asarray(value, dtype=np.float64)))[1]
    exponent = np.where(np.isfinite(value), exponent, form.exponent_max + 1)
    exponent = np.where(np.asarray(value) == 0, form.exponent_tiny, exponent - form.significand_bits)
    return np.ldexp(1.0, np.clip(exponent, form.exponent_tiny, form.exponent_max + 1 - form.significand_bits))


def from_bits(bits: Any, dtype: str) -> Any:
    """float64 values of the bit patterns (unsigned integers)."""
    form = format_of(dtype)
    bits = np.asarray(bits)
    with np.errstate(all="ignore"):  # a signalling NaN is quietened
        if dtype == "bf16":
            return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
        return bits.astype(f"u{form.width_bits // 8}").view(f"f{form.width_bits // 8}").astype(np.float64)


def round_to(values: Any, dtype: str) -> Any:
    """float64 values rounded once, to nearest even, to the format."""
    values = np.asarray(values, dtype=np.float64)
    if dtype == "f64":
        return values
    with np.errstate(all="ignore"):
        if dtype == "f32":
            return values.astype(np.float32).astype(np.float64)
        if dtype == "f16":
            return values.astype(np.float16).astype(np.float64)
        unit = ulp(values, dtype)
        rounded = np.rint(values / unit) * unit
        rounded = np.where(np.abs(rounded) > format_of(dtype).largest, np.copysign(np.inf, values), rounded)
        return np.where(np.isfinite(values), np.copysign(rounded, values), values)


def all_values(dtype: str) -> Any:
    """Every bit pattern of a 16-bit format, NaNs and infinities included, as float64."""
    return from_bits(np.arange(1 << 16, dtype=np.uint32), dtype)


def step(values: Any, count: Any, dtype: str) -> Any:
    """The number ``count`` places above each value in the format (below where negative), stopping at the infinities."""
    form = format_of(dtype)
    position = _position(values, form) + np.asarray(count, dtype=np.int64)
    edge = _position(np.array(np.inf), form)
    position = np.clip(position, -edge, edge)
    magnitude = from_bits(np.abs(position).astype(np.uint64), dtype)
    return np.where(position < 0, -magnitude, magnitude)


def _position(values: Any, form: Format) -> Any:
    """The values' place on the line of all floats of the format: 0 at zero, 1 at the smallest subnormal."""
    values = np.asarray(values, dtype=np.float64)
    if form.name == "f64":
        magnitude = np.abs(values).view(np.int64)
    elif form.name == "f16":
        magnitude = np.abs(values).astype(np.float16).view(np.int16).astype(np.int64)
    else:
        magnitude = np.abs(values).astype(np.float32).view(np.int32).astype(np.int64)
        magnitude = magnitude >> 16 if form.name == "bf16" else magnitude
    return np.where(np.signbit(values), -magnitude, magnitude)


def to_array(values: Any, dtype: str) -> Any:
    """A NumPy array of the format from float64 samples; bf16 needs ml_dtypes.

    Raises DTypeError if ml_dtypes is not installed."""
    if dtype != "bf16":
        return np.asarray(values, dtype=np.float64).astype(
            {"f64": np.float64, "f32": np.float32, "f16": np.float16}[dtype]
        )
    return bf16_bits(values).view(bfloat16())


def bf16_bits(values: Any) -> Any:
    """uint16 bit patterns of float64 values that bfloat16 holds exactly."""
    single = np.ascontiguousarray(values, dtype=np.float64).astype(np.float32)
    return (single.view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def bfloat16() -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ImportError:
        raise DTypeError("NumPy has no bfloat16 of its own", do="pip install ml_dtypes, or leave bf16 out") from None
    return np.dtype(ml_dtypes.bfloat16)


def to_float64(array: Any) -> Any:
    """float64 values of an array of any of the formats."""
    with np.errstate(all="ignore"):
        return np.asarray(array).astype(np.float64)


def neighbourhood(points: Iterable[float], dtype: str, reach: int = 8) -> Any:
    """Floats of the format at and around each point: the nearest ``reach`` on either side, then at doubling
    distances."""
    form = format_of(dtype)
    base = round_to(np.array([p for p in points if np.isfinite(p)], dtype=np.float64), dtype)
    far = 2 ** np.arange(4, form.significand_bits + 2, dtype=np.int64)
    counts = np.concatenate([np.arange(-reach, reach + 1), far, -far])
    return step(base[:, None], counts[None, :], dtype).reshape(-1)


def landmarks(dtype: str) -> Any:
    """Zeros of either sign, subnormals, the border of the normal numbers, powers of two and their neighbours, the
    largest."""
    form = format_of(dtype)
    powers = np.ldexp(1.0, np.arange(form.exponent_tiny, form.exponent_max + 1))
    powers = step(powers[:, None], np.arange(-1, 2)[None, :], dtype).reshape(-1)
    edges = np.array([form.largest, form.smallest_normal, form.tiny, 3 * form.tiny])
    subnormal = form.tiny * np.unique(np.geomspace(1, 2.0 ** (form.significand_bits - 1) - 1, 40).astype(np.int64))
    positive = np.concatenate([powers, edges, step(edges, -1, dtype), subnormal])
    positive = positive[np.isfinite(positive)]
    return np.concatenate([[0.0, -0.0], positive, -positive])
