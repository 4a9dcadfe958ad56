"""The quick ways over sound lines say just what the exact way says."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.verify.linked import Links
from otel_audit.verify.report import VerifyReport
from otel_audit.verify.segment import Segment
from otel_audit.verify.verifier import verify
from tests import logs

COUNT = 80
TELLING = b'{}[],:"\\0159aeZ. -'


def entry(seq: int, names: int) -> logs.Members:
    """Return an entry of one of so many names; the more of them, the more lines differ in their members, too."""
    members = logs.entry(seq, f"event.{'x' * (seq % names)}")
    if seq % 2 == 0 and names > 1:
        del members["trace_id"], members["span_id"], members["trace_flags"]
    if seq % 3 == 0 and names > 2:
        members["attributes"] = logs.attributes(seq)
    elif seq % 3 == 1 and names > 1:
        more = {"audit.phase": "intent", "audit.arguments": [{"a": 1}, {"b": seq}]}
        members["attributes"] = logs.attributes(seq, **more)
    return members


def judge(data: bytes) -> VerifyReport:
    """Verify the bytes of a log of one segment, read in small blocks."""
    segment = Segment("audit.jsonl", "audit.jsonl", 1, len(data), lambda at, n: data[at : at + min(n, 4000)])
    return verify([segment], path="audit.jsonl", first_name="audit.jsonl")


def judge_exactly(data: bytes) -> VerifyReport:
    """Verify likewise, every line by the exact way alone."""
    with mock.patch.object(Links, "follow", return_value=None):
        return judge(data)


@pytest.mark.parametrize("resealed", [False, True])
@given(st.integers(1, 4), st.integers(0, COUNT - 1), st.data())
def test_a_changed_byte_is_judged_as_the_exact_way_does(
    resealed: bool, names: int, index: int, data: st.DataObject
) -> None:
    """With one byte of a line changed, and the chain sealed again or not, both ways give one report."""
    prev = logs.GENESIS
    lines: list[bytes] = []
    for seq in range(1, COUNT + 1):
        line = logs.seal(logs.opened() if seq == 1 else entry(seq, names), prev)
        if seq == index + 1:
            at = data.draw(st.integers(0, len(line) - 1))
            byte = data.draw(st.one_of(st.sampled_from(TELLING), st.integers(0, 255).filter(lambda b: b != 10)))
            line = line[:at] + bytes([byte]) + line[at + 1 :]
            if resealed:
                line = line[:-75]
                line += b',"hash":"%s"}' % hashlib.sha256(line).hexdigest().encode()
        lines.append(line)
        prev = line[-66:-2].decode("ascii", "replace")
    contents = logs.join(lines)
    assert judge(contents) == judge_exactly(contents)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """A sound log of 64 MiB is verified within 64 MiB, the interpreter included."""
    path = tmp_path / "audit.jsonl"
    written, lines = 0, logs.chain(logs.opened() if seq == 1 else logs.entry(seq) for seq in range(1, 1 << 20))
    with path.open("wb") as file:
        while written < 64 << 20:
            written += file.write(next(lines) + b"\n")
    code = (
        "import sys; from otel_audit.reader import verify_log;"
        "print(verify_log(sys.argv[1]).intact);"
        "print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    intact, peak = done.stdout.splitlines()[:2]
    assert intact == "True"
    assert int(peak.split()[1]) < 64 << 10
