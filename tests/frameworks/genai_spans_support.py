"""Other instrumentations for generative AI, each with a small agent that it sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from agents import Agent as OpenAIAgent
from agents import Runner, function_tool, generation_span, input_guardrail, set_trace_processors
from agents.guardrail import GuardrailFunctionOutput
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import BaseCallbackManager
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langgraph.pregel import Pregel
from langgraph.types import Command
from llama_index.core.tools import FunctionTool
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.instrumented import InstrumentationSettings

from otel_audit.testing import CapturedAudit
from tests.frameworks import langchain_support, llama_index_parts, openai_agents_script, pydantic_ai_fakes

CANARY = "canary-e51f"
Tool = Callable[[str], str]


def told(log: CapturedAudit, *kinds: str) -> list[str]:
    """Return each entry as actor, kind of act, target, and phase or decision; of these kinds, if any are given."""
    entries = []
    for entry in log.entries:
        attributes = entry.attributes
        kind = entry.event_name.removeprefix("gen_ai.")
        if not kinds or kind in kinds:
            stage = attributes.get("audit.decision") or attributes.get("audit.phase")
            end = attributes["audit.outcome"]
            entries.append(
                f"{attributes['audit.actor.id']}: {kind} {attributes.get('audit.target.id')} "
                f"{stage if stage != 'outcome' else end}"
            )
    return entries


class _Generation(openai_agents_script.Script):
    """A model that opens the span which the real ones open."""

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        with generation_span(model="gpt-test", input=[{"content": CANARY}]) as span:
            response = await super().get_response(*args, **kwargs)
            span.span_data.usage = {"input_tokens": 11, "output_tokens": 7}
        return response


def run_openai_agents(lookup: Tool) -> None:
    """Triage guards itself, looks something up, and hands over to billing."""

    @function_tool(name_override="lookup", failure_error_function=None)
    def look(order: str) -> str:
        """Look up."""
        return lookup(order)

    @input_guardrail(name="pii")
    async def pii(*_: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=CANARY, tripwire_triggered=False)

    call, say = openai_agents_script.call, openai_agents_script.say
    billing: OpenAIAgent[Any] = OpenAIAgent(name="billing", model=_Generation([say("done")]))
    triage: OpenAIAgent[Any] = OpenAIAgent(
        name="triage",
        model=_Generation([call("lookup", "call_1", f'{{"order": "{CANARY}"}}')], [call("transfer_to_billing", "c")]),
        tools=[look],
        handoffs=[billing],
        input_guardrails=[pii],
    )
    asyncio.run(Runner.run(triage, CANARY))


class _Orders(BaseRetriever):  # type: ignore[misc]
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(CANARY)]


def run_langchain(lookup: Tool) -> None:
    """An agent looks something up, and a retriever is asked."""

    @tool("lookup")
    def look(order: str) -> str:
        """Look up."""
        return lookup(order)

    model = langchain_support.model(langchain_support.calls(("lookup", {"order": CANARY})), "done")
    create_agent(model, [look], name="triage").invoke({"messages": [("user", CANARY)]})
    _Orders().invoke(CANARY)


def run_llama_index(lookup: Tool) -> None:
    """An agent looks something up."""

    def look(order: str) -> str:
        """Look up."""
        return lookup(order)

    call = llama_index_parts.call_of("lookup", order=CANARY)
    tools: list[Any] = [FunctionTool.from_defaults(look, name="lookup")]

    async def run() -> None:
        await llama_index_parts.agent("triage", [[call], "done"], tools, streaming=False).run(CANARY)

    asyncio.run(run())


def run_pydantic_ai(lookup: Tool) -> None:
    """An agent looks something up."""
    agent = PydanticAgent(pydantic_ai_fakes.scripted([("lookup", {"order": CANARY})], "done"), name="triage")

    @agent.tool_plain(name="lookup")
    def look(order: str) -> str:
        """Look up."""
        return lookup(order)

    asyncio.run(agent.run(CANARY))


INSTRUMENTATIONS: dict[str, tuple[str, str, Callable[[Tool], None]]] = {
    "OpenInference, langchain": ("openinference.instrumentation.langchain", "langchain", run_langchain),
    "OpenInference, openai-agents": (
        "openinference.instrumentation.openai_agents",
        "openai_agents",
        run_openai_agents,
    ),
    "OpenInference, llama-index": ("openinference.instrumentation.llama_index", "llama_index", run_llama_index),
    "OpenLLMetry, langchain": ("opentelemetry.instrumentation.langchain", "langchain", run_langchain),
    "OpenLLMetry, openai-agents": (
        "opentelemetry.instrumentation.openai_agents",
        "openai_agents",
        run_openai_agents,
    ),
    "pydantic-ai": ("", "pydantic_ai", run_pydantic_ai),
}
"""Module, name of our framework's module, and the agent."""


@contextmanager
def instrumented(name: str) -> Iterator[tuple[str, Callable[[Tool], None]]]:
    """Instrument a framework by somebody else's instrumentation; yield our name for it, and its agent."""
    module, framework, run = INSTRUMENTATIONS[name]
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    set_trace_processors([])
    if not module:
        PydanticAgent.instrument_all(InstrumentationSettings(tracer_provider=provider))
        try:
            yield framework, run
        finally:
            PydanticAgent.instrument_all(False)
        return
    found = import_module(module)
    [instrumentor] = [
        value()
        for key, value in vars(found).items()
        if key.lower() in ("langchaininstrumentor", "openaiagentsinstrumentor", "llamaindexinstrumentor")
    ]
    before = [
        (owner, name, value)
        for owner in (Pregel, BaseCallbackManager, AgentMiddleware, Command)
        for name, value in vars(owner).items()
        if callable(value)
    ]
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield framework, run
    finally:
        instrumentor.uninstrument()
        for owner, function, value in before:  # which OpenLLMetry leaves wrapped
            if vars(owner)[function] is not value:
                setattr(owner, function, value)
        set_trace_processors([])
