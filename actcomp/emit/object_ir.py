"""A module whose functions have the C signatures of c_source.py, around the blocks of block.py."""

from __future__ import annotations

from collections.abc import Mapping

from ..program.interpreter import SUM_RUN
from ..program.program import Program
from .block import emit_together
from .interface import element_inputs, element_outputs, sum_outputs, uniform_inputs
from .target import Target

_TYPE = {"f32": "float", "f64": "double"}


def emit_object(programs: Mapping[str, Program], target: Target) -> str:
    """LLVM IR of the module; it needs memcpy, and fma of libm where the target has no such instruction."""
    text = emit_together({f"{name}.block": program for name, program in programs.items()}, target)
    for name in programs:
        text = text.replace(f"define void @{name}.block(", f"define internal void @{name}.block(")
    return text + "\n".join(_wrapper(name, program) for name, program in programs.items()) + "\n"


def _wrapper(name: str, program: Program) -> str:
    inputs, outputs = element_inputs(program), element_outputs(program)
    uniforms, sums = uniform_inputs(program), sum_outputs(program)
    arguments = [f"ptr %x{k}" for k in range(len(inputs))]
    arguments += [f"{_TYPE[entry.type]} %u{k}" for k, entry in enumerate(uniforms)]
    arguments += [f"ptr %y{k}" for k in range(len(outputs))]
    arguments += [f"ptr %s{k}" for k in range(len(sums))]
    lines = [f"define void @{name}({', '.join([*arguments, 'i64 %n'])}) #0 {{", "entry:"]
    pointers = [f"%x{k}" for k in range(len(inputs))]
    for k, entry in enumerate(uniforms):
        lines += [f"  %v{k} = alloca {_TYPE[entry.type]}", f"  store {_TYPE[entry.type]} %u{k}, ptr %v{k}"]
        pointers.append(f"%v{k}")
    pointers += [f"%y{k}" for k in range(len(outputs))]
    lines.append(f"  %pointers = alloca [{len(pointers) + len(sums)} x ptr]")
    for k, pointer in enumerate(pointers):
        lines += [f"  %p{k} = getelementptr ptr, ptr %pointers, i64 {k}", f"  store ptr {pointer}, ptr %p{k}"]
    if not sums:
        return "\n".join([*lines, f"  call void @{name}.block(ptr %pointers, i64 0, i64 %n)", "  ret void", "}"])
    for k in range(len(sums)):
        lines += [f"  %t{k} = alloca double", f"  store double 0.0, ptr %s{k}"]
        lines.append(f"  %q{k} = getelementptr ptr, ptr %pointers, i64 {len(pointers) + k}")
    lines += ["  br label %head", "head:", "  %run = phi i64 [0, %entry], [%next, %body]"]
    lines += [f"  %begin = mul i64 %run, {SUM_RUN}", "  %some = icmp slt i64 %begin, %n"]
    lines += ["  br i1 %some, label %body, label %exit", "body:", f"  %full = add i64 %begin, {SUM_RUN}"]
    lines += ["  %end = call i64 @llvm.smin.i64(i64 %full, i64 %n)", "  %back = sub i64 0, %run"]
    for k in range(len(sums)):  # the block writes to item ``run``, which is to be the one double there is
        lines += [f"  %b{k} = getelementptr double, ptr %t{k}, i64 %back", f"  store ptr %b{k}, ptr %q{k}"]
    lines.append(f"  call void @{name}.block(ptr %pointers, i64 %begin, i64 %end)")
    for k in range(len(sums)):
        lines += [f"  %part{k} = load double, ptr %t{k}", f"  %old{k} = load double, ptr %s{k}"]
        lines += [f"  %sum{k} = fadd double %old{k}, %part{k}", f"  store double %sum{k}, ptr %s{k}"]
    return "\n".join([*lines, "  %next = add i64 %run, 1", "  br label %head", "exit:", "  ret void", "}"])
