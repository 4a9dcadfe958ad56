"""A report that is open in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Request, ViewportSize


class Shown(NamedTuple):
    """A finding as the page shows it."""

    kind: str
    severity: str
    where: str


class Opened:
    """A page without a network, and what went wrong in it."""

    def __init__(self, browser: Browser, *, width: int = 1280, scheme: Any = "light") -> None:
        self.context = browser.new_context(
            viewport=ViewportSize(width=width, height=900), color_scheme=scheme, offline=True
        )
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a report and wait until it has checked what it carries."""
        self.page.goto(path.absolute().as_uri() + fragment)
        self.page.wait_for_selector("html[data-checked=yes]")

    def drop(self, *paths: Path, anchor: str = "") -> str:
        """Give the page files of a log; return what it says of them."""
        self.page.evaluate("document.querySelector('.drop-result').replaceChildren()")
        self.page.fill("#drop-anchor", anchor)
        self.page.set_input_files("#files", [])
        self.page.set_input_files("#files", list(paths))
        self.page.wait_for_selector(".drop-result .outcome, .drop-result .problem")
        return str(self.page.inner_text(".drop-result"))

    @property
    def outcome(self) -> str:
        """How the page marks what it says of the files that it was given: good, bad or unsure."""
        classes = self.page.get_attribute(".drop-result .outcome", "class") or ""
        return classes.removeprefix("outcome ")

    def findings(self, inside: str) -> list[Shown]:
        """Return the findings that a part of the page shows, also those that are folded."""
        return [
            Shown(kind, severity, where)
            for kind, severity, where in self.page.eval_on_selector_all(
                f"{inside} .findings li",
                "items => items.map(item => [item.querySelector('b')?.textContent ?? '', item.className,"
                " item.childNodes[1]?.textContent.split(': expected')[0].trim() ?? ''])",
            )
        ]

    @property
    def verdict(self) -> str:
        """The title of what the page proved."""
        return str(self.page.inner_text("#integrity-title"))

    @property
    def is_green(self) -> bool:
        """Whether the page says that it is well."""
        return self.page.query_selector(".verdict.good") is not None

    def close(self) -> None:
        """Close the page."""
        self.context.close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("file:", "blob:")):
            self.requests.append(request.url)
