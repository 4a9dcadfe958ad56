"""How a framework is run offline, so that one set of checks serves all of them.

A driver is a file of this folder, named as its framework is in `FRAMEWORKS`. It has ``DRIVER``: one
object of a subclass of `Driver`::

    class LangChain(Driver):
        framework = "langchain"
        cannot: ClassVar = {"astream": "the framework streams to blocking callers only"}

        def agent(self, name, script, tools): ...
        def pair(self, front, back, script, tools): ...
        def run(self, agent, prompt): ...
        async def arun(self, agent, prompt): ...

    DRIVER = LangChain()

Rules:

- The file imports nothing of the framework at its top, only inside of its methods: the table of
  docs/frameworks.md is made where no framework is installed. A model class stands in a file of its
  own (``tests/frameworks/<framework>_….py``) that is imported there.
- The model is the program's own class for a model of this framework, as scripted as it can be: for each
  request it calls ``script.turn()``, once, and answers with that text, or with those tool calls, whose ids are the
  framework's ids of calls. What ``turn()`` raises, the model raises. Its name is `MODEL`.
- ``run``, ``arun``, ``stream`` and ``astream`` are the ways to run an agent; of those the framework does not
  have, the method is not defined, and `Driver.cannot` says why. A way is as near as can be to what programs do.
- Nothing is instrumented here: the checks do that. A warning is an error in all tests; the framework's
  own ones are named in `Driver.warnings`.
- What the framework cannot do stands in `Driver.cannot`, under the name of the check (`NAMES`), or of check
  and way (``"cancellation, arun"``), with the reason: words for users, which are put into the documentation. Such
  a check is not run.
- The hooks are in the package: ``otel_audit/instrument/frameworks/<framework>/hooks.py`` has
  ``HOOKS`` (and ``LATER``), as `otel_audit.instrument.frameworks.hook` says. They are the framework's table in
  docs/frameworks.md (``python -m tests.frameworks.conformance.page`` writes it), and what ``otel-audit doctor``
  shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

MODEL: Final = "scripted-1"
"""The name of every model here."""

WAYS: Final = ("run", "arun", "stream", "astream")
"""The methods that run an agent."""

NAMES: Final = {
    "run": "blocking run",
    "arun": "async run",
    "stream": "blocking stream",
    "astream": "async stream",
    "agent": "entries of agent runs",
    "model": "entries of model calls",
    "order": "order of the entries",
    "actor": "the agent acts",
    "delegation": "one agent has another one do the work",
    "trace": "trace and span",
    "before": "intent on disk before the tool runs",
    "failing_tool": "failing tool",
    "failing_model": "failing model",
    "parallel": "tool calls in parallel",
    "async_tool": "async tools",
    "closed_early": "stream closed early",
    "cancellation": "cancelled run",
    "secrets": "no content by default",
    "capture": "arguments and results that are named",
    "full_disk_closed": "full disk, failures closed",
    "full_disk_open": "full disk, failures open",
    "full_disk_at_first": "full disk before the run",
    "uninstrumented": "instrumented no more",
    "before_import": "instrumented before the import",
    "missing": "a hook that is gone is an error",
}
"""What `Driver.cannot` can name, in words: ways, acts, and checks."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of a model's answer.

    Attributes:
        tool: The tool's name.
        arguments: As the model gives them.
        id: What the model calls this call.
    """

    tool: str
    arguments: Mapping[str, str]
    id: str


Said = str | tuple[Call, ...]
Turn = Said | Exception | Callable[[], Said]


class Script:
    """What a model answers, turn by turn; the last text, or ``done``, for ever after.

    Args:
        turns: A text; tool calls; an exception, which the model raises; or a function that does something
            first, and returns a text or tool calls.
    """

    def __init__(self, *turns: Turn) -> None:
        self._turns = list(turns)
        self.asked = 0
        """How many times the model was asked."""

    def turn(self) -> Said:
        """Return what the model answers now."""
        self.asked += 1
        turn = self._turns.pop(0) if self._turns else "done"
        if isinstance(turn, Exception):
            raise turn
        return turn() if callable(turn) else turn


class ToolError(Exception):
    """What a failing tool raises."""


class ModelError(Exception):
    """What a failing model raises."""


Tool = Callable[..., Any]
"""A function, or a coroutine function, with one argument, ``text: str``, that returns a str and has a docstring."""


class Driver:
    """One framework. Not instrumented here, and made for one process: it has no state.

    Attributes:
        framework: Its name in `FRAMEWORKS`.
        cannot: What it cannot do, by a name of `NAMES`, to the reason.
        warnings: Filters, as for ``pytest.mark.filterwarnings``, for warnings that are the framework's own.
        tool_error: ``error.type`` of a tool that raises `ToolError`.
        model_error: ``error.type`` of a model that raises `ModelError`.
        optional: Names of what is wrapped only where a version has it: that it is not there is no error.
        package_note: What else is to be said of the package, in the table of versions.
    """

    framework: ClassVar[str]
    cannot: ClassVar[Mapping[str, str]] = {}
    warnings: ClassVar[Sequence[str]] = ()
    tool_error: ClassVar[str] = f"{ToolError.__module__}.{ToolError.__qualname__}"
    model_error: ClassVar[str] = f"{ModelError.__module__}.{ModelError.__qualname__}"

    optional: ClassVar[Collection[str]] = ()
    package_note: ClassVar[str] = ""

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        """Return an agent with these tools, whose model says what the script says."""
        raise NotImplementedError

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        """Return an agent ``front`` that at once has another one, ``back``, do the work, and then ends.

        By a handoff, a sub-agent, or an agent as a tool, whatever the framework has for it.

        Args:
            front: Name of the agent that is run. The driver makes its script.
            back: Name of the other agent.
            script: Of the other agent's model.
            tools: The other agent's.
        """
        raise NotImplementedError

    def run(self, agent: Any, prompt: str) -> str:
        """Run an agent, blocking, and return its answer as text."""
        raise NotImplementedError

    async def arun(self, agent: Any, prompt: str) -> str:
        """Run an agent as a coroutine, and return its answer as text."""
        raise NotImplementedError

    def stream(self, agent: Any, prompt: str) -> Iterator[object]:
        """Run an agent and yield what happens; a generator, which closes the framework's stream when it is closed."""
        raise NotImplementedError

    def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        """As `stream`, an async generator."""
        raise NotImplementedError

    def ways(self) -> list[str]:
        """Return the ways to run an agent that this framework has."""
        return [way for way in WAYS if getattr(type(self), way) is not getattr(Driver, way)]
