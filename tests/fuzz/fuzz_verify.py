"""Fuzz the verifier of logs: ``python -m tests.fuzz.fuzz_verify --seconds 600``."""

from __future__ import annotations

import sys

from tests.fuzz.engine import main

if __name__ == "__main__":
    sys.exit(main("tests.fuzz.verify_target"))
