"""openai-agents: model calls, and the tools that run at the provider."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from agents import (
    Agent,
    InputGuardrail,
    ModelProvider,
    ModelRetrySettings,
    ModelSettings,
    OpenAIChatCompletionsModel,
    RunConfig,
    RunHooks,
)
from openai import AsyncOpenAI
from openai.types.responses import (
    Response,
    ResponseCodeInterpreterToolCall,
    ResponseFailedEvent,
    ResponseFunctionShellToolCallOutput,
    ResponseFunctionWebSearch,
)
from openai.types.responses.response_output_item import McpCall

import otel_audit
from otel_audit import AuditWriteError, acting_as
from otel_audit.testing import CapturedAudit
from tests.frameworks.openai_agents_script import (
    RUNS,
    Script,
    audited,
    call,
    of,
    run_async,
    run_streamed,
    say,
    stage,
    told,
)
from tests.frameworks.test_openai_agents import add, triage


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit openai-agents in every test."""
    with audited():
        yield


@contextlib.contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    """Serve chat completions, but no streams; yield the address, and the paths that are asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": "3"}
            answer = {
                "id": "c",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "created": 0,
                "model": "gpt-5",
                "object": "chat.completion",
                "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            }
            body = json.dumps(answer).encode()
            self.send_response(500 if request.get("stream") else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestModelCall:
    @RUNS
    def test_outcome(self, log: CapturedAudit, run: Any) -> None:
        """The outcome has the counts of tokens and the response's id."""
        run(Agent(name="a", model=Script([say("3")])))
        intent, outcome = of(log, "model")
        for attributes in (intent, outcome):
            assert attributes["gen_ai.request.model"] == attributes["audit.target.id"] == "gpt-test"
            assert attributes["gen_ai.agent.name"] == "a"
            assert attributes["gen_ai.operation.name"] == "chat"
        assert (outcome["gen_ai.usage.input_tokens"], outcome["gen_ai.usage.output_tokens"]) == (11, 7)
        assert outcome["gen_ai.response.id"] == "resp_1"
        assert "gen_ai.usage.input_tokens" not in intent

    def test_stream(self, log: CapturedAudit) -> None:
        """Of a streamed answer, the outcome has the model that answered, and why it ended."""
        run_streamed(Agent(name="a", model=Script([say("3")])))
        (outcome,) = of(log, "model", "success")
        assert outcome["gen_ai.response.model"] == "gpt-test-2026"
        assert outcome["gen_ai.response.finish_reasons"] == ["completed"]

    def test_failed_stream(self, log: CapturedAudit) -> None:
        """A streamed answer that ends as failed is a failure."""

        class Failing(Script):
            async def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
                response = Response(
                    id="resp_1",
                    created_at=0,
                    error={"code": "server_error", "message": "secret text"},
                    model="gpt-test",
                    object="response",
                    output=[],
                    parallel_tool_calls=True,
                    status="failed",
                    tool_choice="auto",
                    tools=[],
                )
                yield ResponseFailedEvent(response=response, sequence_number=0, type="response.failed")

        with pytest.raises(Exception, match="failed"):
            run_streamed(Agent(name="a", model=Failing()))
        (outcome,) = of(log, "model", "failure")
        assert outcome["error.type"] == "server_error"

    @RUNS
    def test_name_of_the_run(self, log: CapturedAudit, run: Any) -> None:
        """A model that has no name is named as the run, or the agent, asks for it."""

        class Nameless(Script):
            model = None  # type: ignore[assignment]

        class Provider(ModelProvider):  # type: ignore[misc]
            def get_model(self, _name: str | None) -> Any:
                return Nameless([say("3")])

        agent = Agent(name="a", model="litellm/anthropic/claude")
        run(agent, run_config=RunConfig(model_provider=Provider(), model="any/other"))
        run(agent, run_config=RunConfig(model_provider=Provider()))
        named = [a["gen_ai.request.model"] for a in of(log, "model", "success")]
        assert named == ["any/other", "litellm/anthropic/claude"]

    @RUNS
    def test_provider(self, log: CapturedAudit, run: Any) -> None:
        """A model of OpenAI's is of this provider; its calls go out as without auditing."""
        with serving() as (url, asked):
            client = AsyncOpenAI(api_key="none", base_url=url, max_retries=0)
            agent = Agent(name="a", model=OpenAIChatCompletionsModel("gpt-5", client))
            if run is run_streamed:
                with pytest.raises(Exception, match="500"):
                    run(agent)
            else:
                assert run(agent) == "3"
                assert of(log, "model", "success")[0]["gen_ai.usage.input_tokens"] == 5
        assert asked == ["/chat/completions"]
        assert {a["gen_ai.provider.name"] for a in of(log, "model")} == {"openai"}

    @pytest.mark.parametrize(("module", "provider"), [(5, "maker"), ("agents.models.openai_own", "openai")])
    def test_odd_class_and_name(self, log: CapturedAudit, module: Any, provider: str) -> None:
        """A model is asked whatever its class has as its module, and whatever its name makes of a str's methods."""

        class Name(str):
            __slots__ = ()

            def __contains__(self, _part: object) -> bool:
                raise RuntimeError

            __getitem__ = split = partition = __contains__  # type: ignore[assignment]

        class Odd(Script):
            __module__ = module
            model = Name("maker/model")

        assert run_async(Agent(name=Name("a"), model=Odd([say("3")]))) == "3"
        assert [a["gen_ai.provider.name"] for a in of(log, "model")] == [provider] * 2

    def test_retry(self, log: CapturedAudit) -> None:
        """Each attempt is a call of its own."""
        retry = ModelRetrySettings(max_retries=1, backoff={"initial_delay": 0.0}, policy=lambda _context: True)
        model = Script(ConnectionError("secret text"), [say("3")])
        agent = Agent(name="a", model=model, model_settings=ModelSettings(retry=retry))
        assert run_async(agent) == "3"
        assert told(log, "model") == [
            "model gpt-test intent",
            "model gpt-test failure",
            "model gpt-test intent",
            "model gpt-test success",
        ]

    @RUNS
    def test_unrecorded_call_is_not_made(self, log: CapturedAudit, run: Any) -> None:
        """Where its intent cannot be written, the model is not asked."""

        class Hooks(RunHooks):  # type: ignore[misc]
            async def on_llm_start(self, *_args: object) -> None:
                log.fail(OSError("disk full"))

        model = Script([say("3")])
        with pytest.raises(AuditWriteError):
            run(Agent(name="a", model=model), hooks=Hooks())
        assert len(model.steps) == 1

    @RUNS
    def test_lost_outcome(self, log: CapturedAudit, run: Any) -> None:
        """Where its outcome cannot be written, the answer comes through."""

        async def answer() -> list[Any]:
            log.fail(OSError("disk full"))
            return [say("3")]

        assert run(Agent(name="a", model=Script(answer))) == "3"
        assert told(log) == ["agent a intent", "model gpt-test intent", "agent a success"]

    @RUNS
    def test_entries_of_the_model_itself(self, log: CapturedAudit, run: Any) -> None:
        """What a model records itself is by the agent that asks, as is the call; also in a stream, after a handoff."""

        async def answer() -> list[Any]:
            otel_audit.get_audit_logger("test").emit("cache.read")
            return [say("3")]

        with acting_as("ann", type="user"):
            run(triage(answer))
        (own,) = (entry.attributes for entry in log.entries if entry.event_name == "cache.read")
        chain = ["ann", "triage", "refunds"]
        assert [a["audit.delegation"] for a in (own, *of(log, "model")[2:])] == [chain] * 3

    def test_the_model_is_itself(self) -> None:
        """The model that is asked is the program's own object, and keeps its attributes."""
        seen: list[object] = []

        class Own(Script):
            async def get_response(self, *args: Any, **kwargs: Any) -> Any:
                seen.append(self)
                self.count = 1
                return await super().get_response(*args, **kwargs)

        model = Own([say("3")])
        run_async(Agent(name="a", model=model))
        assert seen == [model]
        assert type(seen[0]) is Own
        assert model.count == 1

    def test_concurrent_guardrail(self, log: CapturedAudit) -> None:
        """A model call that a guardrail cancels meanwhile has an outcome, too."""
        asked = asyncio.Event()

        async def think() -> list[Any]:
            asked.set()
            await asyncio.Event().wait()
            return []

        async def trip(*_args: object) -> Any:
            await asked.wait()
            raise LookupError

        guardrail: Any = InputGuardrail(trip, name="no_secrets")
        with pytest.raises(LookupError):
            run_async(Agent(name="a", model=Script(think), input_guardrails=[guardrail]))
        assert told(log, "model") == ["model gpt-test intent", "model gpt-test failure"]


