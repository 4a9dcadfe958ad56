"""The two entries around a stream that ends by an exception."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from otel_audit import get_audit_logger
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import tool_call
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain.stream import Setting, StreamedAct
from otel_audit.testing import CapturedAudit, capture_audit

ACT = tool_call("refund")
ERROR = KeyError("secret")


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """The log of one test."""
    with capture_audit() as log:
        yield log


def excuse(_action: object, raised: object) -> None:
    assert raised is ERROR
    raise ValueError("secret")


class Broken(Watcher):
    """Cannot tell of an exception."""

    def excuse(self, action: Any, raised: BaseException) -> None:
        excuse(action, raised)


def failing() -> Iterator[int]:
    yield 1
    raise ERROR


async def afailing() -> AsyncIterator[int]:
    yield 1
    raise ERROR


@pytest.mark.parametrize("form", ["acted", "over", "aover"])
async def test_excuse_that_raises(log: CapturedAudit, form: str) -> None:
    """An exception that cannot be told of comes through, and is the outcome."""
    auditor = Auditor(get_audit_logger("test"), FrameworkSettings())
    act = StreamedAct(auditor, lambda: Setting(act=ACT, mark=("k", 1)), lambda _: None, lambda *_: None, excuse)
    with pytest.raises(KeyError) as caught:
        if form == "over":
            assert list(act.over(failing()))  # type: ignore[arg-type]
        else:
            stream = acted(auditor, ACT, afailing, Broken()) if form == "acted" else act.aover(afailing())  # type: ignore[arg-type]
            assert [item async for item in stream]
    assert caught.value is ERROR
    outcome = log.entries[-1].attributes
    assert (outcome["audit.phase"], outcome["audit.outcome"], outcome["error.type"]) == (
        "outcome",
        "failure",
        "KeyError",
    )
