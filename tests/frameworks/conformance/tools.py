"""The tool of the checks, and what a run with one call of it leaves in the log."""

from __future__ import annotations

from collections.abc import Callable

from tests.frameworks.conformance.driver import Call, Tool

STEPS = [
    "agent intent clerk",
    "model intent scripted-1",
    "model success scripted-1",
    "tool intent note",
    "tool success note",
    "model intent scripted-1",
    "model success scripted-1",
    "agent success clerk",
]


def noting(do: Callable[[str], str]) -> Tool:
    """Return a tool ``note`` that does this."""

    def note(text: str) -> str:
        """Note a text.

        Args:
            text: The text.
        """
        return do(text)

    return note


note = noting(lambda text: f"noted {text}")


def asking(text: str = "hello", tool: str = "note", call_id: str = "call-1") -> tuple[Call, ...]:
    """Return the turn that has a tool called."""
    return (Call(tool, {"text": text}, call_id),)
