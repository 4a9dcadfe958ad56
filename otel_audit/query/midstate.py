"""SHA-256, stopped after some blocks and taken up again: what a line of an extract needs.

FIPS 180-4, sections 5.1.1, 5.3.3 and 6.2. The standard library tells no state. Here many messages
are hashed at once, one 64-bit slot of a long integer each, which makes the interpreter's own
cost per message small: some microseconds a block, with a thousand messages.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Final

BLOCK_BYTES: Final = 64
STATE_BYTES: Final = 32
LANES: Final = 512
"""Messages at once: fewer pay the interpreter more often, more leave the processor's cache."""

_ROUNDS: Final = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)  # fmt: skip
INITIAL_STATE: Final = bytes.fromhex("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19")
"""What every message begins from."""

_WORD: Final = 0xFFFFFFFF
_LITTLE: Final = sys.byteorder == "little"


def padding(length: int) -> bytes:
    """Return what SHA-256 puts behind a message of so many bytes."""
    zeros = (BLOCK_BYTES - 9 - length) % BLOCK_BYTES
    return b"\x80" + bytes(zeros) + (8 * length).to_bytes(8, "big")


def go_on(states: Sequence[bytes], messages: Sequence[bytes]) -> list[bytes]:
    """Return the states after more bytes, 32 bytes each.

    Args:
        states: Those to go on from.
        messages: To each what follows, a whole number of blocks.
    """
    order = sorted(range(len(messages)), key=lambda lane: -len(messages[lane]))
    found: list[bytes] = [b""] * len(messages)
    for at in range(0, len(order), LANES):
        some = order[at : at + LANES]
        for lane, state in zip(some, _lanes([states[n] for n in some], [messages[n] for n in some]), strict=True):
            found[lane] = state
    return found


def _lanes(states: Sequence[bytes], messages: Sequence[bytes]) -> list[bytes]:
    """Return the states of messages that are ordered by their length, the longest first."""
    state = _columns(b"".join(states), STATE_BYTES // 4)
    blocks = [len(message) // BLOCK_BYTES for message in messages]
    active = len(messages)
    slots = _slots(active)
    for block in range(blocks[0] if blocks else 0):
        if blocks[active - 1] <= block:
            while blocks[active - 1] <= block:
                active -= 1
            slots = _slots(active)
        at = block * BLOCK_BYTES
        words = _columns(b"".join(message[at : at + BLOCK_BYTES] for message in messages[:active]), 16)
        mask = slots * _WORD
        low = [column & mask for column in state] if active < len(messages) else state
        done = _compress(low, words, slots)
        # those that have ended keep what they have, in the higher slots
        state = [column ^ before ^ after for column, before, after in zip(state, low, done, strict=True)]
    return _rows(state, len(messages))


def _compress(state: Sequence[int], words: list[int], slots: int) -> list[int]:
    """Take one block into each state. A word doubled in its slot is rotated by a plain shift."""
    mask, below3, below10 = slots * _WORD, slots * (_WORD >> 3), slots * (_WORD >> 10)
    for t in range(16, 64):
        early, late = words[t - 15], words[t - 2]
        early2, late2 = early | early << 32, late | late << 32
        small0 = ((early2 >> 7 ^ early2 >> 18) & mask) ^ (early >> 3 & below3)
        small1 = ((late2 >> 17 ^ late2 >> 19) & mask) ^ (late >> 10 & below10)
        words.append((words[t - 16] + small0 + words[t - 7] + small1) & mask)
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(_ROUNDS, words, strict=True):
        doubled = e | e << 32
        large1 = (doubled >> 6 ^ doubled >> 11 ^ doubled >> 25) & mask
        first = h + large1 + (g ^ (e & (f ^ g))) + slots * constant + word
        doubled = a | a << 32
        large0 = (doubled >> 2 ^ doubled >> 13 ^ doubled >> 22) & mask
        second = large0 + ((a & b) | (c & (a | b)))
        h, g, f, e, d, c, b, a = g, f, e, (d + first) & mask, c, b, a, (first + second) & mask
    return [(old + new) & mask for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def _slots(count: int) -> int:
    """Return an integer with a 1 in each of so many slots."""
    return int.from_bytes(b"\1\0\0\0\0\0\0\0" * count, "little")


def _columns(rows: bytes, words: int) -> list[int]:
    """Return the words of rows, big-endian, all of one place in one integer."""
    numbers = array("I", rows)
    if _LITTLE:
        numbers.byteswap()
    return [int.from_bytes(_little(array("Q", numbers[place::words])), "little") for place in range(words)]


def _rows(columns: Sequence[int], count: int) -> list[bytes]:
    slots = [column.to_bytes(8 * count, "little") for column in columns]
    return [b"".join(slot[at : at + 4][::-1] for slot in slots) for at in range(0, 8 * count, 8)]


def _little(numbers: array[int]) -> bytes:
    if not _LITTLE:
        numbers.byteswap()
    return numbers.tobytes()
