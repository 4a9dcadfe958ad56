"""Pydantic AI: a log that cannot be written, what must not be in it, and the way back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydantic_ai
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, _output
from pydantic_ai.capabilities import Hooks
from pydantic_ai.embeddings import EmbeddingModel
from pydantic_ai.models import Model
from pydantic_ai.tool_manager import ToolManager

from otel_audit import AuditProvider, read_log, set_audit_provider, verify_log
from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.pipeline.exporter import AuditFileLogExporter
from otel_audit.testing import CapturedAudit, capture_audit
from tests.disk import fill
from tests.frameworks.pydantic_ai_fakes import (
    MAKE_AND_RUN,
    WAYS_TO_MAKE,
    WAYS_TO_RUN,
    CountingModel,
    Notes,
    instrumented,
    loop_of_its_own,  # noqa: F401 - a fixture
    scripted,
    told,
    tool_entries,
)

CANARY = "canary-9f3b"


@contextmanager
def provider_at(path: Path, **settings: Any) -> Iterator[AuditProvider]:
    """Audit into a log at this path."""
    provider = AuditProvider(AuditFileLogExporter(path), **settings)
    set_audit_provider(provider)
    try:
        yield provider
    finally:
        set_audit_provider(None)
        provider.shutdown()


def no_room_at_the_call(disk: Path, notes: Notes) -> Hooks[None]:
    """Return hooks that leave no room on the disk when the model has answered, right before the tool is called."""
    hooks: Hooks[None] = Hooks()

    @hooks.on.after_tool_validate
    async def no_room(_ctx: Any, *, call: Any, tool_def: Any, args: Any) -> Any:
        if not notes.written:
            fill(disk)
        return args

    return hooks


class TestFullDisk:
    @pytest.mark.parametrize(("how", "way"), MAKE_AND_RUN)
    def test_closed(self, disk: Path, tmp_path: Path, how: str, way: str) -> None:
        """On a full disk, with failures closed, a tool does not run, however it is made and its agent run."""
        path = disk / "audit.jsonl"
        with provider_at(path), instrumented():
            notes = Notes(tmp_path, str(path))
            agent = notes.agent(how, capabilities=[no_room_at_the_call(disk, notes)])
            with pytest.raises(AuditWriteError, match="No space left"):
                WAYS_TO_RUN[way](agent)
            assert not notes.written
            (disk / "filler").unlink()
        assert verify_log(path).intact
        assert not [e for e in read_log(path) if e.event_name == "gen_ai.tool.execute"]

    @pytest.mark.parametrize("how", [how for how in WAYS_TO_MAKE if how != "mcp"])
    def test_open(self, disk: Path, tmp_path: Path, how: str) -> None:
        """With failures open the tool runs, and the log declares what it lost."""
        path = disk / "audit.jsonl"
        with provider_at(path, on_failure="open"), instrumented():
            notes = Notes(tmp_path, str(path))
            agent = notes.agent(how, capabilities=[no_room_at_the_call(disk, notes)])
            assert agent.run_sync("go").output == "done"
            assert notes.written
            (disk / "filler").unlink()
            assert agent.run_sync("go").output == "done"
        assert verify_log(path).intact
        (dropped,) = [e for e in read_log(path) if e.event_name == "audit.log.dropped"]
        # The tool call's two, those of the model call after it, and the run's end.
        assert dropped.attributes["audit.dropped.count"] == 5


class TestFailing:
    """One append at a time fails, on a real log."""

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_intent_of_a_run(self, log: CapturedAudit, tmp_path: Path, way: str) -> None:
        """A run whose intent cannot be written does not begin: no model is asked, no tool called."""
        notes = Notes(tmp_path, log.path)
        with instrumented():
            log.fail(OSError("no room"))
            with pytest.raises(AuditWriteError, match="no room"):
                WAYS_TO_RUN[way](notes.agent())
        assert not notes.written
        assert log.entries == ()

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_intent_of_a_model_call(self, log: CapturedAudit, tmp_path: Path, way: str) -> None:
        """A model is not asked where the intent cannot be written."""
        asked: list[str] = []
        with instrumented():
            agent = Agent(CountingModel(asked=lambda: asked.append("asked")), name="writer")

            @agent.instructions
            def last_thing_before_it_is_asked() -> str:
                log.fail(OSError("no room"))
                return "be brief"

            with pytest.raises(AuditWriteError, match="no room"):
                WAYS_TO_RUN[way](agent)
        assert not asked
        assert told(log, "model") == []

    def test_intent_of_an_output_function(self, log: CapturedAudit) -> None:
        """An output function does not run where its intent cannot be written."""
        ran = []

        def book(text: str) -> str:
            ran.append(text)
            return text

        agent = Agent(scripted([("final_result", {"text": "x"})]), name="writer", output_type=book)
        with instrumented():

            async def no_room(_ctx: Any, **kwargs: Any) -> Any:
                log.fail(OSError("no room"))
                return kwargs["output"]

            hooks: Hooks[None] = Hooks()
            hooks.on.before_output_process(no_room)
            with pytest.raises(AuditWriteError, match="no room"):
                agent.run_sync("go", capabilities=[hooks])
        assert not ran

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_outcome_of_a_tool(self, log: CapturedAudit, way: str) -> None:
        """Where the outcome of a tool cannot be written, its result comes through all the same."""
        agent = Agent(scripted([("note", {})], "done"), name="writer")

        @agent.tool_plain
        def note() -> str:
            log.fail(OSError("no room"))
            return "noted"

        with instrumented():
            assert WAYS_TO_RUN[way](agent).strip() == "done"
        assert len(tool_entries(log, "intent")) == 1
        assert tool_entries(log, "outcome") == []
        assert told(log)[-1] == ("agent.invoke", "writer", "outcome", "success")

    def test_outcome_of_a_failing_tool(self, log: CapturedAudit) -> None:
        """So does its exception."""
        agent = Agent(scripted([("note", {})], "done"), name="writer")
        error = LookupError("no")

        @agent.tool_plain
        def note() -> str:
            log.fail(OSError("no room"))
            raise error

        with instrumented(), pytest.raises(LookupError) as raised:
            agent.run_sync("go")
        assert raised.value is error

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_outcomes_of_the_rest(self, log: CapturedAudit, way: str) -> None:
        """Where no outcome of model call and run can be written, the output comes through."""
        with instrumented():
            agent = Agent(CountingModel(asked=lambda: log.fail(OSError("no room"), times=2)), name="writer")
            assert "yes" in WAYS_TO_RUN[way](agent)
        assert told(log) == [
            ("agent.invoke", "writer", "intent", "unknown"),
            ("model.call", "counting", "intent", "unknown"),
        ]


class TestPrivacy:
    def leaky(self) -> Agent[None, str]:
        """Return an agent whose prompt, arguments, results and exceptions hold the canary."""
        agent = Agent(
            scripted([("fine", {"text": CANARY, "password": CANARY})], [("bad", {"text": CANARY})]),
            name="writer",
            instructions=CANARY,
            system_prompt=CANARY,
        )

        @agent.tool_plain
        def fine(text: str, password: str) -> str:
            return text + password

        @agent.tool_plain
        def bad(text: str) -> str:
            raise ValueError(text)

        return agent

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_nothing_by_default(self, log: CapturedAudit, spans: InMemorySpanExporter, way: str) -> None:
        """Nothing of prompts, arguments, results and exceptions is in the log or in a span of ours."""
        with instrumented(), pytest.raises(ValueError, match=CANARY):
            WAYS_TO_RUN[way](self.leaky())
        assert len(tool_entries(log, "outcome")) == 2
        assert CANARY.encode() not in Path(log.path).read_bytes()
        assert CANARY not in "".join(span.to_json() for span in spans.get_finished_spans())

    def test_captured_arguments(self, log: CapturedAudit) -> None:
        """Arguments that are named are recorded, as the tool got them; no others."""
        agent = Agent(scripted([("add", {"a": "1", "b": 2})], "done"), name="writer")

        @agent.tool_plain
        def add(a: int, b: int) -> int:
            return a + b

        with instrumented(capture=["a"]):
            agent.run_sync("go")
        (intent,) = tool_entries(log, "intent")
        assert intent.attributes["audit.arguments"] == {"a": 1}
        assert "audit.result" not in tool_entries(log, "outcome")[0].attributes

    def test_arguments_that_do_not_fit(self, log: CapturedAudit) -> None:
        """Arguments that do not fit are recorded as the model wrote them."""
        agent = Agent(scripted([("add", {"a": "many"})], "done"), name="writer")

        @agent.tool_plain
        def add(a: int) -> int:
            return a

        with instrumented(capture=["a"]):
            agent.run_sync("go")
        assert tool_entries(log, "intent")[0].attributes["audit.arguments"] == {"a": "many"}

    def test_captured_results(self, log: CapturedAudit) -> None:
        """Results of tools are recorded where that is asked for; what models answer never is."""
        agent = Agent(scripted([("add", {})], CANARY), name="writer")

        @agent.tool_plain
        def add() -> dict[str, Any]:
            return {"sum": 3, "password": CANARY}

        with instrumented(capture="*", capture_result=True):
            agent.run_sync("go")
        (end,) = tool_entries(log, "outcome")
        assert end.attributes["audit.result"] == {"sum": 3, "password": "[REDACTED]"}
        assert CANARY.encode() not in Path(log.path).read_bytes()

    def test_redact(self) -> None:
        """What looks secret is left out of ``*``, and the provider's redact sees every value."""
        agent = Agent(scripted([("tell", {"text": CANARY, "api_key": CANARY})], "done"), name="writer")

        @agent.tool_plain
        def tell(text: str, api_key: str) -> str:
            return text

        def redact(_name: str, value: object) -> object:
            return "gone" if value == CANARY else value

        with capture_audit(redact=redact) as log, instrumented(capture="*", capture_result=True):
            agent.run_sync("go")
            assert tool_entries(log, "intent")[0].attributes["audit.arguments"] == {"text": "gone"}
            assert tool_entries(log, "outcome")[0].attributes["audit.result"] == "gone"

    def test_result_that_cannot_be_read(self, log: CapturedAudit) -> None:
        """A result whose own code fails comes through."""

        class Odd:
            """Breaks whoever looks at it."""

            def __repr__(self) -> str:
                raise RuntimeError(CANARY)

        odd = Odd()
        got = []
        agent = Agent(scripted([("make", {})], "done"), name="writer")

        @agent.tool_plain
        def make() -> Any:
            return odd

        hooks: Hooks[None] = Hooks()

        @hooks.on.after_tool_execute
        async def see(_ctx: Any, *, result: Any, **_rest: Any) -> Any:
            got.append(result)
            return "seen"

        with instrumented(capture_result=True):
            assert agent.run_sync("go", capabilities=[hooks]).output == "done"
        assert got == [odd]


