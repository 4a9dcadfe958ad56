"""The real kill switch, circuit breaker and delegation tokens of hummbl-governance, audited."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("hummbl_governance", reason="needs hummbl-governance")
pytest.importorskip("opentelemetry.instrumentation", reason="needs the extra 'instrument'")

import hummbl_governance  # type: ignore[import-untyped]
from hummbl_governance import (
    CircuitBreaker,
    CircuitBreakerState,
    DelegationTokenManager,
    KillSwitch,
    KillSwitchMode,
    KillSwitchReason,
)
from hummbl_governance.circuit_breaker import CircuitBreakerOpen  # type: ignore[import-untyped]
from hummbl_governance.kill_switch import KillSwitchEngagedError  # type: ignore[import-untyped]
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import AuditConfigError, AuditInstrumentor, acting_as, set_audit_provider
from otel_audit.compat.hummbl import BusWriter
from otel_audit.entry import Entry
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit, capture_audit
from tests import chain

SECRET = b"canary-3d90-which-is-secret-enough"
FULL = OSError(28, "No space left on device")


@pytest.fixture
def captured() -> Iterator[CapturedAudit]:
    """A log, with hummbl-governance audited in it."""
    with capture_audit() as captured:
        AuditInstrumentor().instrument(frameworks=["hummbl"])
        try:
            yield captured
        finally:
            AuditInstrumentor().uninstrument()
            chain.check(captured.path)


def told(entry: Entry) -> dict[str, object]:
    """What an entry says that is not the same in each."""
    same = ("audit.record.id", "audit.schema.version", "audit.actor.type", "hummbl.message.type")
    return {name: value for name, value in entry.attributes.items() if name not in same}


class TestKillSwitch:
    """Engagements, disengagements, and what they refuse."""

    def test_engagement(self, captured: CapturedAudit) -> None:
        """An engagement is one entry with who, why, how far, and the switch's own time."""
        switch = KillSwitch()
        event = switch.engage(KillSwitchMode.HALT_ALL, "over budget", "cost_governor", 3, KillSwitchReason.BUDGET)
        assert switch.get_history() == [event]
        [entry] = captured.entries
        assert (entry.event_name, entry.body) == ("hummbl.kill_switch.engage", "engaged (HALT_ALL): over budget")
        assert entry.time[:26] == event.timestamp[:26]
        assert told(entry) == {
            "audit.actor.id": "cost_governor",
            "audit.action": "ENGAGE",
            "audit.outcome": "success",
            "audit.target.id": "KillSwitch",
            "audit.target.type": "kill_switch",
            "audit.reason": "over budget",
            "hummbl.kill_switch.mode": "HALT_ALL",
            "hummbl.kill_switch.affected_tasks": 3,
            "hummbl.kill_switch.failure_class": "BUDGET",
        }

    def test_keywords(self, captured: CapturedAudit) -> None:
        """Arguments by keyword are told as well."""
        switch = KillSwitch()
        switch.engage(mode=KillSwitchMode.EMERGENCY, reason="drift", triggered_by="monitor")
        switch.check_task_allowed(task_type="report")
        switch.disengage(triggered_by="maya", reason="looked into")
        engaged, refused, disengaged = captured.entries
        assert (engaged.attributes["audit.actor.id"], engaged.attributes["audit.reason"]) == ("monitor", "drift")
        assert refused.attributes["audit.target.id"] == "report"
        assert (disengaged.attributes["audit.actor.id"], disengaged.attributes["audit.reason"]) == (
            "maya",
            "looked into",
        )

    def test_disengagement(self, captured: CapturedAudit) -> None:
        """A disengagement says who lifted which mode, with a reason or without."""
        switch = KillSwitch()
        switch.engage(KillSwitchMode.HALT_NONCRITICAL, "x", "monitor")
        switch.disengage("maya")
        entry = captured.entries[-1]
        assert (entry.event_name, entry.body) == (
            "hummbl.kill_switch.disengage",
            "disengaged from HALT_NONCRITICAL",
        )
        assert told(entry) == {
            "audit.actor.id": "maya",
            "audit.action": "DISENGAGE",
            "audit.outcome": "success",
            "audit.target.id": "KillSwitch",
            "audit.target.type": "kill_switch",
            "hummbl.kill_switch.mode": "HALT_NONCRITICAL",
        }

    def test_refused_tasks(self, captured: CapturedAudit) -> None:
        """A task that is refused, asked for in either way, is a decision with its reason, once."""
        switch = KillSwitch()
        switch.engage(KillSwitchMode.HALT_ALL, "x", "monitor")
        captured.clear()
        with acting_as("agent-1"):
            answer = switch.check_task_allowed("report")
            with pytest.raises(KillSwitchEngagedError):
                switch.check_or_raise("report")
        for entry in captured.entries:
            assert (entry.event_name, entry.attributes["audit.decision"]) == ("hummbl.kill_switch.check", "block")
            assert entry.attributes["audit.reason"] == answer["reason"]
            assert (entry.attributes["audit.target.id"], entry.attributes["audit.target.type"]) == ("report", "task")
            assert entry.attributes["audit.actor.id"] == "agent-1"
        assert len(captured.entries) == 2

    def test_exempted_tasks(self, captured: CapturedAudit) -> None:
        """While engaged, a critical task that is let through is a decision, too; while not, there is none."""
        switch = KillSwitch()
        assert switch.check_task_allowed("report")["allowed"]
        switch.check_or_raise("report")
        assert not captured.entries
        switch.engage(KillSwitchMode.HALT_ALL, "x", "monitor")
        switch.check_or_raise("audit_logging")
        entry = captured.entries[-1]
        assert (entry.attributes["audit.decision"], entry.attributes["audit.reason"]) == ("allow", "critical only")

    def test_a_full_disk_stops_no_engagement(self, captured: CapturedAudit) -> None:
        """The switch is engaged though it cannot be recorded, and the caller is told that it was not."""
        switch = KillSwitch()
        captured.fail(FULL)
        with pytest.raises(AuditWriteError, match="No space left"):
            switch.engage(KillSwitchMode.EMERGENCY, "drift", "monitor")
        assert switch.mode is KillSwitchMode.EMERGENCY

    def test_what_cannot_be_recorded_is_not_lifted(self, captured: CapturedAudit) -> None:
        """The switch stays engaged where its disengagement cannot be recorded; no task runs unrecorded."""
        switch = KillSwitch()
        switch.engage(KillSwitchMode.HALT_ALL, "x", "monitor")
        captured.fail(FULL, times=2)
        with pytest.raises(AuditWriteError):
            switch.disengage("maya")
        assert switch.engaged
        with pytest.raises(AuditWriteError):
            switch.check_or_raise("audit_logging")

    @pytest.mark.parametrize(
        "call",
        [
            lambda switch: switch.engage(KillSwitchMode.DISENGAGED, "x", "y"),
            lambda switch: switch.engage(),
            lambda switch: switch.disengage(),
            lambda switch: switch.check_task_allowed(),
        ],
        ids=["mode", "engage", "disengage", "check"],
    )
    def test_its_own_errors_come_through(self, call: Callable[[Any], object], captured: CapturedAudit) -> None:
        """What the package raises for a wrong call is raised, and nothing is recorded of it."""
        with pytest.raises((ValueError, TypeError)):
            call(KillSwitch())
        assert captured.entries == ()

    @pytest.mark.parametrize("odd", ["", " ", "x" * 100_000, 5, None])
    def test_odd_arguments(self, odd: Any, captured: CapturedAudit) -> None:
        """Whatever reason and name the package takes are taken, and the entry is written."""
        KillSwitch().engage(KillSwitchMode.HALT_ALL, odd, odd, odd, odd)
        [entry] = captured.entries
        assert entry.attributes["audit.actor.id"]
        assert str(odd) in str(entry.body)

    def test_persisted_state_is_as_before(self, captured: CapturedAudit, tmp_path: Any) -> None:
        """State, signature and subscribers work as without auditing, and the signing secret stays out of the log."""
        seen: list[object] = []
        switch = KillSwitch(state_dir=tmp_path, signing_secret=SECRET)
        switch.subscribe(seen.append)
        switch.engage(KillSwitchMode.HALT_ALL, "x", "monitor")
        assert KillSwitch.load_from_file(tmp_path, signing_secret=SECRET).engaged
        assert len(seen) == 1
        with open(captured.path, "rb") as log:
            assert SECRET not in log.read()


