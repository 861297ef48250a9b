"""The machine code of tensorcall.TensorEntry: METH_FASTCALL | METH_KEYWORDS on torch tensors, as LLVM IR.

Tensors are read and made by functions that torch gives for this purpose (DLPack's C exchange API, version 1.3), so that
nothing is known here of how a tensor lies in memory. ``self`` is an ndarray of int64, the *table*:

    0 fallback   1 kernels   2 torch.Tensor   3 "requires_grad"   4 False   5 "is_neg"   6 run   7 settings
    8 + 4*k: data type (DLDataType as a word), record (emit/driver.py), address of the uniforms' slots, number of inputs
    24 dltensor_from_py_object_no_sync   25 managed_tensor_allocator   26 managed_tensor_to_py_object_no_sync
    27 whether tensors that require a gradient are taken too   28 what a single such tensor goes to instead, or 0

A DLTensor takes 48 bytes: data 0, device type 8, axes 16, data type 20, lengths 24, strides 32, byte offset 40; in a
DLManagedTensorVersioned it starts at 32, after a deleter at 16.
"""

from __future__ import annotations

from .entry_ir import FIRST_KERNEL, KERNEL_WORDS, KERNELS, MOST_POINTERS, RELEASE_GIL_FROM

TENSOR, REQUIRES_GRAD, FALSE, IS_NEG, RUN, SETTINGS_AT = 2, 3, 4, 5, 6, 7
FROM_PY, ALLOCATE, TO_PY, ANY_GRADIENT, TRACKED = 24, 25, 26, 27, 28
WORDS = 29

