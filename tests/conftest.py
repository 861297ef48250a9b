"""For all tests: a cache of their own, so that nothing compiled elsewhere is tested; hypothesis without a clock."""

from __future__ import annotations

import os
import shutil
import tempfile

import hypothesis

# A kernel's first call compiles it, and machines differ: time is no failure. A failure prints what repeats it. CI draws
# the same examples each time, so that a change is judged by itself; elsewhere each run looks further.
hypothesis.settings.register_profile(
    "actcomp", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")), database=None
)
hypothesis.settings.load_profile("actcomp")


def pytest_configure(config):
    config.actcomp_cache = None
    if "ACTCOMP_CACHE_DIR" not in os.environ:
        config.actcomp_cache = os.environ["ACTCOMP_CACHE_DIR"] = tempfile.mkdtemp(prefix="actcomp-tests-")


def pytest_unconfigure(config):
    if config.actcomp_cache is not None:
        del os.environ["ACTCOMP_CACHE_DIR"]
        shutil.rmtree(config.actcomp_cache, ignore_errors=True)
