"""The report's page in a real browser: Chromium without a window, opened from a file, with no network."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.optional import chromium, has_browser

# Left out, not skipped: nothing is skipped where OTEL_AUDIT_TEST_STRICT is set. Where
# OTEL_AUDIT_TEST_BROWSER is set they are collected in any case, and a missing part is an error.
collect_ignore_glob = [] if "OTEL_AUDIT_TEST_BROWSER" in os.environ or has_browser() else ["test_*.py"]

if not collect_ignore_glob:
    from playwright.sync_api import Browser, sync_playwright

    from tests.browser.opened import Opened

    @pytest.fixture(scope="session")
    def browser() -> Iterator[Browser]:
        """One Chromium for all tests."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium(),
                args=[
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                ],
            )
            yield browser
            browser.close()

    @pytest.fixture
    def opened(browser: Browser) -> Iterator[Opened]:
        """A page that complains of nothing until the test is over."""
        page = Opened(browser)
        yield page
        page.close()
        assert page.complaints == []
        assert page.requests == []
