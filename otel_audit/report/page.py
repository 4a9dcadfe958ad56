"""The page itself: one HTML file that fetches nothing and runs only its own script.

The script and the style are the files in ``assets``, joined; a Content-Security-Policy names their
SHA-256 and forbids all else. What comes from a log stands in elements of types that no browser
runs: JSON without ``<``, and gzip in base64.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import queue
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.resources import files
from typing import IO, Any, Final

SCRIPTS: Final = (
    *(
        f"verify/{name}.js"
        for name in (
            "sha256",
            "strict_json",
            "line",
            "place",
            "segment",
            "declared",
            "key",
            "judge",
            "run",
            "region",
            "drafts",
            "notes",
            "scan",
            "path",
            "copies",
            "links",
            "order",
            "segments_check",
            "anchors",
            "verifier",
        )
    ),
    *(
        f"{name}.js"
        for name in (
            "inert",
            "dom",
            "data",
            "rows",
            "state",
            "count",
            "charts",
            "flow",
            "integrity",
            "story",
            "table",
            "detail",
            "relation",
            "drop",
            "main",
        )
    ),
)
"""In the order in which they need one another."""

_IMPORT: Final = re.compile(r'^import (\{[^}]*\}) from "\./(?:\.\./|verify/)?(\w+)\.js";$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")
_CHUNK_BYTES: Final = 3 << 18  # of gzip: a mebibyte of base64


def script() -> str:
    """Return the page's script: its modules in one file, each in a scope of its own."""
    parts = [_module(name.removesuffix(".js").rpartition("/")[2], _asset(name)) for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "".join(parts) + "})();\n"


def write_page(file: IO[bytes], title: str, summary: dict[str, Any], packed: Iterable[bytes]) -> None:
    """Write the page.

    Args:
        file: To write to.
        title: Of the page.
        summary: What the script reads (`otel_audit.report.summary`).
        packed: The lines that the page carries (`pack`).
    """
    code, style = script(), _asset("report.css")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{_digest(code)}'",
            f"style-src 'sha256-{_digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    # Written so that no text in it can end the element, or be anything else to an HTML parser.
    data = json.dumps(summary, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")
    values = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "style": style,
        "summary": data,
        "script": code,
    }
    before, after = _asset("report.html").split("{{lines}}")
    # In one go: no value is looked through for places.
    file.write(_PLACE.sub(lambda place: values[place[1]], before).encode("utf-8", "backslashreplace"))
    for chunk in packed:
        file.write(b'<script type="application/gzip" class="lines">%b</script>\n' % base64.b64encode(chunk))
    file.write(after.encode())


def _module(name: str, text: str) -> str:
    exported = ", ".join(match[2] for match in _EXPORT.finditer(text))
    body = _EXPORT.sub(r"\1", _IMPORT.sub(r"const \1 = module_\2;", text))
    return f"const module_{name} = (() => {{\n{body}return {{ {exported} }};\n}})();\n"


@contextlib.contextmanager
def packing() -> Iterator[tuple[Callable[[bytes], None], Future[list[bytes]]]]:
    """Pack in a thread of its own, while the body looks for more: give what takes pieces, and what will be of them."""
    pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with ThreadPoolExecutor(1, "otel-audit report") as pool:
        packed = pool.submit(lambda: list(pack(iter(pieces.get, None))))
        try:
            yield pieces.put, packed
        finally:
            pieces.put(None)


def pack(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces of lines as gzip, in chunks that base64 needs no padding for, but for the last."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    held = bytearray()
    for piece in lines:
        held += compressor.compress(piece)
        while len(held) >= _CHUNK_BYTES:
            yield bytes(held[:_CHUNK_BYTES])
            del held[:_CHUNK_BYTES]
    held += compressor.flush()
    while held:
        yield bytes(held[:_CHUNK_BYTES])
        del held[:_CHUNK_BYTES]


def _asset(name: str) -> str:
    return files("otel_audit.report").joinpath("assets", *name.split("/")).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
