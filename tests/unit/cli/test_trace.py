"""``otel-audit trace``, and the links of ``otel-audit show``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_audit.cli import main
from tests import logs
from tests.copies import key_values, nanoseconds

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "a" * 32
ROOT, TOOL, REMOTE = "00f067aa0ba90201", "00f067aa0ba90202", "00f067aa0ba90203"
BEGIN = int(nanoseconds("2026-11-22T00:00:00.000000000Z"))
LINK = "https://tracing.example/trace/{trace_id}"


def span(
    span_id: str, parent: str, name: str, start_millis: int, end_millis: int, service: str, **more: object
) -> logs.Members:
    """Return one request with one span."""
    record = {
        "traceId": TRACE,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": name,
        "startTimeUnixNano": str(BEGIN + start_millis * 1_000_000),
        "endTimeUnixNano": str(BEGIN + end_millis * 1_000_000),
        **more,
    }
    scoped = {"scope": {}, "spans": [record]}
    return {
        "resourceSpans": [{"resource": {"attributes": key_values({"service.name": service})}, "scopeSpans": [scoped]}]
    }


SPANS = [
    span(TOOL, ROOT, "execute_tool refund", 2, 9, "agent"),
    span(REMOTE, TOOL, "POST /refund", 3, 8, "shop", status={"code": 2}),
    span(ROOT, "", "invoke_agent", 0, 10, "agent"),
    span("b" * 16, "", "another", 0, 10, "agent", traceId=OTHER),
]


def entry(seq: int, span_id: str, event_name: str, trace_id: str = TRACE, **more: object) -> logs.Members:
    """Return an entry of a span, so many milliseconds after the begin as its seq."""
    members = logs.entry(seq, event_name, **more)
    return {**members, "trace_id": trace_id, "span_id": span_id}


@pytest.fixture
def given(tmp_path: Path) -> tuple[str, str, str]:
    """Return the paths of two processes' logs, and of a traces file."""
    first = [
        logs.opened(),
        entry(2, ROOT, "agent.invoke"),
        entry(3, TOOL, "tool.execute", **{"audit.phase": "intent"}),
        entry(4, "c" * 16, "elsewhere"),
        entry(5, "b" * 16, "other.trace", OTHER),
        entry(9, TOOL, "tool.execute", **{"audit.phase": "outcome", "audit.target.id": "A-1\x1b[2J"}),
    ]
    second = [logs.opened(), entry(6, REMOTE, "order.refund", **{"audit.decision": "allow"})]
    for name, members in (("agent.jsonl", first), ("shop.jsonl", second)):
        (tmp_path / name).write_bytes(logs.join(logs.chain(members)))
    (tmp_path / "traces").write_bytes(logs.join(map(logs.dump, SPANS)))
    return str(tmp_path / "agent.jsonl"), str(tmp_path / "shop.jsonl"), str(tmp_path / "traces")


