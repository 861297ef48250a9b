"""The one module, shared by all kernels, that runs a block function over any layout on any number of threads.

All tables are arrays of int64 (pointers included). A kernel's *record*:

    0 block   1 streaming block or 0   2 element inputs   3 uniform inputs   4 element outputs   5 sums
    6 bytes stored for each element    7 (free)           8.. item size of each element operand, inputs first

A *job*, one for each call:

    0 record   1 pointers (block.py's)   2 elements   3 geometry or 0   4 sums' results (doubles)
    5 next element to take   6 elements in a chunk   7 block function          (5..7 are set by run)

Without sums, run sets 4 to the number of elements before the first one on a border of 64 bytes of the outputs: they
are computed by the plain block, all others by the streaming one.

*Geometry*: axes (1 to 32), their lengths, then for each element operand its strides in bytes; 0 as the job's geometry
means that all operands are contiguous. *Settings*, the global that the engine fills in, from SETTINGS.

    void run(int64_t *job)      all of the job: on this thread, or on the team of GOMP_parallel
    void work(int64_t *job)     takes chunks of the job until none is left; what each thread of the team runs

run is plan, then work on one thread or on several at once, then total; callers with threads of their own call those:

    void plan(int64_t *job)     sets 5..7, one chunk for all      void total(int64_t *job)    the sums' results

Chunks are taken from a shared counter: any number of threads that turn up will do, and a thread held up by the system
holds up one chunk only. Flush-to-zero and rounding modes are set to IEEE's defaults during work and put back after it.
"""

from __future__ import annotations

from ..program.interpreter import SUM_RUN
from .strided import strided_text
from .target import Target

# Elements that are packed at once: buffers stay in the first-level cache. A whole run where there are sums.
PACK = 1024
# Rows at least this long are run in place where an operand's row is contiguous.
LONG_ROW = 256
CHUNKS_EACH = 4


def emit_driver(target: Target) -> str:
    """The module's text. Functions of other files may be appended to it, before the attributes of ``footer``."""
    save, restore = _float_mode(target)
    text = (_TEXT + strided_text()).replace("<SAVE>", save).replace("<RESTORE>", restore)
    for name, value in {"RUN": SUM_RUN, "PACK": PACK, "LONG": LONG_ROW, "CHUNKS": CHUNKS_EACH}.items():
        text = text.replace(f"<{name}>", str(value))
    return f'target triple = "{target.triple}"\n{text}'


def footer(target: Target) -> str:
    return f'attributes #0 = {{ nounwind "target-cpu"="{target.cpu}" "target-features"="{target.features}" }}\n'


def _float_mode(target: Target) -> tuple[str, str]:
    """Code that saves the mode as %mode and clears flushing and rounding if either is set; code that puts it back."""
    if target.architecture == "x86_64":
        read = "call void @llvm.x86.sse.stmxcsr(ptr %slot)\n  %mode = load i32, ptr %slot"
        write = "store i32 %{0}, ptr %slot\n  call void @llvm.x86.sse.ldmxcsr(ptr %slot)"
        kind, bits = "i32", 0x8040 | 0x6000
    elif target.architecture == "aarch64":
        read = "%mode = call i64 @llvm.aarch64.get.fpcr()"
        write = "call void @llvm.aarch64.set.fpcr(i64 %{0})"
        kind, bits = "i64", 1 << 24 | 1 << 19 | 3 << 22
    else:  # no such mode that we know of
        return "br label %take", "ret void"
    save = f"""%slot = alloca i32
  {read}
  %bits = and {kind} %mode, {bits}
  %odd = icmp ne {kind} %bits, 0
  br i1 %odd, label %clear, label %take
clear:
  %cleared = xor {kind} %mode, %bits
  {write.format("cleared")}
  br label %take"""
    restore = f"""br i1 %odd, label %restore, label %return
restore:
  {write.format("mode")}
  br label %return
return:
  ret void"""
    return save, restore


