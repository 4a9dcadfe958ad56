r"""The chain of actors as one entry of OpenTelemetry baggage.

Baggage is plain text that every callee can read and every caller can forge: it is written and
believed only where the settings say so. The value is a JSON array of ``[id, type]`` pairs in
ASCII without white space (a blank in an id is written ``\u0020``), so that the percent
encoding of every propagator brings it through unchanged.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

from opentelemetry import baggage
from opentelemetry.context import Context

from otel_audit.record import Actor

KEY = "audit.actor"
MAX_ENCODED_BYTES = 4096 - len(KEY) - 1
"""Longest value, percent-encoded: propagators drop a longer list member."""
MAX_ACTORS = 64

_logger = logging.getLogger(__name__)


def encode(actors: Iterable[Actor]) -> str | None:
    """Return the value for a chain; None for an empty chain and for one that is too long.

    A chain is never shortened: a part of it would name the wrong principal.
    """
    pairs = [[actor.id, actor.type] for actor in actors]
    if not pairs:
        return None
    text = json.dumps(pairs, separators=(",", ":")).replace(" ", "\\u0020")
    if len(pairs) > MAX_ACTORS or len(quote(text, safe="")) > MAX_ENCODED_BYTES:
        _logger.warning("actors not propagated: the chain is too long for baggage")
        return None
    return text


@lru_cache(maxsize=256)
def decode(text: str) -> tuple[Actor, ...]:
    """Return the chain that a value stands for; empty, with a warning, if it is not one."""
    if len(text) > MAX_ENCODED_BYTES:
        return _ignored("too long")
    try:
        pairs = json.loads(text)
    except (ValueError, RecursionError):
        return _ignored("not JSON")
    if not isinstance(pairs, list) or not 0 < len(pairs) <= MAX_ACTORS:
        return _ignored(f"expected an array of 1 to {MAX_ACTORS} actors")
    actors = []
    for pair in pairs:
        match pair:
            case [str(actor_id), ("user" | "service" | "system") as actor_type] if actor_id:
                actors.append(Actor(actor_id, actor_type))
            case _:
                return _ignored("expected pairs of id and type")
    return tuple(actors)


def text(context: Context) -> str | None:
    """Return the value in the baggage of a context; None if there is none."""
    value = baggage.get_baggage(KEY, context)
    return value if isinstance(value, str) else None


def replaced(value: str | None, context: Context) -> Context:
    """Return the context with this value in its baggage; with None, without any."""
    if value is None:
        return baggage.remove_baggage(KEY, context)
    return baggage.set_baggage(KEY, value, context)


def _ignored(reason: str) -> tuple[Actor, ...]:
    # Never the value: it is a stranger's text.
    _logger.warning("actors in baggage ignored: %s", reason)
    return ()
