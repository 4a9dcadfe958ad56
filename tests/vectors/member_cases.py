"""Single lines: the members on top, their order, their form."""

from __future__ import annotations

from tests.vectors.line_cases import LINE, LineCases, base_members, with_members, with_text
from tests.vectors.sealing import GENESIS, KEY, compact, members_of, seal


def members(cases: LineCases) -> None:
    """The members on top."""
    malformed = cases.malformed
    legal = cases.legal
    head = b'{"seq":7,'
    malformed("doubled_top", "event_name twice", with_text(b'"event_name":', b'"event_name":"a","event_name":'))
    malformed("doubled_top_equal", "seq twice, the same", with_text(head, head + b'"seq":7,'))
    malformed("doubled_hash", "hash twice: only the last is the seal", LINE[:-1] + LINE[LINE.rindex(b',"hash":"') :])
    malformed("unknown_member", "a member that no table has", with_members(extra=1))
    malformed("unknown_member_first", "an unknown member first", with_text(head, b'{"v":1,' + head[1:]))
    malformed("escaped_member", "a member's name with an escape", with_text(head, b'{"\\u0073eq":7,'))
    malformed("escaped_member_doubled", "the same, and the member itself", with_text(head, head + b'"\\u0073eq":7,'))
    malformed("capital_member", "a member's name with a capital", with_text(head, b'{"Seq":7,'))
    for name in ("seq", "time", "event_name", "attributes", "observed_time"):
        malformed(f"missing_{name}", f"no {name}", with_members(**{name: None}))
    order = list(base_members().items())
    for at in range(len(order) - 1):
        swapped = [*order[:at], order[at + 1], order[at], *order[at + 2 :]]
        malformed(f"order_{order[at + 1][0]}", f"{order[at + 1][0]} before {order[at][0]}", seal(dict(swapped)))
    digest = str(members_of(LINE)["hash"])
    first = base_members()
    prev = first.pop("prev_hash")
    malformed("order_hash", "hash before prev_hash", compact({**first, "hash": digest, "prev_hash": prev}))
    malformed("order_hmac", "hmac before hash", compact({**base_members(), "hmac": digest, "hash": digest}))
    malformed("member_behind_seal", "a member behind the seal", LINE[:-1] + b',"scope":{"name":"a"}}')

    for name, text in (
        ("zero", b"0"),
        ("negative", b"-1"),
        ("leading_zero", b"01"),
        ("float", b"1.0"),
        ("exponent", b"1e0"),
        ("string", b'"1"'),
        ("true", b"true"),
        ("null", b"null"),
        ("over_2_53", b"9007199254740992"),
        ("array", b"[1]"),
        ("other_digits", "\u0661".encode()),
    ):
        malformed(f"seq_{name}", f"seq {text.decode()}", with_text(head, b'{"seq":' + text + b","))
    legal("seq_largest", "seq 2^53-1", with_text(head, b'{"seq":9007199254740991,'))

    for name, time, why in (
        ("leap_day", "2024-02-29T00:00:00.000000000Z", "29 February of a leap year"),
        ("last", "9999-12-31T23:59:59.999999999Z", "the last instant of the form"),
        ("before_1970", "1969-12-31T23:59:59.000000000Z", "before 1970"),
    ):
        legal(f"time_{name}", why, with_members(time=time))
        legal(f"observed_time_{name}", why, with_members(observed_time=time))
    for name, time, why in (
        ("february_30", "2025-02-30T09:00:07.000000000Z", "30 February"),
        ("february_29", "2025-02-29T09:00:07.000000000Z", "29 February of a common year"),
        ("century", "2100-02-29T09:00:07.000000000Z", "29 February 2100"),
        ("april_31", "2025-04-31T09:00:07.000000000Z", "31 April"),
        ("month_13", "2025-13-01T09:00:07.000000000Z", "month 13"),
        ("month_0", "2025-00-01T09:00:07.000000000Z", "month 0"),
        ("day_0", "2025-03-00T09:00:07.000000000Z", "day 0"),
        ("hour_24", "2025-03-01T24:00:00.000000000Z", "hour 24"),
        ("minute_60", "2025-03-01T09:60:07.000000000Z", "minute 60"),
        ("second_60", "2016-12-31T23:59:60.000000000Z", "second 60, a real leap second"),
        ("millis", "2025-03-01T09:00:07.000Z", "three fractional digits"),
        ("whole", "2025-03-01T09:00:07Z", "no fraction"),
        ("ten_digits", "2025-03-01T09:00:07.0000000000Z", "ten fractional digits"),
        ("comma", "2025-03-01T09:00:07,000000000Z", "a comma for the point"),
        ("offset", "2025-03-01T09:00:07.000000000+00:00", "an offset for Z"),
        ("lower_case", "2025-03-01t09:00:07.000000000z", "t and z"),
        ("space", "2025-03-01 09:00:07.000000000Z", "a space for T"),
        ("no_zone", "2025-03-01T09:00:07.000000000", "no Z"),
        ("year_of_five", "12025-03-01T09:00:07.000000000Z", "five digits of year"),
        ("other_digits", "\uff12025-03-01T09:00:07.000000000Z", "a full-width digit"),
        ("line_feed", "2025-03-01T09:00:07.000000000Z\n", "a line feed at the end"),
    ):
        malformed(f"time_{name}", why, with_members(time=time))
        malformed(f"observed_time_{name}", why, with_members(observed_time=time))
    malformed("time_number", "time a number", with_members(time=1740819607))

    legal("event_name_1024", "event_name of 1024 bytes", with_members(event_name="e" * 1024))
    malformed("event_name_1025", "event_name of 1025 bytes", with_members(event_name="e" * 1025))
    malformed("event_name_empty", "event_name empty", with_members(event_name=""))
    malformed("event_name_number", "event_name a number", with_members(event_name=1))
    malformed("attributes_array", "attributes an array", with_members(attributes=[]))
    malformed("attributes_string", "attributes a string", with_members(attributes="a"))
    malformed("resource_empty", "resource present and empty", with_members(resource={}))
    malformed("body_null", "body present and null", with_text(b'"BODY"', b"null"))
    malformed("resource_string", "resource a string", with_members(resource="a"))
    malformed("resource_array", "resource an array", with_members(resource=[1]))
    severity = b'"severity_text":"INFO","severity_number":9,"body"'
    legal("severity", "both members of severity", with_text(b'"body"', severity), body="BODY")
    legal(
        "severity_number_only",
        "severity_number alone",
        with_text(b'"body"', b'"severity_number":9,"body"'),
        body="BODY",
    )
    malformed("severity_text_number", "severity_text a number", with_text(b'"body"', b'"severity_text":9,"body"'))
    malformed("severity_number_text", "severity_number a string", with_text(b'"body"', b'"severity_number":"9","body"'))
    malformed("severity_number_float", "severity_number a float", with_text(b'"body"', b'"severity_number":9.0,"body"'))
    malformed("severity_number_true", "severity_number true", with_text(b'"body"', b'"severity_number":true,"body"'))
    malformed(
        "severity_order",
        "severity_number before severity_text",
        with_text(b'"body"', b'"severity_number":9,"severity_text":"INFO","body"'),
    )
    trace_and_seal(cases)


