"""autogen: runs of teams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from opentelemetry.context import get_current

from otel_audit.instrument.frameworks.act import agent_run
from otel_audit.instrument.frameworks.acted_stream import acted, asking
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.autogen.turn import TEAM, RunWatcher, TeamRun, taking_part, taking_turns
from otel_audit.instrument.patch import Wrapper, wrap


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the runs of all teams: ``run`` comes to ``run_stream``, too.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    team = import_module("autogen_agentchat.teams._group_chat._base_group_chat").BaseGroupChat
    undo.callback(wrap(team, "run_stream", _run(auditor)))


def _run(auditor: Auditor) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], team: Any, args: Any, kwargs: Any) -> Any:
        ask = asking(wrapped, args, kwargs)
        run = TeamRun()
        outer = taking_part.get(team)
        return acted(
            auditor,
            agent_run(team.name),
            lambda: _running(run, team, ask),
            _TeamWatcher(run, outer),
            within=taking_turns(auditor, outer, team.name),
            agent=team.name,
            values={TEAM: run},
        )

    return wrapper


async def _running(run: TeamRun, team: Any, ask: Callable[[], Any]) -> AsyncIterator[Any]:
    """Let all that take part know the run, wherever its runtime has them run."""
    run.context = get_current()
    participants = list(team._participants)  # noqa: SLF001
    for participant in participants:
        taking_part[participant] = run
    events = ask()
    try:
        async for event in events:
            yield event
    finally:
        try:
            await events.aclose()
        finally:
            for participant in participants:
                if taking_part.get(participant) is run:
                    del taking_part[participant]


class _TeamWatcher(RunWatcher):
    """Learns how a team's run ended, and for what it could not go on."""

    def __init__(self, run: TeamRun, outer: TeamRun | None) -> None:
        super().__init__(outer)
        self._run = run

    def own(self, raised: Exception) -> Exception:
        """Return the `AuditError` itself, where the team made an error of its text."""
        return raised if self._run.error is None else self._run.error