class TestCircuitBreaker:
    """Trips, probes and recoveries."""

    def trip(self, breaker: CircuitBreaker, times: int = 1) -> None:
        """Call a function that fails."""
        for _ in range(times):
            with pytest.raises(ZeroDivisionError):
                breaker.call(failing, "canary")

    def test_trip(self, captured: CapturedAudit) -> None:
        """A trip says after how many failures of what; the failures before it are no entries."""
        breaker = CircuitBreaker(failure_threshold=3)
        self.trip(breaker, 3)
        [entry] = captured.entries
        assert (entry.event_name, entry.body) == ("hummbl.circuit_breaker.trip", "CLOSED to OPEN, 3 failures")
        assert told(entry) == {
            "audit.actor.id": "test",
            "audit.action": "TRIP",
            "audit.outcome": "success",
            "audit.target.id": f"{__name__}.failing",
            "audit.target.type": "function",
            "error.type": "ZeroDivisionError",
            "hummbl.circuit_breaker.state": "OPEN",
            "hummbl.circuit_breaker.previous_state": "CLOSED",
            "hummbl.circuit_breaker.failure_count": 3,
        }
        assert "canary" not in str(entry.raw)

    def test_recovery(self, captured: CapturedAudit) -> None:
        """A probe and the recovery that follows are two entries, in their order and with their times."""
        breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=0)
        self.trip(breaker)
        assert breaker.call(fn=str) == ""
        names = [entry.event_name.rpartition(".")[2] for entry in captured.entries]
        assert names == ["trip", "probe", "recover"]
        times = [entry.time for entry in captured.entries]
        assert times == sorted(times)
        assert captured.entries[-1].attributes["audit.target.id"] == "builtins.str"

    def test_a_probe_that_fails(self, captured: CapturedAudit) -> None:
        """A breaker that trips again says so."""
        breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=0)
        self.trip(breaker, 2)
        names = [entry.event_name.rpartition(".")[2] for entry in captured.entries]
        assert names == ["trip", "probe", "trip"]
        assert [entry.attributes.get("error.type") for entry in captured.entries] == [
            "ZeroDivisionError",
            None,
            "ZeroDivisionError",
        ]

    def test_reset(self, captured: CapturedAudit) -> None:
        """A reset by hand is a recovery that says so; of a closed breaker it is nothing."""
        breaker = CircuitBreaker(failure_threshold=1)
        breaker.reset()
        self.trip(breaker)
        with acting_as("maya", type="user"):
            breaker.reset()
        entry = captured.entries[-1]
        assert entry.event_name == "hummbl.circuit_breaker.recover"
        assert (entry.attributes["audit.reason"], entry.attributes["audit.actor.id"]) == ("reset", "maya")
        assert "audit.target.id" not in entry.attributes
        assert len(captured.entries) == 2

    @pytest.mark.parametrize("how", ["positional", "keyword"])
    def test_the_programs_own_callback(self, how: str, captured: CapturedAudit) -> None:
        """The program's callback is called as before, given in either way."""
        seen: list[tuple[object, object]] = []

        def on_state_change(before: object, after: object) -> None:
            seen.append((before, after))

        if how == "positional":
            breaker = CircuitBreaker(1, 30.0, on_state_change)
        else:
            breaker = CircuitBreaker(failure_threshold=1, on_state_change=on_state_change)
        self.trip(breaker)
        assert seen == [(CircuitBreakerState.CLOSED, CircuitBreakerState.OPEN)]
        assert len(captured.entries) == 1

    def test_nested(self, captured: CapturedAudit) -> None:
        """A breaker inside another: each tells of itself."""
        outer, inner = CircuitBreaker(1), CircuitBreaker(1)
        with pytest.raises(ZeroDivisionError):
            outer.call(inner.call, failing, 1)
        targets = [entry.attributes["audit.target.id"] for entry in captured.entries]
        assert targets == [f"{__name__}.failing", "hummbl_governance.circuit_breaker.CircuitBreaker.call"]

    def test_threads(self, captured: CapturedAudit) -> None:
        """Of many threads that make one breaker trip, one tells of it."""
        breaker = CircuitBreaker(failure_threshold=5)
        start = threading.Barrier(8)

        def call() -> None:
            start.wait()
            with pytest.raises((ZeroDivisionError, CircuitBreakerOpen)):
                breaker.call(failing, 1)

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [entry.event_name for entry in captured.entries] == ["hummbl.circuit_breaker.trip"]

    def test_the_functions_error_goes_on(self, captured: CapturedAudit, caplog: pytest.LogCaptureFixture) -> None:
        """Where a trip cannot be recorded, the function's own exception comes out, and the loss is counted."""
        breaker = CircuitBreaker(failure_threshold=1)
        captured.fail(FULL)
        self.trip(breaker)
        assert breaker.state is CircuitBreakerState.OPEN
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "a circuit breaker's change to OPEN is not in the audit log" in caplog.text
        assert captured.provider.exporter.ledger.drops.total == 1

    def test_a_recovery_that_cannot_be_recorded(self, captured: CapturedAudit) -> None:
        """Where a call returns, an entry that cannot be written is an error."""
        breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=0)
        self.trip(breaker)
        captured.fail(FULL)
        with pytest.raises(AuditWriteError):
            breaker.call(str)

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_an_interrupted_probe(self, interrupt: type[BaseException], captured: CapturedAudit) -> None:
        """An interrupt in a probe comes through, and the probe is recorded."""

        def stop() -> None:
            raise interrupt

        breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=0)
        self.trip(breaker)
        with pytest.raises(interrupt):
            breaker.call(stop)
        assert captured.entries[-1].event_name == "hummbl.circuit_breaker.probe"

    def test_a_callable_without_a_name(self, captured: CapturedAudit) -> None:
        """Of an object that is called, its class is told, and not its text."""

        class Charge:
            """Fails; its text is a secret."""

            def __call__(self) -> None:
                raise ZeroDivisionError

            def __repr__(self) -> str:
                return "canary"

        with pytest.raises(ZeroDivisionError):
            CircuitBreaker(1).call(Charge())
        assert str(captured.entries[0].attributes["audit.target.id"]).endswith("Charge")
        assert "canary" not in str(captured.entries[0].raw)