def trace_and_seal(cases: LineCases) -> None:
    """Hexadecimal members."""
    malformed = cases.malformed
    legal = cases.legal
    trace, span, flags = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01"

    def traced(trace_id: object, span_id: object, trace_flags: object) -> bytes:
        ids = compact({"trace_id": trace_id, "span_id": span_id, "trace_flags": trace_flags})[1:-1]
        return with_text(b',"observed_time"', b"," + ids + b',"observed_time"')

    legal("trace", "the three members of a span context", traced(trace, span, flags))
    one = b',"trace_id":"' + trace.encode() + b'","observed_time"'
    malformed("trace_id_alone", "trace_id without the other two", with_text(b',"observed_time"', one))
    malformed("trace_id_upper_case", "trace_id in upper case", traced(trace.upper(), span, flags))
    malformed("trace_id_short", "trace_id of 31 digits", traced(trace[1:], span, flags))
    malformed("trace_id_long", "trace_id of 33 digits", traced(trace + "0", span, flags))
    malformed("trace_id_no_digit", "trace_id with a g", traced("g" + trace[1:], span, flags))
    malformed("trace_id_null", "trace_id null", traced(None, span, flags))
    malformed("span_id_upper_case", "span_id in upper case", traced(trace, span.upper(), flags))
    malformed("span_id_short", "span_id of 15 digits", traced(trace, span[1:], flags))
    malformed("trace_flags_short", "trace_flags of one digit", traced(trace, span, "1"))
    malformed("trace_flags_number", "trace_flags a number", traced(trace, span, 1))
    scope = b'"scope":{"name":"shop.orders","version":"1.2.0"},"prev_hash"'
    legal("scope", "another instrumentation scope", with_text(b'"prev_hash"', scope))
    malformed(
        "scope_joined",
        "a member of scope called name,version",
        with_text(b'"prev_hash"', b'"scope":{"name,version":"a"},"prev_hash"'),
    )
    malformed("scope_string", "scope a string", with_text(b'"prev_hash"', b'"scope":"shop.orders","prev_hash"'))
    malformed(
        "scope_before_resource",
        "scope before resource",
        with_text(b'"resource"', b'"scope":{"name":"shop.orders"},"resource"'),
    )

    malformed("prev_hash_upper_case", "prev_hash in upper case", with_members(prev_hash=GENESIS.upper()))
    malformed("prev_hash_short", "prev_hash of 63 digits", with_members(prev_hash=GENESIS[1:]))
    malformed("prev_hash_long", "prev_hash of 65 digits", with_members(prev_hash=GENESIS + "0"))
    malformed("prev_hash_number", "prev_hash a number", with_members(prev_hash=0))
    digest = str(members_of(LINE)["hash"]).encode()

    def sealed(old: bytes, new: bytes) -> bytes:
        head, tail = LINE[: -len(digest) - 20], LINE[-len(digest) - 20 :]
        return head + tail.replace(old, new)

    malformed("hash_upper_case", "hash in upper case", sealed(digest, digest.upper()))
    malformed("hash_short", "hash of 63 digits", sealed(digest, digest[1:]))
    malformed("hash_long", "hash of 65 digits", sealed(digest, digest + b"0"))
    malformed("hash_escaped", "a digit of hash as an escape", sealed(digest, b"\\u00%02x" % digest[0] + digest[1:]))
    malformed("hash_escaped_name", "the name of hash with an escape", sealed(b'"hash"', b'"h\\u0061sh"'))
    malformed("hash_null", "hash null", sealed(b'"' + digest + b'"', b"null"))
    malformed("hash_full_width", "a full-width digit in hash", sealed(digest, "\uff10".encode() + digest[1:]))
    legal(
        "hash_wrong",
        "a hash that does not fit is a line all the same: it is edited",
        sealed(digest, b"0" * 64),
        body="BODY",
    )
    keyed = seal(base_members(), KEY)
    legal("hmac", "a line with hmac", keyed, body="BODY")
    mac = str(members_of(keyed)["hmac"]).encode()
    malformed("hmac_upper_case", "hmac in upper case", keyed.replace(mac, mac.upper()))
    malformed("hmac_short", "hmac of 63 digits", keyed.replace(mac, mac[1:]))
    unsealed = {n: v for n, v in base_members().items() if n != "prev_hash"}
    malformed("hmac_alone", "hmac without hash", compact({**unsealed, "hmac": GENESIS}))
    malformed("hmac_null", "hmac null", keyed.replace(b'"' + mac + b'"', b"null"))
