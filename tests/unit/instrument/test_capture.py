"""What of a call is recorded, and what is redacted in it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import logging
import time
import types
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from typing import Any

import attrs
import httpx
import pydantic
import pytest

from otel_audit.errors import AuditConfigError
from otel_audit.instrument import once
from otel_audit.instrument.capture import (
    CIRCULAR,
    MAX_TEXT_CHARACTERS,
    MAX_VALUES,
    TRUNCATED,
    capture_arguments,
    capture_result,
    names_to_capture,
)
from otel_audit.instrument.secrets import REDACTED, looks_secret, redact_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27uhbUJU1p1r"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"


def capture(value: Any) -> Any:
    """One captured argument."""
    captured = capture_arguments({"value": value}, ("value",))
    assert captured is not None
    return captured["value"]


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    """Each test is warned anew."""
    once._told.clear()
    yield
    once._told.clear()


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "password", "Passwd", "pwd", "user_password", "dbpassword", "db_pass", "passphrase", "secret",
            "client_secret", "clientSecret", "token", "access_token", "refreshToken", "id_tokens", "api_key", "apiKey",
            "APIKey",
            "X-Api-Key", "apikey", "api.key", "API_KEYS", "Authorization", "authorization", "auth", "bearer",
            "cookie", "Set-Cookie",
            "private_key", "privateKey", "ssh_key", "secret_access_key", "signing-key", "credential", "credentials",
            "aws_credentials_file", "session", "session_id", "sessionid", "JWT", "otp", "csrf_token",
            "dsn",
        ],
    )  # fmt: skip
    def test_secret(self, name: str) -> None:
        """A name that has the word of a secret looks secret, in any spelling."""
        assert looks_secret(name)

    @pytest.mark.parametrize(
        "name",
        [
            "tokens_used", "max_tokens", "maxTokens", "token_count", "tokenLimit", "tokens", "prompt_tokens", "author",
            "authority", "secretary", "key", "keys", "primary_key", "key_id", "monkey", "compass", "passenger", "pass",
            "password_length", "session_count", "order_id", "cookiecutter", "card", "", "x", "0", "é", "keyword",
            "bypass", "obsession", "tokenizer",
        ],
    )  # fmt: skip
    def test_not_secret(self, name: str) -> None:
        """A name that only resembles one, or measures one, does not."""
        assert not looks_secret(name)


class TestText:
    @pytest.mark.parametrize(
        "text",
        [
            "Bearer abc", "bearer abc.def-ghi", "Basic dXNlcjpwYXNz", JWT, PEM, PEM.replace(" PRIVATE", " RSA PRIVATE"),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn", "sk-abcdefghijklmnop0123", "sk-ant-api03-abcdefgh",
            "sk_live_abcdefghij", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "github_pat_0123456789abcdefghij",
            "glpat-0123456789abcdefghij", "xoxb-1234567890-abcdef", "AKIAIOSFODNN7EXAMPLE",
            "AIzaSyA0123456789abcdefghijklmnopqrstuv", "hf_abcdefghijklmnopqrst", "npm_abcdefghijklmnopqrst",
            "pypi-AgEIcHlwaS5vcmcabc", "SG.abcdefghijklmnop.abcdefghijklmnop", "ya29.abcdefghijkl",
            "AGE-SECRET-KEY-1ABCDEFGHIJKLMNOPQRSTUV",
        ],
    )  # fmt: skip
    def test_credential(self, text: str) -> None:
        """A text that looks like a credential is replaced whole."""
        assert redact_text(text) == REDACTED

    @pytest.mark.parametrize(
        ("text", "redacted"),
        [
            (f"use {JWT} now", f"use {REDACTED} now"),
            ("postgres://bob:hunter2@db/x", f"postgres://bob:{REDACTED}@db/x"),
            ("?token=abc&page=2", f"?token={REDACTED}&page=2"),
            ("Authorization: Digest abc\nHost: x", f"Authorization: {REDACTED}\nHost: x"),
            ("Cookie: a=b; c=d\r\nHost: x", f"Cookie: {REDACTED}\r\nHost: x"),
            ('{"password": "a b", "n": 1}', f'{{"password": "{REDACTED}", "n": 1}}'),
            (r"{\"password\":\"x\",\"n\":1}", rf"{{\"password\":\"{REDACTED}\",\"n\":1}}"),
            ("Client(api_key='hunter2', n=1)", f"Client(api_key='{REDACTED}', n=1)"),
            ("PASSWORD=hunter2 run", f"PASSWORD={REDACTED} run"),
            ("error: password=hunter2", f"error: password={REDACTED}"),
            ("a:b:token='x y' z", f"a:b:token='{REDACTED}' z"),
            ("reason=max_tokens=5: api_key=x", f"reason=max_tokens=5: api_key={REDACTED}"),
            ("max_tokens=100, tokens: 5", "max_tokens=100, tokens: 5"),
            ("Basic training of the author", "Basic training of the author"),
            ("a: b = c", "a: b = c"),
            ("-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----"),
            ("https://example.com/a:b@c", "https://example.com/a:b@c"),
            ("", ""),
        ],
    )
    def test_part(self, text: str, redacted: str) -> None:
        """Within a longer text only the credential is replaced."""
        assert redact_text(text) == redacted

    @pytest.mark.parametrize(
        "text",
        [
            "a" * 70_000, "eyJ-" * 17_000, "eyJaaaa.aaaa." * 5_000, "://" * 23_000, "://a:" * 14_000, "a:" * 35_000,
            "password=" * 8_000, "-----BEGIN PRIVATE KEY" * 3_000, " " * 70_000, "a" + " " * 70_000, "sk-" * 23_000,
            "\\" * 70_000, "x=" + "\\" * 70_000, "Basic " * 12_000, "Basic " + "a" * 70_000, "Cookie:" * 10_000,
        ],
    )  # fmt: skip
    def test_linear(self, text: str) -> None:
        """No text takes the patterns longer than its length accounts for."""
        start = time.process_time()
        redact_text(text)
        assert time.process_time() - start < 1  # a quadratic pattern takes a minute


class TestSelection:
    def test_nothing(self) -> None:
        """Without a name nothing is captured."""
        assert capture_arguments({"a": 1}, ()) is None

    def test_named(self) -> None:
        """Only what is named is captured."""
        assert capture_arguments({"a": 1, "b": 2}, ("a",)) == {"a": 1}

    def test_all(self) -> None:
        """`*` leaves out what looks secret by its name."""
        arguments = {"a": 1, "password": "x", "apiKey": "y", "max_tokens": 5}
        assert capture_arguments(arguments, ("*",)) == {"a": 1, "max_tokens": 5}

    def test_secret_named(self) -> None:
        """What looks secret is captured where it is named, beside `*` too."""
        assert capture_arguments({"a": 1, "password": "x"}, ("*", "password")) == {"a": 1, "password": "x"}

    def test_absent(self) -> None:
        """A name that the call does not have is not there."""
        assert capture_arguments({"a": 1}, ("b",)) is None

    @pytest.mark.parametrize(
        ("given", "names"), [("a", ("a",)), ("*", ("*",)), (["a", "b"], ("a", "b")), ((), ()), ({"a"}, ("a",))]
    )
    def test_setting(self, given: Any, names: tuple[str, ...]) -> None:
        """One name may stand alone."""
        assert names_to_capture(given) == names

    @pytest.mark.parametrize("given", [("",), (1,), ("a", None)])
    def test_wrong_setting(self, given: Any) -> None:
        """What is not a name is refused."""
        with pytest.raises(AuditConfigError, match="expected names"):
            names_to_capture(given)


@dataclasses.dataclass
class Login:
    user: str
    password: str = "canary"


@dataclasses.dataclass(slots=True)
class SlottedLogin:
    user: str
    password: str = "canary"


@attrs.define
class AttrsLogin:
    user: str
    password: str = "canary"


class ModelLogin(pydantic.BaseModel):
    user: str
    password: str = "canary"


NamedLogin = namedtuple("NamedLogin", "user password")  # noqa: PYI024


class Colour(enum.Enum):
    RED = "red"


class Loud:
    def __repr__(self) -> str:
        return "Loud(password='canary', url='x://u:canary@h')"


class ClientSecret:
    def __repr__(self) -> str:
        return "canary"


class Broken:
    def __repr__(self) -> str:
        raise ValueError("canary")


class BrokenMap(OrderedDict[str, int]):
    def items(self) -> Any:
        """Fail."""
        raise ValueError("canary")


class TestValues:
    @pytest.mark.parametrize("value", [None, True, 1, 2**70, 1.5, "text", [], {}, [1, ["x"]], {"a": {"b": None}}])
    def test_plain(self, value: Any) -> None:
        """Plain data is captured as it is."""
        assert capture(value) == value

    @pytest.mark.parametrize(
        "value",
        [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), decimal.Decimal("1.5"), uuid.UUID(int=1), b"bytes"],
    )
    def test_left_to_the_format(self, value: Any) -> None:
        """What the format has a form for is left to it."""
        assert capture(value) == value

    def test_nested_secret(self) -> None:
        """A nested value under a secret name is redacted, however deep."""
        value = {"headers": [{"Authorization": "canary", "Accept": "x"}], "max_tokens": 1}
        assert capture(value) == {"headers": [{"Authorization": REDACTED, "Accept": "x"}], "max_tokens": 1}

    def test_nested_credential(self) -> None:
        """A nested text that looks like a credential is replaced, as a key too."""
        assert capture([("x", JWT)]) == [["x", REDACTED]]
        assert capture({JWT: 1}) == {REDACTED: 1}
        assert capture(PEM.encode()) == REDACTED

    @pytest.mark.parametrize(
        "value",
        [
            Login("bob"), SlottedLogin("bob"), AttrsLogin("bob"), ModelLogin(user="bob"), NamedLogin("bob", "canary"),
            OrderedDict(user="bob", password="canary"), types.MappingProxyType({"user": "bob", "password": "canary"}),
        ],
    )  # fmt: skip
    def test_object_with_members(self, value: Any) -> None:
        """Data classes, models and maps of any make are captured by member, secrets redacted."""
        assert capture(value) == {"user": "bob", "password": REDACTED}

    def test_headers(self) -> None:
        """A framework's own mapping is a map."""
        assert capture(httpx.Headers({"Cookie": "canary", "Host": "x"})) == {"cookie": REDACTED, "host": "x"}

    def test_set_and_enum(self) -> None:
        """A set is a sorted list, an enumeration member its value."""
        assert capture({"b", "a"}) == ["a", "b"]
        assert capture(Colour.RED) == "red"

    @pytest.mark.parametrize("value", [Loud(), ClientSecret(), Broken(), BrokenMap(a=1), pydantic.SecretStr("canary")])
    def test_object_text(self, value: Any) -> None:
        """Where only an object's text is left, it is redacted too, and never fails."""
        assert "canary" not in repr(capture(value))

    def test_string_subclass(self) -> None:
        """A subclass of str is captured by its text, whatever it says of itself."""

        class Odd(str):
            __slots__ = ()

            def __str__(self) -> str:
                raise ValueError

        assert type(capture(Odd("x"))) is str

    def test_generator_is_not_consumed(self) -> None:
        """An iterator is not run."""
        iterator = iter([1, 2])
        capture(iterator)
        assert list(iterator) == [1, 2]

    def test_argument_is_not_changed(self) -> None:
        """What the function gets is never changed."""
        value = {"password": "x", "list": [JWT]}
        capture(value)
        assert value == {"password": "x", "list": [JWT]}