# Local names: %t* are slots; a field of a table is loaded by two lines, address and load.
_TEXT = """
@settings = global [16 x i64] zeroinitializer, align 64

define i64 @field(ptr %table, i64 %index) #0 {
  %a = getelementptr i64, ptr %table, i64 %index
  %v = load i64, ptr %a
  ret i64 %v
}

define void @plan(ptr %job) #0 {
entry:
  %record = load ptr, ptr %job
  %p.pointers = getelementptr i64, ptr %job, i64 1
  %pointers = load ptr, ptr %p.pointers
  %p.n = getelementptr i64, ptr %job, i64 2
  %n = load i64, ptr %p.n
  %p.geometry = getelementptr i64, ptr %job, i64 3
  %geometry = load i64, ptr %p.geometry
  %p.next = getelementptr i64, ptr %job, i64 5
  %p.chunk = getelementptr i64, ptr %job, i64 6
  %p.block = getelementptr i64, ptr %job, i64 7
  %block = load i64, ptr %record
  store i64 %block, ptr %p.block
  store i64 0, ptr %p.next
  store i64 %n, ptr %p.chunk
  %p.serial = getelementptr i64, ptr @settings, i64 3
  %serial = load i64, ptr %p.serial
  %p.sums = getelementptr i64, ptr %record, i64 5
  %sums = load i64, ptr %p.sums
  %p.head = getelementptr i64, ptr %job, i64 4
  %given = load i64, ptr %p.head
  %no.sums = icmp eq i64 %sums, 0
  %no.head = select i1 %no.sums, i64 0, i64 %given
  store i64 %no.head, ptr %p.head
  %small = icmp slt i64 %n, %serial
  br i1 %small, label %exit, label %large

large:
  %p.stream = getelementptr i64, ptr %record, i64 1
  %stream = load i64, ptr %p.stream
  %p.bytes = getelementptr i64, ptr %record, i64 6
  %bytes = load i64, ptr %p.bytes
  %p.limit = getelementptr i64, ptr @settings, i64 4
  %limit = load i64, ptr %p.limit
  %total = mul i64 %n, %bytes
  %beyond = icmp sgt i64 %total, %limit
  %has.stream = icmp ne i64 %stream, 0
  %plain = icmp eq i64 %geometry, 0
  %s1 = and i1 %beyond, %has.stream
  %s2 = and i1 %s1, %plain
  br i1 %s2, label %aligned, label %exit

aligned:
  %inputs = call i64 @field(ptr %record, i64 2)
  %uniforms = call i64 @field(ptr %record, i64 3)
  %outputs = call i64 @field(ptr %record, i64 4)
  %first = add i64 %inputs, %uniforms
  %sizes = add i64 %inputs, 8
  br label %each
each:
  %o = phi i64 [0, %aligned], [%o.next, %next.output]
  %head = phi i64 [-1, %aligned], [%gap, %next.output]
  %o.slot = add i64 %first, %o
  %address = call i64 @field(ptr %pointers, i64 %o.slot)
  %o.size.at = add i64 %sizes, %o
  %o.size = call i64 @field(ptr %record, i64 %o.size.at)
  %below = sub i64 0, %address
  %gap.bytes = and i64 %below, 63
  %gap = udiv i64 %gap.bytes, %o.size
  %gap.back = mul i64 %gap, %o.size
  %whole = icmp eq i64 %gap.back, %gap.bytes
  %is.first = icmp eq i64 %o, 0
  %same = icmp eq i64 %gap, %head
  %agrees = or i1 %is.first, %same
  %no.gap = icmp eq i64 %gap, 0
  %allowed = or i1 %no.sums, %no.gap
  %g1 = and i1 %whole, %agrees
  %g2 = and i1 %g1, %allowed
  br i1 %g2, label %next.output, label %exit
next.output:
  %o.next = add i64 %o, 1
  %o.more = icmp slt i64 %o.next, %outputs
  br i1 %o.more, label %each, label %judge
judge:
  store i64 %stream, ptr %p.block
  br i1 %no.sums, label %lead, label %exit
lead:
  store i64 %gap, ptr %p.head
  br label %exit
exit:
  ret void
}

define void @run(ptr %job) #0 {
entry:
  call void @plan(ptr %job)
  %n = call i64 @field(ptr %job, i64 2)
  %serial = call i64 @field(ptr @settings, i64 3)
  %small = icmp slt i64 %n, %serial
  br i1 %small, label %alone, label %team
team:
  %gomp = load ptr, ptr @settings
  %has.gomp = icmp ne ptr %gomp, null
  br i1 %has.gomp, label %count, label %alone
count:
  %p.max = getelementptr i64, ptr @settings, i64 1
  %max = load ptr, ptr %p.max
  %most = call i32 %max()
  %most.64 = sext i32 %most to i64
  %p.cap = getelementptr i64, ptr @settings, i64 2
  %cap = load i64, ptr %p.cap
  %threads.1 = call i64 @llvm.smin.i64(i64 %most.64, i64 %cap)
  %useful = lshr i64 %n, 15
  %threads = call i64 @llvm.smin.i64(i64 %threads.1, i64 %useful)
  %many = icmp sgt i64 %threads, 1
  br i1 %many, label %together, label %alone
together:
  %parts = mul i64 %threads, <CHUNKS>
  %share = sdiv i64 %n, %parts
  %share.up = add i64 %share, <RUN>
  %share.low = sdiv i64 %share.up, <RUN>
  %share.runs = mul i64 %share.low, <RUN>
  %p.chunk = getelementptr i64, ptr %job, i64 6
  store i64 %share.runs, ptr %p.chunk
  %threads.32 = trunc i64 %threads to i32
  call void %gomp(ptr @work, ptr %job, i32 %threads.32, i32 0)
  br label %finish
alone:
  call void @work(ptr %job)
  br label %finish

finish:
  call void @total(ptr %job)
  ret void
}

define void @total(ptr %job) #0 {
entry:
  %record = load ptr, ptr %job
  %sums = call i64 @field(ptr %record, i64 5)
  %any.sums = icmp sgt i64 %sums, 0
  br i1 %any.sums, label %totals, label %exit
totals:
  %pointers.1 = call i64 @field(ptr %job, i64 1)
  %pointers = inttoptr i64 %pointers.1 to ptr
  %n = call i64 @field(ptr %job, i64 2)
  %t.inputs = call i64 @field(ptr %record, i64 2)
  %t.uniforms = call i64 @field(ptr %record, i64 3)
  %t.outputs = call i64 @field(ptr %record, i64 4)
  %t.1 = add i64 %t.inputs, %t.uniforms
  %t.first = add i64 %t.1, %t.outputs
  %p.results = getelementptr i64, ptr %job, i64 4
  %results = load ptr, ptr %p.results
  %n.up = add i64 %n, <RUN>
  %n.up1 = sub i64 %n.up, 1
  %runs = sdiv i64 %n.up1, <RUN>
  br label %sum
sum:
  %k = phi i64 [0, %totals], [%k.next, %sum.end]
  %k.slot = add i64 %t.first, %k
  %p.partials = getelementptr ptr, ptr %pointers, i64 %k.slot
  %partials = load ptr, ptr %p.partials
  br label %sum.head
sum.head:
  %j = phi i64 [0, %sum], [%j.next, %sum.add]
  %acc = phi double [0.0, %sum], [%acc.next, %sum.add]
  %j.more = icmp slt i64 %j, %runs
  br i1 %j.more, label %sum.add, label %sum.end
sum.add:
  %p.partial = getelementptr double, ptr %partials, i64 %j
  %partial = load double, ptr %p.partial
  %acc.next = fadd double %acc, %partial
  %j.next = add i64 %j, 1
  br label %sum.head
sum.end:
  %p.result = getelementptr double, ptr %results, i64 %k
  store double %acc, ptr %p.result
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, %sums
  br i1 %k.more, label %sum, label %exit
exit:
  ret void
}

define void @work(ptr %job) #0 {
entry:
  %p.pointers = getelementptr i64, ptr %job, i64 1
  %pointers = load ptr, ptr %p.pointers
  %p.n = getelementptr i64, ptr %job, i64 2
  %n = load i64, ptr %p.n
  %p.geometry = getelementptr i64, ptr %job, i64 3
  %geometry = load i64, ptr %p.geometry
  %p.next = getelementptr i64, ptr %job, i64 5
  %p.chunk = getelementptr i64, ptr %job, i64 6
  %chunk = load i64, ptr %p.chunk
  %p.block = getelementptr i64, ptr %job, i64 7
  %block = load ptr, ptr %p.block
  %record = load ptr, ptr %job
  %plain.block = load ptr, ptr %record
  %sums = call i64 @field(ptr %record, i64 5)
  %no.sums = icmp eq i64 %sums, 0
  %fourth = call i64 @field(ptr %job, i64 4)
  %head = select i1 %no.sums, i64 %fourth, i64 0
  <SAVE>
take:
  %begin = atomicrmw add ptr %p.next, i64 %chunk monotonic
  %more = icmp slt i64 %begin, %n
  br i1 %more, label %do, label %end
do:
  %end.1 = add i64 %begin, %chunk
  %end.2 = call i64 @llvm.smin.i64(i64 %end.1, i64 %n)
  %plain = icmp eq i64 %geometry, 0
  br i1 %plain, label %contiguous, label %strided
contiguous:
  %begin.shifted = add i64 %begin, %head
  %end.shifted = add i64 %end.2, %head
  %end.3 = call i64 @llvm.smin.i64(i64 %end.shifted, i64 %n)
  %is.start = icmp eq i64 %begin, 0
  %has.head = icmp sgt i64 %head, 0
  %leads = and i1 %is.start, %has.head
  br i1 %leads, label %front, label %main
front:
  call void %plain.block(ptr %pointers, i64 0, i64 %head)
  br label %main
main:
  call void %block(ptr %pointers, i64 %begin.shifted, i64 %end.3)
  br label %take
strided:
  call void @strided(ptr %job, i64 %begin, i64 %end.2)
  br label %take
end:
  <RESTORE>
}
"""