def failing(value: object) -> None:
    """Fails."""
    raise ZeroDivisionError(value)


class TestDelegationToken:
    """Issuance, use and revocation."""

    @pytest.fixture
    def manager(self, captured: CapturedAudit) -> DelegationTokenManager:
        """A manager with a secret of the test's."""
        return DelegationTokenManager(secret=SECRET)

    def test_issuance(self, captured: CapturedAudit, manager: DelegationTokenManager) -> None:
        """A token that is issued is one entry of its issuer, with what it allows whom and until when."""
        token = manager.issue("orchestrator", "worker", ["read", "sum"], ["docs/*"], task_id="t1", contract_id="c1")
        [entry] = captured.entries
        assert (entry.event_name, entry.body) == ("hummbl.delegation_token.issue", "issued to worker")
        assert told(entry) == {
            "audit.actor.id": "orchestrator",
            "audit.action": "CREATE",
            "audit.outcome": "success",
            "audit.target.id": token.token_id,
            "audit.target.type": "delegation_token",
            "hummbl.delegation_token.issuer": "orchestrator",
            "hummbl.delegation_token.subject": "worker",
            "hummbl.delegation_token.operations": ["read", "sum"],
            "hummbl.delegation_token.resources": ["*:docs/*"],
            "hummbl.delegation_token.expiry": token.expiry,
            "hummbl.delegation_token.task_id": "t1",
            "hummbl.delegation_token.contract_id": "c1",
        }

    def test_a_token_that_cannot_be_recorded_is_not_issued(
        self, captured: CapturedAudit, manager: DelegationTokenManager
    ) -> None:
        """Nobody gets a token whose issuance is not in the log."""
        captured.fail(FULL)
        with pytest.raises(AuditWriteError):
            manager.issue("orchestrator", "worker", ["read"], [])

    @pytest.mark.parametrize(
        ("method", "arguments", "event_name", "action"),
        [
            ("validate_token", (), "hummbl.delegation_token.validate", "VALIDATE"),
            ("authenticate_token", (), "hummbl.delegation_token.validate", "VALIDATE"),
            ("check_least_privilege", ("read",), "hummbl.delegation_token.use", "AUTHORIZE"),
        ],
    )
    def test_allowed_use(
        self,
        method: str,
        arguments: tuple[str, ...],
        event_name: str,
        action: str,
        captured: CapturedAudit,
        manager: DelegationTokenManager,
    ) -> None:
        """Each way to use a token is one entry of its subject, though the ways ask one another."""
        token = manager.issue("orchestrator", "worker", ["read"], [])
        captured.clear()
        answer = getattr(manager, method)(token, *arguments)
        assert answer[1] is None
        [entry] = captured.entries
        assert (entry.event_name, entry.attributes["audit.action"]) == (event_name, action)
        assert (entry.attributes["audit.decision"], entry.attributes["audit.actor.id"]) == ("allow", "worker")
        assert entry.attributes["audit.target.id"] == token.token_id
        assert entry.attributes.get("hummbl.delegation_token.requested_operation") == (
            arguments[0] if arguments else None
        )

    @pytest.mark.parametrize(
        ("use", "reason"),
        [
            (lambda manager, token: manager.check_least_privilege(token, "write"), "HG_E_DCT_VIOLATION"),
            (lambda manager, token: manager.check_least_privilege(token=token, requested_op=5), "HG_E_DCT_VIOLATION"),
            (lambda manager, token: manager.validate_token(token, expected_subject="x"), "HG_E_BINDING_MISMATCH"),
            (lambda manager, token: manager.validate_token(replace(token, subject="admin")), "HG_E_TOKEN_INVALID"),
            (lambda manager, token: manager.validate_token(token="no token"), "HG_E_TOKEN_INVALID"),
            (lambda manager, token: manager.authenticate_token(replace(token, ops_allowed=5)), "HG_E_TOKEN_INVALID"),
            (
                lambda manager, token: manager.validate_token(manager.issue("a", "b", ["c"], [], expiry_minutes=-1)),
                "HG_E_TOKEN_EXPIRED",
            ),
        ],
        ids=["operation", "no operation", "binding", "forged", "no token", "odd token", "expired"],
    )
    def test_refused_use(
        self, use: Callable[[Any, Any], Any], reason: str, captured: CapturedAudit, manager: DelegationTokenManager
    ) -> None:
        """A use that is refused is a decision with its reason, of who asked and not of whom the token claims to be."""
        token = manager.issue("orchestrator", "worker", ["read"], [])
        with acting_as("gateway"):
            answer = use(manager, token)
        assert answer[1] == reason
        entry = captured.entries[-1]
        assert (entry.attributes["audit.decision"], entry.attributes["audit.reason"]) == ("block", reason)
        assert entry.attributes["audit.actor.id"] == "gateway"
        assert entry.attributes["audit.outcome"] == "success"

    def test_what_a_forged_token_claims(self, captured: CapturedAudit, manager: DelegationTokenManager) -> None:
        """A refused token's claims are in the entry, as claims."""
        token = replace(manager.issue("orchestrator", "worker", ["read"], []), subject="admin")
        manager.validate_token(token)
        assert captured.entries[-1].attributes["hummbl.delegation_token.subject"] == "admin"

    def test_a_use_that_cannot_be_recorded(self, captured: CapturedAudit, manager: DelegationTokenManager) -> None:
        """Nothing is allowed that is not in the log."""
        token = manager.issue("orchestrator", "worker", ["read"], [])
        captured.fail(FULL)
        with pytest.raises(AuditWriteError):
            manager.check_least_privilege(token, "read")

    def test_revocation(self, captured: CapturedAudit, manager: DelegationTokenManager) -> None:
        """The package's revocation of a token is an entry with who and why, from either of its places."""
        from hummbl_governance import primitives
        from hummbl_governance.primitives import basen_tuple  # type: ignore[import-untyped]

        token = manager.issue("orchestrator", "worker", ["read"], [])
        captured.clear()
        primitives.create_revocation_tuple("operator", token.token_id, "leaked", "maya")
        basen_tuple.create_revocation_tuple("operator", revoked_dct_id="other", reason="expired", revoked_by="maya")
        first, second = captured.entries
        assert (first.event_name, first.body) == ("hummbl.delegation_token.revoke", "revoked: leaked")
        assert told(first) == {
            "audit.actor.id": "maya",
            "audit.action": "REVOKE",
            "audit.outcome": "success",
            "audit.target.id": token.token_id,
            "audit.target.type": "delegation_token",
            "audit.reason": "leaked",
        }
        assert second.attributes["audit.target.id"] == "other"

    @pytest.mark.parametrize("method", ["hmac_sha256", "ed25519"])
    def test_no_secret_reaches_the_log(self, method: str, captured: CapturedAudit) -> None:
        """Neither secret nor signature, nor what a caveat or a selector holds, stands in the log."""
        from hummbl_governance._types import Caveat, ResourceSelector, TokenBinding  # type: ignore[import-untyped]

        if method == "ed25519":
            private = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
            manager = DelegationTokenManager(
                signing_method=method, private_key=private.Ed25519PrivateKey.from_private_bytes(SECRET[:32])
            )
        else:
            manager = DelegationTokenManager(secret=SECRET)
        token = manager.create_token(
            "orchestrator",
            "worker",
            ["read"],
            TokenBinding("t", "c"),
            resource_selectors=[ResourceSelector("file", "docs/*", {"password": "canary-a"})],
            caveats=[Caveat("c1", "RATE_LIMIT", {"key": "canary-b"})],
        )
        manager.validate_token(token)
        manager.check_least_privilege(token, "write")
        manager.validate_token(replace(token, subject="other"))
        assert len(captured.entries) == 4
        with open(captured.path, "rb") as log:
            written = log.read()
        for secret in (SECRET, SECRET.hex().encode(), token.signature.encode(), b"canary"):
            assert secret not in written
        assert captured.entries[0].attributes["hummbl.delegation_token.resources"] == ["file:docs/*"]


