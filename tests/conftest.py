"""How all tests run: properties take the time that a busy machine gives them."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# In continuous integration the same examples each time; elsewhere others at each run, so that they find something.
settings.register_profile(
    "vidrive", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("vidrive")
