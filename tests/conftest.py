"""Settings of all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# A check that guards what lands must give one answer: examples are the same in every run there.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
