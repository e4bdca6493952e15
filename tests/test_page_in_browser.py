"""The page as its user sees it, in a browser without a window."""

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.serving.networks import KnownDetector, KnownSegmenter, served

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import (
    Browser,
    FileChooser,
    JSHandle,
    Page,
    Request,
    expect,
    sync_playwright,
)

LIMIT = 50_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: looked for {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "gray.png"
    Image.new("RGB", (256, 256), (90, 90, 90)).save(path)
    return path


class Window:
    """A page that is open, and whatever it complained of."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        page.set_default_timeout(5000)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", self.hear)
        page.on("pageerror", self.hear)
        page.on("request", self.note)
        # From now on the browser hands choosers over; told when a key is pressed, it may be late.
        page.on("filechooser", self.choose)
        page.goto(address)
        expect(page.locator("#facts li")).to_have_count(4)

    def hear(self, message: object) -> None:
        self.complaints.append(str(message))

    def note(self, request: Request) -> None:
        self.asked.append(request.url)

    def choose(self, chooser: FileChooser) -> None:
        """Leaves it to whoever waits for it."""

    def upload(self, path: Path) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.page.locator("#drop").click()
        chooser.value.set_files(path)

    def pixels(self) -> np.ndarray:
        """Of the canvas, [H, W, 4]."""
        url = self.page.evaluate("document.getElementById('canvas').toDataURL()")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))

    def slide(self, name: str, value: float) -> None:
        self.page.locator(name).fill(str(value))


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Page:
    """Opening one takes longer than a test does."""
    return browser.new_page(viewport={"width": 1000, "height": 700})


@pytest.fixture(scope="module")
def detector_address() -> Iterator[str]:
    with served(KnownDetector(), LIMIT) as address:
        yield address


@pytest.fixture
def detector(tab: Page, detector_address: str) -> Window:
    return Window(tab, detector_address)


@pytest.fixture
def segmenter(tab: Page) -> Iterator[Window]:
    with served(KnownSegmenter(), LIMIT) as address:
        yield Window(tab, address)


def test_boxes_a_threshold_and_classes(
    detector: Window, detector_address: str, picture: Path
) -> None:
    page = detector.page
    detector.upload(picture)
    shown = page.locator("#shown")
    expect(shown).to_have_text("3 of 4 boxes shown")
    expect(page.locator("#classes .name")).to_have_text(["cat", "dog"])
    expect(page.locator("#classes .count")).to_have_text(["1", "2"])
    expect(page.locator("#times tr")).to_have_count(5)
    expect(page.locator("#engine")).to_contain_text("Known 1.0")
    before = detector.pixels()
    assert (before[..., :3] != 90).any(axis=-1).mean() > 0.01  # the boxes over the gray picture
    detector.slide("#threshold", 0.7)
    expect(shown).to_have_text("1 of 4 boxes shown")
    expect(page.locator("#classes .count")).to_have_text(["0", "1"])
    assert (detector.pixels() != before).any()
    detector.slide("#threshold", 0.05)
    expect(shown).to_have_text("4 of 4 boxes shown")
    page.get_by_label("cat").uncheck()
    expect(shown).to_have_text("2 of 4 boxes shown")
    page.get_by_role("button", name="None").click()
    expect(shown).to_have_text("0 of 4 boxes shown")
    assert (detector.pixels()[..., :3] == 90).all()
    assert detector.complaints == []
    assert all(url.startswith((detector_address, "data:", "blob:")) for url in detector.asked)


def test_the_page_is_used_by_the_keyboard(detector: Window, picture: Path) -> None:
    page = detector.page
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(picture)
    expect(page.locator("#shown")).to_have_text("3 of 4 boxes shown")
    page.locator("#threshold").focus()
    page.keyboard.press("End")
    expect(page.locator("#shown")).to_have_text("0 of 4 boxes shown")
    page.keyboard.press("Home")
    expect(page.locator("#shown")).to_have_text("4 of 4 boxes shown")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#shown")).to_have_text("0 of 4 boxes shown")


def test_a_mask_its_opacity_and_classes(segmenter: Window, picture: Path) -> None:
    page = segmenter.page
    segmenter.upload(picture)
    expect(page.locator("#shown")).to_have_text("1 of 2 classes shown")
    expect(page.locator("#classes .name")).to_have_text(["background", "<b>sheep</b>"])
    tinted = segmenter.pixels()
    height = len(tinted)
    assert (tinted[: height // 3, :, :3] == 90).all()
    assert (tinted[-height // 3 :, :, :3] != 90).any(axis=-1).all()
    segmenter.slide("#opacity", 0)
    assert (segmenter.pixels()[..., :3] == 90).all()
    segmenter.slide("#opacity", 1)
    np.testing.assert_array_equal(segmenter.pixels()[-2, 10], [128, 0, 0, 255])
    page.get_by_label("sheep").uncheck()
    expect(page.locator("#shown")).to_have_text("0 of 2 classes shown")
    assert (segmenter.pixels()[..., :3] == 90).all()
    assert segmenter.complaints == []


def test_bad_pictures_have_a_message_and_the_next_one_is_shown(
    detector: Window, picture: Path, tmp_path: Path
) -> None:
    page, error = detector.page, detector.page.locator("#error")
    bad = tmp_path / "bad <i>name.jpg"
    bad.write_text("no picture")
    detector.upload(bad)
    expect(error).to_have_text(
        "bad <i>name.jpg: not an image, or of no supported format "
        "(JPEG, PNG, GIF, WEBP, BMP, TIFF, PPM)"
    )
    assert str(tmp_path) not in page.content()
    large = tmp_path / "large.png"
    large.write_bytes(bytes(LIMIT + 1))
    detector.upload(large)
    expect(error).to_contain_text("large.png: larger than")
    detector.upload(picture)
    expect(page.locator("#shown")).to_have_text("3 of 4 boxes shown")
    expect(error).to_be_hidden()


def test_the_smallest_picture_can_be_seen(segmenter: Window, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    Image.new("RGB", (1, 1), "red").save(path)
    segmenter.upload(path)
    page = segmenter.page
    expect(page.locator("#caption")).to_have_text("one.png, 1 x 1")
    expect(page.locator("#shown")).to_have_text("Nothing but background was found in this picture.")
    expect(page.locator("#classes .name")).to_have_text(["background"])
    assert segmenter.pixels().shape == (160, 160, 4)
    assert segmenter.complaints == []


def test_what_is_seen_is_saved_under_the_pictures_name(detector: Window, picture: Path) -> None:
    detector.upload(picture)
    expect(detector.page.locator("#shown")).to_have_text("3 of 4 boxes shown")
    with detector.page.expect_download() as download:
        detector.page.get_by_role("button", name="Save as PNG").press("Enter")
    assert download.value.suggested_filename == "gray_seen.png"
    saved = np.asarray(Image.open(download.value.path()))
    np.testing.assert_array_equal(saved, detector.pixels())


def test_what_is_dropped_but_no_file_is_said(detector: Window) -> None:
    detector.page.locator("#drop").dispatch_event("drop", {"dataTransfer": dropped(detector, [])})
    expect(detector.page.locator("#error")).to_contain_text("What was dropped is no file")


def test_a_file_that_is_dropped_is_looked_at(detector: Window, picture: Path) -> None:
    content = list(picture.read_bytes())
    detector.page.locator("#drop").dispatch_event(
        "drop", {"dataTransfer": dropped(detector, content)}
    )
    expect(detector.page.locator("#shown")).to_have_text("3 of 4 boxes shown")
    expect(detector.page.locator("#caption")).to_have_text("dropped.png, 256 x 256")


def dropped(window: Window, content: list[int]) -> JSHandle:
    """A file of these bytes as a drop brings it, or none."""
    return window.page.evaluate_handle(
        """content => {
            const transfer = new DataTransfer();
            const file = new File([new Uint8Array(content)], "dropped.png", { type: "image/png" });
            if (content.length) transfer.items.add(file);
            return transfer;
        }""",
        content,
    )


def test_a_phone_is_not_scrolled_sideways_and_sees_a_message(
    browser: Browser, detector_address: str, picture: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    with browser.new_page(viewport={"width": 360, "height": 640}) as page:
        window = Window(page, detector_address)
        window.upload(picture)
        expect(page.locator("#shown")).to_have_text("3 of 4 boxes shown")
        page.get_by_text("Boxes as a table").click()
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator("#drop")).not_to_be_in_viewport()
        page.locator("#file").set_input_files(bad)
        expect(page.locator("#error")).to_be_in_viewport()


def test_a_page_without_its_server_says_so(tab: Page, detector_address: str) -> None:
    tab.route("**/model", lambda route: route.abort())
    tab.goto(detector_address)
    expect(tab.locator("#error")).to_contain_text("The server does not say what its network is")
    tab.unroute("**/model")


def test_a_server_that_has_gone_is_said(tab: Page, picture: Path) -> None:
    with served(KnownDetector(), LIMIT) as address:
        window = Window(tab, address)
    window.upload(picture)
    expect(tab.locator("#error")).to_contain_text("the server does not answer")
