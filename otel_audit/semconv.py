"""Attribute and event names of the audit log.

Sources: OTEP 0267 (audit logging) for the names in its list, docs/format.md for the
project's own, the OpenTelemetry semantic conventions for the rest. The GenAI and MCP names
are written out here because the constants of ``opentelemetry-semantic-conventions`` for
them are deprecated.
"""

from __future__ import annotations

from typing import Final, Literal

SCHEMA_VERSION: Final = "1.0.0"
FORMAT_VERSION: Final = "1"

# OTEP 0267
AUDIT_RECORD_ID: Final = "audit.record.id"
AUDIT_ACTOR_ID: Final = "audit.actor.id"
AUDIT_ACTOR_TYPE: Final = "audit.actor.type"
AUDIT_ACTION: Final = "audit.action"
AUDIT_OUTCOME: Final = "audit.outcome"
AUDIT_TARGET_ID: Final = "audit.target.id"
AUDIT_TARGET_TYPE: Final = "audit.target.type"
AUDIT_SOURCE_ID: Final = "audit.source.id"
AUDIT_SOURCE_TYPE: Final = "audit.source.type"
AUDIT_SCHEMA_VERSION: Final = "audit.schema.version"

# The project's own
AUDIT_PHASE: Final = "audit.phase"
AUDIT_INTENT_ID: Final = "audit.intent.id"
AUDIT_DECISION: Final = "audit.decision"
AUDIT_REASON: Final = "audit.reason"
AUDIT_TRAIL: Final = "audit.trail"
AUDIT_DELEGATION: Final = "audit.delegation"
AUDIT_DURATION: Final = "audit.duration"
AUDIT_ARGUMENTS: Final = "audit.arguments"
AUDIT_RESULT: Final = "audit.result"
AUDIT_ALTERED: Final = "audit.altered"
AUDIT_REST: Final = "audit.rest"
ERROR_TYPE: Final = "error.type"

REQUIRED_ATTRIBUTES: Final = (
    AUDIT_RECORD_ID,
    AUDIT_ACTOR_ID,
    AUDIT_ACTOR_TYPE,
    AUDIT_ACTION,
    AUDIT_OUTCOME,
    AUDIT_SCHEMA_VERSION,
)
"""What every entry carries."""

ACTOR_TYPES: Final = frozenset({"user", "service", "system"})
OUTCOMES: Final = frozenset({"success", "failure", "unknown"})
PHASES: Final = frozenset({"intent", "outcome"})
DECISIONS: Final = frozenset({"allow", "block", "error", "override"})
IntegrityMode = Literal["chain", "hash", "none"]
"""The words of ``audit.integrity.mode``."""

# Stamped on the log record, never inside the line
AUDIT_SEQUENCE_NUMBER: Final = "audit.sequence.number"
AUDIT_SEQUENCE_PREV_HASH: Final = "audit.sequence.prev_hash"
AUDIT_STREAM_ID: Final = "audit.stream.id"
AUDIT_INTEGRITY_HASH: Final = "audit.integrity.hash"

# The log's own entries
LOG_EVENT_PREFIX: Final = "audit.log."
LOG_OPENED: Final = "audit.log.opened"
LOG_CLOSED: Final = "audit.log.closed"
LOG_ROTATED: Final = "audit.log.rotated"
LOG_RECOVERED: Final = "audit.log.recovered"
LOG_DROPPED: Final = "audit.log.dropped"
LOG_VOIDED: Final = "audit.log.voided"
LOG_EVENTS: Final = frozenset({LOG_OPENED, LOG_CLOSED, LOG_ROTATED, LOG_RECOVERED, LOG_DROPPED, LOG_VOIDED})

