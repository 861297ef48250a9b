"""The machine code that XLA calls, as LLVM IR: a typed FFI handler that runs one kernel. No Python, no lock.

    XLA_FFI_Error *handler(XLA_FFI_CallFrame *frame)

It is loaded once for each kernel, each time with a *table* of its own, filled in by target.py:

    0 record (emit/driver.py)   1 work   2 plan   3 total   4 the driver's settings   5 minor version

Arguments of the call are the element inputs and the uniform inputs of the Program, each in its order; results are the
element outputs, then one scalar for each sum, float32 or float64. Layouts are dense. All numbers of bytes below are
those of xla/ffi/api/c_api.h, version 0.1 to 0.3, on machines with pointers of 64 bits; versions 0.x only append. XLA
asks for the version by an extension of the frame; the answer is the one that jaxlib's header has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..emit.target import Target
from ..program.interpreter import SUM_RUN
from .share_ir import SHARE_TEXT, share_values

TABLE_WORDS = 6
VERSION = (0, 3)  # of the interface described above

_MEMORY, _ARGUMENTS = 8, 3  # XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, INVALID_ARGUMENT


def handler_text(target: Target) -> str:
    """The module's text."""
    values = {"RUN": SUM_RUN, "WORDS": TABLE_WORDS, "MEMORY": _MEMORY, "ARGUMENTS": _ARGUMENTS}
    return module_text(SHARE_TEXT + _TEXT, {**values, **share_values(target)}, target)


def module_text(text: str, values: Mapping[str, object], target: Target) -> str:
    """A module of handlers: ``text`` with values for the names in angle brackets, spelled out."""
    for name, value in values.items():
        text = text.replace(f"<{name}>", str(value))
    attributes = f'nounwind "target-cpu"="{target.cpu}" "target-features"="{target.features}"'
    body = "\n".join(_spelled(text))
    return f'target triple = "{target.triple}"\n{body}\nattributes #0 = {{ {attributes} }}\n'


_FIELD = re.compile(r"  (\S+) = field (\w+) (\S+) (\d+)$")
_PUT = re.compile(r"  put (\w+) (\S+) (\S+) (\d+)$")


def _spelled(text: str) -> Iterator[str]:
    """The lines, with two instructions for ``%v = field type %base bytes`` and for ``put type value %base bytes``."""
    for number, line in enumerate(text.splitlines()):
        if found := _FIELD.match(line):
            name, kind, base, at = found.groups()
            yield f"  {name}.at = getelementptr i8, ptr {base}, i64 {at}"
            yield f"  {name} = load {kind}, ptr {name}.at"
        elif found := _PUT.match(line):
            kind, value, base, at = found.groups()
            yield f"  %put.{number} = getelementptr i8, ptr {base}, i64 {at}"
            yield f"  store {kind} {value}, ptr %put.{number}"
        else:
            yield line


