"""Record ids: random UUIDs from a pool, as one `uuid.uuid4` costs a third of a bare emit."""

from __future__ import annotations

import os

_POOL_SIZE = 256
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_pool: list[str] = []


def new_record_id() -> str:
    """Return the text of a new random UUID (RFC 9562, version 4). Thread-safe."""
    try:
        return _pool.pop()
    except IndexError:
        digits = os.urandom(16 * _POOL_SIZE).hex()
        # a list of its own: another thread may fill the pool at the same moment
        fresh = [
            f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-4{digits[at + 13 : at + 16]}-"
            f"{_VARIANT[digits[at + 16]]}{digits[at + 17 : at + 20]}-{digits[at + 20 : at + 32]}"
            for at in range(0, len(digits), 32)
        ]
        last = fresh.pop()
        _pool.extend(fresh)
        return last


# a forked child that took from the same pool would give two entries one id
os.register_at_fork(after_in_child=_pool.clear)
