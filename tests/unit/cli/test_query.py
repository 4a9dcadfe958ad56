"""``otel-audit query``."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_audit import parts
from otel_audit.cli import status
from otel_audit.cli.entry_line import is_coloured
from otel_audit.errors import AuditVerifyError
from otel_audit.query.parallel import search
from otel_audit.reader import search_log
from otel_audit.selection import Selection
from tests import logs
from tests.unit.cli.reading import EVIL, ROOT, SOUND, Screen, evil_entry, is_inert, on_terminal, write_log

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def screen(capfdbinary: pytest.CaptureFixture[bytes]) -> Screen:
    """Run commands in this process."""
    return Screen(capfdbinary)


class TestFormats:
    """The same entries, said in five ways."""

    def test_text_is_one_line_an_entry(self, screen: Screen) -> None:
        """Text has when, what, how it went, who, for whom, upon what and in which trace."""
        assert screen.run("query", SOUND, "--since-seq", "4", "--until-seq", "5") == 0
        first, second = screen.out.splitlines()
        assert first.startswith("#4  2025-03-01T09:00:04.000Z  order.refund  EXECUTE  [intent]  by refund-agent")
        assert "  success  by refund-agent  for user:ana  on order-1881  trace " + TRACE_ID in second

    def test_jsonl_is_the_exact_lines(self, screen: Screen) -> None:
        """What jsonl gives are the bytes of the log."""
        assert screen.run("query", SOUND, "--format", "jsonl") == 0
        assert screen.raw == Path(SOUND).read_bytes()

    def test_json_is_one_document(self, screen: Screen) -> None:
        """What json gives is one array of the entries, in ASCII."""
        assert screen.run("query", SOUND, "--outcome", "failure", "--format", "json") == 0
        assert [entry["seq"] for entry in json.loads(screen.out)] == [8]
        assert screen.out.isascii()

    def test_csv_reads_back(self, screen: Screen) -> None:
        """What csv gives has a row for each entry, with the stream that it is of."""
        assert screen.run("query", SOUND, "--outcome", "failure", "--format", "csv") == 0
        (row,) = csv.DictReader(io.StringIO(screen.out, newline=""))
        assert (row["seq"], row["audit.target.id"]) == ("8", "ana@example.com")
        assert row["audit.stream.id"] == "7b0c1f7e-3d0a-4c52-9a44-0d6f3f6f1a01"

    def test_table_is_aligned(self, screen: Screen) -> None:
        """A table has names, a rule, and each column at one place."""
        assert screen.run("query", SOUND, "--outcome", "failure", "--format", "table") == 0
        names, rule, row = screen.out.splitlines()
        assert names.index("event_name") == row.index("mail.send")
        assert set(rule) == {"-", " "}

    @pytest.mark.parametrize("form", ["text", "jsonl", "json", "csv", "table"])
    @pytest.mark.parametrize(
        "more",
        [[], ["--group-by", "actor,event_name,audit.delegation"], ["--sql", "SELECT * EXCLUDE (line) FROM entries"]],
        ids=["entries", "groups", "sql"],
    )
    def test_nothing_acts_on_a_terminal(self, form: str, more: list[str], tmp_path: Path, screen: Screen) -> None:
        """No field of an entry gets a control character or an override through, in any format."""
        path = write_log(tmp_path, evil_entry(2))
        if form == "jsonl" and not more:
            shown = on_terminal("query", path, "--format", form)
            assert json.loads(shown.split("\n")[1])["attributes"]["audit.actor.id"] == EVIL
        else:
            assert screen.run("query", path, "--format", form, *more) == 0
            shown = screen.out
        assert is_inert(shown)
        assert not any(line.startswith(("#98", "=1")) for line in shown.splitlines())

    def test_context_is_inert_too(self, tmp_path: Path, screen: Screen) -> None:
        """What stands near an entry is shown as carefully as the entry."""
        path = write_log(tmp_path, evil_entry(2), logs.entry(3), evil_entry(4))
        assert screen.run("query", path, "--actor", "agent", "-C", "1") == 0
        assert [line.split()[0] for line in screen.out.splitlines()] == ["#2", "#3", "#4"]
        assert is_inert(screen.out)


class TestWhich:
    """The options that choose."""

    @pytest.mark.parametrize(
        ("options", "seqs"),
        [
            (["--event-name", "order.*"], [4, 5]),
            (["--event-name", "mail.send", "--event-name", "file.write"], [7, 8, 9]),
            (["--trace-id", TRACE_ID.upper()], [2, 3, 4, 5, 6, 7, 8]),
            (["--span-id", "00f067aa0ba90203"], [4, 5]),
            (["--decision", "allow"], [3]),
            (["--target", "T-4711"], [2]),
            (["--action", "WRITE"], [6, 9]),
            (["--since", "2025-03-01T10:00:08+01:00", "--until", "2025-03-01 09:00:10"], [8, 9]),
            (["--since", "2025-03-02"], []),
            (["--attribute", "audit.delegation=user:ana"], [2, 4, 5]),
            (["--attribute", "audit.duration=0.25"], [5]),
            (["--attribute", "audit.delegation/1", "--outcome", "unknown"], [4]),
            (["--attribute", "/resource/process.pid=4711", "--limit", "1"], [1]),
            (["--text", "SMTPSERVER"], [8]),
            (["--text", "日本"], [6]),
        ],
        ids=str,
    )
    def test_options(self, options: list[str], seqs: list[int], screen: Screen) -> None:
        """Each option leaves only what fits it."""
        assert screen.seqs("query", SOUND, *options) == seqs

    @pytest.mark.parametrize(
        "options",
        [["--since", "soon"], ["--trace-id", "4bf9"], ["--since", "2025-02-30"], ["--attribute", "=x"],
         ["--limit", "-1"],
         ["--group-by", "actor,"], ["--since-seq", "x"], ["--since", "\x1b[31m"], ["--sql", "x", "--count"],
         ["-C", "1", "--count"], ["-A", "1", "--format", "csv"], ["--count", "--limit", "3"],
         ["--min-severity", "-1"], ["--until-seq", "9" * 17], ["--span-id", "4bf9"]],
    )  # fmt: skip
    def test_wrong_usage(self, options: list[str], screen: Screen) -> None:
        """What cannot be meant ends with 2, says what was expected, and shows nothing."""
        assert screen.run("query", SOUND, *options) == 2
        assert screen.out == ""
        assert "expected" in screen.err
        assert is_inert(screen.err)

    def test_nothing_found(self, screen: Screen) -> None:
        """Where nothing matches, stderr says so and the exit status is 1."""
        assert screen.run("query", SOUND, "--actor", "nobody") == status.FOUND
        assert (screen.out, screen.err) == ("", f"otel-audit: {SOUND}: nothing found\n")

    @pytest.mark.parametrize(
        "options",
        [
            ("--limit", 0),
            ("--where", "1=0"),
            ("--where", "1=0", "--count"),
            ("--sql", "select 1"),
            ("-C", 1, "--limit", 0),
        ],
        ids=str,
    )
    def test_missing_log_that_need_not_be_read(self, tmp_path: Path, screen: Screen, options: tuple[str, ...]) -> None:
        """A missing log is an error where the query has nothing to read of it, too, and the first does not hide it."""
        missing = str(tmp_path / "none.jsonl")
        for paths in ([missing], [SOUND, missing]):
            assert screen.run("query", *paths, *map(str, options)) == status.UNUSABLE
            assert "none.jsonl: expected a log, got no such file" in screen.err

    def test_missing_log(self, tmp_path: Path, screen: Screen) -> None:
        """A log that is not there is named."""
        assert screen.run("query", str(tmp_path / "none.jsonl")) == 2
        assert "none.jsonl: expected a log, got no such file" in screen.err

    def test_segments_and_several_logs(self, tmp_path: Path, screen: Screen) -> None:
        """A folder stands for all segments of its log; several logs are read one behind the other."""
        for name, lines in zip(logs.names_of(2), logs.segments([4, 3]), strict=True):
            (tmp_path / name).write_bytes(logs.join(lines))
        assert screen.seqs("query", str(tmp_path)) == [1, 2, 3, 4, 5, 6, 7]
        assert screen.seqs("query", str(tmp_path), SOUND, "--event-name", "audit.log.opened") == [1, 5, 1]

    def test_stdin(self) -> None:
        """A log comes through a pipe as well."""
        done = run_piped(Path(SOUND).read_bytes(), "query", "-", "--outcome", "failure", "--format", "jsonl")
        assert (done.returncode, done.stdout) == (0, Path(SOUND).read_bytes().split(b"\n")[7] + b"\n")


class TestCounts:
    """``--count`` and ``--group-by``."""

    def test_count(self, screen: Screen) -> None:
        """--count says how many; none is 1, and still said."""
        assert screen.run("query", SOUND, "--outcome", "success", "--count") == 0
        assert screen.out == "7\n"
        assert screen.run("query", SOUND, "--actor", "nobody", "--count", "--format", "json") == 1
        assert json.loads(screen.out) == {"count": 0}

    def test_groups(self, screen: Screen) -> None:
        """--group-by counts by members, short names, paths and parts of the time."""
        assert screen.run("query", SOUND, "--group-by", "action,outcome", "--format", "json") == 0
        assert json.loads(screen.out)[0] == {"action": "EXECUTE", "outcome": "success", "count": 4}
        screen.run("query", SOUND, "--group-by", "hour,audit.delegation/0", "--format", "jsonl")
        assert [json.loads(line) for line in screen.out.splitlines()] == [
            {"hour": "2025-03-01T09:00Z", "audit.delegation/0": "user:ana", "count": 3},
            {"hour": "2025-03-01T09:00Z", "audit.delegation/0": None, "count": 7},
        ]

    def test_values_keep_their_types(self, tmp_path: Path, screen: Screen) -> None:
        """1, 1.0, true and "1" are four values."""
        path = write_log(tmp_path, *(logs.entry(seq, x=x) for seq, x in enumerate([1, 1.0, True, "1", 1], 2)))
        assert screen.run("query", path, "--group-by", "x", "--format", "json") == 0
        assert [(each["x"], each["count"]) for each in json.loads(screen.out)][:1] == [(1, 2)]
        assert len(json.loads(screen.out)) == 5

    def test_limit(self, screen: Screen) -> None:
        """--limit shows the largest groups only."""
        screen.run("query", SOUND, "--count", "--group-by", "outcome", "--limit", "1", "--format", "csv")
        assert screen.out == "outcome,count\r\nsuccess,7\r\n"


class TestContext:
    """``-A``, ``-B``, ``-C``."""

    @pytest.mark.parametrize(
        ("options", "seqs"),
        [
            (["-C", "1"], [7, 8, 9]),
            (["-A", "5"], [8, 9, 10]),
            (["-B", "2"], [6, 7, 8]),
            (["-B", "99"], list(range(1, 9))),
        ],
        ids=str,
    )
    def test_around(self, options: list[str], seqs: list[int], screen: Screen) -> None:
        """So many entries before and behind are shown, up to the ends of the log."""
        assert screen.seqs("query", SOUND, "--outcome", "failure", *options) == seqs

    def test_none_twice_and_gaps_marked(self, screen: Screen) -> None:
        """What stands near two entries is shown once, and what is left out is marked."""
        assert screen.run("query", SOUND, "--event-name", "ticket.read", "--event-name", "mail.send", "-C", "1") == 0
        assert [line.split()[0] for line in screen.out.splitlines()] == ["#1", "#2", "#3", "--", "#6", "#7", "#8", "#9"]

    def test_limit(self, screen: Screen) -> None:
        """--limit counts what was found, and what stands behind the last is shown still."""
        assert screen.seqs("query", SOUND, "--event-name", "mail.send", "-A", "1", "--limit", "1") == [7, 8]

    def test_fragments_are_no_neighbours(self, screen: Screen) -> None:
        """What a crash left takes no entry's place."""
        path = str(ROOT / "tests" / "vectors" / "logs" / "recovered" / "audit.jsonl")
        assert screen.seqs("query", path, "--event-name", "audit.log.recovered", "-B", "3", "-A", "1") == [
            7, 8, 9, 10, 11,
        ]  # fmt: skip

    def test_over_blocks_and_segments(self, tmp_path: Path, screen: Screen) -> None:
        """Neighbours are found where a block or a segment ends between them."""
        for name, lines in zip(logs.names_of(3), logs.segments([400, 3, 400]), strict=True):
            (tmp_path / name).write_bytes(logs.join(lines))
        for seq in (2, 79, 80, 81, 82, 400, 401, 402, 403, 404, 480, 481):
            wanted = ["--since-seq", str(seq), "--until-seq", str(seq)]
            assert screen.seqs("query", str(tmp_path), *wanted, "-C", "2") == list(range(max(1, seq - 2), seq + 3))