def test_one_tree(given: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """The spans and entries of two processes are one tree, by time; what is of another trace is not in it."""
    agent, shop, spans = given
    assert main(["trace", TRACE.upper(), agent, shop, "--spans", spans]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"trace {TRACE}: 3 spans, 5 entries",
        "invoke_agent  agent  10.000 ms",
        "  execute_tool refund  agent  7.000 ms",
        "    POST /refund  shop  5.000 ms  error",
        "      #6  00:00:00.006456  order.refund  EXECUTE  success  allow  by agent  on git_log",
        "    #3  00:00:00.003456  tool.execute  EXECUTE  [intent]  by agent  on git_log",
        "    #9  00:00:00.009456  tool.execute  EXECUTE  success  by agent  on A-1\\u001b[2J",
        "  #2  00:00:00.002456  agent.invoke  EXECUTE  success  by agent  on git_log",
        f"span {'c' * 16}, in none of the files",
        "  #4  00:00:00.004456  elsewhere  EXECUTE  success  by agent  on git_log",
    ]


def test_doubles(given: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A span that was delivered twice is shown once."""
    agent, _, spans = given
    assert main(["trace", TRACE, agent, "--spans", spans, "--spans", spans]) == 0
    assert capsys.readouterr().out.count("invoke_agent") == 1


def test_circle(tmp_path: Path, given: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Spans that are each other's parents, and one that is its own, are shown once each."""
    circle = [
        span(ROOT, TOOL, "one", 0, 9, "a"),
        span(TOOL, ROOT, "two", 1, 8, "a"),
        span(REMOTE, REMOTE, "three", 2, 7, "a"),
    ]
    (tmp_path / "traces").write_bytes(logs.join(map(logs.dump, circle)))
    assert main(["trace", TRACE, *given[:2], "--spans", given[2]]) == 0
    out = capsys.readouterr().out
    assert [out.count(f"{name}  a  ") for name in ("one", "two", "three")] == [1, 1, 1]
    assert out.count("#") == 5


def test_deep(tmp_path: Path, given: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A chain of many thousand spans is shown; it does not go ever further to the right."""
    chain = [span(f"{n:016x}", f"{n - 1:016x}", f"s{n}", n, n + 1, "a") for n in range(1, 5001)]
    (tmp_path / "traces").write_bytes(logs.join(map(logs.dump, chain)))
    assert main(["trace", TRACE, given[0], "--spans", given[2]]) == 0
    out = capsys.readouterr().out
    assert "s5000  a" in out
    assert max(map(len, out.splitlines())) < 200


@pytest.mark.parametrize(
    "record",
    [
        {"traceId": TRACE, "spanId": 5, "name": None, "startTimeUnixNano": "x", "endTimeUnixNano": [], "status": 2},
        {"traceId": TRACE, "spanId": "\x1b[2J", "name": "\x1b[2J\n#1", "status": {"code": "STATUS_CODE_ERROR"}},
        {"traceId": TRACE},
    ],
)
def test_strange_span(
    record: object, tmp_path: Path, given: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A span of wrong types is shown as far as it goes, without control characters."""
    made = {"resourceSpans": [{"scopeSpans": [{"spans": [record]}]}]}
    (tmp_path / "traces").write_text(json.dumps(made) + "\n")
    assert main(["trace", TRACE, given[0], "--spans", given[2]]) == 0
    out = capsys.readouterr().out
    assert ": 1 span, 4 entries\n" in out
    assert all(character.isprintable() or character == "\n" for character in out)


def test_torn(tmp_path: Path, given: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Behind a request that a killed collector left, the next one is read; a torn end is passed over."""
    whole = [logs.dump(each) for each in SPANS]
    (tmp_path / "traces").write_bytes(whole[0][:90] + logs.join(whole) + whole[0][:-5])
    assert main(["trace", TRACE, given[0], "--spans", given[2]]) == 0
    assert ": 3 spans, " in capsys.readouterr().out


def test_none(given: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A trace of which there is nothing is exit status 1."""
    assert main(["trace", "f" * 32, given[0], "--spans", given[2]]) == 1
    assert "no spans and no entries of this trace" in capsys.readouterr().err


def test_usage(given: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no trace id, no OTLP JSON, or not there is exit status 2."""
    agent, _, spans = given
    assert main(["trace", "xyz", agent, "--spans", spans]) == 2
    assert "expected 32 hexadecimal digits" in capsys.readouterr().err
    assert main(["trace", TRACE, agent, "--spans", str(tmp_path / "none")]) == 2
    (tmp_path / "noise").write_text("noise\n")
    assert main(["trace", TRACE, agent, "--spans", str(tmp_path / "noise")]) == 2
    assert "expected OTLP JSON: " in capsys.readouterr().err
    assert main(["trace", TRACE, str(tmp_path / "none.jsonl"), "--spans", spans]) == 2
    capsys.readouterr()
    assert main(["trace", TRACE, agent, "--spans", "-", "--spans", "-"]) == 2
    assert "expected - (stdin) once" in capsys.readouterr().err


class TestShow:
    """``show --span-id`` and the link."""

    def test_span_id(self, given: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
        """--span-id shows the entries of one span, however its digits are written."""
        assert main(["show", given[0], "--span-id", TOOL.upper(), "--format", "json"]) == 0
        assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [3, 9]
        assert main(["show", given[0], "--span-id", "0" * 16]) == 1

    def test_link(
        self, given: tuple[str, str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With OTEL_AUDIT_TRACE_URL each entry of a trace shows where the trace is; JSON stays as it is."""
        monkeypatch.setenv("OTEL_AUDIT_TRACE_URL", LINK + "?span={span_id}&x={}")
        assert main(["show", given[0], "--trace-id", TRACE]) == 0
        out = capsys.readouterr().out
        assert out.count("    link       https://tracing.example/trace/") == 4
        assert f"/trace/{TRACE}?span={ROOT}&x={{}}\n" in out
        assert main(["show", given[0], "--seq", "1"]) == 0
        assert "link" not in capsys.readouterr().out
        assert main(["show", given[0], "--seq", "2", "--format", "json"]) == 0
        assert "tracing.example" not in capsys.readouterr().out

    def test_no_link(
        self, given: tuple[str, str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without the variable there is no link; a template without the id is refused."""
        assert main(["show", given[0], "--seq", "2"]) == 0
        assert "link" not in capsys.readouterr().out
        monkeypatch.setenv("OTEL_AUDIT_TRACE_URL", "https://tracing.example/")
        assert main(["show", given[0], "--seq", "2"]) == 2
        assert "OTEL_AUDIT_TRACE_URL: expected an address that begins with https://" in capsys.readouterr().err