class TestInstrumentor:
    """Switched on, switched off."""

    def test_off_again(self) -> None:
        """After ``uninstrument`` the classes are as before, and breakers made meanwhile tell nobody."""
        names = [
            (KillSwitch, "engage"),
            (KillSwitch, "check_task_allowed"),
            (CircuitBreaker, "__init__"),
            (CircuitBreaker, "call"),
            (DelegationTokenManager, "create_token"),
        ]
        before = [vars(owner)[name] for owner, name in names]
        with capture_audit() as captured:
            AuditInstrumentor().instrument(frameworks=["hummbl"])
            breaker = CircuitBreaker(1)
            AuditInstrumentor().uninstrument()
            with pytest.raises(ZeroDivisionError):
                breaker.call(failing, 1)
            KillSwitch().engage(KillSwitchMode.HALT_ALL, "x", "y")
            assert captured.entries == ()
        assert [vars(owner)[name] for owner, name in names] == before

    def test_entries_are_messages_of_the_bus(self, captured: CapturedAudit) -> None:
        """A bus on the same log reads each entry as a message to all, among those that were posted."""
        BusWriter(captured.path).post("agent-1", "all", "STATUS", "working")
        KillSwitch().engage(KillSwitchMode.HALT_ALL, "over budget", "cost_governor")
        assert [
            (message.from_id, message.to_id, message.msg_type) for message in BusWriter(captured.path).read_all()
        ] == [
            ("agent-1", "all", "STATUS"),
            ("cost_governor", "all", "KILL_SWITCH"),
        ]

    def test_trace(self, captured: CapturedAudit) -> None:
        """An entry belongs to the span in which it happened."""
        with TracerProvider().get_tracer("test").start_as_current_span("step") as span:
            KillSwitch().engage(KillSwitchMode.HALT_ALL, "x", "y")
        assert captured.entries[0].trace_id == f"{span.get_span_context().trace_id:032x}"

    def test_open_failures(self) -> None:
        """With ``on_failure="open"`` nothing is refused for want of an entry; the losses are counted."""
        with capture_audit() as captured:
            AuditInstrumentor().instrument(frameworks=["hummbl"], on_failure="open")
            try:
                captured.fail(FULL, times=2)
                switch = KillSwitch()
                switch.engage(KillSwitchMode.HALT_ALL, "x", "monitor")
                switch.disengage("maya")
                assert not switch.engaged
                assert captured.provider.exporter.ledger.drops.total == 2
            finally:
                AuditInstrumentor().uninstrument()

    def test_without_configuration(self) -> None:
        """Where nobody configured auditing, a refusal says how; a failing call's own error still comes through."""
        set_audit_provider(None)
        os.environ.pop("OTEL_AUDIT_FILE", None)
        AuditInstrumentor().instrument(frameworks=["hummbl"])
        try:
            with pytest.raises(AuditConfigError, match="auditing is not configured"):
                KillSwitch().engage(KillSwitchMode.HALT_ALL, "x", "y")
            with pytest.raises(ZeroDivisionError):
                CircuitBreaker(1).call(failing, 1)
        finally:
            AuditInstrumentor().uninstrument()

    def test_the_version_that_was_tried(self) -> None:
        """These tests ran with the version that the module names."""
        assert hummbl_governance.__version__.startswith("1.5.")