class TestSql:
    """``--where`` and ``--sql``."""

    def test_where(self, screen: Screen) -> None:
        """--where leaves the entries for which a condition is true, as exact lines."""
        assert screen.seqs("query", SOUND, "--where", "duration > 1 -- or so") == [8]
        assert screen.seqs(
            "query", SOUND, "--where", "\"audit.outcome\" = 'failure' or seq = 1", "--since-seq", "2"
        ) == [8]
        screen.run(
            "query", SOUND, "--where", "delegation[1] = 'user:ana'", "--group-by", "event_name", "--format", "json"
        )
        assert json.loads(screen.out)[0] == {"event_name": "order.refund", "count": 2}

    def test_actions(self, screen: Screen) -> None:
        """The view actions joins each intent to its outcome, and one without outcome is open."""
        query = "SELECT seq, outcome_seq, outcome, duration FROM actions ORDER BY seq"
        assert screen.run("query", SOUND, "--sql", query, "--format", "csv") == 0
        assert screen.out.splitlines() == ["seq,outcome_seq,outcome,duration", "4,5,success,0.25", "7,8,failure,1.5"]
        log = str(Path(SOUND).parents[1] / "intent_without_outcome" / "audit.jsonl")
        assert screen.run("query", log, "--sql", query, "--format", "json") == 0
        assert {"seq": 4, "outcome_seq": None, "outcome": "open", "duration": None} in json.loads(screen.out)

    def test_delegations(self, screen: Screen) -> None:
        """The view delegations has a row for each step."""
        query = "SELECT seq, principal, step, delegator, delegate FROM delegations WHERE seq = 5"
        assert screen.run("query", SOUND, "--sql", query, "--format", "jsonl") == 0
        assert json.loads(screen.out) == {
            "seq": 5, "principal": "user:ana", "step": 1, "delegator": "user:ana", "delegate": "refund-agent",
        }  # fmt: skip

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT * FROM read_csv('/etc/passwd')",
            "SELECT * FROM '/etc/passwd'",
            "SELECT * FROM read_text('/etc/passwd')",
            "SELECT * FROM glob('/etc/*')",
            "COPY entries TO '{folder}/x.csv'",
            "ATTACH '{folder}/x.db'",
            "EXPORT DATABASE '{folder}/x'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SELECT getenv('HOME')",
            "SET enable_external_access = true",
            "RESET lock_configuration",
            "CREATE TABLE x AS SELECT 1",
            "DROP VIEW entries",
            "PRAGMA database_list",
            "SELECT 1; COPY entries TO '{folder}/x.csv'",
            "SELECT * FROM query('COPY (SELECT 1) TO ''{folder}/x''')",
            "SELECT * FROM database",
            "SELECT * FROM duckdb_secrets()",
            "SELECT",
            "SELECT nosuch FROM entries",
        ],
    )
    def test_walls(self, query: str, tmp_path: Path, screen: Screen) -> None:
        """SQL that would read or write anything but the log is refused, as an error of usage."""
        assert screen.run("query", SOUND, "--sql", query.replace("{folder}", str(tmp_path))) == 2
        assert screen.out == ""
        assert screen.err.startswith("otel-audit: SQL: ")
        assert "root:" not in screen.err
        assert not list(tmp_path.iterdir())

    def test_condition_cannot_leave_its_place(self, tmp_path: Path, screen: Screen) -> None:
        """A condition is one expression: what closes it and begins a statement is refused."""
        assert screen.run("query", SOUND, "--where", f"true); COPY entries TO '{tmp_path}/x.csv'; SELECT (1") == 2
        assert not list(tmp_path.iterdir())

    def test_sees_what_all_see(self, tmp_path: Path, screen: Screen) -> None:
        """The database gets the lines that are entries, however they spell their strings."""
        lines = logs.log(4)
        lines[2] = lines[2].replace(b'"audit.actor.id":"agent"', b'"audit\\u002eactor.id":"\\u0061gent\\u0000\\/"')
        lines.insert(2, lines[1].replace(b'"seq":2', b'"seq":2,"seq":9'))
        path = tmp_path / "audit.jsonl"
        path.write_bytes(logs.join(lines))
        assert screen.run("query", str(path), "--sql", "SELECT seq, actor FROM entries", "--format", "json") == 0
        found = {each["seq"]: each["actor"] for each in json.loads(screen.out)}
        assert found == {1: "x", 2: "agent", 3: "agent\0/", 4: "agent"}

    def test_where_as_csv(self, tmp_path: Path, screen: Screen) -> None:
        """Each row of --where has the stream id of its log: of any name, of several that look alike, of stdin none."""
        paths = [os.fsdecode(os.fsencode(tmp_path) + name) for name in (b"/\xff.jsonl", b"/\\xff.jsonl", b"/stdin")]
        for number, path in enumerate(paths):
            data = logs.join(logs.log(2)).replace(logs.STREAM_ID.encode(), b"stream-%d" % number)
            Path(path).write_bytes(data)
        assert screen.run("query", *paths, "--where", "seq = 1", "--format", "csv") == 0
        rows = list(csv.DictReader(io.StringIO(screen.out, newline="")))
        assert [row["audit.stream.id"] for row in rows] == ["stream-0", "stream-1", "stream-2"]
        done = run_piped(logs.join(logs.log(3)), "query", "-", paths[2], "--where", "seq > 1", "--format", "csv")
        assert (done.returncode, done.stderr) == (0, b"")
        rows = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
        assert [(row["audit.stream.id"], row["seq"]) for row in rows] == [("", "2"), ("", "3"), ("stream-2", "2")]

    def test_where_asks_the_view(self, screen: Screen) -> None:
        """A condition can ask the views, and name the columns as those of entries; the views show no others."""
        condition = "entries.seq = (SELECT max(seq) FROM entries) OR log = 'x'"
        assert screen.seqs("query", SOUND, "--where", condition) == [10]
        screen.run("query", SOUND, "--sql", "SELECT * FROM entries LIMIT 1", "--format", "csv")
        assert screen.out.startswith("log,seq,time,")
        assert ",line\r\n" in screen.out

    def test_stdin_is_read_twice(self) -> None:
        """A join over a pipe sees all of it on both sides."""
        done = run_piped(
            Path(SOUND).read_bytes(), "query", "-", "--format", "json",
            "--sql", "SELECT count(*) AS n FROM actions WHERE outcome <> 'open'",
        )  # fmt: skip
        assert json.loads(done.stdout) == [{"n": 2}]
        assert done.stderr == b""

    @pytest.mark.parametrize("option", ["--sql", "--where"])
    def test_no_text(self, option: str, screen: Screen) -> None:
        """SQL that is not UTF-8 is an error of usage."""
        assert screen.run("query", SOUND, option, "select '\udcff'") == 2
        assert screen.err == "otel-audit: SQL: expected text in UTF-8, got other bytes\n"

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--sql", "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"),
            ("--sql", "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range + b.range = -1"),
            ("--where", "(SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE hash(a, b) = 1) = seq"),
        ],
    )
    def test_interrupted(self, tmp_path: Path, arguments: tuple[str, str]) -> None:
        """Ctrl-C ends a query that would run on, quietly, and its temporary folder is gone."""
        command = [sys.executable, "-m", "otel_audit", "query", SOUND, *arguments]
        environ = {**os.environ, "TMPDIR": str(tmp_path)}
        with subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            while process.poll() is None and not list(tmp_path.iterdir()):
                pass
            used = 0
            while process.poll() is None and used < 300:  # hundredths of a second: it is at work
                stats = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                used = int(stats[11]) + int(stats[12])
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)
        assert (process.returncode, *said) == (status.INTERRUPTED, b"", b"")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("source", [SOUND, "-"])
    def test_terminated(self, tmp_path: Path, source: str) -> None:
        """SIGTERM ends the process, and its temporary folder is gone."""
        query = "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range + b.range = -1"
        command = [sys.executable, "-m", "otel_audit", "query", source, "--sql", query]
        environ = {**os.environ, "TMPDIR": str(tmp_path)}
        with subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            process.stdin.write(Path(SOUND).read_bytes())
            process.stdin.close()
            used = 0
            while process.poll() is None and used < 300:  # hundredths of a second: it is at work
                stats = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                used = int(stats[11]) + int(stats[12])
            assert len(list(tmp_path.iterdir())) == 1
            process.terminate()
            assert process.stdout is not None
            assert process.stderr is not None
            said = process.stdout.read(), process.stderr.read()
        assert (process.returncode, *said) == (-signal.SIGTERM, b"", b"")
        assert not list(tmp_path.iterdir())

    def test_interrupted_where_the_database_does_not_heed(self, tmp_path: Path) -> None:
        """Ctrl-C ends a query that is at work on one value as well, and its temporary folder is gone."""
        query = "SELECT levenshtein(repeat('x', 1000000), repeat('y', 1000000))"
        command = [sys.executable, "-m", "otel_audit", "query", SOUND, "--sql", query]
        environ = {**os.environ, "TMPDIR": str(tmp_path)}
        with subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            while process.poll() is None and not list(tmp_path.iterdir()):
                pass
            used = 0
            while process.poll() is None and used < 300:  # hundredths of a second: it is at work
                stats = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                used = int(stats[11]) + int(stats[12])
            process.send_signal(signal.SIGINT)
            try:
                said = process.communicate(timeout=60)
            finally:
                process.kill()
        assert (process.returncode, *said) == (status.INTERRUPTED, b"", b"")
        assert not list(tmp_path.iterdir())

    @pytest.mark.skipif(sys.platform != "linux", reason="no limit to what a program holds")
    @pytest.mark.parametrize(
        "query", ["SELECT range(1000000000)", "SELECT len(range(a + 400000000)) FROM range(1) AS t(a)"]
    )
    def test_one_value_that_is_too_large(self, query: str, screen: Screen) -> None:
        """A value that does not fit is an error, not all the memory there is; afterwards the limit is gone."""
        import resource

        before = resource.getrlimit(resource.RLIMIT_DATA)
        assert screen.run("query", SOUND, "--sql", query) == 2
        assert screen.err.startswith("otel-audit: SQL: Out of Memory Error: ")
        assert "SET " not in screen.err
        assert resource.getrlimit(resource.RLIMIT_DATA) == before

    def test_unreadable_log(self, tmp_path: Path, screen: Screen) -> None:
        """A log that is not there is named, not the database."""
        assert screen.run("query", str(tmp_path / "none.jsonl"), "--where", "true") == 2
        assert "none.jsonl: expected a log, got no such file" in screen.err

    def test_times_with_zones(self, screen: Screen) -> None:
        """Times of every kind are shown without a further package."""
        query = "SELECT time, now() IS NOT NULL AS late, TIMESTAMPTZ '2026-01-01 00:00:00+00' AS z FROM entries LIMIT 1"
        assert screen.run("query", SOUND, "--sql", query, "--format", "json") == 0
        (row,) = json.loads(screen.out)
        assert row["time"].startswith("2025-03-01")
        assert row["z"].startswith("20")


