"""The engine: AuditGate's way in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ParamSpec, TypeVar

from .decision import Decision, Result
from .emitter import Emitter
from .guard import Guard, guard_function
from .log_sink import LogSink
from .log_store import AsyncLogStore, LogStore
from .policy import AuditPolicy, Severity, Trail, Verdict
from .recorder import AsyncSink, Recorder
from .store import AsyncMemoryStore, AsyncStore, Store
from .store_sink import AsyncStoreSink, Clocks, StoreSink

P = ParamSpec("P")
T = TypeVar("T")


class Engine:
    """Records what gates decide. Thread-safe, and with the audit log safe over processes and forks.

    Without a store, entries go through this package's pipeline to the audit log that
    `otel_audit.configure` or ``OTEL_AUDIT_FILE`` names: on return as durable as the log's
    ``durability`` says, with the current span's ids, in one chain with everything else.

    Where an entry cannot be recorded, the trail's policy says what follows:

    ===================  ==================================  =========================================
    policy               `record`                            `guard`, `guard_result`
    ===================  ==================================  =========================================
    HARD, FAIL_CLOSED    raises `AuditError`                 raise it; the function does not run
    HARD, FAIL_OPEN      raises `AuditError`                 the function runs, then they raise it
    SOFT, FAIL_CLOSED    returns a DROPPED decision          `guard_result` returns it, and the
                                                             function does not run; `guard`, which
                                                             cannot return it, runs the function
    SOFT, FAIL_OPEN      returns a DROPPED decision          the function runs
    ===================  ==================================  =========================================

    Listeners hear of every decision, dropped ones too. A record that the audit log lost while the
    action could go on is counted and declared there (``audit.log.dropped``).

    Args:
        store: Where entries go instead; `MemoryStore`, or a `Store` of one's own.
        clock: Seconds, for ``ts``; the machine's monotonic clock if None.
        wall_clock_fn: ISO 8601, for ``wall_ts``; the machine's wall clock if None.
        recorded_by: Who records, for the entry's member of that name.
        emitter: Tells listeners; one may serve several engines.
        async_store: Where entries of the coroutines go instead; where ``store`` says, if None.
    """

    def __init__(
        self,
        store: Store | None = None,
        clock: Callable[[], float] | None = None,
        wall_clock_fn: Callable[[], str] | None = None,
        recorded_by: str = "",
        emitter: Emitter | None = None,
        async_store: AsyncStore | None = None,
    ) -> None:
        self._policies: dict[Trail, AuditPolicy] = {}
        log = LogSink(clock, wall_clock_fn, recorded_by)
        log_store = LogStore(log, self._policies)
        self._store: Store = log_store if store is None else store
        self._async_store: AsyncStore | None = AsyncLogStore(log_store) if store is None else None
        clocks = Clocks(clock, wall_clock_fn, recorded_by)
        sink = log if store is None else StoreSink(store, clocks)
        async_sink: AsyncSink = sink
        if async_store is not None:
            self._async_store = async_store
            # a subclass may do otherwise, and wait
            if isinstance(async_store, AsyncMemoryStore) and type(async_store) is AsyncMemoryStore:
                async_sink = StoreSink(async_store.memory, clocks)
            else:
                async_sink = AsyncStoreSink(async_store, clocks)
        self._recorder = Recorder(sink, async_sink, Emitter() if emitter is None else emitter, self._policies)

    def register(self, trail: Trail, policy: AuditPolicy) -> None:
        """Set the policy of a trail; one without has ``AuditPolicy()``."""
        self._policies[trail] = policy

    def policy_for(self, trail: Trail) -> AuditPolicy | None:
        """Return the policy that a trail was registered with, None where it was not."""
        return self._policies.get(trail)

    def on_decision(self, listener: Callable[[Decision], None]) -> None:
        """Have a listener called with each decision, in the thread that records it, before it is returned."""
        self._recorder.emitter.add(listener)

    @property
    def listener_errors(self) -> int:
        """How many times a listener raised. It reaches nobody else."""
        return self._recorder.emitter.error_count

    def record(
        self,
        trail: Trail,
        *,
        verdict: Verdict,
        severity: Severity,
        gate_type: str,
        gate_identity: str,
        reason: str | None = None,
        detail: Mapping[str, Any] | None = None,
        policy: AuditPolicy | None = None,
    ) -> Decision:
        """Record what a gate decided.

        Args:
            detail: Copied at the call; what becomes of the original is nothing to the entry.
            policy: For this call, in place of the trail's own.

        Returns:
            The decision. It is DROPPED where the policy is SOFT and the entry could not be recorded,
            and where the policy's ``min_severity`` asks for none.

        Raises:
            AuditError: The entry could not be recorded, and the policy is HARD.
        """
        if type(verdict) is not Verdict or type(severity) is not Severity or type(trail) is not Trail:
            _check_words(trail, verdict, severity)
        decided = (trail, verdict, severity, gate_type, gate_identity, reason, detail)
        decision = self._recorder.attempt(self._recorder.policy_of(trail, policy), decided)
        if decision.failed:
            self.enforce(decision)
        return decision

    async def async_record(
        self,
        trail: Trail,
        *,
        verdict: Verdict,
        severity: Severity,
        gate_type: str,
        gate_identity: str,
        reason: str | None = None,
        detail: Mapping[str, Any] | None = None,
        policy: AuditPolicy | None = None,
    ) -> Decision:
        """As `record`, without holding the event loop while the disk works."""
        if type(verdict) is not Verdict or type(severity) is not Severity or type(trail) is not Trail:
            _check_words(trail, verdict, severity)
        decided = (trail, verdict, severity, gate_type, gate_identity, reason, detail)
        decision = await self._recorder.async_attempt(self._recorder.policy_of(trail, policy), decided)
        if decision.failed:
            self.enforce(decision)
        return decision

    def enforce(self, decision: Decision) -> None:
        """Raise where the policy demands an entry and there is none.

        Raises:
            AuditError: The decision was dropped, and its policy is HARD. Not where the policy itself
                asks for no entry of so little severity.
        """
        self._recorder.enforce(decision)

    async def async_enforce(self, decision: Decision) -> None:
        """As `enforce`."""
        self.enforce(decision)

    def guard(
        self,
        trail: Trail,
        *,
        policy: AuditPolicy | None = None,
        verdict: Verdict = Verdict.ALLOW,
        severity: Severity = Severity.INFO,
        gate_type: str = "auditgate",
        meta: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Record the decision before each call of a function, and how it ended after it.

        On functions and methods of every kind, coroutine functions and generators too. The outcome
        is an entry of its own: its detail has ``outcome`` (``success``, ``failure``, ``unknown``),
        ``duration`` in seconds, ``decision`` (the sequence of the entry before) and, of a failure,
        ``error_type``; its verdict is then ERROR. Nothing of arguments and results is recorded.

        Once the function ran, its own result or exception goes on, whatever becomes of the outcome
        entry: one that is lost is counted, listeners hear of it, and in the audit log
        ``otel-audit verify`` names the decision that has no outcome.

        Args:
            policy: In place of the trail's own.
            verdict: What is recorded before the call; likewise ``severity``.
            meta: The detail of that entry.

        A call raises `AuditError` as the table of `Engine` says.
        """
        return self._decorator(trail, policy, verdict, severity, gate_type, meta, returns_result=False)

    def guard_result(
        self,
        trail: Trail,
        *,
        policy: AuditPolicy | None = None,
        verdict: Verdict = Verdict.ALLOW,
        severity: Severity = Severity.INFO,
        gate_type: str = "auditgate",
        meta: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, T]], Callable[P, Result[T]]]:
        """As `guard`, with a `Result` for what is returned. It raises nothing of its own in SOFT mode.

        What the function itself raises comes through. Not for generators.
        """
        return self._decorator(trail, policy, verdict, severity, gate_type, meta, returns_result=True)

    def async_guard(
        self,
        trail: Trail,
        *,
        policy: AuditPolicy | None = None,
        verdict: Verdict = Verdict.ALLOW,
        severity: Severity = Severity.INFO,
        gate_type: str = "auditgate",
        meta: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, Coroutine[object, object, T]]], Callable[P, Coroutine[object, object, T]]]:
        """As `guard`, for functions whose result is awaited."""
        return self._decorator(trail, policy, verdict, severity, gate_type, meta, returns_result=False, awaited=True)

    def async_guard_result(
        self,
        trail: Trail,
        *,
        policy: AuditPolicy | None = None,
        verdict: Verdict = Verdict.ALLOW,
        severity: Severity = Severity.INFO,
        gate_type: str = "auditgate",
        meta: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, Coroutine[object, object, T]]], Callable[P, Coroutine[object, object, Result[T]]]]:
        """As `guard_result`, for functions whose result is awaited."""
        return self._decorator(trail, policy, verdict, severity, gate_type, meta, returns_result=True, awaited=True)

    def clear(self, trail: Trail) -> None:
        """Take a trail's entries out of queries. In the audit log they are hidden, not erased."""
        self._store.clear(trail)

    def clear_all(self) -> None:
        """Take all entries out of queries, and forget all policies. Nothing in the audit log is erased."""
        self._store.clear_all()
        self._policies.clear()

    def _decorator(
        self,
        trail: Trail,
        policy: AuditPolicy | None,
        verdict: Verdict,
        severity: Severity,
        gate_type: str,
        meta: Mapping[str, Any] | None,
        *,
        returns_result: bool,
        awaited: bool = False,
    ) -> Callable[[Any], Any]:
        _check_words(trail, verdict, severity)

        def decorate(function: Any) -> Any:
            guard = Guard(self._recorder, trail, policy, verdict, severity, gate_type, meta, returns_result, function)
            return guard_function(guard, function, awaited, decorate)

        return decorate


def _check_words(trail: object, verdict: object, severity: object) -> None:
    """Refuse what no policy answers for: a mistake in the program."""
    for name, value, kind in (("trail", trail, Trail), ("verdict", verdict, Verdict), ("severity", severity, Severity)):
        if not isinstance(value, kind):
            raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}")
