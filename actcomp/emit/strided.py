"""Part of the driver: elements anywhere in memory, packed by blocks into buffers on the stack and back.

``strided(job, begin, end)`` walks over the elements begin..end-1 in C order of the job's geometry. An operand whose
elements of a block lie side by side is used in place; others are copied to and from a buffer, row by row. The same
block function runs as for contiguous arrays, so that the bits are the same.
"""

from __future__ import annotations

# %at: the counter of axes of one element, from the slowest on; %place: its offset in bytes.
STRIDED = """
define i1 @is_dense(i64 %axes, ptr %lengths, ptr %strides, i64 %size) #0 {
entry:
  br label %head
head:
  %d = phi i64 [%axes, %entry], [%d1, %next]
  %expect = phi i64 [%size, %entry], [%expect.next, %next]
  %more = icmp sgt i64 %d, 0
  br i1 %more, label %axis, label %yes
axis:
  %d1 = sub i64 %d, 1
  %stride = call i64 @field(ptr %strides, i64 %d1)
  %same = icmp eq i64 %stride, %expect
  br i1 %same, label %next, label %no
next:
  %length = call i64 @field(ptr %lengths, i64 %d1)
  %expect.next = mul i64 %expect, %length
  br label %head
yes:
  ret i1 true
no:
  ret i1 false
}

define i64 @locate(i64 %index, i64 %axes, ptr %lengths, ptr %strides, ptr %at) #0 {
entry:
  br label %head
head:
  %d = phi i64 [%axes, %entry], [%d1, %axis]
  %rest = phi i64 [%index, %entry], [%rest.next, %axis]
  %place = phi i64 [0, %entry], [%place.next, %axis]
  %more = icmp sgt i64 %d, 0
  br i1 %more, label %axis, label %exit
axis:
  %d1 = sub i64 %d, 1
  %length = call i64 @field(ptr %lengths, i64 %d1)
  %stride = call i64 @field(ptr %strides, i64 %d1)
  %rest.next = sdiv i64 %rest, %length
  %whole = mul i64 %rest.next, %length
  %own = sub i64 %rest, %whole
  %p.at = getelementptr i64, ptr %at, i64 %d1
  store i64 %own, ptr %p.at
  %step = mul i64 %own, %stride
  %place.next = add i64 %place, %step
  br label %head
exit:
  ret i64 %place
}

define void @pack(ptr %buffer, ptr %base, i64 %size, i64 %index, i64 %count,
                  ptr %geometry, ptr %strides, i1 %is.output) #0 {
entry:
  %at = alloca [32 x i64], align 16
  %axes = load i64, ptr %geometry
  %lengths = getelementptr i64, ptr %geometry, i64 1
  %inner = sub i64 %axes, 1
  %row = call i64 @field(ptr %lengths, i64 %inner)
  %step = call i64 @field(ptr %strides, i64 %inner)
  %place.0 = call i64 @locate(i64 %index, i64 %axes, ptr %lengths, ptr %strides, ptr %at)
  %pos.0 = call i64 @field(ptr %at, i64 %inner)
  br label %head
head:
  %left = phi i64 [%count, %entry], [%left.next, %settled]
  %pos = phi i64 [%pos.0, %entry], [0, %settled]
  %place = phi i64 [%place.0, %entry], [%place.next, %settled]
  %to = phi ptr [%buffer, %entry], [%to.next, %settled]
  %room = sub i64 %row, %pos
  %part = call i64 @llvm.smin.i64(i64 %left, i64 %room)
  %from = getelementptr i8, ptr %base, i64 %place
  br i1 %is.output, label %outward, label %inward
outward:
  call void @copy(ptr %from, i64 %step, ptr %to, i64 %size, i64 %part, i64 %size)
  br label %advance
inward:
  call void @copy(ptr %to, i64 %size, ptr %from, i64 %step, i64 %part, i64 %size)
  br label %advance
advance:
  %left.next = sub i64 %left, %part
  %moved = mul i64 %part, %size
  %to.next = getelementptr i8, ptr %to, i64 %moved
  %more = icmp sgt i64 %left.next, 0
  br i1 %more, label %rewind, label %exit
rewind:
  %back = mul i64 %pos, %step
  %place.row = sub i64 %place, %back
  br label %carry
carry:
  %d = phi i64 [%inner, %rewind], [%d1, %wrap]
  %place.c = phi i64 [%place.row, %rewind], [%place.w, %wrap]
  %d1 = sub i64 %d, 1
  %p.at = getelementptr i64, ptr %at, i64 %d1
  %own = load i64, ptr %p.at
  %own.next = add i64 %own, 1
  store i64 %own.next, ptr %p.at
  %stride = call i64 @field(ptr %strides, i64 %d1)
  %length = call i64 @field(ptr %lengths, i64 %d1)
  %place.next = add i64 %place.c, %stride
  %over = icmp sge i64 %own.next, %length
  br i1 %over, label %wrap, label %settled
wrap:
  store i64 0, ptr %p.at
  %span = mul i64 %length, %stride
  %place.w = sub i64 %place.next, %span
  br label %carry
settled:
  br label %head
exit:
  ret void
}

define void @copy(ptr %to, i64 %to.step, ptr %from, i64 %from.step, i64 %count, i64 %size) #0 {
entry:
  %a = icmp eq i64 %to.step, %size
  %b = icmp eq i64 %from.step, %size
  %dense = and i1 %a, %b
  br i1 %dense, label %whole, label %pick
whole:
  %bytes = mul i64 %count, %size
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)
  ret void
pick:
  %repeats = icmp eq i64 %from.step, 0
  %long = icmp sgt i64 %count, 8
  %c = and i1 %repeats, %long
  %fills = and i1 %a, %c
  br i1 %fills, label %fill, label %by.size
fill:
  %all = mul i64 %count, %size
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %size, i1 false)
  br label %double
double:
  %done = phi i64 [%size, %fill], [%done.next, %double]
  %rest = sub i64 %all, %done
  %part = call i64 @llvm.smin.i64(i64 %done, i64 %rest)
  %end = getelementptr i8, ptr %to, i64 %done
  call void @llvm.memcpy.p0.p0.i64(ptr %end, ptr %to, i64 %part, i1 false)
  %done.next = add i64 %done, %part
  %unfilled = icmp slt i64 %done.next, %all
  br i1 %unfilled, label %double, label %exit
by.size:
  switch i64 %size, label %s1 [i64 2, label %s2
                               i64 4, label %s4
                               i64 8, label %s8]
<LOOPS>
exit:
  ret void
}

define void @strided(ptr %job, i64 %begin, i64 %end) #0 {
entry:
  %record = load ptr, ptr %job
  %pointers.0 = call i64 @field(ptr %job, i64 1)
  %pointers = inttoptr i64 %pointers.0 to ptr
  %geometry.0 = call i64 @field(ptr %job, i64 3)
  %geometry = inttoptr i64 %geometry.0 to ptr
  %block.0 = call i64 @field(ptr %job, i64 7)
  %block = inttoptr i64 %block.0 to ptr
  %inputs = call i64 @field(ptr %record, i64 2)
  %uniforms = call i64 @field(ptr %record, i64 3)
  %outputs = call i64 @field(ptr %record, i64 4)
  %sums = call i64 @field(ptr %record, i64 5)
  %operands = add i64 %inputs, %outputs
  %first.sum = add i64 %operands, %uniforms
  %all = add i64 %first.sum, %sums
  %axes = load i64, ptr %geometry
  %lengths = getelementptr i64, ptr %geometry, i64 1
  %strides = getelementptr i64, ptr %lengths, i64 %axes
  %inner = sub i64 %axes, 1
  %row = call i64 @field(ptr %lengths, i64 %inner)
  %has.sums = icmp sgt i64 %sums, 0
  %most = select i1 %has.sums, i64 <RUN>, i64 <PACK>
  %long.0 = icmp sge i64 %row, <LONG>
  %no.sums = xor i1 %has.sums, true
  %by.rows = and i1 %long.0, %no.sums
  %room = mul i64 %most, 8
  %room.all = mul i64 %room, %operands
  %buffers = alloca i8, i64 %room.all, align 64
  %local = alloca ptr, i64 %all, align 16
  %dense = alloca i64, i64 %operands, align 16
  %at = alloca [32 x i64], align 16
  %bytes.all = mul i64 %all, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %local, ptr %pointers, i64 %bytes.all, i1 false)
  br label %survey
survey:
  %q = phi i64 [0, %entry], [%q.next, %survey]
  %q.size.at = add i64 %q, 8
  %q.size = call i64 @field(ptr %record, i64 %q.size.at)
  %q.skip = mul i64 %q, %axes
  %q.strides = getelementptr i64, ptr %strides, i64 %q.skip
  %q.dense = call i1 @is_dense(i64 %axes, ptr %lengths, ptr %q.strides, i64 %q.size)
  %q.word = zext i1 %q.dense to i64
  %q.at = getelementptr i64, ptr %dense, i64 %q
  store i64 %q.word, ptr %q.at
  %q.next = add i64 %q, 1
  %q.more = icmp slt i64 %q.next, %operands
  br i1 %q.more, label %survey, label %blocks
blocks:
  %b = phi i64 [%begin, %survey], [%b.next, %written]
  %some = icmp slt i64 %b, %end
  br i1 %some, label %size, label %exit
size:
  %left = sub i64 %end, %b
  %count.1 = call i64 @llvm.smin.i64(i64 %left, i64 %most)
  %pos = srem i64 %b, %row
  %in.row = sub i64 %row, %pos
  %count.2 = call i64 @llvm.smin.i64(i64 %count.1, i64 %in.row)
  %count = select i1 %by.rows, i64 %count.2, i64 %count.1
  %one.row = icmp sle i64 %count, %in.row
  br label %operand
operand:
  %k = phi i64 [0, %size], [%k.next, %placed]
  %k.size.at = add i64 %k, 8
  %k.size = call i64 @field(ptr %record, i64 %k.size.at)
  %k.skip = mul i64 %k, %axes
  %k.strides = getelementptr i64, ptr %strides, i64 %k.skip
  %k.is.output = icmp sge i64 %k, %inputs
  %k.shift = select i1 %k.is.output, i64 %uniforms, i64 0
  %k.slot = add i64 %k, %k.shift
  %p.base = getelementptr ptr, ptr %pointers, i64 %k.slot
  %base = load ptr, ptr %p.base
  %p.local = getelementptr ptr, ptr %local, i64 %k.slot
  %k.inner = call i64 @field(ptr %k.strides, i64 %inner)
  %k.dense = call i64 @field(ptr %dense, i64 %k)
  %is.dense = icmp ne i64 %k.dense, 0
  %is.row = icmp eq i64 %k.inner, %k.size
  %row.direct = and i1 %is.row, %one.row
  %direct = or i1 %is.dense, %row.direct
  br i1 %direct, label %in.place, label %buffered
in.place:
  %offset = call i64 @locate(i64 %b, i64 %axes, ptr %lengths, ptr %k.strides, ptr %at)
  %here = getelementptr i8, ptr %base, i64 %offset
  store ptr %here, ptr %p.local
  br label %placed
buffered:
  %k.room = mul i64 %k, %room
  %buffer = getelementptr i8, ptr %buffers, i64 %k.room
  store ptr %buffer, ptr %p.local
  br i1 %k.is.output, label %placed, label %fetch
fetch:
  call void @pack(ptr %buffer, ptr %base, i64 %k.size, i64 %b, i64 %count, ptr %geometry, ptr %k.strides, i1 false)
  br label %placed
placed:
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, %operands
  br i1 %k.more, label %operand, label %partials
partials:
  %s = phi i64 [0, %placed], [%s.next, %partial]
  %s.more = icmp slt i64 %s, %sums
  br i1 %s.more, label %partial, label %compute
partial:
  %s.slot = add i64 %first.sum, %s
  %p.partials = getelementptr ptr, ptr %pointers, i64 %s.slot
  %partials.base = load ptr, ptr %p.partials
  %run = sdiv i64 %b, <RUN>
  %own.partial = getelementptr double, ptr %partials.base, i64 %run
  %p.own = getelementptr ptr, ptr %local, i64 %s.slot
  store ptr %own.partial, ptr %p.own
  %s.next = add i64 %s, 1
  br label %partials
compute:
  call void %block(ptr %local, i64 0, i64 %count)
  br label %unload
unload:
  %m = phi i64 [%inputs, %compute], [%m.next, %output.done]
  %m.more = icmp slt i64 %m, %operands
  br i1 %m.more, label %output, label %written
output:
  %m.slot = add i64 %m, %uniforms
  %p.m.local = getelementptr ptr, ptr %local, i64 %m.slot
  %m.at = load ptr, ptr %p.m.local
  %m.room = mul i64 %m, %room
  %m.buffer = getelementptr i8, ptr %buffers, i64 %m.room
  %m.buffered = icmp eq ptr %m.at, %m.buffer
  br i1 %m.buffered, label %store, label %output.done
store:
  %p.m.base = getelementptr ptr, ptr %pointers, i64 %m.slot
  %m.base = load ptr, ptr %p.m.base
  %m.size.at = add i64 %m, 8
  %m.size = call i64 @field(ptr %record, i64 %m.size.at)
  %m.skip = mul i64 %m, %axes
  %m.strides = getelementptr i64, ptr %strides, i64 %m.skip
  call void @pack(ptr %m.buffer, ptr %m.base, i64 %m.size, i64 %b, i64 %count, ptr %geometry, ptr %m.strides, i1 true)
  br label %output.done
output.done:
  %m.next = add i64 %m, 1
  br label %unload
written:
  %b.next = add i64 %b, %count
  br label %blocks
exit:
  ret void
}
"""

_LOOP = """s<N>:
  br label %l<N>
l<N>:
  %i<N> = phi i64 [0, %s<N>], [%in<N>, %l<N>]
  %f<N> = phi ptr [%from, %s<N>], [%fn<N>, %l<N>]
  %t<N> = phi ptr [%to, %s<N>], [%tn<N>, %l<N>]
  %v<N> = load i<BITS>, ptr %f<N>, align 1
  store i<BITS> %v<N>, ptr %t<N>, align 1
  %fn<N> = getelementptr i8, ptr %f<N>, i64 %from.step
  %tn<N> = getelementptr i8, ptr %t<N>, i64 %to.step
  %in<N> = add i64 %i<N>, 1
  %m<N> = icmp slt i64 %in<N>, %count
  br i1 %m<N>, label %l<N>, label %exit"""


def strided_text() -> str:
    loops = "\n".join(_LOOP.replace("<N>", str(n)).replace("<BITS>", str(8 * n)) for n in (1, 2, 4, 8))
    return STRIDED.replace("<LOOPS>", loops)
