"""Target: the machine that code is emitted for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """LLVM's names of a machine: triple, CPU, features (``+avx2,-fma``); ``kind`` picks the frame around the values.

    ``lanes`` forces the number of elements computed at once (tests do); 0 leaves the choice to the frame."""

    triple: str
    cpu: str
    features: str = ""
    kind: str = "cpu"
    lanes: int = 0

    @property
    def architecture(self) -> str:
        """x86_64, aarch64, nvptx64 or another first word of the triple."""
        first = self.triple.split("-")[0]
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(first, first)

    def has(self, feature: str) -> bool:
        """Whether the feature is switched on by name (what the CPU's name alone implies is not seen)."""
        return f"+{feature}" in self.features.split(",")

    @property
    def widens_half(self) -> bool:
        """Whether conversions between f16 and f32 are instructions: else LLVM calls a library that may not be there."""
        return self.has("f16c") if self.architecture == "x86_64" else self.architecture in ("aarch64", "nvptx64")
