"""A warning that is given once, however often its cause comes back."""

from __future__ import annotations

import logging

_MAX_TOLD = 1024
_told: set[tuple[str, str]] = set()


def warn_once(logger: logging.Logger, message: str, subject: object, error: BaseException) -> None:
    """Log a warning for the first failure of its kind; the error's type only.

    An error's message may hold what must not be recorded.

    Args:
        logger: The module's logger.
        message: A format with two places: the subject, and the type of the error.
        subject: What failed: a function, or a name.
        error: What it raised.
    """
    name = getattr(subject, "__qualname__", None) or (
        subject if isinstance(subject, str) else type(subject).__qualname__
    )
    key = (message, str(name))
    if key in _told or len(_told) >= _MAX_TOLD:
        return
    _told.add(key)
    logger.warning(message, name, type(error).__qualname__)
