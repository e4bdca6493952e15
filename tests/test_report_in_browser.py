"""A run's page as its reader sees it, in a browser without a window."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Browser, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PHONE, DESK = 390, 1280


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: looked for {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("run", ["trained_run", "segmentation_run"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_fits_its_window_and_complains_of_nothing(
    browser: Browser, run: str, width: int, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(run) / "report.html"
    page = browser.new_page(viewport={"width": width, "height": 800}, java_script_enabled=True)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    for line in page.locator("section").all():
        assert line.bounding_box() is not None
    page.locator("summary").last.click()  # the whole config
    assert page.locator("pre").last.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert complaints == []
    page.close()
