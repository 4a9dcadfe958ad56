"""Which of these tests there are: some need packages that need a newer Python than this project does."""

from __future__ import annotations

import os
from importlib.util import find_spec

# Left out, not skipped: nothing is skipped where OTEL_AUDIT_TEST_STRICT is set. Where
# OTEL_AUDIT_TEST_GATES is set they are collected in any case, and a missing package is an error.
collect_ignore = (
    [] if "OTEL_AUDIT_TEST_GATES" in os.environ or find_spec("actiongate") is not None else ["test_gates.py"]
)
