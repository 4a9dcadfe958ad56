"""The resource: who writes, in the whole and on each line."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.sdk.resources import Resource

from otel_audit import semconv
from otel_audit.value import clean, clean_text, escape_name

LINE_RESOURCE_ATTRIBUTES: Final = (
    "service.*",
    semconv.DEPLOYMENT_ENVIRONMENT_NAME,
    semconv.HOST_NAME,
    semconv.PROCESS_PID,
)
"""What makes one line understandable alone; the whole resource stands in ``audit.log.opened``."""

UNKNOWN_SERVICE: Final = "unknown_service"


def process_resource(resource: Resource | None) -> Resource:
    """Return the resource with this process's pid and host, which the SDK's default lacks."""
    whole = Resource.create() if resource is None else resource
    pid = Resource({semconv.PROCESS_PID: os.getpid()})  # after a fork the one given is another's
    return Resource({semconv.HOST_NAME: socket.gethostname()}).merge(whole).merge(pid)


def resource_members(resource: Resource) -> dict[str, object]:
    """Return the whole resource as JSON values."""
    return {
        escape_name(clean_text(name, "", [])): clean(value, "", [], 3) for name, value in resource.attributes.items()
    }


def line_members(members: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    """Return what each line carries of the resource.

    Args:
        members: From `resource_members`.
        names: Attribute names; one that ends in ``*`` stands for all that begin so.
    """
    names = tuple(names)
    exact = {name for name in names if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    return {name: value for name, value in members.items() if name in exact or (prefixes and name.startswith(prefixes))}


def service_name(resource: Resource) -> str:
    """Return the name that acts where nobody else does; never empty, at most 1 KiB."""
    name = resource.attributes.get(semconv.SERVICE_NAME)
    text = clean_text(name, "", []) if isinstance(name, str) else ""
    return text[:1024] or UNKNOWN_SERVICE
