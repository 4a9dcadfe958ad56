"""The HUMMBL Governance Bus, on an audit log: ``from otel_audit.compat.hummbl import BusWriter``.

A program that was written for hummbl-governance's bus goes on as it is. Each message is an entry
of a hash-chained log, on disk when `BusWriter.post` returns; what differs, and why, stands in
docs/migrating.md.
"""

from .bus import BusWriter
from .message import Message
from .policy import BusPolicyError, PolicyLevel

__all__ = ["BusPolicyError", "BusWriter", "Message", "PolicyLevel"]
