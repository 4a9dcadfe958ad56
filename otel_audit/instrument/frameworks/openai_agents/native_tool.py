"""openai-agents: shell, apply-patch, computer and custom tools.

Each has an action of the framework's, which asks for approval, then tells the run's hooks
that the tool starts, then runs it. The intent is written when the hooks are told: a refused
call has none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit.instrument.frameworks.act import Act, parsed_arguments, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.openai_agents.handoff import acting
from otel_audit.instrument.frameworks.openai_agents.tool import Notes, note_error, noting
from otel_audit.instrument.patch import Wrapper, wrap

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_ACTIONS: Final = {
    "ComputerAction": "computer_tool",
    "LocalShellAction": "local_shell_tool",
    "ShellAction": "shell_tool",
    "CustomToolAction": "custom_tool",
    "ApplyPatchAction": "apply_patch_tool",
}
"""Each action, and what it calls its tool."""

_ARGUMENTS: Final = ("input", "action", "actions", "operation", "operations")
"""Where a call has what is to be done."""


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit these tools in every run.

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    actions = import_module("agents.run_internal.tool_actions")
    for name, tool in _ACTIONS.items():
        undo.callback(wrap(getattr(actions, name), "execute", _execute(auditor, tool)))
    # Called wherever an action turns an exception of the tool into its output.
    undo.callback(wrap(actions, "format_shell_error", _note_failure))


class _Hooks:
    """The hooks of a run, which are told of a tool's start once the intent is on disk."""

    def __init__(self, hooks: Any, start: Callable[[], Awaitable[None]]) -> None:
        self._hooks = hooks
        self._start = start

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hooks, name)

    async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        """Write the intent, then tell the run's own hooks."""
        await self._start()
        await self._hooks.on_tool_start(*args, **kwargs)


def _execute(auditor: Auditor, tool: str) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], _action: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = kwargs.get("action") or kwargs["call"]
        agent = kwargs["agent"].name
        act = _act(auditor, getattr(call, tool).name, call.tool_call, agent)
        begun: list[AuditAction] = []

        async def start() -> None:
            begun.append(await auditor.astart(act))

        with acting(auditor, agent), auditor.span(act), noting() as notes:
            try:
                result = await wrapped(*args, **{**kwargs, "hooks": _Hooks(kwargs["hooks"], start)})
            except BaseException as raised:
                for action in begun:
                    action.fail(raised)
                raise
            for action in begun:
                auditor.judge(action, getattr(result, "output", None), _judge(result, notes))
                await action.aend_quietly()
        return result

    return wrapper


def _act(auditor: Auditor, name: object, call: object, agent: str) -> Act:
    arguments = None
    if auditor.settings.capture:
        arguments = {key: value for key in _ARGUMENTS if (value := _member(call, key)) is not None}
    call_id = _member(call, "call_id")
    return tool_call(name, call_id=call_id, arguments=parsed_arguments(arguments), agent=agent)


def _judge(result: object, notes: Notes) -> Callable[[AuditAction, object], None]:
    def judge(action: AuditAction, output: object) -> None:
        if _member(getattr(result, "raw_item", None), "status") == "failed":
            action.set_outcome("failure", error_type="tool_error")
        notes.judge(action, output)

    return judge


def _member(item: object, name: str) -> object:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def _note_failure(wrapped: Callable[..., Any], _module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    note_error(args[0] if args else kwargs.get("error"))
    return wrapped(*args, **kwargs)