AUDIT_WRITER_ID: Final = "audit.writer.id"
AUDIT_WRITER_VERSION: Final = "audit.writer.version"
AUDIT_WRITER_ENTRIES: Final = "audit.writer.entries"
AUDIT_WRITER_DROPPED: Final = "audit.writer.dropped"
AUDIT_FORMAT_VERSION: Final = "audit.format.version"
AUDIT_INTEGRITY_MODE: Final = "audit.integrity.mode"
AUDIT_KEY_ID: Final = "audit.key.id"
AUDIT_SEGMENT_NUMBER: Final = "audit.segment.number"
AUDIT_SEGMENT_NEXT: Final = "audit.segment.next"
AUDIT_SEGMENT_PREVIOUS_NAME: Final = "audit.segment.previous.name"
AUDIT_SEGMENT_PREVIOUS_SIZE: Final = "audit.segment.previous.size"
AUDIT_SEGMENT_PREVIOUS_SHA256: Final = "audit.segment.previous.sha256"
AUDIT_FRAGMENT_OFFSET: Final = "audit.fragment.offset"
AUDIT_FRAGMENT_LENGTH: Final = "audit.fragment.length"
AUDIT_FRAGMENT_SHA256: Final = "audit.fragment.sha256"
AUDIT_DROPPED_COUNT: Final = "audit.dropped.count"
AUDIT_DROPPED_FIRST_TIME: Final = "audit.dropped.first_time"
AUDIT_DROPPED_LAST_TIME: Final = "audit.dropped.last_time"
AUDIT_VOIDED_FIRST: Final = "audit.voided.first"
AUDIT_VOIDED_LAST: Final = "audit.voided.last"

# OpenTelemetry semantic conventions
SERVICE_NAME: Final = "service.name"
HOST_NAME: Final = "host.name"
PROCESS_PID: Final = "process.pid"
DEPLOYMENT_ENVIRONMENT_NAME: Final = "deployment.environment.name"
CODE_FUNCTION_NAME: Final = "code.function.name"

GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_AGENT_ID: Final = "gen_ai.agent.id"
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE: Final = "gen_ai.tool.type"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
MCP_METHOD_NAME: Final = "mcp.method.name"
MCP_SESSION_ID: Final = "mcp.session.id"
MCP_RESOURCE_URI: Final = "mcp.resource.uri"
GEN_AI_PROMPT_NAME: Final = "gen_ai.prompt.name"
SPAN_KIND: Final = "span.kind"

# Events of frameworks: the same act has the same name in each of them
EVENT_TOOL_EXECUTE: Final = "gen_ai.tool.execute"
EVENT_MODEL_CALL: Final = "gen_ai.model.call"
EVENT_AGENT_INVOKE: Final = "gen_ai.agent.invoke"
EVENT_AGENT_HANDOFF: Final = "gen_ai.agent.handoff"
EVENT_GUARDRAIL_CHECK: Final = "gen_ai.guardrail.check"
EVENT_TOOL_APPROVE: Final = "gen_ai.tool.approve"
EVENT_RETRIEVAL_QUERY: Final = "gen_ai.retrieval.query"
EVENT_MCP_RESOURCE_READ: Final = "mcp.resource.read"
EVENT_MCP_PROMPT_GET: Final = "mcp.prompt.get"

# hummbl-governance: its bus (`otel_audit.compat.hummbl`) and its primitives
EVENT_HUMMBL_MESSAGE: Final = "hummbl.bus.message"
EVENT_HUMMBL_REFUSE: Final = "hummbl.bus.refuse"
EVENT_HUMMBL_IMPORT: Final = "hummbl.bus.import"
EVENT_HUMMBL_LINE: Final = "hummbl.bus.line"
EVENT_HUMMBL_KILL_SWITCH_ENGAGE: Final = "hummbl.kill_switch.engage"
EVENT_HUMMBL_KILL_SWITCH_DISENGAGE: Final = "hummbl.kill_switch.disengage"
EVENT_HUMMBL_KILL_SWITCH_CHECK: Final = "hummbl.kill_switch.check"
EVENT_HUMMBL_CIRCUIT_BREAKER_TRIP: Final = "hummbl.circuit_breaker.trip"
EVENT_HUMMBL_CIRCUIT_BREAKER_PROBE: Final = "hummbl.circuit_breaker.probe"
EVENT_HUMMBL_CIRCUIT_BREAKER_RECOVER: Final = "hummbl.circuit_breaker.recover"
EVENT_HUMMBL_TOKEN_ISSUE: Final = "hummbl.delegation_token.issue"
EVENT_HUMMBL_TOKEN_VALIDATE: Final = "hummbl.delegation_token.validate"
EVENT_HUMMBL_TOKEN_USE: Final = "hummbl.delegation_token.use"
EVENT_HUMMBL_TOKEN_REVOKE: Final = "hummbl.delegation_token.revoke"

