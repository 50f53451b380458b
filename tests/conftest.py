"""What the whole suite shares: reproducible hypothesis runs, the cache of compiled programs, a quick start of each."""

import gc
import os

import jax
import pytensor
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "reproducible",
    deadline=None,  # the first example of a test compiles
    derandomize=True,
    database=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("reproducible")


def pytest_configure(config: pytest.Config) -> None:
    # Compiled programs are kept with pytest's own cache, not with the user's.
    if (cache := getattr(config, "cache", None)) is not None:
        os.environ.setdefault("RNNRBM_CACHE", str(cache.mkdir("rnnrbm")))
    # A test compiles a program and runs it a few times, so half-optimised ones are ready sooner; the slow tests, which
    # run theirs for long, run what users run, as does everything with JAX_DISABLE_MOST_OPTIMIZATIONS=0.
    if config.option.markexpr == "not slow":
        os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    # Graphs are made of millions of small objects, most of which stay: looked through seldom, not every 700.
    gc.set_threshold(100_000, 50, 100)
    # PyTensor notes for each node which line of a script made it: a sixteenth of the time of a compilation.
    pytensor.config.traceback__limit = 0


_file = ""


def pytest_runtest_logstart(nodeid: str) -> None:
    """Before the first test of a file, take what stays of earlier files out of Python's collections of garbage."""
    global _file
    if _file != (_file := nodeid.partition("::")[0]):
        if n_mappings() > MOST_MAPPINGS:
            gc.unfreeze()
            jax.clear_caches()
        gc.collect()
        gc.freeze()


#: Mappings of memory of a process; Linux allows it 65 530, and then a compilation aborts. Each program takes several.
MOST_MAPPINGS = 25_000


def n_mappings() -> int:
    """Number of mappings of memory of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/maps", "rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0
