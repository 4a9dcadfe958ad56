"""What somebody with an editor does to a log: each edit takes its decisions from the fuzzer's bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from tests.fuzz import sealing
from tests.fuzz.choices import Choices
from tests.fuzz.draft import Draft, place
from tests.fuzz.reference_line import ORDER
from tests.fuzz.reference_log import segment_name
from tests.fuzz.values import NAMES, VALUES


def replace_bytes(draft: Draft, choices: Choices) -> None:
    lines, index = place(draft, choices)
    if lines:
        at = choices.below(len(lines[index]) + 1)
        stop = at + choices.below(8)
        lines[index] = lines[index][:at] + choices.text() + lines[index][stop:]


def overwrite(draft: Draft, choices: Choices) -> None:
    """Put other bytes in the place of as many: what is cut by lengths is cut as before."""
    lines, index = place(draft, choices)
    at, kind = choices.below(len(lines[index]) if lines else 1), choices.below(8)
    new = _TELLING[choices.below(len(_TELLING))] if kind < 6 else choices.take(kind - 4)
    if lines:
        lines[index] = lines[index][:at] + new + lines[index][at + len(new) :]


def put_a_token(draft: Draft, choices: Choices) -> None:
    lines, index = place(draft, choices)
    if lines:
        at = choices.below(len(lines[index]) + 1)
        lines[index] = lines[index][:at] + TOKENS[choices.below(len(TOKENS))] + lines[index][at:]


def put_a_member(draft: Draft, choices: Choices) -> None:
    """Put the text of a member between others, at any depth."""
    lines, index = place(draft, choices)
    which, member = choices.below(256), _MEMBERS[choices.below(len(_MEMBERS))]
    if lines:
        places = [at for at, byte in enumerate(lines[index]) if byte == 44][-16:] or [0]  # ,
        at = places[which % len(places)]
        lines[index] = lines[index][:at] + b"," + member + lines[index][at:]


def cut_lines(draft: Draft, choices: Choices) -> None:
    lines, index = place(draft, choices)
    del lines[index : index + 1 + choices.below(4)]


def copy_lines(draft: Draft, choices: Choices) -> None:
    source, index = place(draft, choices)
    target, at = place(draft, choices)
    copies = source[index : index + 1 + choices.below(8)]
    if draft.room(sum(map(len, copies)), len(copies)):
        target[at:at] = copies


def move_lines(draft: Draft, choices: Choices) -> None:
    source, index = place(draft, choices)
    moved = source[index : index + 1 + choices.below(4)]
    del source[index : index + len(moved)]
    target, at = place(draft, choices)
    target[at:at] = moved


def swap_lines(draft: Draft, choices: Choices) -> None:
    (one, i), (other, j) = place(draft, choices), place(draft, choices)
    if one and other:
        one[i], other[j] = other[j], one[i]


def insert_line(draft: Draft, choices: Choices) -> None:
    lines, index = place(draft, choices)
    lines.insert(index, choices.text())


def cut_file(draft: Draft, choices: Choices) -> None:
    index = choices.below(len(draft.segments))
    data = b"".join(line + b"\n" for line in draft.segments[index])
    at = choices.below(len(data) + 1)
    *lines, tail = (data[at:] if choices.below(4) == 0 else data[:at]).split(b"\n")
    draft.segments[index], draft.tails[index] = lines, tail


def add_tail(draft: Draft, choices: Choices) -> None:
    lines, index = place(draft, choices)
    tail = lines[index][: choices.below(600)] if lines and choices.below(2) else choices.text()
    draft.tails[len(draft.segments) - 1 - choices.below(2)] = tail


def change_segments(draft: Draft, choices: Choices) -> None:
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


def strip(draft: Draft, choices: Choices) -> None:
    """Take ``prev_hash``, ``hash`` or ``hmac`` off one line or all."""
    lines, index = place(draft, choices)
    kind, start, stop = choices.below(3), *((0, len(lines)) if choices.below(2) else (index, index + 1))
    for number in range(start, min(stop, len(lines))):
        body, end = sealing.body_and_end(lines[number])
        parts = end[:-1].split(b',"')[1:]
        name = (b"prev_hash", b"hash", b"hmac")[kind]
        lines[number] = body + b"".join(b',"' + part for part in parts if not part.startswith(name + b'"')) + b"}"


def set_member(draft: Draft, choices: Choices) -> None:
    """Change the JSON of a line: a member or attribute set, removed or renamed."""
    lines, index = place(draft, choices)
    change = change_of_members(choices)
    if lines:
        lines[index] = change(lines[index])


def change_of_members(choices: Choices) -> Callable[[bytes], bytes]:
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


def repeat_lines(draft: Draft, choices: Choices) -> None:
    """Repeat lines by the hundred, or one kind of bytes by the million."""
    lines, index = place(draft, choices)
    block, times = lines[index : index + 1 + choices.below(3)], 1 << choices.below(12)
    if choices.below(4) == 0 and block:
        text = TOKENS[choices.below(len(TOKENS))] * (1 << choices.below(20))
        at = choices.below(len(block[0]) + 1)
        if draft.room(len(text), text.count(b"\n")):
            lines[index] = block[0][:at] + text + block[0][at:]
    elif draft.room(sum(map(len, block)) * times, len(block) * times):
        lines[index:index] = block * times


def change_checksums(draft: Draft, choices: Choices) -> None:
    """Change bytes of the checksum file, or add a line: what is true of a segment, or what is not."""
    at, kind = choices.below(len(draft.checksums) + 1), choices.below(4)
    if kind >= 2:
        number = 1 + choices.below(len(draft.segments))
        digest = hashlib.sha256(draft.files().get(number, b"") if kind == 2 else b"").hexdigest()
        draft.checksums += f"{digest}  {segment_name(number)}\n".encode()
        return
    draft.checksums = draft.checksums[:at] + choices.text() + draft.checksums[at + choices.below(80) :]


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
