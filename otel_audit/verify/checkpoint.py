"""What a verification leaves behind, so that the next one need look only at what is new.

A checkpoint says: up to this entry, at this place, the log was intact. It says nothing of what
happened to that part since: only a verification of the whole log does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from otel_audit.entry import is_time
from otel_audit.errors import AuditVerifyError
from otel_audit.verify.anchors import Anchor, parse_anchor
from otel_audit.verify.declared import Declared
from otel_audit.verify.segment import Segment
from otel_audit.verify.start import Since, Start

VERSION: Final = 1
_MEMBER: Final = "otel_audit_checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An intact log of mode ``chain``, up to an entry.

    Attributes:
        key_id: Of the log's key; None where it has none.
        macs_checked: Every ``hmac`` was checked with the key.
        chain_only: Only ``seq``, hashes and links were looked at.
        seq: Of the entry.
        hash: Of the entry.
        segment_number: Where it stands.
        offset: Where its line ends, behind the LF.
        line: Its number.
        observed_time: Its, or of an entry before it.
        verified_at: When this was found, in the format's form.
        in_full_at: When the whole log was last read for it.
    """

    stream_id: str
    key_id: str | None
    macs_checked: bool
    chain_only: bool
    seq: int
    hash: str
    segment_number: int
    offset: int
    line: int
    observed_time: str
    verified_at: str
    in_full_at: str

    @property
    def anchor(self) -> Anchor:
        """The entry, as an anchor."""
        return Anchor(self.seq, self.hash)

    @property
    def since(self) -> Since:
        """What a verification that begins here says of what is before."""
        return Since(self.seq + 1, self.verified_at, self.in_full_at)

    def start(self, segments: Sequence[Segment]) -> Start | None:
        """Return the place behind the entry; None: the segment is not there."""
        for index, segment in enumerate(segments):
            if segment.number == self.segment_number:
                return Start(index, self.offset, self.line + 1, self.seq + 1, (self.hash,), self.observed_time)
        return None

    def refusal(self, declared: Declared, *, keyed: bool, chain_only: bool) -> str | None:
        """Return why a log cannot be verified from here on, or None.

        Args:
            declared: What the log says of itself.
            keyed: Its key is given.
            chain_only: Only links are asked for.
        """
        ours = (declared.stream_id, declared.stated, declared.key_id)
        if ours != (self.stream_id, "chain", self.key_id):
            return (
                f"expected a checkpoint of this log (stream {declared.stream_id}, mode {declared.stated}, "
                f"key {declared.key_id}), got one of stream {self.stream_id}, mode chain, key {self.key_id}"
            )
        if keyed and not self.macs_checked and self.key_id is not None:
            return "expected a checkpoint made with the key, got one made without; remove it to begin anew"
        if self.chain_only and not chain_only:
            return "expected a checkpoint of a whole check, got one made with --chain-only; remove it to begin anew"
        return None

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        return json.dumps({_MEMBER: VERSION, **asdict(self)}, indent=2).encode() + b"\n"


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
    "int": (int,),
}


def parse_checkpoint(data: bytes) -> Checkpoint:
    """Return what `Checkpoint.to_bytes` wrote.

    Raises:
        AuditVerifyError: It is anything else.
    """
    try:
        members: Any = json.loads(data)
    except (ValueError, RecursionError):
        members = None
    if type(members) is not dict or members.pop(_MEMBER, None) != VERSION:
        raise AuditVerifyError(f"expected a checkpoint of version {VERSION}, got something else")
    expected = {each.name: _TYPES[str(each.type)] for each in fields(Checkpoint)}
    if members.keys() != expected.keys() or any(type(members[name]) not in types for name, types in expected.items()):
        raise AuditVerifyError("expected a whole checkpoint, got one with other members")
    found = Checkpoint(**members)
    parse_anchor(f"{found.seq}:{found.hash}")
    numbers = (found.segment_number, found.offset, found.line)
    if min(numbers) < 1 or not (is_time(found.verified_at) and is_time(found.in_full_at)):
        raise AuditVerifyError("expected a whole checkpoint, got one with other values")
    return found
