"""autogen: agents, teams and their handoffs; tools, models and code stand in modules beside.

autogen-agentchat is built on autogen-core, and a program can use the core alone: tools, models and code are
of the core, agents and teams are audited when their modules are imported. The core's messages are no acts: a
team's runtime carries each of its turns by several of them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.autogen import agent, code, model, team, tool
from otel_audit.instrument.frameworks.part import Part, instrument_part

if TYPE_CHECKING:
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "autogen-core"
MODULE: Final = "autogen_core"
VERSIONS: Final = ">=0.7.4,<0.8"

# Each is imported behind autogen_core, and behind what is wrapped, whatever a program imports first.
_PARTS: Final[dict[str, Part]] = {
    "autogen_agentchat.agents._base_chat_agent": agent.instrument,
    "autogen_agentchat.agents._code_executor_agent": code.instrument_agent,
    "autogen_agentchat.agents._message_filter_agent": agent.instrument_tool_calls,
    "autogen_agentchat.teams._group_chat._round_robin_group_chat": team.instrument,
}
"""What is instrumented when a module is imported; the modules stand in `autogen.hooks.LATER`, too."""


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit all agents, teams, tools and models of this process, those that exist already too.

    Raises:
        AuditConfigError: This version of autogen-core lacks something that is wrapped. What autogen-agentchat
            lacks is raised by its import, unless the settings have somebody be told.
    """
    auditor = Auditor(logger, settings)
    tool.instrument(auditor, undo)
    model.instrument(auditor, undo)
    code.instrument(auditor, undo)
    later = undo.enter_context(ExitStack())
    for module, part in _PARTS.items():
        instrument_part("autogen", module, part, auditor, later)
