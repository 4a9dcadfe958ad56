"""The only place that creates, locks, writes and syncs a log."""

from .ledger import Describe, Ledger
from .ticket import Ticket

__all__ = ["Describe", "Ledger", "Ticket"]
