"""The machine code of fastcall.Entry: CPython's METH_FASTCALL | METH_KEYWORDS entry on NumPy arrays, as LLVM IR.

``self`` is an ndarray of int64, the *table*; offsets of NumPy's and CPython's structures are those that
fastcall.layout_is_known verifies.

    0 fallback   1 kernels   2 numpy.ndarray   3 the interned string "out"
    8 + 4*k: dtype object, record (emit/driver.py), address of the uniforms' slots, number of inputs
"""

from __future__ import annotations

FALLBACK, KERNELS, NDARRAY, OUT, FIRST_KERNEL, KERNEL_WORDS = 0, 1, 2, 3, 8, 4
MOST_KERNELS = 4
MOST_POINTERS = 16
# From so many elements on, the GIL is released: giving it up and taking it again costs as much as 1 % of the work.
RELEASE_GIL_FROM = 1 << 15

_C_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400

ENTRY_TEXT = f"""
define ptr @entry(ptr %self, ptr %args, i64 %given, ptr %names) #0 {{
entry:
  %pointers = alloca [{MOST_POINTERS} x ptr], align 16
  %job = alloca [8 x i64], align 16
  %p.table = getelementptr i8, ptr %self, i64 16
  %table = load ptr, ptr %p.table
  %p.type = getelementptr i64, ptr %table, i64 {NDARRAY}
  %ndarray = load i64, ptr %p.type
  %no.names = icmp eq ptr %names, null
  br i1 %no.names, label %counted, label %named
named:
  %p.name.count = getelementptr i8, ptr %names, i64 16
  %name.count = load i64, ptr %p.name.count
  %one.name = icmp eq i64 %name.count, 1
  %p.name = getelementptr i8, ptr %names, i64 24
  %name = load i64, ptr %p.name
  %p.out = getelementptr i64, ptr %table, i64 {OUT}
  %out.name = load i64, ptr %p.out
  %is.out = icmp eq i64 %name, %out.name
  %good.name = and i1 %one.name, %is.out
  br i1 %good.name, label %named.add, label %slow
counted:
  %total = phi i64 [%given, %entry], [%with.out, %named.add]
  %any = icmp sgt i64 %given, 0
  br i1 %any, label %first, label %slow
named.add:
  %with.out = add i64 %given, 1
  br label %counted
first:
  %x = load ptr, ptr %args
  %p.x.type = getelementptr i8, ptr %x, i64 8
  %x.type = load i64, ptr %p.x.type
  %is.array = icmp eq i64 %x.type, %ndarray
  br i1 %is.array, label %fields, label %slow
fields:
  %p.descr = getelementptr i8, ptr %x, i64 56
  %descr = load i64, ptr %p.descr
  %p.nd = getelementptr i8, ptr %x, i64 24
  %nd = load i32, ptr %p.nd
  %p.shape = getelementptr i8, ptr %x, i64 32
  %shape = load ptr, ptr %p.shape
  %p.kernels = getelementptr i64, ptr %table, i64 {KERNELS}
  %kernels = load i64, ptr %p.kernels
  br label %search
search:
  %v = phi i64 [0, %fields], [%v.next, %miss]
  %v.more = icmp slt i64 %v, %kernels
  br i1 %v.more, label %try, label %slow
try:
  %v.words = mul i64 %v, {KERNEL_WORDS}
  %v.start = add i64 %v.words, {FIRST_KERNEL}
  %kernel = getelementptr i64, ptr %table, i64 %v.start
  %v.descr = load i64, ptr %kernel
  %hit = icmp eq i64 %v.descr, %descr
  br i1 %hit, label %found, label %miss
miss:
  %v.next = add i64 %v, 1
  br label %search

found:
  %p.record = getelementptr i64, ptr %kernel, i64 1
  %record = load ptr, ptr %p.record
  %p.inputs = getelementptr i64, ptr %kernel, i64 3
  %inputs = load i64, ptr %p.inputs
  %fresh = icmp eq i64 %total, %inputs
  %inputs.1 = add i64 %inputs, 1
  %one.more = icmp eq i64 %total, %inputs.1
  %fresh.plain = and i1 %fresh, %no.names
  %into = select i1 %no.names, i1 false, i1 %one.more
  %good.count = or i1 %fresh.plain, %into
  br i1 %good.count, label %size, label %slow
size:
  %nd.64 = sext i32 %nd to i64
  br label %axis
axis:
  %d = phi i64 [0, %size], [%d.next, %axis.do]
  %n = phi i64 [1, %size], [%n.next, %axis.do]
  %d.more = icmp slt i64 %d, %nd.64
  br i1 %d.more, label %axis.do, label %arrays
axis.do:
  %p.length = getelementptr i64, ptr %shape, i64 %d
  %length = load i64, ptr %p.length
  %n.next = mul i64 %n, %length
  %d.next = add i64 %d, 1
  br label %axis

arrays:
  %k = phi i64 [0, %axis], [%k.next, %accepted]
  %p.arg = getelementptr ptr, ptr %args, i64 %k
  %a = load ptr, ptr %p.arg
  %p.a.type = getelementptr i8, ptr %a, i64 8
  %a.type = load i64, ptr %p.a.type
  %a.is.array = icmp eq i64 %a.type, %ndarray
  br i1 %a.is.array, label %a.fields, label %slow
a.fields:
  %p.a.descr = getelementptr i8, ptr %a, i64 56
  %a.descr = load i64, ptr %p.a.descr
  %same.descr = icmp eq i64 %a.descr, %descr
  %p.flags = getelementptr i8, ptr %a, i64 64
  %flags = load i32, ptr %p.flags
  %is.output = icmp eq i64 %k, %inputs
  %due = select i1 %is.output, i32 {_C_CONTIGUOUS | _ALIGNED | _WRITEABLE}, i32 {_C_CONTIGUOUS | _ALIGNED}
  %flags.due = and i32 %flags, %due
  %good.flags = icmp eq i32 %flags.due, %due
  %p.a.nd = getelementptr i8, ptr %a, i64 24
  %a.nd = load i32, ptr %p.a.nd
  %same.nd = icmp eq i32 %a.nd, %nd
  %g1 = and i1 %same.descr, %good.flags
  %g2 = and i1 %g1, %same.nd
  br i1 %g2, label %a.shape, label %slow
a.shape:
  %p.a.dims = getelementptr i8, ptr %a, i64 32
  %a.dims = load ptr, ptr %p.a.dims
  br label %compare
compare:
  %e = phi i64 [0, %a.shape], [%e.next, %compare.do]
  %e.more = icmp slt i64 %e, %nd.64
  br i1 %e.more, label %compare.do, label %a.take
compare.do:
  %p.l = getelementptr i64, ptr %shape, i64 %e
  %l = load i64, ptr %p.l
  %p.m = getelementptr i64, ptr %a.dims, i64 %e
  %m = load i64, ptr %p.m
  %same.length = icmp eq i64 %l, %m
  %e.next = add i64 %e, 1
  br i1 %same.length, label %compare, label %slow
a.take:
  %p.data = getelementptr i8, ptr %a, i64 16
  %data = load ptr, ptr %p.data
  br i1 %is.output, label %accepted, label %a.keep
a.keep:
  %p.slot = getelementptr ptr, ptr %pointers, i64 %k
  store ptr %data, ptr %p.slot
  br label %accepted
accepted:
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, %total
  br i1 %k.more, label %arrays, label %limits

limits:
  %p.bytes = getelementptr i64, ptr %record, i64 6
  %item = load i64, ptr %p.bytes
  %bytes = mul i64 %n, %item
  %p.serial = getelementptr i64, ptr @settings, i64 3
  %serial = load i64, ptr %p.serial
  %is.large = icmp sge i64 %n, %serial
  br i1 %is.large, label %large, label %uniform
large:
  %team = load i64, ptr @settings
  %no.team = icmp eq i64 %team, 0
  %p.beyond = getelementptr i64, ptr @settings, i64 4
  %beyond = load i64, ptr %p.beyond
  %is.beyond = icmp sgt i64 %bytes, %beyond
  %p.stream = getelementptr i64, ptr %record, i64 1
  %stream = load i64, ptr %p.stream
  %no.stream = icmp eq i64 %stream, 0
  %recycled = or i1 %no.stream, %fresh
  %unready.1 = and i1 %is.beyond, %recycled
  %unready = or i1 %no.team, %unready.1
  br i1 %unready, label %slow, label %uniform
uniform:
  %p.uniforms = getelementptr i64, ptr %record, i64 3
  %uniforms = load i64, ptr %p.uniforms
  %p.values = getelementptr i64, ptr %kernel, i64 2
  %values = load ptr, ptr %p.values
  br label %u.head
u.head:
  %u = phi i64 [0, %uniform], [%u.next, %u.do]
  %u.slot = add i64 %inputs, %u
  %p.u.slot = getelementptr ptr, ptr %pointers, i64 %u.slot
  %u.more = icmp slt i64 %u, %uniforms
  br i1 %u.more, label %u.do, label %result
u.do:
  %u.at = getelementptr i64, ptr %values, i64 %u
  store ptr %u.at, ptr %p.u.slot
  %u.next = add i64 %u, 1
  br label %u.head

result:
  br i1 %into, label %given.out, label %make
given.out:
  %o.low = ptrtoint ptr %data to i64
  %o.high = add i64 %o.low, %bytes
  br label %apart
apart:
  %c = phi i64 [0, %given.out], [%c.next, %apart.next]
  %p.c = getelementptr ptr, ptr %pointers, i64 %c
  %c.low = load i64, ptr %p.c
  %c.high = add i64 %c.low, %bytes
  %c.same = icmp eq i64 %c.low, %o.low
  %c.before = icmp sle i64 %c.high, %o.low
  %c.after = icmp sle i64 %o.high, %c.low
  %c.apart = or i1 %c.before, %c.after
  %c.good = or i1 %c.same, %c.apart
  br i1 %c.good, label %apart.next, label %slow
apart.next:
  %c.next = add i64 %c, 1
  %c.more = icmp slt i64 %c.next, %inputs
  br i1 %c.more, label %apart, label %keep.out
keep.out:
  call void @Py_IncRef(ptr %a)
  store ptr %data, ptr %p.u.slot
  br label %start
make:
  %p.new = getelementptr i64, ptr @settings, i64 5
  %new = load ptr, ptr %p.new
  %y = call ptr %new(ptr %x, i32 0, ptr null, i32 0)
  %failed = icmp eq ptr %y, null
  br i1 %failed, label %fail, label %made
made:
  %p.y.data = getelementptr i8, ptr %y, i64 16
  %y.data = load ptr, ptr %p.y.data
  store ptr %y.data, ptr %p.u.slot
  br label %start
fail:
  ret ptr null

start:
  %answer = phi ptr [%a, %keep.out], [%y, %made]
  store ptr %record, ptr %job
  %j1 = getelementptr i64, ptr %job, i64 1
  store ptr %pointers, ptr %j1
  %j2 = getelementptr i64, ptr %job, i64 2
  store i64 %n, ptr %j2
  %j3 = getelementptr i64, ptr %job, i64 3
  store i64 0, ptr %j3
  %long = icmp sge i64 %n, {RELEASE_GIL_FROM}
  br i1 %long, label %released, label %held
released:
  %state = call ptr @PyEval_SaveThread()
  call void @run(ptr %job)
  call void @PyEval_RestoreThread(ptr %state)
  ret ptr %answer
held:
  call void @run(ptr %job)
  ret ptr %answer

slow:
  %fallback = load ptr, ptr %table
  %other = call ptr @PyObject_Vectorcall(ptr %fallback, ptr %args, i64 %given, ptr %names)
  ret ptr %other
}}

declare void @Py_IncRef(ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
"""