class TestBounds:
    def test_text(self) -> None:
        """A long text is cut, and said to be."""
        altered: list[str] = []
        captured = capture_arguments({"a": "x" * 5_000_000}, ("a",), altered=altered)
        assert captured == {"a": "x" * MAX_TEXT_CHARACTERS + TRUNCATED}
        assert altered == ["/attributes/audit.arguments/a"]

    def test_credential_across_the_cut(self) -> None:
        """A credential that the cut goes through is still found."""
        text = "x" * (MAX_TEXT_CHARACTERS - 10) + " " + JWT
        assert "eyJ" not in capture(text)

    def test_depth(self) -> None:
        """Deep nesting ends in a marker."""
        value: Any = "canary"
        for _ in range(100_000):
            value = [value]
        assert "canary" not in repr(capture(value))
        assert TRUNCATED in repr(capture(value))

    @pytest.mark.parametrize("value", [list(range(100_000)), dict.fromkeys(range(100_000)), [[0] * 500] * 500])
    def test_count(self, value: Any) -> None:
        """A large value is captured in part."""
        captured = repr(capture(value))
        assert TRUNCATED in captured
        assert captured.count(",") < 2 * MAX_VALUES

    def test_cycle(self) -> None:
        """A cycle ends in a marker; the same value twice is no cycle."""
        value: list[Any] = [1]
        value.append(value)
        assert capture(value) == [1, CIRCULAR]
        twice = ["x"]
        assert capture([twice, twice]) == [["x"], ["x"]]


class TestRedact:
    def test_sees_every_value(self) -> None:
        """The provider's `redact` sees every value, after ours, innermost first."""
        seen = []

        def redact(name: str, value: object) -> object:
            seen.append((name, value))
            return value

        capture_arguments({"a": {"b": [1], "token": "x"}, "c": JWT}, ("*",), redact=redact)
        assert seen == [
            ("b", 1),
            ("b", [1]),
            ("a", {"b": [1], "token": REDACTED}),
            ("c", REDACTED),
        ]

    def test_replaces(self) -> None:
        """What it returns is recorded."""
        captured = capture_arguments(
            {"a": {"iban": "DE1"}}, ("a",), redact=lambda name, value: "***" if name == "iban" else value
        )
        assert captured == {"a": {"iban": "***"}}
        assert capture_result(1, redact=lambda name, _: name) == "result"

    def test_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        """Where it raises nothing of the value is recorded, and one warning is logged."""

        def redact(name: str, value: object) -> object:
            raise ValueError("canary")

        assert capture_arguments({"a": "canary", "b": [1]}, ("*",), redact=redact) == {"a": REDACTED, "b": REDACTED}
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "canary" not in caplog.text