_TEXT = r"""
@table = global [<WORDS> x i64] zeroinitializer, align 64
@memory = private constant [46 x i8] c"actcomp: no memory for the sums of a gradient\00"
@arguments = private constant [58 x i8] c"actcomp: this kernel takes other operands than were given\00"

declare ptr @malloc(i64)

define internal ptr @fail(ptr %frame, ptr %message, i32 %code) #0 {
  %args = alloca [4 x i64], align 16
  %api = field ptr %frame 16
  %create = field ptr %api 48
  put i64 28 %args 0
  put ptr null %args 8
  put ptr %message %args 16
  %code.64 = zext i32 %code to i64
  put i64 %code.64 %args 24
  %error = call ptr %create(ptr %args)
  ret ptr %error
}

define ptr @handler(ptr %frame) #0 {
entry:
  %results = alloca [64 x double], align 16
  %extension = field ptr %frame 8
  %none = icmp eq ptr %extension, null
  br i1 %none, label %stage, label %extended

extended:
  %kind = field i32 %extension 8
  %is.metadata = icmp eq i32 %kind, 1
  br i1 %is.metadata, label %metadata, label %stage
metadata:
  %minor = field i32 @table 40
  %answer = field ptr %extension 24
  put i32 0 %answer 24
  put i32 %minor %answer 28
  put i32 0 %answer 32
  ret ptr null

stage:
  %the.stage = field i32 %frame 32
  %executes = icmp eq i32 %the.stage, 3
  br i1 %executes, label %execute, label %finished

execute:
  %record = field ptr @table 0
  %inputs = field i64 %record 16
  %uniforms = field i64 %record 24
  %outputs = field i64 %record 32
  %sums = field i64 %record 40
  %given = field i64 %frame 56
  %args = field ptr %frame 72
  %wanted = field i64 %frame 96
  %rets = field ptr %frame 112
  %all.inputs = add i64 %inputs, %uniforms
  %all.outputs = add i64 %outputs, %sums
  %c1 = icmp eq i64 %given, %all.inputs
  %c2 = icmp eq i64 %wanted, %all.outputs
  %c3 = icmp sle i64 %sums, 64
  %c4 = and i1 %c1, %c2
  %c5 = and i1 %c4, %c3
  br i1 %c5, label %measure, label %bad.arguments
bad.arguments:
  %e1 = call ptr @fail(ptr %frame, ptr @arguments, i32 <ARGUMENTS>)
  ret ptr %e1

measure:
  %first = load ptr, ptr %args
  %rank = field i64 %first 32
  %dims = field ptr %first 40
  br label %axis
axis:
  %d = phi i64 [0, %measure], [%d.next, %axis.do]
  %n = phi i64 [1, %measure], [%n.next, %axis.do]
  %d.more = icmp slt i64 %d, %rank
  br i1 %d.more, label %axis.do, label %measured
axis.do:
  %p.length = getelementptr i64, ptr %dims, i64 %d
  %length = load i64, ptr %p.length
  %n.next = mul i64 %n, %length
  %d.next = add i64 %d, 1
  br label %axis

measured:
  call void @llvm.memset.p0.i64(ptr align 16 %results, i8 0, i64 512, i1 false)
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %answers, label %some
some:
  %threads = call i64 @threads(ptr %frame, i64 %n)
  %shared = icmp sgt i64 %threads, 1
  %operands = add i64 %all.inputs, %all.outputs
  %words = add i64 %operands, 10
  %bytes = mul i64 %words, 8
  br i1 %shared, label %heap, label %stack
stack:
  %own = alloca i64, i64 %words, align 16
  br label %fill
heap:
  %taken = call ptr @malloc(i64 %bytes)
  %no.share = icmp eq ptr %taken, null
  br i1 %no.share, label %no.memory, label %fill
no.memory:
  %e2 = call ptr @fail(ptr %frame, ptr @memory, i32 <MEMORY>)
  ret ptr %e2

fill:
  %job = phi ptr [%own, %stack], [%taken, %heap]
  %pointers = getelementptr i64, ptr %job, i64 10
  put ptr %record %job 0
  put ptr %pointers %job 8
  put i64 %n %job 16
  put i64 0 %job 24
  put ptr %results %job 32
  br label %argument
argument:
  %i = phi i64 [0, %fill], [%i.next, %argument.do]
  %i.more = icmp slt i64 %i, %all.inputs
  br i1 %i.more, label %argument.do, label %result
argument.do:
  %p.argument = getelementptr ptr, ptr %args, i64 %i
  %buffer = load ptr, ptr %p.argument
  %data = field ptr %buffer 24
  %p.slot = getelementptr ptr, ptr %pointers, i64 %i
  store ptr %data, ptr %p.slot
  %i.next = add i64 %i, 1
  br label %argument
result:
  %o = phi i64 [0, %argument], [%o.next, %result.do]
  %o.more = icmp slt i64 %o, %outputs
  br i1 %o.more, label %result.do, label %ready
result.do:
  %p.result = getelementptr ptr, ptr %rets, i64 %o
  %o.buffer = load ptr, ptr %p.result
  %o.data = field ptr %o.buffer 24
  %o.at = add i64 %all.inputs, %o
  %p.o.slot = getelementptr ptr, ptr %pointers, i64 %o.at
  store ptr %o.data, ptr %p.o.slot
  %o.next = add i64 %o, 1
  br label %result

ready:
  %any.sums = icmp sgt i64 %sums, 0
  br i1 %any.sums, label %partials, label %go
partials:
  %n.up = add i64 %n, <RUN>
  %n.up1 = sub i64 %n.up, 1
  %runs = sdiv i64 %n.up1, <RUN>
  %row = mul i64 %runs, 8
  %rows = mul i64 %row, %sums
  %scratch = call ptr @malloc(i64 %rows)
  %no.scratch = icmp eq ptr %scratch, null
  br i1 %no.scratch, label %drop, label %place
drop:
  br i1 %shared, label %drop.share, label %no.memory
drop.share:
  call void @free(ptr %job)
  br label %no.memory
place:
  %s = phi i64 [0, %partials], [%s.next, %place.do]
  %s.more = icmp slt i64 %s, %sums
  br i1 %s.more, label %place.do, label %go
place.do:
  %s.at = mul i64 %s, %row
  %s.row = getelementptr i8, ptr %scratch, i64 %s.at
  %s.slot = add i64 %all.inputs, %outputs
  %s.slot.k = add i64 %s.slot, %s
  %p.s.slot = getelementptr ptr, ptr %pointers, i64 %s.slot.k
  store ptr %s.row, ptr %p.s.slot
  %s.next = add i64 %s, 1
  br label %place

go:
  %to.free = phi ptr [null, %ready], [%scratch, %place]
  %plan = field ptr @table 16
  call void %plan(ptr %job)
  br i1 %shared, label %share, label %alone
share:
  call void @together(ptr %frame, ptr %job, i64 %n, i64 %threads)
  br label %total
alone:
  %work = field ptr @table 8
  call void %work(ptr %job)
  br label %total
total:
  br i1 %any.sums, label %add.up, label %let.go
add.up:
  %add = field ptr @table 24
  call void %add(ptr %job)
  call void @free(ptr %to.free)
  br label %let.go
let.go:
  br i1 %shared, label %let.share, label %answers
let.share:
  call void @release(ptr %job)
  br label %answers

answers:
  %k = phi i64 [0, %measured], [0, %let.go], [0, %let.share], [%k.next, %answer.end]
  %k.more = icmp slt i64 %k, %sums
  br i1 %k.more, label %answer.one, label %finished
answer.one:
  %p.sum = getelementptr double, ptr %results, i64 %k
  %sum = load double, ptr %p.sum
  %k.at = add i64 %outputs, %k
  %p.k = getelementptr ptr, ptr %rets, i64 %k.at
  %k.buffer = load ptr, ptr %p.k
  %k.data = field ptr %k.buffer 24
  %type = field i32 %k.buffer 16
  %is.double = icmp eq i32 %type, 12
  br i1 %is.double, label %as.double, label %as.float
as.double:
  store double %sum, ptr %k.data
  br label %answer.end
as.float:
  %short = fptrunc double %sum to float
  store float %short, ptr %k.data
  br label %answer.end
answer.end:
  %k.next = add i64 %k, 1
  br label %answers

finished:
  ret ptr null
}

declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""
