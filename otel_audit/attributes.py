"""The attributes of an entry: the schema's own, checked, then the caller's, cleaned.

docs/format.md, "Attributes" and "Values". Pure and total: a record is refused only for what
the schema itself forbids, before anything is written; never for its payload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from .errors import AuditRecordError
from .interrupt import is_interrupt
from .record import Actor, Source, Target
from .semconv import (
    ACTOR_TYPES,
    AUDIT_ACTION,
    AUDIT_ACTOR_ID,
    AUDIT_ACTOR_TYPE,
    AUDIT_ALTERED,
    AUDIT_ARGUMENTS,
    AUDIT_DECISION,
    AUDIT_DELEGATION,
    AUDIT_DURATION,
    AUDIT_INTENT_ID,
    AUDIT_OUTCOME,
    AUDIT_PHASE,
    AUDIT_REASON,
    AUDIT_RECORD_ID,
    AUDIT_RESULT,
    AUDIT_SCHEMA_VERSION,
    AUDIT_SOURCE_ID,
    AUDIT_SOURCE_TYPE,
    AUDIT_TARGET_ID,
    AUDIT_TARGET_TYPE,
    AUDIT_TRAIL,
    DECISIONS,
    ERROR_TYPE,
    LOG_EVENT_PREFIX,
    OUTCOMES,
    PHASES,
    SCHEMA_VERSION,
)
from .value import (
    INT_MAX,
    INT_MIN,
    MAX_DEPTH,
    clean,
    clean_text,
    describe,
    escape_name,
    name_of,
    pairs_of,
    pointer_to,
)

MAX_EVENT_NAME_BYTES: Final = 1024
MAX_ID_BYTES: Final = 8192

_ACTION: Final = re.compile(r"[A-Z][A-Z0-9_.-]*")
_COMMON_ACTIONS: Final = frozenset({"EXECUTE", "READ", "WRITE", "DELETE", "APPROVE", "CREATE", "UPDATE"})
_GIVEN: Final = "given."


def check_event_name(event_name: str) -> str:
    """Return the event name as the line holds it.

    Raises:
        AuditRecordError: It is empty, over 1 KiB, not a string, or one of the log's own.
    """
    if not isinstance(event_name, str) or not event_name:
        raise AuditRecordError(f"event_name: expected a non-empty string, got {describe(event_name)[:80]}")
    text = clean_text(event_name, "", [])
    if len(text.encode()) > MAX_EVENT_NAME_BYTES:
        raise AuditRecordError(f"event_name: expected at most {MAX_EVENT_NAME_BYTES} bytes, got {len(text.encode())}")
    if text.startswith(LOG_EVENT_PREFIX):
        raise AuditRecordError(f"event_name: names beginning with {LOG_EVENT_PREFIX!r} are the log's own")
    return text


def check_word(name: str, word: str, words: frozenset[str]) -> str:
    """Return ``word`` if it is in the set, as a plain str.

    Raises:
        AuditRecordError: It is not.
    """
    try:
        if word in words:
            return str.__str__(word)
    except TypeError:
        pass
    expected = ", ".join(sorted(words))
    raise AuditRecordError(f"{name}: expected one of {expected}, got {describe(word)[:80]}")


def check_action(action: str) -> str:
    """Return the action if it is an upper-case verb.

    Raises:
        AuditRecordError: It is not.
    """
    if type(action) is str and action in _COMMON_ACTIONS:
        return action
    if isinstance(action, str) and len(action) <= MAX_ID_BYTES and _ACTION.fullmatch(action):
        return str.__str__(action)
    raise AuditRecordError(f"action: expected an upper-case verb such as EXECUTE, got {describe(action)[:80]}")


def check_text(name: str, value: object, altered: list[str]) -> str:
    """Return an id or a reason as text; what is not a string is stored as its text.

    Raises:
        AuditRecordError: It is over 8 KiB.
    """
    if type(value) is str and len(value) < MAX_ID_BYTES // 4 and value.isascii():
        return value
    pointer = pointer_to("/attributes", name)
    if isinstance(value, str):
        text = clean_text(value, pointer, altered)
    else:
        cleaned = clean(value, pointer, altered, MAX_DEPTH + 1)
        text = cleaned if isinstance(cleaned, str) else describe(value)
        if pointer not in altered:
            altered.append(pointer)
    if len(text.encode()) > MAX_ID_BYTES:
        raise AuditRecordError(f"{name}: expected at most {MAX_ID_BYTES} bytes, got {len(text.encode())}")
    return text


def check_actor(actor: Actor) -> None:
    """Refuse an actor that could not stand in a line.

    Raises:
        AuditRecordError: The id is empty, no string or over 8 KiB, or the type is no known word.
    """
    if not isinstance(actor, Actor):
        raise AuditRecordError(f"actor: expected an Actor or its id, got {describe(actor)[:80]}")
    if not isinstance(actor.id, str) or not actor.id:
        raise AuditRecordError(f"audit.actor.id: expected a non-empty string, got {describe(actor.id)[:80]}")
    check_text(AUDIT_ACTOR_ID, actor.id, [])
    check_word(AUDIT_ACTOR_TYPE, actor.type, ACTOR_TYPES)


def audit_attributes(
    record_id: object,
    actor: Actor,
    action: str = "EXECUTE",
    outcome: str = "success",
    target: object = None,
    attributes: Mapping[str, object] | None = None,
    altered: list[str] | None = None,
    **rare: object,
) -> dict[str, object]:
    """Return the whole attribute map of one entry, in the order of the format's tables.

    Args:
        record_id: The idempotency key: a UUID's text, or the caller's own.
        actor: Who acts.
        target: A `Target`, or an id.
        attributes: The caller's own; ``audit.*`` names in it never set a member.
        altered: Pointers of what was altered before (the body, a callable that failed).
        rare: The other members of the schema, see `_add_rare`; None leaves one out.

    Returns:
        A new dict of JSON values.

    Raises:
        AuditRecordError: The schema forbids it: an id or reason over 8 KiB, an empty actor, a
            word outside its set.
    """
    changed = [] if altered is None else altered
    if type(record_id) is not str or len(record_id) != 36 or not record_id.isascii():
        record_id = check_text(AUDIT_RECORD_ID, record_id, changed)
    if type(actor) is not Actor:
        check_actor(actor)
    actor_id = actor.id
    if type(actor_id) is not str or not 0 < len(actor_id) < 1024 or not actor_id.isascii():
        check_actor(actor)
        actor_id = check_text(AUDIT_ACTOR_ID, actor_id, changed)
    whole: dict[str, object] = {
        AUDIT_RECORD_ID: record_id,
        AUDIT_ACTOR_ID: actor_id,
        AUDIT_ACTOR_TYPE: actor.type
        if actor.type == "service"
        else check_word(AUDIT_ACTOR_TYPE, actor.type, ACTOR_TYPES),
        AUDIT_ACTION: action if action == "EXECUTE" else check_action(action),
        AUDIT_OUTCOME: outcome if outcome == "success" else check_word("outcome", outcome, OUTCOMES),
    }
    if target is not None:
        _add_thing(whole, AUDIT_TARGET_ID, AUDIT_TARGET_TYPE, target, changed)
    if rare:
        _add_rare(whole, changed, **rare)  # type: ignore[arg-type]
    else:
        whole[AUDIT_SCHEMA_VERSION] = SCHEMA_VERSION
    if attributes is not None:
        add_given(whole, attributes, changed)
    return with_altered(whole, changed) if changed else whole


def _add_rare(
    whole: dict[str, object],
    altered: list[str],
    *,
    source: object = None,
    phase: str | None = None,
    intent_id: str | None = None,
    decision: str | None = None,
    reason: str | None = None,
    trail: str | None = None,
    delegation: Sequence[str] | None = None,
    duration: float | None = None,
    arguments: object = None,
    result: object = None,
    error_type: str | None = None,
) -> None:
    """Add the members of the schema that few records have.

    Args:
        source: A `Source`, or an id.
        delegation: Actor ids, the originating principal first; left out where empty.
        duration: Seconds.
        arguments: Captured arguments, redacted; likewise ``result``.
    """
    if source is not None:
        _add_thing(whole, AUDIT_SOURCE_ID, AUDIT_SOURCE_TYPE, source, altered)
    whole[AUDIT_SCHEMA_VERSION] = SCHEMA_VERSION
    if phase is not None:
        whole[AUDIT_PHASE] = check_word("phase", phase, PHASES)
    if intent_id is not None:
        whole[AUDIT_INTENT_ID] = check_text(AUDIT_INTENT_ID, intent_id, altered)
    if decision is not None:
        whole[AUDIT_DECISION] = check_word("decision", decision, DECISIONS)
    if reason is not None:
        whole[AUDIT_REASON] = check_text(AUDIT_REASON, reason, altered)
    if trail is not None:
        whole[AUDIT_TRAIL] = check_text(AUDIT_TRAIL, trail, altered)
    if delegation is not None:
        _add_delegation(whole, delegation, altered)
    if duration is not None:
        whole[AUDIT_DURATION] = clean(duration, pointer_to("/attributes", AUDIT_DURATION), altered, 3)
    if arguments is not None:
        whole[AUDIT_ARGUMENTS] = clean(arguments, pointer_to("/attributes", AUDIT_ARGUMENTS), altered, 3)
    if result is not None:
        whole[AUDIT_RESULT] = clean(result, pointer_to("/attributes", AUDIT_RESULT), altered, 3)
    if error_type is not None:
        whole[ERROR_TYPE] = check_text(ERROR_TYPE, error_type, altered)


def _add_delegation(whole: dict[str, object], delegation: Sequence[str], altered: list[str]) -> None:
    if not isinstance(delegation, list | tuple):
        raise AuditRecordError(f"delegation: expected a list or tuple of actor ids, got {describe(delegation)[:80]}")
    ids = [check_text(AUDIT_DELEGATION, name, altered) for name in list(delegation)]
    if ids:
        whole[AUDIT_DELEGATION] = ids


def add_given(whole: dict[str, object], attributes: Mapping[str, object], altered: list[str]) -> None:
    """Add the caller's attributes, cleaned. Total."""
    try:
        pairs: list[tuple[object, object]]
        pairs = list(attributes.items()) if type(attributes) is dict else pairs_of(attributes)
        for key, value in pairs:
            if type(key) is str and key.isascii() and key[:1] != "$" and key[:6] != "audit." and key not in whole:
                # the values that nearly all records have: as `clean` would return them
                kind = type(value)
                if kind is bool or value is None or (kind is str and value.isascii()):  # type: ignore[attr-defined]
                    whole[key] = value
                elif kind is int and INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
                    whole[key] = value
                else:
                    whole[key] = clean(value, pointer_to("/attributes", key), altered, 3)
            else:
                _add_odd(whole, key, value, altered)
    except BaseException as error:
        # a dict has no code of its own: a SystemExit is not its
        if is_interrupt(error) or (isinstance(error, SystemExit) and type(attributes) is dict):
            raise
        # not a mapping, or one that fails: its text is kept
        _add_odd(whole, "given.attributes", describe(attributes), altered)
        altered.append("/attributes/given.attributes")


