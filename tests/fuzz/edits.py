"""What is done to a log: each edit takes its decisions from the fuzzer's bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests import logs
from tests.fuzz import sealing
from tests.fuzz.choices import Choices
from tests.fuzz.reference_line import ORDER
from tests.fuzz.values import NAMES, VALUES

MAX_BYTES = 3 << 20
MAX_LINES = 2500
MAX_LINES_MOSTLY = 250


@dataclass
class Draft:
    """A log while it is changed.

    Attributes:
        tails: Bytes behind the last LF of each segment, by index.
        large: It may grow to `MAX_LINES`, which takes long to verify.
        forged: Somebody with the key sealed lines anew.
        done: How many edits so far.
    """

    segments: list[list[bytes]]
    checksums: bytes
    mode: str
    key: bytes | None
    large: bool = False
    tails: dict[int, bytes] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    forged: bool = False
    done: int = 0

    def files(self) -> dict[int, bytes]:
        """Return the segments that there are, by number."""
        return {
            index + 1: b"".join(line + b"\n" for line in lines) + self.tails.get(index, b"")
            for index, lines in enumerate(self.segments)
            if index not in self.missing
        }

    def room(self, size: int, lines: int = 1) -> bool:
        """Return whether so much more may be added."""
        held = sum(len(line) for each in self.segments for line in each)
        most = MAX_LINES if self.large else MAX_LINES_MOSTLY
        return held + size <= MAX_BYTES and sum(map(len, self.segments)) + lines <= most


Edit = Callable[[Draft, Choices], None]


def _place(draft: Draft, choices: Choices) -> tuple[list[bytes], int]:
    """Return the lines of a segment, and an index among them (0 where there are none)."""
    lines = draft.segments[choices.below(len(draft.segments))]
    return lines, choices.below(len(lines))


def _replace_bytes(draft: Draft, choices: Choices) -> None:
    lines, index = _place(draft, choices)
    if lines:
        at = choices.below(len(lines[index]) + 1)
        stop = at + choices.below(8)
        lines[index] = lines[index][:at] + choices.text() + lines[index][stop:]


def _overwrite(draft: Draft, choices: Choices) -> None:
    """Put other bytes in the place of as many: what is cut by lengths is cut as before."""
    lines, index = _place(draft, choices)
    at, kind = choices.below(len(lines[index]) if lines else 1), choices.below(8)
    new = _TELLING[choices.below(len(_TELLING))] if kind < 6 else choices.take(kind - 4)
    if lines:
        lines[index] = lines[index][:at] + new + lines[index][at + len(new) :]


def _put_a_token(draft: Draft, choices: Choices) -> None:
    lines, index = _place(draft, choices)
    if lines:
        at = choices.below(len(lines[index]) + 1)
        lines[index] = lines[index][:at] + TOKENS[choices.below(len(TOKENS))] + lines[index][at:]


def _put_a_member(draft: Draft, choices: Choices) -> None:
    """Put the text of a member between others, at any depth."""
    lines, index = _place(draft, choices)
    which, member = choices.below(256), _MEMBERS[choices.below(len(_MEMBERS))]
    if lines:
        places = [at for at, byte in enumerate(lines[index]) if byte == 44][-16:] or [0]  # ,
        at = places[which % len(places)]
        lines[index] = lines[index][:at] + b"," + member + lines[index][at:]


def _cut_lines(draft: Draft, choices: Choices) -> None:
    lines, index = _place(draft, choices)
    del lines[index : index + 1 + choices.below(4)]


def _copy_lines(draft: Draft, choices: Choices) -> None:
    source, index = _place(draft, choices)
    target, at = _place(draft, choices)
    copies = source[index : index + 1 + choices.below(8)]
    if draft.room(sum(map(len, copies)), len(copies)):
        target[at:at] = copies


def _move_lines(draft: Draft, choices: Choices) -> None:
    source, index = _place(draft, choices)
    moved = source[index : index + 1 + choices.below(4)]
    del source[index : index + len(moved)]
    target, at = _place(draft, choices)
    target[at:at] = moved


def _swap_lines(draft: Draft, choices: Choices) -> None:
    (one, i), (other, j) = _place(draft, choices), _place(draft, choices)
    if one and other:
        one[i], other[j] = other[j], one[i]


def _insert_line(draft: Draft, choices: Choices) -> None:
    lines, index = _place(draft, choices)
    lines.insert(index, choices.text())


def _cut_file(draft: Draft, choices: Choices) -> None:
    index = choices.below(len(draft.segments))
    data = b"".join(line + b"\n" for line in draft.segments[index])
    at = choices.below(len(data) + 1)
    *lines, tail = (data[at:] if choices.below(4) == 0 else data[:at]).split(b"\n")
    draft.segments[index], draft.tails[index] = lines, tail


def _add_tail(draft: Draft, choices: Choices) -> None:
    lines, index = _place(draft, choices)
    tail = lines[index][: choices.below(600)] if lines and choices.below(2) else choices.text()
    draft.tails[len(draft.segments) - 1 - choices.below(2)] = tail


def _change_segments(draft: Draft, choices: Choices) -> None:
    segments, index = draft.segments, choices.below(len(draft.segments))
    match choices.below(6):
        case 0:
            draft.missing.add(index)
        case 1:
            segments[index] = []
        case 2 if len(segments) > 1:
            segments[index - 1], segments[index] = segments[index], segments[index - 1]
        case 3 if draft.room(sum(map(len, segments[index])), len(segments[index])):
            segments.insert(index, list(segments[index]))
        case 4 if len(segments) < 8:
            at = choices.below(len(segments[index]) + 1)
            segments[index : index + 1] = [segments[index][:at], segments[index][at:]]
        case _ if len(segments) > 1:
            segments[index - 1] += segments.pop(index)


def _seal_line(draft: Draft, choices: Choices) -> None:
    """Seal one line anew, with another predecessor or the one that it names."""
    lines, index = _place(draft, choices)
    if not lines:
        return
    kind = choices.below(8)
    line = lines[index]
    if kind & 1 and index:
        line = sealing.with_seq(line, sealing.seq_of(lines[index - 1]) + 1)
    prev = sealing.hash_of(lines[index - 1]) if kind & 2 and index else None
    lines[index] = _sealed(draft, line, prev, forging=bool(kind & 4))


def _forge(draft: Draft, choices: Choices) -> None:
    """Seal all from one line on anew, so that the whole agrees."""
    index = choices.below(len(draft.segments))
    start = (index, choices.below(len(draft.segments[index])))
    key = draft.key if choices.below(2) == 0 else None
    draft.forged = draft.forged or key is not None
    draft.segments = sealing.forged(
        draft.segments, start, draft.mode, keyed=draft.key is not None, key=key, blindly=choices.below(2) == 0
    )


def _forge_all(draft: Draft) -> None:
    keyed = draft.key is not None
    draft.forged = draft.forged or keyed
    draft.segments = sealing.forged(draft.segments, (0, 0), draft.mode, keyed=keyed, key=draft.key, blindly=True)


def _forge_mode(draft: Draft, choices: Choices) -> None:
    """Write the whole log anew in another mode."""
    before, draft.mode = draft.mode, ("chain", "hash", "none")[choices.below(3)]
    old, new = (b'"audit.integrity.mode":"%b"' % mode.encode() for mode in (before, draft.mode))
    draft.segments = [[line.replace(old, new) for line in lines] for lines in draft.segments]
    draft.segments = sealing.forged(draft.segments, (0, 0), draft.mode, keyed=draft.key is not None, key=draft.key)
    draft.forged = True


def _strip(draft: Draft, choices: Choices) -> None:
    """Take ``prev_hash``, ``hash`` or ``hmac`` off one line or all."""
    lines, index = _place(draft, choices)
    kind, start, stop = choices.below(3), *((0, len(lines)) if choices.below(2) else (index, index + 1))
    for number in range(start, min(stop, len(lines))):
        body, end = sealing.body_and_end(lines[number])
        parts = end[:-1].split(b',"')[1:]
        name = (b"prev_hash", b"hash", b"hmac")[kind]
        lines[number] = body + b"".join(b',"' + part for part in parts if not part.startswith(name + b'"')) + b"}"


def _set_member(draft: Draft, choices: Choices) -> None:
    """Change the JSON of a line: a member or attribute set, removed or renamed."""
    lines, index = _place(draft, choices)
    change = _change_of_members(choices)
    if lines:
        lines[index] = change(lines[index])


def _set_members_and_forge(draft: Draft, choices: Choices) -> None:
    """Change several lines alike, and seal the log anew."""
    lines, index = _place(draft, choices)
    step, count = 1 + choices.below(3), 1 + choices.below(40)
    change = _change_of_members(choices)
    for number in range(index, min(len(lines), index + step * count), step):
        lines[number] = change(lines[number])
    _forge_all(draft)


def _change_and_forge(draft: Draft, choices: Choices) -> None:
    """Change the bytes of a line, and seal the log anew, though the line may be none now."""
    change = (
        _put_a_member,
        _overwrite,
        _put_a_member,
        _overwrite,
        _put_a_member,
        _replace_bytes,
        _put_a_token,
        _set_member,
    )
    change[choices.below(len(change))](draft, choices)
    _forge_all(draft)


def _change_of_members(choices: Choices) -> Callable[[bytes], bytes]:
    inner, kind, at = choices.below(4), choices.below(8), choices.below(256)
    name, value = NAMES[choices.below(len(NAMES))], VALUES[choices.below(len(VALUES))]
    spelling = choices.below(8)
    text = choices.text().decode("utf-8", "surrogateescape") if kind == 4 else ""

    def change(line: bytes) -> bytes:
        body, end = sealing.body_and_end(line)
        try:
            members = json.loads(body + b"}" if end else body)
        except (ValueError, RecursionError):
            return line
        if not isinstance(members, dict):
            return line
        target: Any = members
        if inner and isinstance(members.get("attributes"), dict):
            target = members["attributes"]
        held = list(target) or [name]
        match kind:
            case 0:
                target.pop(held[at % len(held)], None)
            case 1:
                target.pop(name, None)
            case 2:
                target[name] = target.pop(held[at % len(held)], value)
            case 3:
                target[held[at % len(held)]] = value
            case 4:
                target[name] = text
            case _:
                target[name] = value
        if spelling >= 4:
            order = {each: place for place, each in enumerate(ORDER)}
            members = dict(sorted(members.items(), key=lambda item: order.get(item[0], 99)))
        new = json.dumps(members, ensure_ascii=spelling % 4 == 1, separators=(",", ":"))
        return new.encode("utf-8", "surrogatepass")[:-1] + (end or b"}")

    return change


def _declare_fragment(draft: Draft, choices: Choices) -> None:
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
    draft.segments = sealing.forged(
        draft.segments, (number, at), draft.mode, keyed=draft.key is not None, key=draft.key
    )
    draft.forged = True


def _append_entries(draft: Draft, choices: Choices) -> None:
    """Go on with the log as a writer does, but with what the fuzzer says."""
    lines = draft.segments[-1]
    for _ in range(1 + choices.below(16)):
        seq = sealing.seq_of(lines[-1]) + 1 if lines else 1
        members = logs.entry(min(seq, 10**6), _EVENTS[choices.below(len(_EVENTS))])
        members["attributes"][NAMES[choices.below(len(NAMES))]] = VALUES[choices.below(len(VALUES))]
        line = json.dumps(members, separators=(",", ":")).encode()
        prev = sealing.hash_of(lines[-1]) if lines else logs.GENESIS.encode()
        lines.append(_sealed(draft, sealing.with_seq(line, seq), prev, forging=True))


def _repeat_lines(draft: Draft, choices: Choices) -> None:
    """Repeat lines by the hundred, or one kind of bytes by the million."""
    lines, index = _place(draft, choices)
    block, times = lines[index : index + 1 + choices.below(3)], 1 << choices.below(12)
    if choices.below(4) == 0 and block:
        text = TOKENS[choices.below(len(TOKENS))] * (1 << choices.below(20))
        at = choices.below(len(block[0]) + 1)
        if draft.room(len(text), text.count(b"\n")):
            lines[index] = block[0][:at] + text + block[0][at:]
    elif draft.room(sum(map(len, block)) * times, len(block) * times):
        lines[index:index] = block * times


def _renumber(draft: Draft, choices: Choices) -> None:
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
        keyed = draft.key is not None
        draft.segments = sealing.forged(
            draft.segments, (number, index + 1), draft.mode, keyed=keyed, key=draft.key, blindly=True
        )


def _change_checksums(draft: Draft, choices: Choices) -> None:
    at = choices.below(len(draft.checksums) + 1)
    draft.checksums = draft.checksums[:at] + choices.text() + draft.checksums[at + choices.below(80) :]


def _sealed(draft: Draft, line: bytes, prev: bytes | None, *, forging: bool) -> bytes:
    """Seal a line; ``forging``: with the key, where the log has one."""
    keyed = draft.key is not None
    draft.forged = draft.forged or (keyed and forging)
    return sealing.sealed(line, prev, draft.mode, keyed=keyed, key=draft.key if forging else None)


_EVENTS = ("mcp.tool.call", "mcp.tool.call", "x", "audit.log.opened", "audit.log.recovered", "audit.log.new")
_TELLING = [bytes([byte]) for byte in b'{}[],:"\\0159aegZ. -']

_MEMBERS = (
    *(
        b'"audit.actor.id":"b"',
        b'"audit.record.id":"b"',
        b'"audit.phase":"intent"',
        b'"a":0',
        b'"a":1,"a":1',
        b'"a":-0',
    ),
    *(b'"a":{"b":1,"b":2}', b'"lines":0', b'"l\\u0069nes":0', b'"a":"\\ud800"', b'"a":1e400', b'"a": 1', b'"a":1E2'),
    *(b'"a":' + b"[" * 61 + b"]" * 61, b'"a":' + b"[" * 62 + b"]" * 62, b'"a":' + b"[" * 63 + b"]" * 63),
    *(
        b'"a":"\\u0061"',
        b'"hash":"' + b"0" * 64 + b'"',
        b'"body":1',
        b'"":{}',
        b'"a":18446744073709551615',
        b"1",
        b"{}",
    ),
)


TOKENS = (
    *(b",", b":", b'"', b"{", b"}", b"[", b"]", b"\\", b" ", b"\t", b"\r", b"\n", b"\0", b"\xff", b"\xef\xbb\xbf"),
    *(b"-0", b"1e400", b"0", b"\\u0000", b"\\ud800", b"\\u0061", b'"":0,', b'"a":1,"a":1', b",0", b"[[[[", b'{"a":'),
    *(b"\xc3\xa9", b"\xe2\x80\xa8", b"\xed\xa0\x80", b'","', b'"}', b"}{", b"9" * 30, b',"hash":"' + b"0" * 64 + b'"}'),
)

_FORGING = (_change_and_forge, _set_members_and_forge)

# Those that leave all but one thing right more often: behind others there is some error anyway.
EDITS: tuple[Edit, ...] = (
    *(_replace_bytes, _put_a_token, _cut_lines, _copy_lines, _move_lines, _swap_lines, _insert_line, _cut_file),
    *(_add_tail, _change_segments, _seal_line, _forge, _forge_mode, _strip, _set_member, _declare_fragment),
    *(_append_entries, _repeat_lines, _renumber, _change_checksums, _overwrite, _put_a_member, _forge, _seal_line),
    *(*_FORGING, *_FORGING, *_FORGING, *_FORGING, _change_and_forge, _change_and_forge),
)