def hosted(status: Any, error: Any) -> list[Any]:
    """Return what a provider says that it did."""
    return [
        ResponseFunctionWebSearch(
            id="ws_1", action={"type": "search", "query": "secret text"}, status=status, type="web_search_call"
        ),
        ResponseCodeInterpreterToolCall(
            id="ci_1", code="secret text", container_id="c", status=status, type="code_interpreter_call"
        ),
        McpCall.model_construct(
            id="mcp_1",
            arguments='{"key": "secret text"}',
            error=error,
            name="write",
            server_label="s",
            type="mcp_call",
        ),
        say("3"),
    ]


class TestHostedTool:
    @RUNS
    def test_reported(self, log: CapturedAudit, run: Any) -> None:
        """What the provider ran is an outcome of its own inside the model call: it could not be stopped."""
        assert run(Agent(name="a", model=Script(hosted("completed", None)))) == "3"
        assert told(log, "model", "tool") == [
            "model gpt-test intent",
            "tool web_search success",
            "tool code_interpreter success",
            "tool write success",
            "model gpt-test success",
        ]
        tools = of(log, "tool")
        assert {a["gen_ai.tool.type"] for a in tools} == {"extension"}
        assert [a["gen_ai.tool.call.id"] for a in tools] == ["ws_1", "ci_1", "mcp_1"]
        assert {a["audit.actor.id"] for a in tools} == {"a"}

    def test_failed(self, log: CapturedAudit) -> None:
        """What failed at the provider is a failure."""
        run_async(Agent(name="a", model=Script(hosted("failed", "secret text"))))
        assert told(log, "tool") == ["tool web_search failure", "tool code_interpreter failure", "tool write failure"]

    def test_shell(self, log: CapturedAudit) -> None:
        """What a shell in the provider's container did is an outcome, too."""
        item = ResponseFunctionShellToolCallOutput.model_construct(
            id="sho_1", call_id="sh_1", output=[], status="completed", type="shell_call_output"
        )
        run_async(Agent(name="a", model=Script([item, say("3")])))
        (done,) = of(log, "tool")
        assert (stage(done), done["audit.target.id"], done["gen_ai.tool.call.id"]) == ("success", "shell", "sh_1")

    def test_not_reported(self, log: CapturedAudit) -> None:
        """Where the report cannot be written, the answer comes through."""

        async def answer() -> list[Any]:
            log.fail(OSError("disk full"), times=3)
            return hosted("completed", None)

        assert run_async(Agent(name="a", model=Script(answer))) == "3"
        assert told(log, "tool") == []

    def test_beside_a_function(self, log: CapturedAudit) -> None:
        """A function tool of the same turn is recorded as ever."""
        step = [*hosted("completed", None)[:1], call("add", "call_1", '{"a": 1, "b": 2}')]
        run_async(Agent(name="a", model=Script(step, [say("3")]), tools=[add]))
        assert told(log, "tool") == ["tool web_search success", "tool add intent", "tool add success"]
