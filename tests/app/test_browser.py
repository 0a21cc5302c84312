"""The page in a real browser, with clicks: a Chromium that is on the machine, without a window."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganzoo
from ganzoo import provenance
from tests.app.conftest import Running, needs_gradio, start

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    needs_gradio,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="playwright is not installed"
    ),
]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # without its sandbox, which needs rights that a container may not have, nor its /dev/shm
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


class Visitor:
    """A page that is open, with all that it asked for and complained of."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.elsewhere: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(300_000)
        ours = (address, "data:", "blob:")
        page.on(
            "request",
            lambda request: request.url.startswith(ours) or self.elsewhere.append(request.url),
        )
        page.on(
            "console",
            lambda line: line.type == "error" and self.complaints.append(line.text),
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(address)
        self.images().first.wait_for()

    def images(self) -> Any:
        """Those of the open tab."""
        return self.page.locator(".thumbs:not(#kept) .thumbnail-item:visible")

    def kept(self) -> Any:
        return self.page.locator("#kept .thumbnail-item")

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def tab(self, name: str) -> None:
        """Open a tab, which on a phone may be one of those behind the dots."""
        tab = self.page.get_by_role("tab", name=name, exact=True)
        if not tab.is_visible():
            self.page.locator(".overflow-menu > button:visible").click()
            tab = self.page.locator(".overflow-dropdown button", has_text=name)
        tab.click()

    def choose(self, label: str, option: str) -> None:
        self.page.get_by_label(label, exact=True).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def download(self, tmp_path: Path) -> Path:
        with self.page.expect_download() as coming:
            self.page.locator("#chosen").get_by_text("Download", exact=True).click()
        path = tmp_path / coming.value.suggested_filename
        coming.value.save_as(path)
        return path


@pytest.fixture(params=SIZES)
def visitor(request: pytest.FixtureRequest, browser: Any, server: Running) -> Iterator[Visitor]:
    width, height = SIZES[request.param]
    context = browser.new_context(viewport={"width": width, "height": height})
    visitor = Visitor(context.new_page(), server.address)
    yield visitor
    assert visitor.elsewhere == [] and visitor.complaints == []
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_click_keep_walk_mix_move_and_download(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    visitor.choose("Model", "stylegan2.nouns")
    page.get_by_label("Truncation ψ").first.wait_for()
    page.get_by_text("random-v1/n10k").first.wait_for()
    for number in (2, 5):
        visitor.images().nth(number).click()
        visitor.kept().nth(0 if number == 2 else 1).wait_for()
    page.locator("#chosen").get_by_text("--seeds 5", exact=False).wait_for()
    assert "G.sample(seeds=[5])" in page.locator("#chosen").inner_text()

    path = visitor.download(tmp_path)
    record = provenance.read_record(path)
    assert record is not None
    assert (record["model"], record["seed"]) == ("stylegan2.nouns", 5)
    assert path.name == "stylegan2.nouns-seed5.png" and ganzoo.reproduce(path).ok

    visitor.tab("Walk")
    visitor.button("Make the film").click()
    page.get_by_text("--interpolate").wait_for()
    page.locator(".pixels img[src*='walk']").wait_for()

    visitor.tab("Mix")
    visitor.button("Mix").click()
    visitor.images().nth(17).click()
    page.locator("#chosen").get_by_text("--mix").wait_for()

    visitor.tab("Directions")
    slider = page.get_by_label("range slider for Direction 1")
    before = page.locator("#after img").get_attribute("src")
    slider.fill("5")
    slider.dispatch_event("pointerup")
    page.wait_for_function("old => document.querySelector('#after img').src !== old", arg=before)
    visitor.button("Keep it").click()
    page.locator("#chosen").get_by_text("--latent").wait_for()
    visitor.kept().nth(3).wait_for()
    assert visitor.kept().count() == 4
    moved = provenance.read_record(visitor.download(tmp_path))
    assert moved is not None and moved["latent"] == "w" and moved["moved"].startswith("closed-form")

    visitor.tab("Model card")
    page.locator("#card").get_by_text("Limitations").wait_for()


def test_the_first_grid_needs_no_script(browser: Any, server: Running) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.route("**/assets/*.js", lambda route: route.abort())
    page.goto(server.address, wait_until="commit")
    images = page.locator("#first img")
    images.nth(15).wait_for()
    assert images.count() == 16
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth == 28)")
    assert images.first.bounding_box()["y"] < 200
    context.close()


def test_two_visitors_have_grids_of_their_own(visitor: Visitor, browser: Any) -> None:
    """The first grid is the same for both, and is what their clicks act on."""
    address = visitor.page.url.rstrip("/")
    context = browser.new_context()
    other = Visitor(context.new_page(), address)
    other.button("Next seeds").click()
    other.page.locator(".caption-label", has_text=re.compile(r"^18$")).wait_for()
    for who, seed in ((visitor, 2), (other, 18), (visitor, 3)):
        who.images().nth(seed % 16).click()
        who.page.locator("#chosen").get_by_text(f"--seeds {seed}", exact=False).wait_for()
    assert (visitor.kept().count(), other.kept().count()) == (2, 1)
    assert visitor.page.locator("#first").count() == 0
    assert other.complaints == []
    context.close()


def test_classes_and_next_seeds(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    visitor.choose("Model", "cgan.fashion-mnist")
    visitor.choose("Class", "9: Ankle boot")
    page.locator(".caption-label", has_text=re.compile(r"^15 · 9$")).wait_for()
    visitor.button("Next seeds").click()
    page.locator(".caption-label", has_text=re.compile(r"^16 · 9$")).wait_for()
    visitor.images().first.click()
    page.locator("#chosen").get_by_text("--class").wait_for()
    with Image.open(visitor.download(tmp_path)) as image:
        pixels = np.asarray(image)
    expected = ganzoo.load("cgan.fashion-mnist").sample(seeds=[16], labels=9).to_uint8()
    assert np.abs(pixels.astype(int) - expected[0, :, :, 0]).max() <= 1


def test_bad_input_is_told_in_a_line_and_changes_nothing(visitor: Visitor) -> None:
    page = visitor.page
    seeds = page.locator("#seeds textarea, #seeds input").first
    for text, said in (("many", "are no seeds"), ("0-999", "at most 64"), ("<b>x</b>", "<b>x</b>")):
        seeds.fill(text)
        visitor.button("Draw").click()
        page.locator(".toast-body").get_by_text(said).first.wait_for()
    visitor.tab("Walk")
    visitor.button("Make the film").click()
    page.locator(".toast-body").get_by_text("nothing is kept yet").first.wait_for()
    assert "Traceback" not in page.content() and ".py" not in page.locator("body").inner_text()
    visitor.tab("Grid")
    assert visitor.images().count() == 16


def test_a_picture_is_saved_where_the_command_line_said(
    visitor: Visitor, server: Running, tmp_path: Path
) -> None:
    visitor.images().nth(1).click()
    visitor.button("Save here").click()
    visitor.page.locator(".toast-body").get_by_text("gan.mnist-seed1.png").first.wait_for()
    folder = Path(f"/proc/{server.process.pid}/cwd") / "kept"
    if folder.exists():  # where there is a /proc
        record = provenance.read_record(folder / "gan.mnist-seed1.png")
        assert record is not None and record["seed"] == 1


def test_a_run_grows_before_ones_eyes(browser: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "grids").mkdir(parents=True)
    (folder / "run.toml").write_text('name = "gan.shapes"\nkimg = 1.0\n')

    def step(number: int) -> None:
        images = np.full((64, 28, 28, 1), number, np.uint8)
        path = folder / "grids" / f"{number:09d}.png"
        provenance.save_grid(images, path, record={"model": "gan.shapes", "step": number})
        entry = {"step": number, "images": 10 * number, "D/real": 1 / number, "G/fake": 1.0}
        with (folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

    step(1)
    running = start(["app", "--watch", folder], cwd=tmp_path)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(300_000)
    page.goto(running.address)
    page.locator("#samples img[src*='step-000000001']").wait_for()
    for number in (20, 40):
        step(number)
        page.locator("#status").get_by_text(f"{10 * number} images").wait_for()
        page.locator(f"#samples img[src*='step-{number:09d}']").wait_for()
    page.locator("#status").get_by_text("40.0% of 1 kimg").wait_for()
    assert page.locator(".charts polyline").count() == 2
    with page.expect_download() as coming:
        page.locator("#samples [aria-label='Download'], #samples a[download]").first.click()
    coming.value.save_as(tmp_path / "grid.png")
    record = provenance.read_record(tmp_path / "grid.png")
    assert record is not None and record["step"] == 40
    page.close()
    assert running.interrupt() == 0
    running.close()
    assert "Traceback" not in running.stderr
