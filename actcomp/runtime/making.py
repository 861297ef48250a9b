"""One lock for all that makes machine code, held across a fork.

LLVM has global state, and its bindings have locks of their own: a child that is forked while another thread compiles
would wait for them for ever. So a fork waits until nothing is being made.
"""

from __future__ import annotations

import os
import threading

LOCK = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)
