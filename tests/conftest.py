"""Settings of the whole test run: no network, one thread, property tests that repeat."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import hypothesis
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("peftlab", deadline=None, max_examples=20, derandomize=True)
hypothesis.settings.load_profile("peftlab")


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
