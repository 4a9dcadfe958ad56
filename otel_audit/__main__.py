"""``python -m otel_audit``: the command line."""

from __future__ import annotations

import sys

from otel_audit.cli import main

if __name__ == "__main__":
    sys.exit(main())