class TestProcess:
    """What a shell sees."""

    def test_broken_pipe(self) -> None:
        """A reader that goes away ends the program quietly, in every format."""
        for more in (["--format", "jsonl"], [], ["--format", "csv"], ["--sql", "FROM entries"]):
            command = [sys.executable, "-m", "otel_audit", "query", SOUND, *more]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                process.stdout.close()
                assert process.stderr.read() == b""
            assert process.returncode == status.PIPE_CLOSED

    @pytest.mark.parametrize("form", ["text", "jsonl", "json", "csv", "table"])
    def test_closed_stdout(self, form: str) -> None:
        """Without a stdout what was found is an error that says so, in every format."""
        command = [sys.executable, "-m", "otel_audit", "query", SOUND, "--format", form]
        done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], cwd=ROOT, capture_output=True)
        assert (done.returncode, done.stderr) == (2, b"otel-audit: expected stdout, got none: it was closed\n")

    def test_other_locale(self) -> None:
        """A terminal without Unicode gets escapes, not an error."""
        for form in ("text", "csv", "table", "json"):
            done = run_piped(b"", "query", SOUND, "--text", "日本", "--format", form, PYTHONIOENCODING="ascii:strict")
            assert done.returncode == 0
            assert done.stdout.isascii()

    def test_interrupted_while_it_waits(self) -> None:
        """Ctrl-C ends a query on a pipe quietly, with 130."""
        command = [sys.executable, "-m", "otel_audit", "query", "-", "--format", "jsonl"]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(Path(SOUND).read_bytes() * 7)  # what both pipes can hold
            process.stdin.flush()
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == b""
            process.stdout.read()
        assert process.returncode == status.INTERRUPTED

    def test_colours_on_a_terminal_only(self) -> None:
        """A terminal gets colours by outcome, unless NO_COLOR is set; a pipe gets none."""
        assert "\x1b[31m#8" in on_terminal("query", SOUND, "--outcome", "failure")
        assert "\x1b[32m#2" in on_terminal("query", SOUND, "--target", "T-4711")
        assert "\x1b" not in on_terminal("query", SOUND, NO_COLOR="1")
        assert b"\x1b" not in run_piped(b"", "query", SOUND).stdout
        assert not is_coloured(None)

    def test_starts_light(self) -> None:
        """A search starts without the SDK, the extras and the verifier."""
        code = (
            "import sys; from otel_audit.cli import main; status = main(sys.argv[1:])\n"
            "heavy = {'opentelemetry', 'wrapt', 'rich', 'duckdb', 'pyarrow', 'socket', 'subprocess'}\n"
            "print(sorted(heavy & set(sys.modules)), 'otel_audit.verify.verifier' in sys.modules, file=sys.stderr)"
        )
        command = [sys.executable, "-c", code, "query", SOUND, "--trace-id", TRACE_ID]
        assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stderr == b"[] False\n"


