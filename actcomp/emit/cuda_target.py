"""The CUDA machines that LLVM is asked for: it ends the process on a PTX version too low, and ignores what it does not
know, so that nothing but these rows is passed on."""

from __future__ import annotations

from .target import Target

# compute capability -> the first PTX version that has it
PTX_VERSION = {
    (7, 5): 63, (8, 0): 70, (8, 6): 71, (8, 9): 78, (9, 0): 78, (10, 0): 86, (12, 0): 87,
}  # fmt: skip
OLDEST = min(PTX_VERSION)


def cuda_target(capability: tuple[int, int]) -> Target:
    """The newest machine known that a device of the compute capability can run. Raises ValueError below OLDEST."""
    known = [row for row in PTX_VERSION if row <= capability]
    if not known:
        raise ValueError(f"compute capability {capability[0]}.{capability[1]} is older than {OLDEST[0]}.{OLDEST[1]}")
    major, minor = best = max(known)
    return Target("nvptx64-nvidia-cuda", f"sm_{major}{minor}", f"+ptx{PTX_VERSION[best]}", kind="nvptx")
