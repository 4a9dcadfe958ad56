"""The only place that creates, locks, writes and syncs a log."""

from .ledger import Ledger
from .ticket import Ticket
from .timing import LedgerStats
from .writer import Describe

__all__ = ["Describe", "Ledger", "LedgerStats", "Ticket"]
