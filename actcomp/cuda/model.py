"""What a kernel would be bound by on a machine, by a model of data sheets: a prediction, not a measurement.

Time of an element is the longest of four, each as if nothing else stood in its way:

- memory: bytes read and written, at the bandwidth of the data sheet;
- issue: instructions, at four a cycle and SM for warps of 32 threads;
- single: FADD, FMUL and FFMA, at the lanes that an SM has for them;
- special: MUFU (reciprocals, roots) at 16 a cycle and SM, by the CUDA C++ Programming Guide, throughput of native
  arithmetic instructions, compute capability 8.0 and 9.0.

Left out: latency, integer units, caches, what a launch costs, and that no kernel reaches a data sheet's bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .sass import Instruction

WARPS_ISSUED, WARP, SPECIAL_LANES = 4, 32, 16
Bound = Literal["memory", "issue", "single", "special"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Figures of vendor data sheets: multiprocessors, float32 lanes of each, TFLOP/s in float32 (an fma is two), bytes
    a second. The clock follows from the peak."""

    name: str
    multiprocessors: int
    lanes: int
    teraflops: float
    bandwidth: float

    @property
    def clock(self) -> float:
        """Cycles a second at which the data sheet's peak is reached."""
        return self.teraflops * 1e12 / (2 * self.lanes * self.multiprocessors)


MACHINES = (
    Machine("A100 SXM 80 GB", 108, 64, 19.5, 2.039e12),
    Machine("H100 SXM", 132, 128, 67.0, 3.35e12),
    Machine("H200 SXM", 132, 128, 67.0, 4.8e12),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one element: instructions, those of the float32 lanes and of the special unit, bytes read and written."""

    instructions: float
    single: float
    special: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What binds, seconds an element, and the fraction of the data sheet's bandwidth that this leaves."""

    bound: Bound
    seconds: float
    fraction: float


def cost(instructions: tuple[Instruction, ...], elements: float, bytes: float) -> Cost:
    """The cost of an element where a thread's turn has these instructions for so many elements."""
    single = sum(one.name in ("FADD", "FMUL", "FFMA") for one in instructions)
    special = sum(one.name == "MUFU" for one in instructions)
    return Cost(len(instructions) / elements, single / elements, special / elements, bytes)


def predict(cost: Cost, machine: Machine) -> Prediction:
    cycles = machine.clock * machine.multiprocessors
    times: dict[Bound, float] = {
        "memory": cost.bytes / machine.bandwidth,
        "issue": cost.instructions / (WARPS_ISSUED * WARP * cycles),
        "single": cost.single / (machine.lanes * cycles),
        "special": cost.special / (SPECIAL_LANES * cycles),
    }
    bound = max(times, key=lambda name: times[name])
    return Prediction(bound, times[bound], times["memory"] / times[bound])
