"""strands-agents: a model that says what a script says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from strands.models import Model

from tests.frameworks.conformance.driver import MODEL, Script


class ScriptedModel(Model):  # type: ignore[misc]  # not installed where the types are checked
    """Answers with the script's turns, as a stream of chunks."""

    def __init__(self, script: Script, name: str = MODEL) -> None:
        self.script = script
        self.config = {"model_id": name}

    def update_config(self, **model_config: Any) -> None:
        """Change the settings."""
        self.config.update(model_config)

    def get_config(self) -> dict[str, Any]:
        """Return the settings."""
        return self.config

    async def structured_output(self, *args: Any, **kwargs: Any) -> AsyncIterator[dict[str, Any]]:
        """Not asked for here."""
        raise NotImplementedError
        yield {}

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[dict[str, Any]]:
        """Yield one answer: a text, or tool calls."""
        turn = self.script.turn()
        yield {"messageStart": {"role": "assistant"}}
        if isinstance(turn, str):
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": turn}}}
            yield {"contentBlockStop": {}}
        else:
            for call in turn:
                yield {"contentBlockStart": {"start": {"toolUse": {"name": call.tool, "toolUseId": call.id}}}}
                yield {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps(dict(call.arguments))}}}}
                yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn" if isinstance(turn, str) else "tool_use"}}
        yield {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}, "metrics": {}}}
