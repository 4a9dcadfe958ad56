"""What somebody with a hash function, and perhaps with the key, does to a log."""

from __future__ import annotations

import json

from tests import logs
from tests.fuzz import edits, sealing
from tests.fuzz.choices import Choices
from tests.fuzz.draft import Draft, Edit, place
from tests.fuzz.values import NAMES, VALUES


def seal_line(draft: Draft, choices: Choices) -> None:
    """Seal one line anew, with another predecessor or the one that it names."""
    lines, index = place(draft, choices)
    if not lines:
        return
    kind = choices.below(8)
    line = lines[index]
    if kind & 1 and index:
        line = sealing.with_seq(line, sealing.seq_of(lines[index - 1]) + 1)
    prev = sealing.hash_of(lines[index - 1]) if kind & 2 and index else None
    lines[index] = _sealed(draft, line, prev, forging=bool(kind & 4))


def forge(draft: Draft, choices: Choices) -> None:
    """Seal all from one line on anew, so that the whole agrees."""
    index = choices.below(len(draft.segments))
    start = (index, choices.below(len(draft.segments[index])))
    _forge_from(draft, start, with_key=choices.below(2) == 0, blindly=choices.below(2) == 0)


def forge_mode(draft: Draft, choices: Choices) -> None:
    """Write the whole log anew in another mode."""
    before, draft.mode = draft.mode, ("chain", "hash", "none")[choices.below(3)]
    old, new = (b'"audit.integrity.mode":"%b"' % mode.encode() for mode in (before, draft.mode))
    draft.segments = [[line.replace(old, new) for line in lines] for lines in draft.segments]
    _forge_from(draft, (0, 0))


def set_members_and_forge(draft: Draft, choices: Choices) -> None:
    """Change several lines alike, and seal the log anew."""
    lines, index = place(draft, choices)
    step, count = 1 + choices.below(3), 1 + choices.below(40)
    change = edits.change_of_members(choices)
    for number in range(index, min(len(lines), index + step * count), step):
        lines[number] = change(lines[number])
    _forge_from(draft, (0, 0), blindly=True)


def change_and_forge(draft: Draft, choices: Choices) -> None:
    """Change the bytes of a line, and seal the log anew, though the line may be none now."""
    change = (
        *(edits.put_a_member, edits.overwrite, edits.put_a_member, edits.overwrite, edits.put_a_member),
        *(edits.replace_bytes, edits.put_a_token, edits.set_member),
    )
    change[choices.below(len(change))](draft, choices)
    _forge_from(draft, (0, 0), blindly=True)


def declare_fragment(draft: Draft, choices: Choices) -> None:
    """Put a fragment into the log, and the entry that declares it, and forge what follows."""
    number = choices.below(len(draft.segments))
    lines = draft.segments[number]
    if not lines:
        return
    at = 1 + choices.below(len(lines))
    seq = sealing.seq_of(lines[at - 1]) + 1
    start = b'{"seq":%d,' % seq if choices.below(2) else b""
    region = (start + choices.text()).split(b"\n")[: 1 + choices.below(3)]
    said = {"audit.fragment.offset": 0, "audit.fragment.length": 0, "audit.fragment.sha256": ""}
    lines[at:at] = [*region, logs.dump(logs.log_entry(seq, "audit.log.recovered", **said))]
    _forge_from(draft, (number, at))


def append_entries(draft: Draft, choices: Choices) -> None:
    """Go on with the log as a writer does, but with what the fuzzer says."""
    lines = draft.segments[-1]
    for _ in range(1 + choices.below(16)):
        seq = sealing.seq_of(lines[-1]) + 1 if lines else 1
        members = logs.entry(min(seq, 10**6), _EVENTS[choices.below(len(_EVENTS))])
        members["attributes"][NAMES[choices.below(len(NAMES))]] = VALUES[choices.below(len(VALUES))]
        line = json.dumps(members, separators=(",", ":")).encode()
        prev = sealing.hash_of(lines[-1]) if lines else logs.GENESIS.encode()
        lines.append(_sealed(draft, sealing.with_seq(line, seq), prev, forging=True))


def renumber(draft: Draft, choices: Choices) -> None:
    """Give a line another ``seq``, near its own or far away; seal it, or all that follows, too."""
    number = choices.below(len(draft.segments))
    lines = draft.segments[number]
    index, at, kind = choices.below(len(lines)), choices.below(32), choices.below(3)
    if not lines:
        return
    far = (0, 1, 2**53 - 8, 2**53 - 4, 2**53 - 1, 2**53, 2**63)
    seq = far[at] if at < len(far) else max(0, sealing.seq_of(lines[index]) + at - 16)
    lines[index] = sealing.with_seq(lines[index], seq)
    if kind:
        lines[index] = _sealed(draft, lines[index], None, forging=True)
    if kind == 2:
        _forge_from(draft, (number, index + 1), blindly=True)


def _sealed(draft: Draft, line: bytes, prev: bytes | None, *, forging: bool) -> bytes:
    """Seal a line; ``forging``: with the key, where the log has one."""
    keyed = draft.key is not None
    draft.forged = draft.forged or (keyed and forging)
    return sealing.sealed(line, prev, draft.mode, keyed=keyed, key=draft.key if forging else None)


def _forge_from(draft: Draft, start: tuple[int, int], *, with_key: bool = True, blindly: bool = False) -> None:
    keyed = draft.key is not None
    draft.forged = draft.forged or (keyed and with_key)
    key = draft.key if with_key else None
    draft.segments = sealing.forged(draft.segments, start, draft.mode, keyed=keyed, key=key, blindly=blindly)


_EVENTS = ("mcp.tool.call", "mcp.tool.call", "x", "audit.log.opened", "audit.log.recovered", "audit.log.new")
_FORGING = (change_and_forge, set_members_and_forge)

# Those that leave all but one thing right more often: behind others there is some error anyway.
EDITS: tuple[Edit, ...] = (
    *(edits.replace_bytes, edits.put_a_token, edits.cut_lines, edits.copy_lines, edits.move_lines, edits.swap_lines),
    *(edits.insert_line, edits.cut_file, edits.add_tail, edits.change_segments, seal_line, forge, forge_mode),
    *(edits.strip, edits.set_member, declare_fragment, append_entries, edits.repeat_lines, renumber),
    *(edits.change_checksums, edits.overwrite, edits.put_a_member, forge, seal_line),
    *(*_FORGING, *_FORGING, *_FORGING, *_FORGING, change_and_forge, change_and_forge),
)
