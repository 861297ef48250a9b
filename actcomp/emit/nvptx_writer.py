"""Lines of LLVM IR of a kernel, with loops and guarded blocks; what all NVPTX kernels are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..program.program import Program
from .llvm import Emission
from .target import Target

GLOBAL = "ptr addrspace(1)"
INTRINSICS = {
    "tid": "i32 @llvm.nvvm.read.ptx.sreg.tid.x()",
    "ctaid": "i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()",
    "ntid": "i32 @llvm.nvvm.read.ptx.sreg.ntid.x()",
    "nctaid": "i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()",
}


class Writer:
    """A function's lines. ``label`` is the block that lines go to, for the writer and all its emissions."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.lines: list[str] = []
        self.label = ""
        self._count = 0

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def compute(self, text: str) -> str:
        """A line with a result of a fresh name."""
        self._count += 1
        self.line(f"%f{self._count} = {text}")
        return f"%f{self._count}"

    def split(self, index: str, lengths: Sequence[str]) -> list[str]:
        """The index along each axis, outermost first, of the element with the number in C order; none for no axes."""
        parts = []
        for length in reversed(lengths[1:]):
            quotient = self.compute(f"udiv i64 {index}, {length}")
            whole = self.compute(f"mul i64 {quotient}, {length}")
            parts.append(self.compute(f"sub i64 {index}, {whole}"))
            index = quotient
        return [index, *reversed(parts)] if lengths else []

    def tag(self, word: str) -> str:
        self._count += 1
        return f"{word}{self._count}"

    def block(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def head(self, name: str, arguments: Sequence[str]) -> None:
        """The function's first lines, with thread numbers (i64): %tid, %lane, %first (of the block), %threads."""
        self.lines.append(f"define ptx_kernel void @{name}({', '.join(arguments)}) #0 {{")
        self.block("entry")
        for word, intrinsic in INTRINSICS.items():
            self.line(f"%{word}.i = call {intrinsic}")
            self.line(f"%{word} = zext i32 %{word}.i to i64")
        self.line("%lane = and i64 %tid, 31")
        self.line("%first = mul i64 %ctaid, %ntid")
        self.line("%threads = mul i64 %nctaid, %ntid")

    def finish(self) -> list[str]:
        self.line("ret void")
        self.lines.append("}")
        return self.lines

    @contextmanager
    def only(self, condition: str) -> Iterator[None]:
        """Lines that run where the condition holds."""
        tag = self.tag("only")
        self.line(f"br i1 {condition}, label %{tag}, label %{tag}.done")
        self.block(tag)
        yield
        self.line(f"br label %{tag}.done")
        self.block(f"{tag}.done")

    def loop(
        self,
        first: str,
        step: str,
        end: str,
        body: Callable[[str, list[str]], Sequence[str]],
        carried: Sequence[tuple[str, str]] = (),
    ) -> list[str]:
        """``for (i = first; i < end; i += step) carried = body(i, carried)``; returns the names of what is carried,
        given as (type, first value)."""
        before, tag = self.label, self.tag("loop")
        self.line(f"br label %{tag}")
        self.block(tag)
        place = len(self.lines)
        names = [f"%{tag}.c{index}" for index in range(len(carried))]
        self.line(f"%{tag}.more = icmp slt i64 %{tag}.i, {end}")
        self.line(f"br i1 %{tag}.more, label %{tag}.body, label %{tag}.end")
        self.block(f"{tag}.body")
        results = body(f"%{tag}.i", names)
        self.line(f"%{tag}.next = add i64 %{tag}.i, {step}")
        rows = [(f"%{tag}.i", "i64", first, f"%{tag}.next")]
        rows += [(name, *start, new) for name, start, new in zip(names, carried, results, strict=True)]
        self.lines[place:place] = [
            f"  {name} = phi {type} [{start}, %{before}], [{new}, %{self.label}]" for name, type, start, new in rows
        ]
        self.line(f"br label %{tag}")
        self.block(f"{tag}.end")
        return names


class Values(Emission):
    """Values of one thread, in a writer's lines; a slow path is taken if any thread of the warp needs it."""

    def __init__(self, writer: Writer, program: Program, lanes: int, prefix: str, votes: bool = True) -> None:
        self.writer, self.votes = writer, votes
        super().__init__(program, writer.target, lanes, writer.lines, prefix)

    # The emission's block is the writer's.
    @property
    def label(self) -> str:
        return self.writer.label

    @label.setter
    def label(self, label: str) -> None:
        if label:
            self.writer.label = label

    @property
    def goes_along(self) -> bool:
        return self.votes or super().goes_along

    def any_lane(self, mask: str) -> str:
        mine = super().any_lane(mask)
        if not self.votes:
            return mine
        r = self.fresh()
        self.line(f"{r} = call i1 @llvm.nvvm.vote.any.sync(i32 -1, i1 {mine})")
        return r


def module(target: Target, tables: Sequence[str], functions: Sequence[str]) -> str:
    """The text of a module. No bound on the threads of a block is named: with one, ptxas spills to fit more blocks, and
    blocks of THREADS threads have room for all the registers that a thread can name."""
    words = {"target-cpu": target.cpu, "target-features": target.features}
    attributes = " ".join(f'"{key}"="{word}"' for key, word in words.items())
    tail = [f"attributes #0 = {{ nounwind {attributes} }}", '!1 = !{!"branch_weights", i32 1, i32 4000}']
    return "\n".join([f'target triple = "{target.triple}"', *tables, *functions, *tail]) + "\n"
