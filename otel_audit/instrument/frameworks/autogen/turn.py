"""autogen: an agent's turn in a team.

In a team an agent is run by a runtime, in whatever context that was started: who acts there is told by the team's
run, and so is on whose behalf.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.context import Context, create_key, get_value

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.acted_stream import Watcher
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.delegation import shortened
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

TEAM: Final = create_key("otel-audit-autogen-team")
"""Under which the context of a team's run has the `TeamRun`."""


@dataclass(slots=True, weakref_slot=True)
class TeamRun:
    """A team's run under way. Its agents take turns: no lock.

    Attributes:
        context: Of OpenTelemetry, inside of the run.
        chain: The agents that handed the work on, and the one that has it.
        error: What could not be recorded. The team would make an error of its own of it.
    """

    context: Context = field(default_factory=Context)
    chain: list[str] = field(default_factory=list)
    error: AuditError | None = None

    def before(self, agent: str) -> list[str]:
        """Return the agents on whose behalf one acts, whoever started with the work first."""
        return self.chain[:-1] if self.chain[-1:] == [agent] else []

    def hand_over(self, from_agent: str, to_agent: str) -> None:
        """Note that one agent hands the work to another."""
        if self.chain[-1:] != [from_agent]:
            self.chain[:] = [from_agent]
        self.chain.append(to_agent)
        self.chain[:] = shortened(self.chain)


taking_part: WeakKeyDictionary[Any, TeamRun] = WeakKeyDictionary()
"""By agent or team, the run of the team in which it takes part now."""


@contextmanager
def taking_turns(auditor: Auditor, team: TeamRun | None, name: str) -> Iterator[None]:
    """Be in the context of a team's run, and act for those who handed the work on until here."""
    with ExitStack() as stack:
        if team is not None:
            if get_value(TEAM) is not team:
                span = trace.get_current_span()
                valid = span.get_span_context().is_valid
                context = trace.set_span_in_context(span, team.context) if valid else team.context
                stack.enter_context(made_current(context))
            for agent in team.before(name):
                stack.enter_context(auditor.acting(agent))
        yield


class RunWatcher(Watcher):
    """Learns from its last event whether a run came to its end.

    Args:
        team: The team's run that it is, or is a part of.
    """

    def __init__(self, team: TeamRun | None) -> None:
        self._team = team
        self._ended = False

    def see(self, item: Any) -> None:
        """Learn whether it is the last one."""
        self._ended = hasattr(item, "chat_message") or type(item).__name__ == "TaskResult"

    def judge(self, action: AuditAction) -> None:
        """Call the run a success, where it is."""
        if self._ended:
            action.set_outcome("success")

    def excuse(self, action: AuditAction, raised: BaseException) -> None:
        """Tell the team what could not be recorded."""
        if isinstance(raised, AuditError):
            self.unrecorded(raised)

    def unrecorded(self, error: AuditError) -> None:
        """Tell the team what could not be recorded."""
        if self._team is not None:
            self._team.error = error
