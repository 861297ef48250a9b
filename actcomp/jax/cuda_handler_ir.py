"""The machine code that XLA calls for CUDA, as LLVM IR for the host: a typed FFI handler that launches the kernels of
one custom call on XLA's stream. No Python, no lock, no memory taken, no waiting.

    XLA_FFI_Error *handler(XLA_FFI_CallFrame *frame)

It is loaded once for each custom call, each time with a *table* of its own, filled in by cuda_target.py (Words below):

    0 cuLaunchKernel   1 cuCtxGetDevice   2 cuKernelGetFunction   3 minor version
    4 number of devices   5 address of the most blocks to launch, for each device
    6 number of arguments   7 number of results   8 number of launches   9 address of the launches

A launch, of LAUNCH_WORDS words:

    0 address of the CUkernel handles, one for each device   1 elements of a block; 0: one block, whatever the count
    2 threads of a block   3 number of parameters   4 address of the parameters, of two words each: kind, value

Kinds of parameters: CONSTANT (its bits), ARGUMENT and RESULT (the address of that buffer), COUNT (elements of the first
argument), RUNS (ceil(count / SUM_RUN)), PARTIALS (sum number ``value`` has so many doubles in the last result).

A handle (CUkernel, CUDA 12) is valid in every context, and cuLaunchKernel takes it for a CUfunction; handles differ by
device since machine code does. XLA makes the device's context current before it calls. In XLA's stage INITIALIZE,
which precedes the execution, and what is recorded of it, the kernels are loaded into that context; in the stage EXECUTE
they are launched, and nothing else is done, so that XLA may record the call into a CUDA graph: hence the trait
COMMAND_BUFFER_COMPATIBLE. All numbers of bytes are those of xla/ffi/api/c_api.h, as for handler_ir.py.
"""

from __future__ import annotations

from ..emit.target import Target
from ..program.interpreter import SUM_RUN
from .handler_ir import module_text

TABLE_WORDS = 10
LAUNCH_WORDS = 5
CONSTANT, ARGUMENT, RESULT, COUNT, RUNS, PARTIALS = range(6)

_INVALID_ARGUMENT, _INTERNAL = 3, 13  # XLA_FFI_Error_Code
_MESSAGES = {
    "arguments": "actcomp: this kernel takes other operands than were given",
    "device": "actcomp: the kernel was made before this CUDA device was visible",
    "driver": "actcomp: the CUDA driver refused a launch: CUresult 0000",  # digits are filled in
}


def cuda_handler_text(target: Target) -> str:
    """The module's text, for the host."""
    constants = [
        f'@{name} = private constant [{len(message) + 1} x i8] c"{message}\\00"' for name, message in _MESSAGES.items()
    ]
    values = {
        "WORDS": TABLE_WORDS,
        "LAUNCH.BYTES": 8 * LAUNCH_WORDS,
        "RUN": SUM_RUN,
        "RUN.LESS.1": SUM_RUN - 1,
        "ARGUMENTS": _INVALID_ARGUMENT,
        "INTERNAL": _INTERNAL,
        "DRIVER.BYTES": len(_MESSAGES["driver"]) + 1,
        "LAST.DIGIT": len(_MESSAGES["driver"]) - 1,
        "ARGUMENT": ARGUMENT,
        "RESULT": RESULT,
        "COUNT": COUNT,
        "RUNS": RUNS,
        "PARTIALS": PARTIALS,
    }
    return module_text("\n".join(constants) + _TEXT, values, target)