HUMMBL_MESSAGE_TYPE: Final = "hummbl.message.type"
"""What makes an entry a message of the bus: posted, brought over, or of a primitive."""
HUMMBL_IMPORT_LINES: Final = "hummbl.import.lines"
HUMMBL_IMPORT_MESSAGES: Final = "hummbl.import.messages"
HUMMBL_IMPORT_PART: Final = "hummbl.import.part"
HUMMBL_KILL_SWITCH_MODE: Final = "hummbl.kill_switch.mode"
HUMMBL_KILL_SWITCH_FAILURE_CLASS: Final = "hummbl.kill_switch.failure_class"
HUMMBL_KILL_SWITCH_AFFECTED_TASKS: Final = "hummbl.kill_switch.affected_tasks"
HUMMBL_CIRCUIT_BREAKER_STATE: Final = "hummbl.circuit_breaker.state"
HUMMBL_CIRCUIT_BREAKER_PREVIOUS_STATE: Final = "hummbl.circuit_breaker.previous_state"
HUMMBL_CIRCUIT_BREAKER_FAILURE_COUNT: Final = "hummbl.circuit_breaker.failure_count"
HUMMBL_TOKEN_ISSUER: Final = "hummbl.delegation_token.issuer"
HUMMBL_TOKEN_SUBJECT: Final = "hummbl.delegation_token.subject"
HUMMBL_TOKEN_OPERATIONS: Final = "hummbl.delegation_token.operations"
HUMMBL_TOKEN_RESOURCES: Final = "hummbl.delegation_token.resources"
HUMMBL_TOKEN_EXPIRY: Final = "hummbl.delegation_token.expiry"
HUMMBL_TOKEN_TASK_ID: Final = "hummbl.delegation_token.task_id"
HUMMBL_TOKEN_CONTRACT_ID: Final = "hummbl.delegation_token.contract_id"
HUMMBL_TOKEN_OPERATION: Final = "hummbl.delegation_token.requested_operation"

# Gates: `otel_audit.compat.auditgate` and `otel_audit.instrument.gates`. The trail stands in
# ``audit.trail``, the verdict in ``audit.decision``, the gate's kind and identity in ``audit.target.*``
EVENT_GATE_DECISION: Final = "gate.decision"
EVENT_GATE_CLEAR: Final = "gate.clear"
"""Hides entries of one trail, or of all, from queries; erases nothing."""

GATE_MONOTONIC_TIME: Final = "gate.monotonic_time"
"""Seconds of the machine's monotonic clock, which begins anew at each boot."""
GATE_CLOCK_TIME: Final = "gate.clock_time"
"""In its place: seconds of a clock of the program's own."""
GATE_WALL_TIME: Final = "gate.wall_time"
"""What a wall clock of the program's own said; ``time`` is the machine's in any case."""
GATE_RECORDED_BY: Final = "gate.recorded_by"
GATE_INTEGRITY: Final = "gate.integrity"
"""What the trail's policy shows of the hashes, where that is not ``hash``."""
GATE_TRAIL: Final = "gate.trail"
"""The trail's three parts, where its text can be read in two ways."""
GATE_REASON: Final = "gate.reason"
"""The whole reason, where it is too long for ``audit.reason``."""
GATE_DETAIL: Final = "gate.detail"
GATE_CLEAR_BEFORE: Final = "gate.clear.before"
"""Entries of this time or later stay, on the clock that this entry names; none do where it is absent."""
GATE_CLEAR_ENTRIES: Final = "gate.clear.entries"
"""How many are hidden."""

# OpenTelemetry semantic conventions and the collector's file receiver: where a line came from
LOG_FILE_NAME: Final = "log.file.name"
LOG_FILE_RECORD_NUMBER: Final = "log.file.record_number"
LOG_FILE_SHA256: Final = "log.file.sha256"
LOG_RECORD_ORIGINAL: Final = "log.record.original"
