"""What an extract proves, found out again by whoever is given it (docs/export.md, "The extract").

Reads the extract alone; neither its log nor this package's own word is needed for what it proves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from otel_audit import semconv
from otel_audit.chain import Head, entry_hash, entry_hmac, key_id
from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.query.extract import DIGITS_END, VERSION
from otel_audit.query.extract_report import ExtractReport
from otel_audit.query.midstate import BLOCK_BYTES, go_on, padding
from otel_audit.reconcile.copy_file import CopyFile, CopyLine, read_lines
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.declared import STRENGTH
from otel_audit.verify.finding import REMEDIES, Finding, Kind
from otel_audit.verify.report import Integrity

_LEFT_OUT: Final = re.compile(
    rb'\{"left_out":([1-9][0-9]{0,15}),"hash":"([0-9a-f]{64})","length":([1-9][0-9]{0,6}),'
    rb'"state":"([0-9a-f]{64})","rest":"((?:[0-9a-f]{2}){0,63})"\}'
)
_GAP: Final = re.compile(rb'\{"left_out":([1-9][0-9]{0,15}),"to":([1-9][0-9]{0,15})\}')
_BEFORE_DIGITS: Final = b',"prev_hash":"'
_DIGITS: Final = re.compile(r"[0-9a-f]{64}")
_MAX_LINKS: Final = 4096
_MAX_TOLD: Final = 300
"""Characters of what was read, in a finding: a line has up to 64 MiB."""


def check_extract(
    copy: CopyFile,
    *,
    anchors: Iterable[Anchor] = (),
    key: bytes | None = None,
    expected_integrity: Integrity = "chain",
) -> ExtractReport:
    """Check an extract up to its first fault.

    Args:
        copy: The extract, opened.
        anchors: What stands outside of it: of the log's head, or of any entry in the extract.
        key: For the lines' ``hmac``.
        expected_integrity: The weakest mode to accept; its first line, which nothing proves, says the mode.

    Raises:
        AuditVerifyError: It cannot be read.
    """
    checker = _Checker(copy, anchors, key, expected_integrity)
    finding = None
    try:
        checker.run()
    except _FaultError as fault:
        finding = fault.finding
    try:
        checker.check_links()
    except _FaultError as earlier:  # links are checked many at a time, and these stand before the fault
        finding = earlier.finding
    return checker.report(finding)


class _FaultError(Exception):
    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.finding = finding


class _Link(NamedTuple):
    line: CopyLine
    head: Head
    state: bytes
    message: bytes


class _Checker:
    def __init__(self, copy: CopyFile, anchors: Iterable[Anchor], key: bytes | None, expected: Integrity) -> None:
        self._copy = copy
        self._expected: Integrity = expected
        self._anchors: dict[int, list[str]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.seq, []).append(anchor.hash)
        self._key = key
        self._links: list[_Link] = []
        self._head: Head | None = None
        self._linked = True  # to the line before
        self._in_run = 0  # chosen entries of this run of links that no anchor proves yet
        self._done: dict[str, object] | None = None
        self._supported = True
        self._integrity: str | None = None
        self._stream_id: str | None = None
        self._first: int | None = None
        self._chosen = self._proven = self._left_out = self._unlinked = self._matched = 0
        self._macs: bool | None = None
        self._keyed: bool | None = None  # each line has an hmac; None: neither the first line nor an entry told
        self._key_id: str | None = None
        self._key_said = False

    def run(self) -> None:
        line = None
        for line in read_lines(self._copy):
            data = line.data if line.whole else None
            if data is None:
                raise self._fault("torn", line, "a whole line of at most 64 MiB", "its beginning")
            if line.number == 1:
                self._begin(data, line)
                if not self._supported:
                    return
            elif self._done is not None:
                raise self._fault("malformed", line, "nothing behind the last line", "more")
            elif data.startswith(b'{"seq":'):
                self._entry(data, line)
            elif data.startswith(b'{"left_out":'):
                self._left(data, line)
            elif data.startswith(b'{"head":'):
                self._end(data, line)
            else:
                raise self._fault("malformed", line, "an entry, or one that is left out", "neither")
            if len(self._links) >= _MAX_LINKS:
                self.check_links()
        if self._done is None:
            raise self._fault("torn", line, "a last line with the head", "none: the end of the extract is gone")

    def report(self, finding: Finding | None) -> ExtractReport:
        return ExtractReport(
            path=self._copy.path,
            supported=self._supported,
            integrity=self._integrity,
            stream_id=self._stream_id,
            chosen=self._chosen,
            proven=0 if finding is not None else self._proven,
            left_out=self._left_out,
            unlinked=self._unlinked,
            first_seq=self._first,
            head=self._head,
            anchors_matched=self._matched,
            macs_checked=self._macs,
            findings=() if finding is None else (finding,),
        )

    def _begin(self, data: bytes, line: CopyLine) -> None:
        members = self._members(data, line)
        self._supported = members.get("extract") == VERSION
        integrity, stream_id = members.get("integrity"), members.get("stream_id")
        self._integrity = integrity if isinstance(integrity, str) and integrity in STRENGTH else None
        self._stream_id = stream_id if isinstance(stream_id, str) else None
        if not self._supported:
            return
        if self._integrity is None:
            raise self._fault("malformed", line, "integrity mode chain, hash or none", _beginning(data))
        if STRENGTH[self._integrity] < STRENGTH[self._expected]:
            expected = f"integrity mode {self._expected}"
            raise self._fault("downgraded", line, expected, f"integrity mode {self._integrity}")
        if "key_id" in members:  # where it is absent, the entries tell
            said = members["key_id"]
            if said is not None and not isinstance(said, str):
                raise self._fault("malformed", line, "a key_id that is text or null", _beginning(data))
            self._key_said, self._key_id, self._keyed = True, said, said is not None
            self._check_own_key(line)

    def _check_own_key(self, line: CopyLine, seq: int | None = None) -> None:
        """Hold the key that was given against the one that the log is said to have."""
        if self._key is None or self._key_id == (ours := key_id(self._key)):
            return
        if self._key_id is None:
            raise self._fault("mac_missing", line, f"the key {ours}", "a log without a key", seq)
        raise self._fault("mac_invalid", line, f"the key {ours}", f"the key {self._key_id}", seq)

    def _entry(self, data: bytes, line: CopyLine) -> None:
        try:
            entry = parse_entry(data)
        except MalformedLineError as error:
            raise self._fault("malformed", line, "a line of the format", error.reason) from None
        for name, undeclared in (
            ("prev_hash", entry.prev_hash is not None and self._integrity != "chain"),
            ("hash", entry.hash is not None and self._integrity == "none"),
        ):
            if undeclared:
                expected = f"no {name}, as the first line says"
                raise self._fault("malformed", line, expected, f"a line with {name}", entry.seq)
        digits = entry_hash(data[: -75 if entry.hmac is None else -149]) if entry.hash is not None else None
        if digits != entry.hash:
            raise self._fault("edited", line, f"hash {digits}", str(entry.hash), entry.seq)
        if self._integrity in ("chain", "hash") and digits is None:
            raise self._fault("downgraded", line, "a hash", "none", entry.seq)
        self._follow(entry.seq, line)
        before = self._head
        if self._integrity == "chain":
            if entry.prev_hash is None:
                raise self._fault("downgraded", line, "a prev_hash", "none", entry.seq)
            if before is not None and self._linked and entry.prev_hash != before.hash:
                raise self._fault("edited", line, f"prev_hash {before.hash}", entry.prev_hash, entry.seq)
        self._check_key(entry, line)
        self._check_mac(entry.hmac, digits, line, entry.seq)
        if self._first is None:
            self._first = entry.seq
        if not self._linked or self._integrity != "chain":
            self._in_run = 0
        self._chosen += 1
        self._in_run += 1
        self._reach(Head(entry.seq, digits or ""), line)
        self._linked = True

    def _left(self, data: bytes, line: CopyLine) -> None:
        gap = _GAP.fullmatch(data)
        if gap is not None:
            first, last = int(gap[1]), int(gap[2])
            self._follow(first, line)
            if self._head is None or last < first:
                raise self._fault("malformed", line, "a range behind an entry", data.decode())
            self._left_out += last - first + 1
            self._unlinked += last - first + 1
            self._head, self._linked = Head(last, ""), False
            return
        match = _LEFT_OUT.fullmatch(data)
        before = self._head
        if match is None or before is None or not self._linked or self._integrity != "chain":
            raise self._fault("malformed", line, "an entry that is left out, behind another", "none")
        seq, length = int(match[1]), int(match[3])
        rest = bytes.fromhex(match[5].decode())
        if (length - DIGITS_END - len(rest)) % BLOCK_BYTES or length <= DIGITS_END + len(rest):
            raise self._fault("malformed", line, "whole blocks before the rest", f"length {length}", seq)
        if rest and not (_BEFORE_DIGITS.endswith(rest) or rest.endswith(_BEFORE_DIGITS)):
            raise self._fault("malformed", line, "a rest that leads to prev_hash", "another", seq)
        self._follow(seq, line)
        head = Head(seq, match[2].decode())
        message = b'%b%b"%b' % (rest, before.hash.encode(), padding(length))
        self._links.append(_Link(line, head, bytes.fromhex(match[4].decode()), message))
        self._left_out += 1
        self._reach(head, line)

    def _end(self, data: bytes, line: CopyLine) -> None:
        members = self._members(data, line)
        head = self._head
        expected: dict[str, object] = {
            "head": None if head is None else {"seq": head.seq, "hash": head.hash or None},
            "chosen": self._chosen,
            "left_out": self._left_out,
        }
        if not self._linked and isinstance(stated := members.get("head"), dict) and head is not None:
            # nothing links to the head: it is only said
            digits = stated.get("hash")
            if isinstance(digits, str) and _DIGITS.fullmatch(digits):
                self._head = Head(head.seq, digits)
                expected["head"] = {"seq": head.seq, "hash": digits}
        if head is None:
            raise self._fault("malformed", line, "an entry before the last line", "none")
        if members != expected:
            raise self._fault("malformed", line, orjson.dumps(expected).decode(), _beginning(data))
        self._done = members

    def _follow(self, seq: int, line: CopyLine) -> None:
        if self._head is not None and seq != self._head.seq + 1:
            raise self._fault("gap", line, f"seq {self._head.seq + 1}", f"seq {seq}", self._head.seq + 1)

    def _reach(self, head: Head, line: CopyLine) -> None:
        """Go on to an entry, and hold it against an anchor."""
        self._head = head
        digits = self._anchors.get(head.seq)
        if digits is None or not head.hash:
            return
        for other in digits:
            if other != head.hash:
                raise self._fault("diverged", line, f"the anchor's hash {other}", head.hash, head.seq)
        self._matched += len(digits)
        self._proven += self._in_run
        self._in_run = 0

    def _check_key(self, entry: Entry, line: CopyLine) -> None:
        """Hold whether a line has an hmac against the first line, an ``opened`` (which its hash proves), and others."""
        if entry.event_name == semconv.LOG_OPENED:
            value = entry.attributes.get(semconv.AUDIT_KEY_ID)
            declared = value if isinstance(value, str) else None
            if self._key_said and declared != self._key_id:
                expected = "the key that the first line says, or an opened before"
                raise self._fault("downgraded", line, expected, f"the key {declared}", entry.seq)
            if self._keyed is False and declared is not None:
                raise self._fault("mac_missing", line, "an hmac in every line", "lines before without", entry.seq)
            self._key_said, self._key_id, self._keyed = True, declared, declared is not None
            self._check_own_key(line, entry.seq)
        if self._keyed is None:
            self._keyed = entry.hmac is not None
        elif self._keyed and entry.hmac is None:
            raise self._fault("mac_missing", line, "an hmac: the log has a key", "none", entry.seq)
        elif not self._keyed and entry.hmac is not None:
            raise self._fault("malformed", line, "no hmac: the log has no key", "a line with hmac", entry.seq)

    def _check_mac(self, hmac: str | None, digits: str | None, line: CopyLine, seq: int) -> None:
        if hmac is None and self._key is None:
            return
        if self._key is None:
            self._macs = False
        elif hmac is None or digits is None:
            raise self._fault("mac_missing", line, "an hmac", "none", seq)
        elif entry_hmac(self._key, digits) != hmac:
            raise self._fault("mac_invalid", line, "the hmac that the key makes", hmac, seq)
        else:
            self._macs = True

    def check_links(self) -> None:
        """Hash what was left out since the last time; a fault there stands before any later one."""
        links = self._links
        self._links = []
        hashes = go_on([link.state for link in links], [link.message for link in links])
        for link, digest in zip(links, hashes, strict=True):
            if digest.hex() != link.head.hash:
                raise self._fault("edited", link.line, f"hash {digest.hex()}", link.head.hash, link.head.seq)

    def _members(self, data: bytes, line: CopyLine) -> dict[str, object]:
        try:
            members = orjson.loads(data)
        except orjson.JSONDecodeError:
            members = None
        if not isinstance(members, dict):
            raise self._fault("malformed", line, "a JSON object", "none")
        return members

    def _fault(self, kind: Kind, line: CopyLine | None, expected: str, got: str, seq: int | None = None) -> _FaultError:
        return _FaultError(
            Finding(
                kind=kind,
                severity="error",
                path=self._copy.path,
                line=None if line is None else line.number,
                offset=None if line is None or line.data is None else line.end - len(line.data) - line.whole,
                seq=seq,
                expected=expected,
                got=got[:_MAX_TOLD],
                remedy=REMEDY if kind not in ("diverged", "mac_missing", "mac_invalid") else REMEDIES[kind],
            )
        )


def _beginning(data: bytes) -> str:
    return data[:_MAX_TOLD].decode("utf-8", "backslashreplace")


REMEDY: Final = "do not trust this extract; ask for it again, or for the log"
