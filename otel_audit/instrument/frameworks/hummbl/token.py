"""Delegation tokens: issuance, use and revocation.

Of a token an entry has its id, who it is from and for, and what it allows; never its signature,
nor a caveat's or a selector's parameters, in which anything can stand.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from otel_audit import semconv
from otel_audit.instrument.frameworks.hummbl import Recorder, short
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.record import Target

_inside: ContextVar[bool] = ContextVar("otel_audit_delegation_token", default=False)
"""Whether a check is under way: one asks the next, and is one use."""


def instrument(recorder: Recorder, undo: ExitStack) -> None:
    """Audit every token manager, and the package's revocations.

    Whoever imported `create_revocation_tuple` by name before goes on with the function unaudited.

    Raises:
        AuditConfigError: This version of hummbl-governance lacks a function that is wrapped.
    """
    manager = import_module("hummbl_governance.delegation").DelegationTokenManager
    # `issue` goes through `create_token`
    undo.callback(wrap(manager, "create_token", _issue(recorder)))
    for method, event_name, action in (
        ("validate_token", semconv.EVENT_HUMMBL_TOKEN_VALIDATE, "VALIDATE"),
        ("authenticate_token", semconv.EVENT_HUMMBL_TOKEN_VALIDATE, "VALIDATE"),
        ("check_least_privilege", semconv.EVENT_HUMMBL_TOKEN_USE, "AUTHORIZE"),
    ):
        undo.callback(wrap(manager, method, _use(recorder, event_name, action)))
    for module in ("hummbl_governance.primitives", "hummbl_governance.primitives.basen_tuple"):
        undo.callback(wrap(import_module(module), "create_revocation_tuple", _revoke(recorder)))


def _issue(recorder: Recorder) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = wrapped(*args, **kwargs)
        claims = _claims(token)
        # before anybody has the token: what is not recorded is not handed out
        recorder.record(
            semconv.EVENT_HUMMBL_TOKEN_ISSUE,
            "DELEGATION_TOKEN",
            f"issued to {claims.get(semconv.HUMMBL_TOKEN_SUBJECT)}",
            claims,
            action="CREATE",
            actor=_text(token, "issuer"),
            target=_target(token),
        )
        return token

    return wrapper


def _use(recorder: Recorder, event_name: str, action: str) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _inside.get():
            return wrapped(*args, **kwargs)
        reset = _inside.set(True)
        try:
            answer = wrapped(*args, **kwargs)
        finally:
            _inside.reset(reset)
        token = args[0] if args else kwargs.get("token")
        allowed, error = bool(answer[0]), answer[1]
        attributes = _claims(token)
        if event_name == semconv.EVENT_HUMMBL_TOKEN_USE:
            operation = args[1] if len(args) > 1 else kwargs.get("requested_op")
            attributes[semconv.HUMMBL_TOKEN_OPERATION] = operation if isinstance(operation, str) else None
        recorder.record(
            event_name,
            "DELEGATION_TOKEN",
            "allowed" if allowed else f"refused: {error}",
            attributes,
            action=action,
            # a token that is refused may claim to be anybody's
            actor=_text(token, "subject") if allowed else None,
            target=_target(token),
            decision="allow" if allowed else "block",
            reason=None if allowed else str(error),
        )
        return answer

    return wrapper


def _revoke(recorder: Recorder) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        revocation = wrapped(*args, **kwargs)
        evidence = revocation.evidence
        token_id, reason = short(evidence["revoked_dct_id"]), short(evidence["reason"])
        recorder.record(
            semconv.EVENT_HUMMBL_TOKEN_REVOKE,
            "DELEGATION_TOKEN",
            f"revoked: {reason}",
            {},
            action="REVOKE",
            actor=short(evidence["revoked_by"]),
            target=None if token_id is None else Target(token_id, "delegation_token"),
            reason=reason,
        )
        return revocation

    return wrapper


def _claims(token: Any) -> dict[str, object]:
    """Return what a token says of itself, as far as it is text: a forged one can hold anything."""
    try:
        claims: dict[str, object] = {
            semconv.HUMMBL_TOKEN_ISSUER: short(token.issuer),
            semconv.HUMMBL_TOKEN_SUBJECT: short(token.subject),
            semconv.HUMMBL_TOKEN_OPERATIONS: [short(operation) for operation in token.ops_allowed],
            semconv.HUMMBL_TOKEN_RESOURCES: [
                f"{short(selector.resource_type)}:{short(selector.resource_id)}"
                for selector in token.resource_selectors
            ],
            semconv.HUMMBL_TOKEN_EXPIRY: short(token.expiry),
        }
        if token.binding is not None:
            claims[semconv.HUMMBL_TOKEN_TASK_ID] = short(token.binding.task_id)
            claims[semconv.HUMMBL_TOKEN_CONTRACT_ID] = short(token.binding.contract_id)
    except Exception:  # no token at all, or one that was made up of other things
        return {}
    return {name: value for name, value in claims.items() if value}


def _target(token: object) -> Target | None:
    token_id = _text(token, "token_id")
    return None if token_id is None else Target(token_id, "delegation_token")


def _text(token: object, name: str) -> str | None:
    try:
        return short(getattr(token, name, None))
    except Exception:  # likewise
        return None