class TestParallel:
    """`otel_audit.query.parallel`: what several processes find is what one finds."""

    @pytest.mark.parametrize("processes", [1, 2, 3, 8])
    def test_same_as_one(self, processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Parts end at lines, wherever a border falls, over segments and lines that are none."""
        for name, lines in zip(logs.names_of(3), logs.segments([9, 2, 7]), strict=True):
            (tmp_path / name).write_bytes(logs.join([*lines[:3], b"torn", *lines[3:]]))
        with (tmp_path / logs.names_of(3)[2]).open("ab") as file:
            file.write(b'{"seq":')
        monkeypatch.setattr(parts, "processors", lambda: processes)
        for selection in (Selection(), Selection(actors=("agent",)), Selection(targets=("git_log",), until_seq=3)):
            expected = list(search_log(tmp_path, selection, numbered=False))
            assert expected
            assert list(search(str(tmp_path), selection, 1)) == expected

    def test_leaves_no_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever stops to read ends the other processes."""
        path = tmp_path / "audit.jsonl"
        path.write_bytes(logs.join(logs.log(2000)))
        monkeypatch.setattr(parts, "processors", lambda: 4)
        forked: list[int] = []
        fork = os.fork

        def noted() -> int:
            forked.append(fork())
            return forked[-1]

        monkeypatch.setattr(os, "fork", noted)
        found = search(str(path), Selection(actors=("agent",)), 1)
        assert next(found).entry.seq == 2
        assert forked
        found.close()  # type: ignore[attr-defined]
        for pid in forked:
            with pytest.raises(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def test_a_process_that_dies(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A part that nobody read to its end is an error, not an end."""
        path = tmp_path / "audit.jsonl"
        path.write_bytes(logs.join(logs.log(50)))
        monkeypatch.setattr(parts, "processors", lambda: 2)
        monkeypatch.setattr(parts, "_reopened", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(AuditVerifyError, match="a process of the search was killed"):
            list(search(str(path), Selection(actors=("agent",)), 1))


def run_piped(data: bytes, *arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, with something on stdin."""
    return subprocess.run(
        [sys.executable, "-m", "otel_audit", *arguments],
        cwd=ROOT,
        input=data,
        capture_output=True,
        timeout=60,
        env={**os.environ, **environ},
    )