TENSOR_TEXT = f"""
define i64 @word(ptr %table, i64 %index) #0 {{
  %a = getelementptr i64, ptr %table, i64 %index
  %v = load i64, ptr %a
  ret i64 %v
}}

define void @ignore(ptr %context, ptr %kind, ptr %message) #0 {{
  ret void
}}

define ptr @entry(ptr %self, ptr %args, i64 %given, ptr %names) #0 {{
entry:
  %pointers = alloca [{MOST_POINTERS} x ptr], align 16
  %job = alloca [8 x i64], align 16
  %views = alloca [{48 * MOST_POINTERS} x i8], align 16
  %receiver = alloca ptr
  %managed.slot = alloca ptr
  %answer.slot = alloca ptr
  %tracked.slot = alloca ptr
  store ptr null, ptr %tracked.slot
  %p.table = getelementptr i8, ptr %self, i64 16
  %table = load ptr, ptr %p.table
  %no.names = icmp eq ptr %names, null
  %some = icmp sgt i64 %given, 0
  %few = icmp slt i64 %given, {MOST_POINTERS}
  %c1 = and i1 %no.names, %some
  %c2 = and i1 %c1, %few
  br i1 %c2, label %begin, label %slow
begin:
  %tensor.type = call i64 @word(ptr %table, i64 {TENSOR})
  %grad.name = call i64 @word(ptr %table, i64 {REQUIRES_GRAD})
  %grad.name.p = inttoptr i64 %grad.name to ptr
  %false = call i64 @word(ptr %table, i64 {FALSE})
  %neg.name = call i64 @word(ptr %table, i64 {IS_NEG})
  %neg.name.p = inttoptr i64 %neg.name to ptr
  %from.0 = call i64 @word(ptr %table, i64 {FROM_PY})
  %from = inttoptr i64 %from.0 to ptr
  %any.0 = call i64 @word(ptr %table, i64 {ANY_GRADIENT})
  %any = icmp ne i64 %any.0, 0
  br label %each

each:
  %k = phi i64 [0, %begin], [%k.next, %accepted]
  %p.arg = getelementptr ptr, ptr %args, i64 %k
  %a = load ptr, ptr %p.arg
  %p.a.type = getelementptr i8, ptr %a, i64 8
  %a.type = load i64, ptr %p.a.type
  %is.tensor = icmp eq i64 %a.type, %tensor.type
  br i1 %is.tensor, label %known, label %slow
known:
  br i1 %any, label %sign, label %grad
grad:
  %g = call ptr @PyObject_GetAttr(ptr %a, ptr %grad.name.p)
  %g.failed = icmp eq ptr %g, null
  br i1 %g.failed, label %forget, label %grad.known
grad.known:
  %g.word = ptrtoint ptr %g to i64
  call void @Py_DecRef(ptr %g)
  %no.grad = icmp eq i64 %g.word, %false
  br i1 %no.grad, label %sign, label %history
history:
  %tracked.0 = call i64 @word(ptr %table, i64 {TRACKED})
  %tracked.1 = inttoptr i64 %tracked.0 to ptr
  store ptr %tracked.1, ptr %tracked.slot
  %has.tracked = icmp ne i64 %tracked.0, 0
  %single = icmp eq i64 %given, 1
  %handed = and i1 %has.tracked, %single
  br i1 %handed, label %sign, label %slow
sign:
  store ptr %a, ptr %receiver
  %s = call ptr @PyObject_VectorcallMethod(ptr %neg.name.p, ptr %receiver, i64 1, ptr null)
  %s.failed = icmp eq ptr %s, null
  br i1 %s.failed, label %forget, label %sign.known
sign.known:
  %s.word = ptrtoint ptr %s to i64
  call void @Py_DecRef(ptr %s)
  %no.neg = icmp eq i64 %s.word, %false
  br i1 %no.neg, label %view, label %slow
view:
  %k.at = mul i64 %k, 48
  %v = getelementptr i8, ptr %views, i64 %k.at
  %rc = call i32 %from(ptr %a, ptr %v)
  %rc.good = icmp eq i32 %rc, 0
  br i1 %rc.good, label %fields, label %forget
fields:
  %p.device = getelementptr i8, ptr %v, i64 8
  %device = load i32, ptr %p.device
  %is.cpu = icmp eq i32 %device, 1
  %p.nd = getelementptr i8, ptr %v, i64 16
  %nd = load i32, ptr %p.nd
  %p.kind = getelementptr i8, ptr %v, i64 20
  %kind = load i32, ptr %p.kind
  %p.nd.0 = getelementptr i8, ptr %views, i64 16
  %nd.0 = load i32, ptr %p.nd.0
  %p.kind.0 = getelementptr i8, ptr %views, i64 20
  %kind.0 = load i32, ptr %p.kind.0
  %same.nd = icmp eq i32 %nd, %nd.0
  %same.kind = icmp eq i32 %kind, %kind.0
  %p.strides = getelementptr i8, ptr %v, i64 32
  %strides = load ptr, ptr %p.strides
  %has.strides = icmp ne ptr %strides, null
  %f1 = and i1 %is.cpu, %same.nd
  %f2 = and i1 %f1, %same.kind
  %f3 = and i1 %f2, %has.strides
  br i1 %f3, label %layout, label %slow
layout:
  %p.lengths = getelementptr i8, ptr %v, i64 24
  %lengths = load ptr, ptr %p.lengths
  %p.lengths.0 = getelementptr i8, ptr %views, i64 24
  %lengths.0 = load ptr, ptr %p.lengths.0
  %nd.64 = sext i32 %nd to i64
  br label %axis
axis:
  %d = phi i64 [%nd.64, %layout], [%d1, %axis.good]
  %n = phi i64 [1, %layout], [%n.next, %axis.good]
  %d.more = icmp sgt i64 %d, 0
  br i1 %d.more, label %axis.do, label %take
axis.do:
  %d1 = sub i64 %d, 1
  %p.length = getelementptr i64, ptr %lengths, i64 %d1
  %length = load i64, ptr %p.length
  %p.length.0 = getelementptr i64, ptr %lengths.0, i64 %d1
  %length.0 = load i64, ptr %p.length.0
  %p.stride = getelementptr i64, ptr %strides, i64 %d1
  %stride = load i64, ptr %p.stride
  %same.length = icmp eq i64 %length, %length.0
  %dense = icmp eq i64 %stride, %n
  %n.next = mul i64 %n, %length
  %axis.ok = and i1 %same.length, %dense
  br i1 %axis.ok, label %axis.good, label %slow
axis.good:
  br label %axis
take:
  %data = load ptr, ptr %v
  %has.data = icmp ne ptr %data, null
  br i1 %has.data, label %taken, label %slow
taken:
  %p.offset = getelementptr i8, ptr %v, i64 40
  %offset = load i64, ptr %p.offset
  %here = getelementptr i8, ptr %data, i64 %offset
  %p.slot = getelementptr ptr, ptr %pointers, i64 %k
  store ptr %here, ptr %p.slot
  br label %accepted
accepted:
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, %given
  br i1 %k.more, label %each, label %search.start

search.start:
  %tracked = load ptr, ptr %tracked.slot
  %is.tracked = icmp ne ptr %tracked, null
  br i1 %is.tracked, label %hand.over, label %kernels.start
hand.over:
  %recorded = call ptr @PyObject_Vectorcall(ptr %tracked, ptr %args, i64 %given, ptr null)
  ret ptr %recorded
kernels.start:
  %kernels = call i64 @word(ptr %table, i64 {KERNELS})
  %kind.64 = zext i32 %kind.0 to i64
  br label %search
search:
  %q = phi i64 [0, %kernels.start], [%q.next, %miss]
  %q.more = icmp slt i64 %q, %kernels
  br i1 %q.more, label %try, label %slow
try:
  %q.words = mul i64 %q, {KERNEL_WORDS}
  %q.start = add i64 %q.words, {FIRST_KERNEL}
  %kernel = getelementptr i64, ptr %table, i64 %q.start
  %q.kind = load i64, ptr %kernel
  %hit = icmp eq i64 %q.kind, %kind.64
  br i1 %hit, label %found, label %miss
miss:
  %q.next = add i64 %q, 1
  br label %search
found:
  %record.0 = call i64 @word(ptr %kernel, i64 1)
  %record = inttoptr i64 %record.0 to ptr
  %inputs = call i64 @word(ptr %kernel, i64 3)
  %good.count = icmp eq i64 %inputs, %given
  %filled = icmp sgt i64 %n, 0
  %f4 = and i1 %good.count, %filled
  br i1 %f4, label %limits, label %slow
limits:
  %settings.0 = call i64 @word(ptr %table, i64 {SETTINGS_AT})
  %settings = inttoptr i64 %settings.0 to ptr
  %serial = call i64 @word(ptr %settings, i64 3)
  %is.large = icmp sge i64 %n, %serial
  br i1 %is.large, label %large, label %uniform
large:
  %team = load i64, ptr %settings
  %beyond = call i64 @word(ptr %settings, i64 4)
  %item = call i64 @word(ptr %record, i64 6)
  %bytes = mul i64 %n, %item
  %no.team = icmp eq i64 %team, 0
  %is.beyond = icmp sgt i64 %bytes, %beyond
  %unready = or i1 %no.team, %is.beyond
  br i1 %unready, label %slow, label %uniform
uniform:
  %uniforms = call i64 @word(ptr %record, i64 3)
  %values.0 = call i64 @word(ptr %kernel, i64 2)
  %values = inttoptr i64 %values.0 to ptr
  br label %u.head
u.head:
  %u = phi i64 [0, %uniform], [%u.next, %u.do]
  %u.slot = add i64 %inputs, %u
  %p.u.slot = getelementptr ptr, ptr %pointers, i64 %u.slot
  %u.more = icmp slt i64 %u, %uniforms
  br i1 %u.more, label %u.do, label %make
u.do:
  %u.at = getelementptr i64, ptr %values, i64 %u
  store ptr %u.at, ptr %p.u.slot
  %u.next = add i64 %u, 1
  br label %u.head

make:
  %allocate.0 = call i64 @word(ptr %table, i64 {ALLOCATE})
  %allocate = inttoptr i64 %allocate.0 to ptr
  %made = call i32 %allocate(ptr %views, ptr %managed.slot, ptr null, ptr @ignore)
  %made.good = icmp eq i32 %made, 0
  br i1 %made.good, label %fill, label %forget
fill:
  %managed = load ptr, ptr %managed.slot
  %p.y = getelementptr i8, ptr %managed, i64 32
  %y = load ptr, ptr %p.y
  %p.y.offset = getelementptr i8, ptr %managed, i64 72
  %y.offset = load i64, ptr %p.y.offset
  %y.here = getelementptr i8, ptr %y, i64 %y.offset
  store ptr %y.here, ptr %p.u.slot
  store ptr %record, ptr %job
  %j1 = getelementptr i64, ptr %job, i64 1
  store ptr %pointers, ptr %j1
  %j2 = getelementptr i64, ptr %job, i64 2
  store i64 %n, ptr %j2
  %j3 = getelementptr i64, ptr %job, i64 3
  store i64 0, ptr %j3
  %run.0 = call i64 @word(ptr %table, i64 {RUN})
  %run = inttoptr i64 %run.0 to ptr
  %long = icmp sge i64 %n, {RELEASE_GIL_FROM}
  br i1 %long, label %released, label %held
released:
  %state = call ptr @PyEval_SaveThread()
  call void %run(ptr %job)
  call void @PyEval_RestoreThread(ptr %state)
  br label %wrap
held:
  call void %run(ptr %job)
  br label %wrap
wrap:
  %to.0 = call i64 @word(ptr %table, i64 {TO_PY})
  %to = inttoptr i64 %to.0 to ptr
  %wrapped = call i32 %to(ptr %managed, ptr %answer.slot)
  %wrapped.good = icmp eq i32 %wrapped, 0
  br i1 %wrapped.good, label %answer, label %fail
answer:
  %result = load ptr, ptr %answer.slot
  ret ptr %result
fail:
  ret ptr null

forget:
  call void @PyErr_Clear()
  br label %slow
slow:
  %fallback.0 = call i64 @word(ptr %table, i64 0)
  %fallback = inttoptr i64 %fallback.0 to ptr
  %other = call ptr @PyObject_Vectorcall(ptr %fallback, ptr %args, i64 %given, ptr %names)
  ret ptr %other
}}

declare void @Py_DecRef(ptr)
declare void @PyErr_Clear()
declare ptr @PyObject_GetAttr(ptr, ptr)
declare ptr @PyObject_VectorcallMethod(ptr, ptr, i64, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
"""
