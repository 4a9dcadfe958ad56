"""What is said where a version of a framework has not what is wrapped."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks import load_framework
from otel_audit.instrument.frameworks.hook import load_hooks

_PREFIX = "nothing to audit: "


def not_audited(name: str, error: Exception, *, part: str | None = None) -> AuditConfigError:
    """Return an error that names the framework, its version, what is missing, and what is therefore not recorded.

    Args:
        name: The framework's.
        error: What instrumenting it raised. Of an `AuditConfigError` the text is used, of others only names;
            one that this function made is returned.
        part: The module of the framework that is not audited, where the rest is.
    """
    begins = f"{name} is not audited: "
    if isinstance(error, AuditConfigError) and str(error).startswith(begins):
        return error
    package = load_framework(name).PACKAGE
    if part is None:
        lost = "; ".join(hook.act for hook in load_hooks(name))
    else:
        lost, package = f"what {part} does", _distribution(part, package)
    return AuditConfigError(f"{begins}{_missing(error)} ({_installed(package)}); not recorded: {lost}")


def _missing(error: Exception) -> str:
    if isinstance(error, AuditConfigError):
        return str(error).removeprefix(_PREFIX)
    if isinstance(error, AttributeError):
        owner = getattr(error.obj, "__name__", type(error.obj).__name__)
        return f"expected {owner} to have {error.name!r}, got a version without it"
    name = getattr(error, "name", None) or "a module of it"
    wanted = getattr(error, "name_from", None)  # Python 3.12 tells it
    return f"{name} cannot be imported" if wanted is None else f"{name} has no {wanted!r}"


def _distribution(module: str, package: str) -> str:
    name = module.partition(".")[0]
    return package if name == package.replace("-", "_") else name


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package}, of no known version"
