"""Reading: what is found in a log, counted, joined and handed on (docs/reading.md).

`to_arrow` and `to_pandas` need the extra ``query``. They are loaded when first used, so that a
search starts without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_audit.query.arrow import to_arrow, to_pandas

__all__ = ["to_arrow", "to_pandas"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from otel_audit.query import arrow

    return getattr(arrow, name)
