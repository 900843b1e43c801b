"""Settings of the whole test run: no network, one thread, property tests that repeat.

`pytest` runs every kind of test. What repeats a mechanism over the whole grid of families and
heads, or trains for minutes, is marked `slow`; `pytest -m slow` runs that.
"""

import os
import zlib
from collections import defaultdict

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("peftlab", deadline=None, max_examples=20, derandomize=True)
hypothesis.settings.load_profile("peftlab")


def pytest_collection_modifyitems(items):
    """Leave one head of each family to a plain run, where a test goes through all of them.

    Another test of the same grid has another head: the choice follows from the test's name.
    """
    grids = defaultdict(list)
    for item in items:
        values = getattr(item, "callspec", None) and item.callspec.params
        if values and {"family", "head"} <= values.keys():
            others = item.callspec.id.replace(str(values["head"]), "*")
            grids[f"{item.path.name}::{item.originalname}[{others}]"].append(item)
    for name, grid in grids.items():
        chosen = zlib.crc32(name.encode()) % len(grid)
        for item in grid[:chosen] + grid[chosen + 1 :]:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    """Say at the end of the run what the skipped browser tests lack, and how to get it."""
    skipped = terminalreporter.stats.get("skipped", [])
    lacking = sum("no chromium on the path" in str(report.longrepr) for report in skipped)
    if lacking:
        tests = "1 test was" if lacking == 1 else f"{lacking} tests were"
        terminalreporter.write_line("")
        terminalreporter.write_line(
            f"{tests} skipped for want of a browser: there is no chromium on the path. "
            "To run them as well, install one, then: pytest tests/browser. On Debian and Ubuntu: "
            "apt-get install chromium. On macOS: brew install --cask chromium. The command has to "
            "be called chromium."
        )
