"""The kind of one line: step 1 of "What verification tells apart" (docs/format.md)."""

from __future__ import annotations

import hmac as hmac_module
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from otel_audit import semconv
from otel_audit.chain import entry_hash, entry_hmac
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.verify.declared import Declared
from otel_audit.verify.finding import Kind
from otel_audit.verify.seal import split_seal

_AGREED: Final = (
    (semconv.AUDIT_STREAM_ID, "inserted"),
    (semconv.AUDIT_FORMAT_VERSION, "downgraded"),
    (semconv.AUDIT_INTEGRITY_MODE, "downgraded"),
    (semconv.AUDIT_KEY_ID, "downgraded"),
)


class Verdict(NamedTuple):
    """One line, judged by itself.

    Attributes:
        kind: None: sound.
        members: None: malformed.
        prev: What it names as its predecessor; None in the modes without.
        ends: What a successor may name: its stored hash and, of an edited line, the computed one.
        expected: Of the kind.
        got: Likewise.
    """

    kind: Kind | None
    members: dict[str, Any] | None
    seq: int
    prev: str | None
    ends: tuple[str, ...]
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges lines against what the log declares.

    Attributes:
        key: The HMAC key, where it is the log's; None: ``hmac`` must be there, unchecked.
    """

    declared: Declared
    key: bytes | None

    def judge(self, line: bytes, place: tuple[int, int]) -> Verdict:
        """Return the first kind that fits, and how the line hangs together with others.

        Args:
            line: Its bytes without LF.
            place: Segment (from 0) and offset.
        """
        try:
            members: dict[str, Any] = parse_line(line)
        except MalformedLineError as error:
            return _malformed("a line of the format", error.reason)
        mode = self.declared.mode
        chained, sealed = "prev_hash" in members, "hash" in members
        for name, undeclared in (
            ("prev_hash", chained and mode != "chain"),
            ("hash", sealed and mode == "none"),
            ("hmac", "hmac" in members and self.declared.key_id is None),
        ):
            if undeclared:
                return _malformed(f"no {name}, as the log declares", f"a line with {name}")
        seal = split_seal(line)
        # A line stripped of its seal still has the hash that it had: its successor names it.
        computed = entry_hash(line[: seal.start] if seal else line[:-1])
        ends: tuple[str, ...] = () if mode == "none" else (computed,)
        if seal and seal.hash != computed:
            ends = (seal.hash, computed)
        kind, expected, got = self._kind(members, seal and seal.hash, computed, place)
        prev = members.get("prev_hash") if mode == "chain" else None
        return Verdict(kind, members, members["seq"], prev, ends, expected, got)

    def _kind(
        self, members: dict[str, Any], stored: str | None, computed: str, place: tuple[int, int]
    ) -> tuple[Kind | None, str, str]:
        mode, key_id = self.declared.mode, self.declared.key_id
        for name, needed in (("prev_hash", mode == "chain"), ("hash", mode != "none")):
            if needed and name not in members:
                return "downgraded", f"{name}, as the log declares", f"a line without {name}"
        disagreement = self._disagreement(members, place)
        if disagreement is not None and disagreement[0] == "downgraded":
            return disagreement
        if mode != "none" and stored != computed:
            return "edited", f"hash {computed}", f"hash {stored}"
        if disagreement is not None:
            return disagreement
        if key_id is not None:
            mac = members.get("hmac")
            if mac is None:
                return "mac_missing", "hmac, as the log declares", "a line without hmac"
            if self.key is not None and stored is not None:
                right = entry_hmac(self.key, stored)
                if not hmac_module.compare_digest(right, mac):
                    # The right value stays unsaid: it would sign the altered line.
                    return "mac_invalid", f"the hmac of hash {stored} by key {key_id}", f"{mac}"
        return None, "", ""

    def _disagreement(self, members: dict[str, Any], place: tuple[int, int]) -> tuple[Kind, str, str] | None:
        declared = self.declared
        if members["event_name"] != semconv.LOG_OPENED or declared.place is None or place <= declared.place:
            return None
        attributes = members["attributes"]
        values = (declared.stream_id, declared.version, declared.stated, declared.key_id)
        for (name, kind), value in zip(_AGREED, values, strict=True):
            if attributes.get(name) != value:
                found: Kind = "inserted" if kind == "inserted" else "downgraded"
                return found, f"{name} {value}", f"{attributes.get(name)}"
        return None


def _malformed(expected: str, got: str) -> Verdict:
    return Verdict("malformed", None, 0, None, (), expected, got)
