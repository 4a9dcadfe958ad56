"""The resource: who writes, in the whole and on each line."""

from __future__ import annotations

import os
import socket

import pytest
from opentelemetry.sdk.resources import Resource

from otel_audit.pipeline.resource import (
    LINE_RESOURCE_ATTRIBUTES,
    line_members,
    process_resource,
    resource_members,
    service_name,
)
from otel_audit.testing import capture_audit


class TestProcess:
    def test_added(self) -> None:
        """Process id and host name are added, which the SDK's own resource lacks."""
        attributes = process_resource(Resource({"service.name": "x"})).attributes
        assert dict(attributes) == {"service.name": "x", "process.pid": os.getpid(), "host.name": socket.gethostname()}

    def test_given(self) -> None:
        """A host name that is given stands; the process id is always this process's."""
        attributes = process_resource(Resource({"host.name": "h", "process.pid": 1})).attributes
        assert dict(attributes) == {"host.name": "h", "process.pid": os.getpid()}

    def test_default(self) -> None:
        """Without one it is the SDK's default, with the service of the environment."""
        assert process_resource(None).attributes["service.name"] == "test"


class TestLine:
    def test_names(self) -> None:
        """A line carries the names of the list; one that ends in ``*`` stands for all that begin so."""
        members = {"service.name": "x", "service.other": 1, "services": 2, "host.name": "h", "host.id": 3}
        assert line_members(members, LINE_RESOURCE_ATTRIBUTES) == {
            "service.name": "x",
            "service.other": 1,
            "host.name": "h",
        }
        assert line_members(members, ["host.*"]) == {"host.name": "h", "host.id": 3}
        assert line_members(members, ["*"]) == members
        assert line_members(members, []) == {}

    def test_file(self) -> None:
        """The first line has the whole resource, the others what makes them understandable alone."""
        from otel_audit import read_log

        with capture_audit(resource=Resource({"service.name": "x", "cloud.region": "eu"})) as log:
            log.provider.get_audit_logger("a").emit("e")
            opened, entry = read_log(log.path)
        assert opened.resource["cloud.region"] == "eu"
        assert set(entry.resource) == {"service.name", "host.name", "process.pid"}

    def test_configurable(self) -> None:
        """Which attributes a line carries is a setting."""
        with capture_audit(resource=Resource({"service.name": "x", "a": 1}), resource_attributes=["a"]) as log:
            log.provider.get_audit_logger("a").emit("e")
            assert log.entries[0].resource == {"a": 1}

    def test_none_at_all(self) -> None:
        """A line that carries nothing of it has no such member."""
        with capture_audit(resource_attributes=[]) as log:
            log.provider.get_audit_logger("a").emit("e")
            assert b'"resource"' not in log.entries[0].raw


class TestValues:
    def test_members(self) -> None:
        """Values are cleaned as those of a record, and names that begin with ``$`` escaped."""
        members = resource_members(Resource({"$x": 1, "list": ["a", "b"], "text": "\ud800"}))
        assert members == {"$$x": 1, "list": ["a", "b"], "text": "\ufffd"}

    @pytest.mark.parametrize(
        ("given", "name"), [("shop", "shop"), ("", "unknown_service"), (5, "unknown_service"), ("x" * 5000, "x" * 1024)]
    )
    def test_service(self, given: str | int, name: str) -> None:
        """The service's name is never empty and never long: it is who acts where nobody else does."""
        assert service_name(Resource({"service.name": given})) == name
        assert service_name(Resource({})) == "unknown_service"

    def test_huge(self) -> None:
        """A resource of many mebibytes leaves lines that are short and well formed."""
        huge = {"service.name": "n" * 3_000_000, **{f"service.{n}": "v" * 100_000 for n in range(50)}}
        with capture_audit(resource=Resource(huge)) as log:
            log.provider.get_audit_logger("a").emit("e")
            (entry,) = log.entries
        assert len(entry.raw) < 64 * 1024
        assert entry.attributes["audit.actor.id"] == "n" * 1024
