"""Tests of CUDA kernels; emulation.py runs them on the host, fake.py has a driver that does so."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fake import fake_cuda, fake_library  # noqa: F401