_TEXT = r"""
@table = global [<WORDS> x i64] zeroinitializer, align 64

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i64 @llvm.smin.i64(i64, i64)

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

define internal ptr @refused(ptr %frame, i32 %result) #0 {
entry:
  %message = alloca [<DRIVER.BYTES> x i8], align 16
  call void @llvm.memcpy.p0.p0.i64(ptr %message, ptr @driver, i64 <DRIVER.BYTES>, i1 false)
  br label %digit
digit:
  %rest = phi i32 [%result, %entry], [%rest.next, %digit]
  %at = phi i64 [<LAST.DIGIT>, %entry], [%at.next, %digit]
  %rest.next = udiv i32 %rest, 10
  %value = urem i32 %rest, 10
  %value.8 = trunc i32 %value to i8
  %char = add i8 %value.8, 48
  %p.char = getelementptr i8, ptr %message, i64 %at
  store i8 %char, ptr %p.char
  %at.next = sub i64 %at, 1
  %left = sub i64 <LAST.DIGIT>, %at.next
  %more = icmp slt i64 %left, 4
  br i1 %more, label %digit, label %say
say:
  %error = call ptr @fail(ptr %frame, ptr %message, i32 <INTERNAL>)
  ret ptr %error
}

define internal ptr @handle(ptr %launch, i64 %device) #0 {
  %handles = field ptr %launch 0
  %p.handle = getelementptr ptr, ptr %handles, i64 %device
  %handle = load ptr, ptr %p.handle
  ret ptr %handle
}

define internal i64 @parameter(ptr %frame, i64 %kind, i64 %value, i64 %n, i64 %runs) #0 {
  switch i64 %kind, label %constant [
    i64 <ARGUMENT>, label %argument
    i64 <RESULT>, label %result
    i64 <COUNT>, label %count
    i64 <RUNS>, label %run.count
    i64 <PARTIALS>, label %partials
  ]
constant:
  ret i64 %value
argument:
  %args = field ptr %frame 72
  %p.argument = getelementptr ptr, ptr %args, i64 %value
  %buffer = load ptr, ptr %p.argument
  %data = field i64 %buffer 24
  ret i64 %data
result:
  %rets = field ptr %frame 112
  %p.result = getelementptr ptr, ptr %rets, i64 %value
  %r.buffer = load ptr, ptr %p.result
  %r.data = field i64 %r.buffer 24
  ret i64 %r.data
count:
  ret i64 %n
run.count:
  ret i64 %runs
partials:
  %results = field i64 %frame 96
  %last = sub i64 %results, 1
  %p.rets = field ptr %frame 112
  %p.last = getelementptr ptr, ptr %p.rets, i64 %last
  %l.buffer = load ptr, ptr %p.last
  %base = field i64 %l.buffer 24
  %before = mul i64 %value, %runs
  %bytes = mul i64 %before, 8
  %place = add i64 %base, %bytes
  ret i64 %place
}

define internal i32 @launch(ptr %frame, ptr %launch, i64 %n, i64 %runs, ptr %stream, i64 %device) #0 {
entry:
  %each = field i64 %launch 8
  %single = icmp eq i64 %each, 0
  br i1 %single, label %sized, label %by.count
by.count:
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %nothing, label %cover
nothing:
  ret i32 0
cover:
  %n.less = sub i64 %n, 1
  %whole = udiv i64 %n.less, %each
  %needed = add i64 %whole, 1
  %p.mosts = field ptr @table 40
  %p.most = getelementptr i64, ptr %p.mosts, i64 %device
  %most = load i64, ptr %p.most
  %some = call i64 @llvm.smin.i64(i64 %needed, i64 %most)
  br label %sized
sized:
  %blocks.64 = phi i64 [1, %entry], [%some, %cover]
  %blocks = trunc i64 %blocks.64 to i32
  %threads = field i32 %launch 16
  %parameters = field i64 %launch 24
  %words = field ptr %launch 32
  %slots = alloca i64, i64 %parameters, align 16
  %pointers = alloca ptr, i64 %parameters, align 16
  br label %next
next:
  %k = phi i64 [0, %sized], [%k.next, %one]
  %more = icmp slt i64 %k, %parameters
  br i1 %more, label %one, label %go
one:
  %k.word = mul i64 %k, 2
  %p.kind = getelementptr i64, ptr %words, i64 %k.word
  %kind = load i64, ptr %p.kind
  %value = field i64 %p.kind 8
  %bits = call i64 @parameter(ptr %frame, i64 %kind, i64 %value, i64 %n, i64 %runs)
  %p.slot = getelementptr i64, ptr %slots, i64 %k
  store i64 %bits, ptr %p.slot
  %p.pointer = getelementptr ptr, ptr %pointers, i64 %k
  store ptr %p.slot, ptr %p.pointer
  %k.next = add i64 %k, 1
  br label %next
go:
  %handle = call ptr @handle(ptr %launch, i64 %device)
  %driver = field ptr @table 0
  %done = call i32 %driver(ptr %handle, i32 %blocks, i32 1, i32 1, i32 %threads, i32 1, i32 1,
                           i32 0, ptr %stream, ptr %pointers, ptr null)
  ret i32 %done
}

define ptr @handler(ptr %frame) #0 {
entry:
  %stream.args = alloca [4 x i64], align 16
  %p.device = alloca i32, align 16
  %p.function = alloca ptr, align 16
  %extension = field ptr %frame 8
  %none = icmp eq ptr %extension, null
  br i1 %none, label %stage, label %extended

extended:
  %extension.kind = field i32 %extension 8
  %is.metadata = icmp eq i32 %extension.kind, 1
  br i1 %is.metadata, label %metadata, label %stage
metadata:
  %minor = field i32 @table 24
  %answer = field ptr %extension 24
  put i32 0 %answer 24
  put i32 %minor %answer 28
  put i32 1 %answer 32
  ret ptr null

stage:
  %the.stage = field i32 %frame 32
  %is.stage = icmp sge i32 %the.stage, 2
  br i1 %is.stage, label %where, label %finished
where:
  %executes = icmp eq i32 %the.stage, 3
  %get.device = field ptr @table 8
  %r1 = call i32 %get.device(ptr %p.device)
  %r1.good = icmp eq i32 %r1, 0
  br i1 %r1.good, label %is.known, label %no.device
no.device:
  br i1 %executes, label %say.no.device, label %finished
say.no.device:
  %e1 = call ptr @refused(ptr %frame, i32 %r1)
  ret ptr %e1
is.known:
  %device.32 = load i32, ptr %p.device
  %device = sext i32 %device.32 to i64
  %devices = field i64 @table 32
  %known = icmp ult i64 %device, %devices
  br i1 %known, label %begin, label %unknown
unknown:
  %e2 = call ptr @fail(ptr %frame, ptr @device, i32 <INTERNAL>)
  ret ptr %e2

begin:
  %launches = field i64 @table 64
  %first = field ptr @table 72
  br i1 %executes, label %execute, label %load

load:
  %l = phi i64 [0, %begin], [%l.next, %load.one]
  %l.more = icmp slt i64 %l, %launches
  br i1 %l.more, label %load.one, label %finished
load.one:
  %l.at = mul i64 %l, <LAUNCH.BYTES>
  %l.launch = getelementptr i8, ptr %first, i64 %l.at
  %l.handle = call ptr @handle(ptr %l.launch, i64 %device)
  %get.function = field ptr @table 16
  %ignored = call i32 %get.function(ptr %p.function, ptr %l.handle)
  %l.next = add i64 %l, 1
  br label %load

execute:
  %given = field i64 %frame 56
  %wanted = field i64 %frame 96
  %arguments = field i64 @table 48
  %results = field i64 @table 56
  %c1 = icmp eq i64 %given, %arguments
  %c2 = icmp eq i64 %wanted, %results
  %c3 = and i1 %c1, %c2
  br i1 %c3, label %ask, label %bad.arguments
bad.arguments:
  %e3 = call ptr @fail(ptr %frame, ptr @arguments, i32 <ARGUMENTS>)
  ret ptr %e3

ask:
  %api = field ptr %frame 16
  %context = field ptr %frame 24
  %get.stream = field ptr %api 80
  put i64 32 %stream.args 0
  put ptr null %stream.args 8
  put ptr %context %stream.args 16
  put ptr null %stream.args 24
  %e4 = call ptr %get.stream(ptr %stream.args)
  %streamed = icmp eq ptr %e4, null
  br i1 %streamed, label %measure, label %no.stream
no.stream:
  ret ptr %e4

measure:
  %stream = field ptr %stream.args 24
  %args = field ptr %frame 72
  %buffer = load ptr, ptr %args
  %rank = field i64 %buffer 32
  %dims = field ptr %buffer 40
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
  %n.up = add i64 %n, <RUN.LESS.1>
  %runs = udiv i64 %n.up, <RUN>
  br label %again
again:
  %k = phi i64 [0, %measured], [%k.next, %launched]
  %k.more = icmp slt i64 %k, %launches
  br i1 %k.more, label %one, label %finished
one:
  %k.at = mul i64 %k, <LAUNCH.BYTES>
  %k.launch = getelementptr i8, ptr %first, i64 %k.at
  %r2 = call i32 @launch(ptr %frame, ptr %k.launch, i64 %n, i64 %runs, ptr %stream, i64 %device)
  %r2.good = icmp eq i32 %r2, 0
  br i1 %r2.good, label %launched, label %not.launched
not.launched:
  %e5 = call ptr @refused(ptr %frame, i32 %r2)
  ret ptr %e5
launched:
  %k.next = add i64 %k, 1
  br label %again

finished:
  ret ptr null
}
"""