def with_altered(whole: dict[str, object], altered: list[str]) -> dict[str, object]:
    """Return the map with ``audit.altered`` set, in its place in the table."""
    pointers = list(dict.fromkeys(altered))
    ordered: dict[str, object] = {}
    for name, value in whole.items():
        if AUDIT_ALTERED not in ordered and (name == ERROR_TYPE or not name.startswith("audit.")):
            ordered[AUDIT_ALTERED] = pointers
        if name != AUDIT_ALTERED:
            ordered[name] = value
    ordered.setdefault(AUDIT_ALTERED, pointers)
    return ordered


def _add_odd(whole: dict[str, object], key: object, value: object, altered: list[str]) -> None:
    """Add one attribute whose name cannot stand as it is."""
    if issubclass(type(key), str):
        given = str.__str__(key)
    else:
        try:
            given = name_of(key)
        except ValueError:
            given = describe(key)
    name = clean_text(given, "", [])
    # the caller's audit.* never sets a member, and no name replaces another
    stored = _GIVEN + name if name.startswith("audit.") else escape_name(name)
    while stored in whole:
        stored = _GIVEN + stored
    pointer = pointer_to("/attributes", stored)
    if stored != escape_name(name) or name != given or not issubclass(type(key), str):
        altered.append(pointer)
    whole[stored] = clean(value, pointer, altered, 3)


def _add_thing(whole: dict[str, object], id_name: str, type_name: str, thing: object, altered: list[str]) -> None:
    thing_id, thing_type = (thing.id, thing.type) if isinstance(thing, Target | Source) else (thing, None)
    whole[id_name] = check_text(id_name, thing_id, altered)
    if thing_type is not None:
        whole[type_name] = check_text(type_name, thing_type, altered)
