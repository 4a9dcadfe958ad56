"""Anchors: what stands outside the log and fixes a head."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from otel_audit.chain import Head
from otel_audit.errors import AuditVerifyError
from otel_audit.record import AuditReceipt
from otel_audit.verify.drafts import Drafts, Stretches
from otel_audit.verify.run import Place, Run

_ANCHOR: Final = re.compile(r"([1-9][0-9]{0,15}):([0-9a-f]{64})")


class Anchor(NamedTuple):
    """The ``hash`` that the entry ``seq`` must have."""

    seq: int
    hash: str


def parse_anchor(anchor: str | AuditReceipt) -> Anchor:
    """Return the anchor that a receipt, or its text ``SEQ:HASH``, is.

    Raises:
        AuditVerifyError: It is neither, or a receipt of something that was not recorded.
    """
    match = _ANCHOR.fullmatch(str(anchor))
    if match is None:
        raise AuditVerifyError(f"anchor: expected SEQ:HASH, got {str(anchor)!r}")
    return Anchor(int(match.group(1)), match.group(2))


def check_anchors(
    anchors: Iterable[Anchor],
    found: Mapping[tuple[int, str], Sequence[Place]],
    chain: Sequence[Run],
    head: Head | None,
    faults_behind: int,
    drafts: Drafts,
) -> frozenset[Anchor]:
    """Return the anchors that the log agrees with; add ``diverged`` and ``truncated``.

    Both only where no finding so far explains them.

    Args:
        anchors: At least those whose ``seq`` the scan looked for.
        found: Places of the entries that have the ``seq`` of an anchor, by ``seq`` and hash.
        chain: The chain's runs.
        head: Its end.
        faults_behind: Unreadable lines behind the head: each can be an entry that was lost.
        drafts: What was found so far.
    """
    on_chain = Stretches(run for run in chain if run.kind != "edited")
    errors = [draft.finding for draft in drafts.errors()]
    altered = {d.place.segment for d in drafts.errors() if d.finding.kind == "segment_altered"}
    # The last segment is not the one that it was, or another should follow it.
    cut = any(
        draft.place.segment == len(drafts.segments) - 1
        and (draft.finding.kind == "segment_altered" or (draft.finding.kind == "segment_missing" and draft.place.line))
        for draft in drafts.errors()
    )
    edited = {finding.seq for finding in errors if finding.kind in ("edited", "downgraded")}
    breaks = [f.seq for f in errors if f.kind in ("edited", "gap") and f.seq is not None]
    by_seq: dict[int, list[tuple[str, Place]]] = {}
    for (seq, digits), places in found.items():
        by_seq.setdefault(seq, []).extend((digits, place) for place in places)
    matched: set[Anchor] = set()
    agreed = 0  # the seq of the last of them
    diverged: list[tuple[Anchor, str, Place]] = []
    beyond: Anchor | None = None
    for anchor in sorted(set(anchors)):
        entries = by_seq.get(anchor.seq, [])
        if any(digits == anchor.hash and place in on_chain for digits, place in entries):
            matched.add(anchor)
            agreed = anchor.seq
            continue
        if head is None or anchor.seq > head.seq:
            beyond = anchor
            continue
        # On a branch or left over: that entry has a finding.
        explained = anchor.seq in edited or any(digits == anchor.hash for digits, _ in entries)
        explained = explained or any(agreed < seq <= anchor.seq for seq in breaks)
        here = [(digits, place) for digits, place in entries if place in on_chain]
        if here and not explained and here[0][1].segment not in altered:
            diverged.append((anchor, *here[0]))
    if diverged:
        # What follows a changed entry differs with it: one finding, at the first.
        anchor, digits, place = diverged[0]
        expected, got = f"hash {anchor.hash}", f"hash {digits}"
        drafts.add("diverged", place, None, anchor.seq, expected, got, count=len(diverged))
    if beyond is not None and head is not None and not cut and beyond.seq - head.seq > faults_behind:
        _truncated(beyond, head, chain[-1].last, drafts)
    return frozenset(matched)


def _truncated(anchor: Anchor, head: Head, place: Place, drafts: Drafts) -> None:
    drafts.add(
        "truncated",
        place,
        None,
        head.seq + 1,
        f"entries up to seq {anchor.seq}, which the anchor has seen",
        f"the end of the log behind seq {head.seq}",
        count=anchor.seq - head.seq,
    )
