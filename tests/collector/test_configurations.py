"""The files of collector-config: each is valid, alone and merged, and the README tells each setting."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.collector.collectors import CONFIGURATIONS, TAIL_GATES

GATEWAYS = [
    ("gateway.yaml", *security, *backend)
    for security, backend in itertools.product(
        [(), ("security/gateway-mtls.yaml",), ("security/gateway-token.yaml",)],
        [(), ("backends/otlp.yaml",), ("backends/kafka.yaml",)],
    )
]
CLIENTS = [
    (name, *security)
    for name, security in itertools.product(
        ["tail.yaml", "otlp.yaml"], [(), ("security/client-mtls.yaml",), ("security/client-token.yaml",)]
    )
]
REQUIRED = {
    "OTEL_AUDIT_FILES": "/var/log/audit/audit*.jsonl",
    "OTEL_AUDIT_STATE_DIR": "state",
    "OTEL_AUDIT_COPY_DIR": "copy",
    "OTEL_AUDIT_GATEWAY": "gateway.example:4317",
    "OTEL_AUDIT_BACKEND": "https://backend.example",
    "OTEL_AUDIT_KAFKA_BROKERS": "[one.example:9092, two.example:9092]",
    "OTEL_AUDIT_TLS_CERT": "cert.pem",
    "OTEL_AUDIT_TLS_KEY": "key.pem",
    "OTEL_AUDIT_TLS_CA": "ca.pem",
    "OTEL_AUDIT_TOKEN_FILE": "tokens",
}


def validate(binary: Path, folder: Path, *configurations: str) -> subprocess.CompletedProcess[str]:
    (folder / "tokens").write_text("secret\n")
    paths = [f"--config={CONFIGURATIONS / name}" for name in configurations]
    return subprocess.run(
        [binary, "validate", *TAIL_GATES, *paths], cwd=folder, env=REQUIRED, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("configurations", [*GATEWAYS, *CLIENTS], ids="+".join)
def test_valid(binary: Path, tmp_path: Path, configurations: tuple[str, ...]) -> None:
    """The collector accepts each configuration, alone and merged with each file that is meant for it."""
    done = validate(binary, tmp_path, *configurations)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_all_validated() -> None:
    """No configuration is left out of that."""
    files = {str(path.relative_to(CONFIGURATIONS)) for path in CONFIGURATIONS.rglob("*.yaml")}
    assert files == {"builder.yaml", *itertools.chain(*GATEWAYS, *CLIENTS)}


def test_invalid_is_told(binary: Path, tmp_path: Path) -> None:
    """A configuration with an unknown part is refused: the check above can fail."""
    (tmp_path / "wrong.yaml").write_text("exporters: {none: {}}\nservice: {pipelines: {logs: {exporters: [none]}}}\n")
    assert validate(binary, tmp_path, "gateway.yaml", str(tmp_path / "wrong.yaml")).returncode != 0


def test_settings_documented() -> None:
    """The README has a row for each variable that a configuration reads, with its default, and no other."""
    used: dict[str, set[str]] = {}
    for path in CONFIGURATIONS.rglob("*.yaml"):
        for name, default in re.findall(r"\$\{env:(\w+)(?::-([^}]*))?\}", path.read_text()):
            used.setdefault(name, set()).add(default)
    readme = (CONFIGURATIONS / "README.md").read_text()
    rows = re.findall(r"^\| `(OTEL_AUDIT_\w+)` \| (–|`.*?`) \|", readme, re.MULTILINE)
    told: dict[str, set[str]] = {}
    for name, default in rows:
        told.setdefault(name, set()).update(re.findall("`(.*?)`", default) or [""])
    assert told == used


@pytest.fixture
def fake_go(tmp_path: Path) -> dict[str, str]:
    """An environment whose ``go`` installs a builder that takes a while and writes its manifest as the binary."""
    tools = tmp_path / "tools"
    tools.mkdir()
    builder = (
        'echo built >>"$COUNT"; mkdir otelcol; echo "#!/bin/sh" >otelcol/otelcol; sleep 0.2; chmod +x otelcol/otelcol'
    )
    (tools / "go").write_text(f"#!/bin/sh\nprintf '%s' '{builder}' >\"$GOBIN/builder\"\nchmod +x \"$GOBIN/builder\"\n")
    (tools / "go").chmod(0o755)
    return {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "COUNT": str(tmp_path / "count"),
    }


def test_build_at_once(fake_go: dict[str, str], tmp_path: Path) -> None:
    """Two builds at once give one whole binary, and leave nothing else; a third has nothing to do."""
    command = [CONFIGURATIONS / "build"]
    running = [subprocess.Popen(command, env=fake_go, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=60)[0] for process in running)
    third = subprocess.run(command, env=fake_go, capture_output=True, text=True, timeout=60, check=True).stdout
    assert first == second == third
    binary = Path(first.strip())
    assert os.access(binary, os.X_OK)
    assert {path.name for path in binary.parent.iterdir()} <= {"otelcol", "lock"}
    assert (tmp_path / "count").read_text() in {"built\n", "built\nbuilt\n"}  # twice where there is no flock


def test_build_failed(fake_go: dict[str, str], tmp_path: Path) -> None:
    """A build that fails says so, prints no path, and leaves no binary that a next call would take."""
    (tmp_path / "tools" / "go").write_text("#!/bin/sh\nexit 3\n")
    done = subprocess.run([CONFIGURATIONS / "build"], env=fake_go, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")
    assert not list((tmp_path / "cache").rglob("otelcol"))
