"""What a run of the tests says at its end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import pytest_terminal_summary

TESTS = Path(__file__).parent
NONE = "there is no chromium on the path"

NEEDS_A_BROWSER = """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_in_a_browser(browser, n): ...
"""


def test_a_run_without_a_browser_says_what_is_missing_and_how_to_get_it(tmp_path):
    pytest.importorskip("xdist")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "browser").mkdir()
    for name in ("conftest.py", "browser/conftest.py"):
        shutil.copy(TESTS / name, tmp_path / name)
    (tmp_path / "browser" / "test_pages.py").write_text(NEEDS_A_BROWSER)
    environment = {k: v for k, v in os.environ.items() if k != "CI" and "PYTEST" not in k}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "1"],
        cwd=tmp_path,
        env=environment | {"PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "3 tests were skipped for want of a browser: there is no chromium on the path" in said
    assert "apt-get install chromium" in said


@pytest.mark.parametrize("reasons, words", [([], 0), (["there is a GPU"], 0), ([NONE] * 2, 2)])
def test_other_skips_have_no_closing_words(reasons, words):
    lines = []
    skipped = [SimpleNamespace(longrepr=("file.py", 1, f"Skipped: {r}")) for r in reasons]
    reporter = SimpleNamespace(stats={"skipped": skipped}, write_line=lines.append)
    pytest_terminal_summary(reporter)
    assert len(lines) == words
    assert all(line == "" or line.startswith("2 tests were skipped") for line in lines)
