"""How long a browser that opens `ganzoo app` waits for the first image.

With an empty cache, and again. "live" is when the page's own grid is there, which can be clicked:
Gradio's scripts take most of that time. Nothing is measured without Playwright and a Chromium.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import subprocess
import sys

import click
from _sides import report

MOST_SECONDS = 1.0
# a picture counts once the frame after the one that has it has been drawn
LOOK = """
(() => {
  window.seen = {};
  const look = (name, selector) => {
    const images = [...document.querySelectorAll(selector)];
    if (seen[name] === undefined && images.some(i => i.complete && i.naturalWidth > 0)) {
      seen[name] = 0;
      requestAnimationFrame(() => setTimeout(() => { seen[name] = performance.now(); }));
    }
  };
  const frame = () => {
    look("first", "img");
    look("live", ".thumbs .thumbnail-item img");
    requestAnimationFrame(frame);
  };
  frame();
})();
"""


@click.command(help=__doc__)
@click.option("--model", default="cgan.fashion-mnist", show_default=True)
@click.option("--rounds", default=7, show_default=True)
def main(model: str, rounds: int) -> None:
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    browser = next(found, None)
    if browser is None or importlib.util.find_spec("playwright") is None:
        click.echo("not measured: there is no Chromium here, or no Playwright", err=True)
        return
    words = [sys.executable, "-m", "ganzoo", "app", model]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = next((line for line in server.stderr if line.startswith("ganzoo app: ")), "")
        try:
            seconds = visits(browser, said.split()[-1], rounds)
        finally:
            server.terminate()
    medians = {kind: statistics.median(times) for kind, times in seconds.items()}
    slowest = {kind: max(times) for kind, times in seconds.items()}
    met = max(slowest["empty cache, first"], slowest["again, first"]) <= MOST_SECONDS
    report(
        benchmark="app", model=model, seconds=medians, slowest=slowest, at_most=MOST_SECONDS,
        met=met,
    )  # fmt: skip


def visits(browser: str, address: str, rounds: int) -> dict[str, list[float]]:
    """Seconds from the request to what is seen, of each kind of visit."""
    from playwright.sync_api import sync_playwright

    seconds: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for _ in range(rounds):
            context = chromium.new_context()
            for cache in ("empty cache", "again"):
                page = context.new_page()
                page.add_init_script(LOOK)
                page.goto(address, wait_until="commit")
                page.wait_for_function("seen.first > 0 && seen.live > 0")
                for what, milliseconds in page.evaluate("seen").items():
                    seconds.setdefault(f"{cache}, {what}", []).append(milliseconds / 1000)
                page.wait_for_timeout(500)  # what comes after is not of the next visit
                page.close()
            context.close()
        chromium.close()
    return seconds


if __name__ == "__main__":
    main()
