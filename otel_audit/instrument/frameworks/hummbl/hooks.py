"""Where hummbl-governance is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_HUMMBL_KILL_SWITCH_ENGAGE,
        "kill switch engaged",
        "`KillSwitch.engage`",
        stops=False,
        note="the switch is engaged, and an error says that it is not recorded",
    ),
    Hook(semconv.EVENT_HUMMBL_KILL_SWITCH_DISENGAGE, "kill switch disengaged, task checked", "`KillSwitch`"),
    Hook(
        semconv.EVENT_HUMMBL_CIRCUIT_BREAKER_TRIP,
        "circuit breaker changes its state",
        "`CircuitBreaker`, of breakers made from then on",
        stops=False,
        note="the loss is counted",
    ),
    Hook(
        semconv.EVENT_HUMMBL_TOKEN_ISSUE,
        "delegation token issued, validated, used, revoked",
        "`DelegationTokenManager`, `create_revocation_tuple`",
    ),
)