WRAPPED = (
    (Agent, "iter"),
    (ToolManager, "execute_tool_call"),
    (ToolManager, "_raw_execute"),
    (ToolManager, "resolve_deferred_tool_calls"),
    (_output, "execute_output_function"),
    (Model, "__init_subclass__"),
    (EmbeddingModel, "__init_subclass__"),
)


def _subclasses(base: type) -> set[type]:
    direct: set[type] = set(base.__subclasses__())
    return direct.union(*map(_subclasses, direct))


class TestWayBack:
    def test_identical_objects(self) -> None:
        """Instrumenting and uninstrumenting, twice, leaves every object of the framework as it was."""
        gc.collect()

        def objects() -> dict[tuple[Any, str], Any]:
            owners: set[Any] = {owner for owner, _name in WRAPPED}
            owners |= _subclasses(Model) | _subclasses(EmbeddingModel) | {pydantic_ai}
            return {(owner, name): value for owner in owners for name, value in vars(owner).items()}

        before = objects()
        for _ in range(2):
            with instrumented():
                within = objects()
                changed = {key for key in before if before[key] is not within.get(key)}
                assert {(owner, name) for owner, name in WRAPPED if (owner, name) in before} <= changed
                assert (CountingModel, "request") in changed
            after = objects()
            assert before.keys() == after.keys()
            assert [key for key in before if before[key] is not after[key]] == []

    def test_what_is_still_held(self, log: CapturedAudit) -> None:
        """Methods that somebody holds, and classes made meanwhile, pass straight through afterwards."""
        agent = Agent(scripted("done"), name="writer")
        with instrumented():
            held = agent.iter

            class Meanwhile(CountingModel):
                """Answers by itself."""

                async def request(self, *args: Any, **kwargs: Any) -> Any:
                    """Answer."""
                    return await super().request(*args, **kwargs)

            own = Meanwhile.request
        agent.iter = held
        agent.run_sync("go")
        Agent(Meanwhile(), name="writer").run_sync("go")
        assert Meanwhile.request is not own
        assert log.entries == ()

    def test_agents_from_before(self, log: CapturedAudit, tmp_path: Path) -> None:
        """Agents, tools and models that were made before are audited."""
        agent = Notes(tmp_path, log.path).agent()
        with instrumented():
            agent.run_sync("go")
        assert len(log.entries) == 8

    @pytest.mark.parametrize(("owner", "name"), [(ToolManager, "execute_tool_call"), (Agent, "iter")])
    def test_missing(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        """A version that lacks what is wrapped is refused by name, and nothing stays wrapped."""
        before = vars(ToolManager)["_raw_execute"]
        for cls in owner.__mro__[:-1]:
            if name in vars(cls):
                monkeypatch.delattr(cls, name)
        with pytest.raises(AuditConfigError, match=f"{owner.__name__}.*{name}"), instrumented():
            pass
        assert vars(ToolManager)["_raw_execute"] is before

    def test_missing_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So is one whose parts are elsewhere."""
        monkeypatch.delattr(_output, "execute_output_function")
        with pytest.raises(AuditConfigError, match="execute_output_function"), instrumented():
            pass
