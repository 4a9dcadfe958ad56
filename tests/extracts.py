"""Extracts, made and checked without the package: what docs/export.md says, and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.logs import hash_of

_PRIMES = [n for n in range(2, 312) if all(n % m for m in range(2, n))]
_WORD = 0xFFFFFFFF


def _root(number: int, power: int) -> int:
    """Return the first 32 bits behind the point of a root (FIPS 180-4, 4.2.2 and 5.3.3)."""
    low, high = 0, number << 32
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**power <= number << 32 * power else (low, middle)
    return low & _WORD


_ROUNDS = [_root(prime, 3) for prime in _PRIMES]
INITIAL = b"".join(_root(prime, 2).to_bytes(4, "big") for prime in _PRIMES[:8])


def compress(state: bytes, block: bytes) -> bytes:
    """Return the state after one block (FIPS 180-4, 6.2.2), word by word as it stands there."""

    def rotate(word: int, count: int) -> int:
        return (word >> count | word << (32 - count)) & _WORD

    words = [int.from_bytes(block[at : at + 4], "big") for at in range(0, 64, 4)]
    for t in range(16, 64):
        x, y = words[t - 15], words[t - 2]
        small0 = rotate(x, 7) ^ rotate(x, 18) ^ x >> 3
        small1 = rotate(y, 17) ^ rotate(y, 19) ^ y >> 10
        words.append((words[t - 16] + small0 + words[t - 7] + small1) & _WORD)
    before = [int.from_bytes(state[at : at + 4], "big") for at in range(0, 32, 4)]
    a, b, c, d, e, f, g, h = before
    for constant, word in zip(_ROUNDS, words, strict=True):
        first = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (e & f ^ ~e & g) + constant + word
        second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (first + second) & _WORD, a, b, c, (d + first) & _WORD, e, f, g
    after = (a, b, c, d, e, f, g, h)
    return b"".join(((x + y) & _WORD).to_bytes(4, "big") for x, y in zip(before, after, strict=True))


def go_on(state: bytes, message: bytes) -> bytes:
    """Return the state after whole blocks."""
    for at in range(0, len(message), 64):
        state = compress(state, message[at : at + 64])
    return state


def left_out(line: bytes) -> dict[str, Any]:
    """Return what an extract says of an entry that it leaves out (no hmac)."""
    covered = line[:-75]
    cut = (len(covered) - 65) // 64 * 64
    return {
        "left_out": json.loads(line)["seq"],
        "hash": hash_of(line),
        "length": len(covered),
        "state": go_on(INITIAL, covered[:cut]).hex(),
        "rest": covered[cut:-65].hex(),
    }


def hash_of_left_out(said: dict[str, Any], hash_before: str) -> str:
    """Return the hash of an entry that is left out, from that of the entry before."""
    padding = b"\x80" + bytes(-(said["length"] + 9) % 64) + (said["length"] * 8).to_bytes(8, "big")
    rest = bytes.fromhex(said["rest"]) + hash_before.encode() + b'"'
    return go_on(bytes.fromhex(said["state"]), rest + padding).hex()


def check(extract: bytes) -> tuple[list[int], str]:
    """Return the seqs of the chosen entries, and the head that they lead to; fail where they do not."""
    first, *lines, last = extract.removesuffix(b"\n").split(b"\n")
    assert json.loads(first)["extract"] == 1
    chosen: list[int] = []
    seq, digits = 0, ""
    for line in lines:
        members = json.loads(line)
        if line.startswith(b'{"seq":'):
            digest = hashlib.sha256(line[: line.rindex(b',"hash":"')]).hexdigest()
            assert digest == members["hash"]
            assert not chosen or (members["seq"], members["prev_hash"]) == (seq + 1, digits)
            chosen.append(members["seq"])
            seq, digits = members["seq"], digest
        else:
            assert members["left_out"] == seq + 1
            seq, digits = seq + 1, hash_of_left_out(members, digits)
            assert digits == members["hash"]
    assert json.loads(last) == {
        "head": {"seq": seq, "hash": digits}, "chosen": len(chosen), "left_out": len(lines) - len(chosen),
    }  # fmt: skip
    return chosen, f"{seq}:{digits}"
