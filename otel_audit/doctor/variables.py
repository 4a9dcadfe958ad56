"""Variables that look like settings of ours, and are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from otel_audit import environment
from otel_audit.doctor.check import Check

_PREFIX: Final = "OTEL_AUDIT_"
COLLECTOR: Final = frozenset(
    {
        "BACKEND",
        "COPY_DIR",
        "COPY_MEGABYTES",
        "FILES",
        "GATEWAY",
        "HEALTH",
        "KAFKA_BROKERS",
        "KAFKA_TOPIC",
        "LISTEN",
        "LISTEN_HTTP",
        "MEMORY_MIB",
        "MEMORY_SPIKE_MIB",
        "METRICS_HOST",
        "METRICS_PORT",
        "QUEUE_BYTES",
        "STATE_DIR",
        "TLS_CA",
        "TLS_CERT",
        "TLS_KEY",
        "TOKEN_FILE",
    }
)
"""Settings of the collector, without the prefix; collector-config/README.md says what they mean."""


def check_variables(environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield a note for each variable that no program reads: the collector's, and others, with the nearest setting."""
    settings = {value.removeprefix(_PREFIX) for name, value in vars(environment).items() if name.startswith(_PREFIX)}
    for name in sorted(name for name in environ if name.startswith(_PREFIX)):
        word = name.removeprefix(_PREFIX)
        if word in COLLECTOR:
            yield Check("environment", "note", name, "is a setting of the collector, and no program's")
        elif word not in settings:
            near = get_close_matches(word, sorted(settings | COLLECTOR), 1)
            meant = f"; is {_PREFIX}{near[0]} meant?" if near else ""
            yield Check("environment", "note", name, f"is no setting of otel-audit, and nothing reads it{meant}")
