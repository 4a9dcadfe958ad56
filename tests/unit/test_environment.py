"""The settings: argument, variable, default, in this order."""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any

import pytest

from otel_audit import environment
from otel_audit.environment import (
    FileSettings,
    ProviderSettings,
    as_environment,
    check_on_failure,
    file_settings,
    provider_settings,
    trace_url,
)
from otel_audit.errors import AuditConfigError

FILE = {"OTEL_AUDIT_FILE": "/var/log/audit.jsonl"}


class TestFile:
    def test_defaults(self) -> None:
        """With a path alone, everything else has its default."""
        assert file_settings({}, "/a/b.jsonl") == FileSettings("/a/b.jsonl")

    def test_no_path(self) -> None:
        """Without a path the error names both ways to give one."""
        with pytest.raises(AuditConfigError, match=r"set OTEL_AUDIT_FILE, or call otel_audit.configure\(path\)"):
            file_settings({"OTEL_AUDIT_FILE": ""})

    @pytest.mark.parametrize(
        ("variable", "text", "member", "value"),
        [
            ("OTEL_AUDIT_INTEGRITY", "hash", "integrity", "hash"),
            ("OTEL_AUDIT_DURABILITY", "interval", "durability", "interval"),
            ("OTEL_AUDIT_SYNC_INTERVAL", "250", "sync_interval_millis", 250),
            ("OTEL_AUDIT_HMAC_KEY_FILE", "/k", "hmac_key_file", "/k"),
            ("OTEL_AUDIT_LOCK_TIMEOUT", "5", "lock_timeout_millis", 5),
            ("OTEL_AUDIT_FILE_MODE", "0640", "file_mode", 0o640),
        ],
    )
    def test_variable_and_argument(self, variable: str, text: str, member: str, value: Any) -> None:
        """A variable takes the place of the default, an argument that of both; an empty variable is none."""
        assert getattr(file_settings(FILE | {variable: text}), member) == value
        default = getattr(FileSettings("/x.jsonl"), member)
        assert getattr(file_settings(FILE | {variable: ""}), member) == default
        if default is not None:
            assert getattr(file_settings(FILE | {variable: text}, **{member: default}), member) == default

    @pytest.mark.parametrize(
        ("variable", "text"),
        [
            ("OTEL_AUDIT_INTEGRITY", "Chain"),
            ("OTEL_AUDIT_DURABILITY", "sometimes"),
            ("OTEL_AUDIT_SYNC_INTERVAL", "0"),
            ("OTEL_AUDIT_SYNC_INTERVAL", "1.5"),
            ("OTEL_AUDIT_LOCK_TIMEOUT", "-1"),
            ("OTEL_AUDIT_FILE_MODE", "0400"),
            ("OTEL_AUDIT_FILE_MODE", "01600"),
            ("OTEL_AUDIT_FILE_MODE", "rw"),
        ],
    )
    def test_wrong_variable(self, variable: str, text: str) -> None:
        """A value that a variable cannot have is refused by the variable's name, expected then got."""
        with pytest.raises(AuditConfigError, match=rf"{variable}: expected .*, got '{re.escape(text)}'"):
            file_settings(FILE | {variable: text})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("integrity", 1),
            ("durability", ""),
            ("sync_interval_millis", True),
            ("file_mode", 0o1600),
            ("file_mode", -1),
        ],
    )
    def test_wrong_argument(self, name: str, value: Any) -> None:
        """A value that an argument cannot have is refused by the argument's name."""
        with pytest.raises(AuditConfigError, match=f"{name}: expected "):
            file_settings(FILE, **{name: value})

    def test_relative_paths(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Paths are made absolute at once: a later change of folder changes nothing."""
        monkeypatch.chdir(tmp_path)
        settings = file_settings({}, "a.jsonl", hmac_key_file=pathlib.Path("k"))
        assert settings.path == str(tmp_path / "a.jsonl")
        assert settings.hmac_key_file == str(tmp_path / "k")

    @pytest.mark.parametrize(
        "path",
        [
            "a.json",
            "a",
            ".jsonl",
            "a.000002.jsonl",
            "a.1234567.jsonl",
            "a\n.jsonl",
            "a" * 235 + ".jsonl",
            "é" * 118 + ".jsonl",
            "a\\b.jsonl",
            "",
            "a\0.jsonl",
            b"a.jsonl",
        ],
    )
    def test_names(self, path: Any) -> None:
        """A log's name ends in .jsonl and is none of a segment, nor one that a checksum file could not hold."""
        with pytest.raises(AuditConfigError, match="path"):
            file_settings({}, path)

    @pytest.mark.parametrize("name", ["a.00002.jsonl", "a.00000b.jsonl", "000002.jsonl", "a.000002.x.jsonl"])
    def test_names_near_to_a_segment(self, name: str) -> None:
        """Only a dot and six or more digits make the name of a segment."""
        assert file_settings({}, f"/x/{name}").path == f"/x/{name}"

    def test_key_needs_a_chain(self) -> None:
        """A key with any other mode than ``chain`` is refused."""
        with pytest.raises(AuditConfigError, match="hmac_key_file: needs integrity 'chain', got 'hash'"):
            file_settings(FILE, integrity="hash", hmac_key_file="/k")


class TestProvider:
    def test_defaults(self) -> None:
        """Failures are closed and nothing is believed or sent unless said so."""
        assert provider_settings({}) == ProviderSettings("closed", False, False, False, ())

    @pytest.mark.parametrize("text", ["true", "TRUE", "True"])
    def test_flags(self, text: str) -> None:
        """A flag is ``true`` or ``false``, in any case."""
        names = ("REQUIRE_ACTOR", "PROPAGATE_ACTOR", "TRUST_BAGGAGE")
        settings = provider_settings({f"OTEL_AUDIT_{name}": text for name in names})
        assert (settings.require_actor, settings.propagate_actor, settings.trust_baggage) == (True, True, True)

    @pytest.mark.parametrize("text", ["1", "yes", "on", "treu"])
    def test_no_flag(self, text: str) -> None:
        """What is neither is refused, never taken for false."""
        with pytest.raises(AuditConfigError, match="OTEL_AUDIT_REQUIRE_ACTOR: expected true or false, got"):
            provider_settings({"OTEL_AUDIT_REQUIRE_ACTOR": text})

    def test_processors(self) -> None:
        """Processors are named once each, separated by commas."""
        assert provider_settings({"OTEL_AUDIT_PROCESSORS": " otlp, console,otlp,"}).processors == ("otlp", "console")
        with pytest.raises(AuditConfigError, match="OTEL_AUDIT_PROCESSORS: expected otlp, console or both"):
            provider_settings({"OTEL_AUDIT_PROCESSORS": "otlp,stdout"})

    @pytest.mark.parametrize("value", ["", "Open", None, "fail"])
    def test_on_failure(self, value: Any) -> None:
        """A word that is neither ``closed`` nor ``open`` never means open."""
        with pytest.raises(AuditConfigError, match="on_failure: expected one of closed, open, got"):
            check_on_failure(value)


def test_round_trip() -> None:
    """The variables that a child process gets give it the same settings."""
    file = FileSettings(
        "/a/b.jsonl",
        durability="interval",
        sync_interval_millis=7,
        hmac_key_file="/k",
        lock_timeout_millis=8,
        file_mode=0o640,
    )
    provider = ProviderSettings("open", True, True, True)
    variables = as_environment(file, provider)
    assert file_settings(variables) == file
    assert provider_settings(variables) == provider


def test_every_variable_is_documented() -> None:
    """Each constant is its own name, and says below it what it stands for, with the default."""
    source = pathlib.Path(environment.__file__).read_text(encoding="utf-8")
    names = [name for name in vars(environment) if name.startswith("OTEL_AUDIT_")]
    assert "OTEL_AUDIT_FILE" in names
    for name in names:
        assert getattr(environment, name) == name
        assert re.search(rf'^{name}: Final = "{name}"\n"""[^"]*([Dd]efault|commas?)', source, re.MULTILINE), name


def test_environment_is_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own environment is not looked at."""
    monkeypatch.setitem(os.environ, "OTEL_AUDIT_DURABILITY", "nonsense")
    assert file_settings({}, "/a.jsonl").durability == "always"


class TestTraceUrl:
    @pytest.mark.parametrize("text", ["https://traces.test/{trace_id}", "HTTP://t/?x={}&t={trace_id}#{span_id}"])
    def test_an_address(self, text: str) -> None:
        """An address of a page with the place of the trace id is taken as it is; an empty one is none."""
        assert trace_url({"OTEL_AUDIT_TRACE_URL": f" {text}\n"}) == text
        assert trace_url({"OTEL_AUDIT_TRACE_URL": " "}) is None

    @pytest.mark.parametrize("text", ["https://traces.test/", "javascript:alert('{trace_id}')", "traces/{trace_id}"])
    def test_none(self, text: str) -> None:
        """One without that place, or that is opened as no page, is refused."""
        expected = r"OTEL_AUDIT_TRACE_URL: expected an address .* https:// or http:// and has \{trace_id\} in it, got"
        with pytest.raises(AuditConfigError, match=expected):
            trace_url({"OTEL_AUDIT_TRACE_URL": text})
