"""Part of the handler (handler_ir.py): large calls are shared with the threads that XLA computes with.

A *share* is memory of malloc:

    0..7 the job (emit/driver.py)   8 state   9 references   10.. pointers

Each task that XLA starts adds one to the state, takes chunks of the job, and takes the one away; the caller takes
chunks as well, then sets CLOSED in the state and waits until no task is at work. A task that starts later finds CLOSED
and does nothing, so that the caller never waits for one that has not started: in a busy pool it might never start. The
share is freed by whoever lets go of it last.
"""

from __future__ import annotations

from ..emit.target import Target

_SHARE_BITS = 16  # a thread for every so many elements: waking one takes as long as tens of thousands of them
_CHUNKS_EACH = 4
_SPINS = 256  # before the system is asked to let another thread run
_CLOSED = 1 << 32


def share_values(target: Target) -> dict[str, str]:
    """What stands for the names in angle brackets."""
    pauses = {"x86_64": "pause", "aarch64": "yield"}
    pause = pauses.get(target.architecture)
    can_yield = "windows" not in target.triple
    return {
        "SHARE": str(_SHARE_BITS),
        "CHUNKS": str(_CHUNKS_EACH),
        "SPINS": str(_SPINS),
        "CLOSED": str(_CLOSED),
        "PAUSE": f'call void asm sideeffect "{pause}", ""()' if pause else "",
        "YIELD": "%yielded = call i32 @sched_yield()" if can_yield else "",
        "DECLARE": "declare i32 @sched_yield()" if can_yield else "",
    }


SHARE_TEXT = r"""
declare void @free(ptr)
<DECLARE>

define internal void @release(ptr %share) #0 {
  %p.references = getelementptr i64, ptr %share, i64 9
  %before = atomicrmw sub ptr %p.references, i64 1 acq_rel
  %last = icmp eq i64 %before, 1
  br i1 %last, label %drop, label %exit
drop:
  call void @free(ptr %share)
  br label %exit
exit:
  ret void
}

define internal void @forget(ptr %api, ptr %error) #0 {
  %args = alloca [3 x i64], align 16
  %destroy = field ptr %api 64
  put i64 24 %args 0
  put ptr null %args 8
  put ptr %error %args 16
  call void %destroy(ptr %args)
  ret void
}

define internal void @task(ptr %share) #0 {
  %p.state = getelementptr i64, ptr %share, i64 8
  %state = atomicrmw add ptr %p.state, i64 1 acq_rel
  %closed = and i64 %state, <CLOSED>
  %open = icmp eq i64 %closed, 0
  br i1 %open, label %help, label %leave
help:
  %work = field ptr @table 8
  call void %work(ptr %share)
  br label %leave
leave:
  %left = atomicrmw sub ptr %p.state, i64 1 acq_rel
  call void @release(ptr %share)
  ret void
}

define internal void @together(ptr %frame, ptr %share, i64 %n, i64 %threads) #0 {
entry:
  %schedule.args = alloca [5 x i64], align 16
  %parts = mul i64 %threads, <CHUNKS>
  %part = sdiv i64 %n, %parts
  %part.up = add i64 %part, <RUN>
  %part.runs = sdiv i64 %part.up, <RUN>
  %chunk = mul i64 %part.runs, <RUN>
  put i64 %chunk %share 48
  put i64 0 %share 64
  put i64 %threads %share 72
  %api = field ptr %frame 16
  %context = field ptr %frame 24
  %schedule = field ptr %api 136
  put i64 40 %schedule.args 0
  put ptr null %schedule.args 8
  put ptr %context %schedule.args 16
  put ptr @task %schedule.args 24
  put ptr %share %schedule.args 32
  br label %start
start:
  %t = phi i64 [1, %entry], [%t.next, %started]
  %more = icmp slt i64 %t, %threads
  br i1 %more, label %one, label %own
one:
  %error = call ptr %schedule(ptr %schedule.args)
  %good = icmp eq ptr %error, null
  br i1 %good, label %started, label %refused
refused:
  call void @forget(ptr %api, ptr %error)
  call void @release(ptr %share)
  br label %started
started:
  %t.next = add i64 %t, 1
  br label %start
own:
  %work = field ptr @table 8
  call void %work(ptr %share)
  %p.state = getelementptr i64, ptr %share, i64 8
  %closing = atomicrmw or ptr %p.state, i64 <CLOSED> acq_rel
  br label %wait
wait:
  %spin = phi i64 [0, %own], [%spin.next, %again]
  %state = load atomic i64, ptr %p.state acquire, align 8
  %done = icmp eq i64 %state, <CLOSED>
  br i1 %done, label %exit, label %busy
busy:
  <PAUSE>
  %spin.next = add i64 %spin, 1
  %long = icmp sgt i64 %spin, <SPINS>
  br i1 %long, label %yield, label %again
yield:
  <YIELD>
  br label %again
again:
  br label %wait
exit:
  ret void
}

define internal i64 @threads(ptr %frame, i64 %n) #0 {
entry:
  %args = alloca [4 x i64], align 16
  %count = alloca i64
  store i64 1, ptr %count
  %settings = field ptr @table 32
  %serial = field i64 %settings 24
  %small = icmp slt i64 %n, %serial
  br i1 %small, label %alone, label %ask
ask:
  %api = field ptr %frame 16
  %context = field ptr %frame 24
  %number = field ptr %api 144
  put i64 32 %args 0
  put ptr null %args 8
  put ptr %context %args 16
  put ptr %count %args 24
  %error = call ptr %number(ptr %args)
  %good = icmp eq ptr %error, null
  br i1 %good, label %known, label %refused
refused:
  call void @forget(ptr %api, ptr %error)
  br label %alone
known:
  %most = load i64, ptr %count
  %cap = field i64 %settings 16
  %useful = lshr i64 %n, <SHARE>
  %a = call i64 @llvm.smin.i64(i64 %most, i64 %cap)
  %b = call i64 @llvm.smin.i64(i64 %a, i64 %useful)
  ret i64 %b
alone:
  ret i64 1
}
"""
