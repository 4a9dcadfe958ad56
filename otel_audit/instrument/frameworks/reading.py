"""What is read of the program's own objects, whose attributes can be code of its own."""

from __future__ import annotations

from typing import Any


def read(instance: object, name: str) -> Any:
    """Return an attribute; None where there is none, or where reading it raises: the call goes on without it."""
    try:
        return getattr(instance, name, None)
    except Exception:
        return None
