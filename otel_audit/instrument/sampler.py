"""The sampler that keeps trace sampling from deciding what is audited.

A span that the sampler drops reaches no span processor. What an instrumentation knows of a
span it often says only after the span has begun, so no sampler can tell which spans are acts:
all are recorded, and those that would have been dropped are not exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from otel_audit.errors import AuditConfigError

_GROUP: Final = "opentelemetry_traces_sampler"
_NAME: Final = "audit"
_DEFAULT: Final = "parentbased_always_on"
_RATIOS: Final = frozenset({"traceidratio", "parentbased_traceidratio"})


class AlwaysRecordSampler(Sampler):
    """Answers ``RECORD_ONLY`` where its root sampler says ``DROP``: seen by processors, not exported.

    The sampler of that name in the OpenTelemetry specification. The SDK has one of its own from
    1.45 on, with which a span loses the attributes that it began with. Children of a span that is
    recorded only are recorded too, whatever the root is.

    Args:
        root: Decides what is exported.
    """

    def __init__(self, root: Sampler) -> None:
        self._root = root

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the root sampler's answer, ``RECORD_ONLY`` in place of ``DROP``."""
        result = self._root.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP:
            return result
        # The SDK's samplers drop a span's attributes with it, and the span would begin without them.
        recorded = {**(attributes or {}), **(result.attributes or {})}
        return SamplingResult(Decision.RECORD_ONLY, recorded, result.trace_state)

    def get_description(self) -> str:
        """Return its name and the root's."""
        return f"AlwaysRecordSampler{{{self._root.get_description()}}}"


def audit_sampler(argument: str | None = None) -> Sampler:
    """Return the sampler of ``OTEL_TRACES_SAMPLER=audit``.

    Args:
        argument: ``OTEL_TRACES_SAMPLER_ARG``: the sampler that decides what is exported, with its own
            argument behind ``=``, such as ``parentbased_traceidratio=0.1``; ``parentbased_always_on``
            where it is empty.

    Raises:
        AuditConfigError: There is no such sampler, or it refuses its argument. The SDK logs it, and
            takes its default sampler.
    """
    name, _, own = (argument or "").strip().partition("=")
    name = name.strip().lower() or _DEFAULT
    found = [] if name == _NAME else list(entry_points(group=_GROUP, name=name))
    if not found:
        known = ", ".join(sorted({point.name for point in entry_points(group=_GROUP)} - {_NAME}))
        raise AuditConfigError(
            f"OTEL_TRACES_SAMPLER_ARG: expected one of {known}, as in traceidratio=0.1, got {argument!r}"
        )
    try:
        root = found[0].load()(float(own) if name in _RATIOS else own.strip() or None)
    except Exception as error:
        raise AuditConfigError(
            f"OTEL_TRACES_SAMPLER_ARG: expected an argument for {name}, as in traceidratio=0.1, got {argument!r}"
        ) from error
    return AlwaysRecordSampler(root)
