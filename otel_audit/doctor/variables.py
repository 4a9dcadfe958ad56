"""Variables that look like settings of ours, and are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from otel_audit import environment
from otel_audit.doctor.check import Check

_PREFIX: Final = "OTEL_AUDIT_"


def check_variables(environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield a note for each variable that nothing reads, with the setting that it may be meant for."""
    settings = {value.removeprefix(_PREFIX) for name, value in vars(environment).items() if name.startswith(_PREFIX)}
    for name in sorted(name for name in environ if name.startswith(_PREFIX)):
        word = name.removeprefix(_PREFIX)
        if word not in settings:
            near = get_close_matches(word, sorted(settings), 1)
            meant = f"; is {_PREFIX}{near[0]} meant?" if near else ""
            yield Check("environment", "note", name, f"is no setting of otel-audit, and nothing reads it{meant}")
