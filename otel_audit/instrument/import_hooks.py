"""Told when a module is imported, for as long as one wants to know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import wrapt

Imported = Callable[[ModuleType], None]

_listeners: dict[str, dict[object, Imported]] = {}


def when_imported(name: str, imported: Imported) -> Callable[[], None]:
    """Call back once a module is imported; now, where it is.

    What the callback raises is raised by the import, or here.

    Returns:
        A callable after which nobody is called any more. wrapt has none: its hooks stay for good,
        so there is one here for each module.
    """
    module = sys.modules.get(name)
    if module is not None:
        imported(module)
        return _nothing
    token = object()
    if name not in _listeners:
        _listeners[name] = {}
        wrapt.register_post_import_hook(_tell, name)
    _listeners[name][token] = imported

    def stop() -> None:
        _listeners.get(name, {}).pop(token, None)

    return stop


def _tell(module: ModuleType) -> None:
    # a module that is taken out of sys.modules can be imported again: wrapt has forgotten its hook then
    for imported in _listeners.pop(module.__name__, {}).values():
        imported(module)


def _nothing() -> None:
    pass
