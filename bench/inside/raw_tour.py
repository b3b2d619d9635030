"""What no tour can do without, bare: a kernel that loads pandas and draws, a browser that clicks.

Prints the seconds of each part.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from tempfile import mkdtemp

from playwright.sync_api import sync_playwright

from bench.inside.raw_kernel import raw_kernel, run_cell

_CELL = """
import pandas as pd
import matplotlib.pyplot as plt
birds = pd.DataFrame({"length": [39.1, 46.1, 46.5], "depth": [18.7, 13.2, 17.9]})
birds.corr()
figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
axes.scatter(birds.length, birds.depth)
figure.savefig("chart.png", dpi=110)
1 + 1
"""
_PAGE = "<button onclick=\"this.textContent = 'clicked'\">click</button>"


def main() -> None:
    """Print `{kernel, browser}` in seconds, as JSON."""
    home = Path(mkdtemp()) / "home"
    shutil.copytree("/etc/skel", home)
    os.environ["HOME"] = str(home)
    print(json.dumps({"kernel": _kernel(), "browser": _browser()}))


def _kernel() -> float:
    started = time.perf_counter()
    with raw_kernel() as client:
        run_cell(client, _CELL)
        return time.perf_counter() - started


def _browser() -> float:
    started = time.perf_counter()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page()
        page.set_content(_PAGE)
        page.click("button")
        page.screenshot()
        seconds = time.perf_counter() - started
        browser.close()
    return seconds


if __name__ == "__main__":
    main()
