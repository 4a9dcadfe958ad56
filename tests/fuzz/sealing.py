"""Lines sealed anew, as somebody does who forges a log and has a hash function.

Works on the bytes, so that a line may be malformed and rightly sealed all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from tests.fuzz.reference_line import read_line
from tests.fuzz.reference_log import GENESIS, segment_name

_PREV = rb',"prev_hash":"[0-9a-f]{64}"'
_HASH = rb',"hash":"[0-9a-f]{64}"'
_HMAC = rb',"hmac":"[0-9a-f]{64}"'
_END = re.compile(rb"(%b)?(%b)?(%b)?\}" % (_PREV, _HASH, _HMAC))
_END_SIZES = sorted(
    (1 + prev + hash_ + hmac_ for prev in (0, 79) for hash_ in (0, 74) for hmac_ in (0, 74)), reverse=True
)
_SEQ = re.compile(rb'\{"seq":([0-9]+)')
_SEALED = re.compile(rb'"hash":"([0-9a-f]{64})"')
NO_MAC = b"0" * 64


def body_and_end(line: bytes) -> tuple[bytes, bytes]:
    """Return a line cut in front of its ``prev_hash`` and seal."""
    for size in _END_SIZES:
        if len(line) >= size and _END.fullmatch(line, len(line) - size):
            return line[:-size], line[-size:]
    return line, b""


def sealed(line: bytes, prev: bytes | None, mode: str, *, keyed: bool, key: bytes | None) -> bytes:
    """Return a line with the end that its mode needs.

    Args:
        prev: None: what it names already.
        keyed: With ``hmac``: right with a ``key``, else of zeros.
    """
    body, end = body_and_end(line)
    if mode == "chain":
        named = prev or end[14:78].ljust(64, b"0")
        body += b',"prev_hash":"%b"' % named
    if mode == "none":
        return body + b"}"
    digest = hashlib.sha256(body).digest()
    body += b',"hash":"%b"' % digest.hex().encode()
    if keyed:
        mac = NO_MAC if key is None else hmac.digest(key, digest, "sha256").hex().encode()
        body += b',"hmac":"%b"' % mac
    return body + b"}"


def hash_of(line: bytes) -> bytes:
    """Return the hash in a line's seal, or what a successor of a line without one might name."""
    found = _SEALED.search(body_and_end(line)[1])
    return found[1] if found else GENESIS.encode()


def seq_of(line: bytes) -> int:
    """Return what a line says that its ``seq`` is, 0 if nothing."""
    found = _SEQ.match(line)
    return int(found[1][:19]) if found else 0


def with_seq(line: bytes, seq: int) -> bytes:
    """Return a line with another ``seq``."""
    return _SEQ.sub(b'{"seq":%d' % seq, line, count=1)


def forged(
    segments: Sequence[Sequence[bytes]],
    start: tuple[int, int],
    mode: str,
    *,
    keyed: bool,
    key: bytes | None,
    blindly: bool = False,
) -> list[list[bytes]]:
    """Return a log sealed anew from a line on, so that all in it agrees with all else.

    ``seq``, links, seals, the digests of segments and the places of declared fragments; lines
    that cannot be read stay as they are, but ``blindly`` those that begin and end as lines do.
    """
    result: list[list[bytes]] = []
    seq, prev = 0, GENESIS.encode()
    for index, lines in enumerate(segments):
        result.append([])
        region: list[bytes] = []
        offset = 0
        for number, line in enumerate(lines):
            whole = blindly and line.startswith(b'{"seq":') and line.endswith(b"}")
            if not whole and read_line(line) is None and read_line(body_and_end(line)[0] + b"}") is None:
                region.append(line)
                result[-1].append(line)
                continue
            new = line
            if (index, number) >= start:
                if number == len(region) and index:
                    new = _knowing(new, index, b"".join(each + b"\n" for each in result[index - 1]))
                if region and b'"audit.fragment.length"' in new:
                    new = _declaring(new, offset, b"\n".join(region))
                new = sealed(with_seq(new, seq + 1), prev, mode, keyed=keyed, key=key)
            seq, prev = seq_of(new), hash_of(new)
            result[-1].append(new)
            offset += sum(len(each) + 1 for each in (*region, new))
            region = []
    return result


def _knowing(line: bytes, number: int, before: bytes) -> bytes:
    """Return an ``opened`` that names the segment before as it is."""
    line = _with(line, b"audit.segment.previous.name", b'"%b"' % segment_name(number).encode())
    line = _with(line, b"audit.segment.previous.size", b"%d" % len(before))
    line = _with(line, b"audit.segment.previous.sha256", b'"%b"' % hashlib.sha256(before).hexdigest().encode())
    return _with(line, b"audit.segment.number", b"%d" % (number + 1))


def _declaring(line: bytes, offset: int, region: bytes) -> bytes:
    line = _with(line, b"audit.fragment.offset", b"%d" % offset)
    line = _with(line, b"audit.fragment.length", b"%d" % len(region))
    return _with(line, b"audit.fragment.sha256", b'"%b"' % hashlib.sha256(region).hexdigest().encode())


def _with(line: bytes, name: bytes, value: bytes) -> bytes:
    return re.sub(rb'"%b":("[^"]*"|[0-9]+)' % re.escape(name), b'"%b":%b' % (name, value), line, count=1)
