"""What the whole suite shares: reproducible hypothesis runs, the cache of compiled programs."""

import os

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
