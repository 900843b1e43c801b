"""The example of CONTRIBUTING.md: two files and a line in the registry make a method."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / ".github" / "CONTRIBUTING.md"
REGISTRY = "peftlab/methods/__init__.py"
ASKED = """
import sys, peftlab
assert peftlab.Scaling(targets="value").targets == ("value",) and "Scaling" in peftlab.__all__
from peftlab.cli import main
assert "torch" not in sys.modules, "counting waits for torch"
main("count --backbone bert-base --method scaling -o targets=value".split())
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """What runs Python with a copy of the package that has the method of the page."""
    blocks = dict(
        re.findall(r"`(peftlab/\S+\.py)`:\n\n```python\n(.*?)```", PAGE.read_text(), re.S)
    )
    line = blocks.pop(REGISTRY)
    assert len(blocks) == 2 and line.count("\n") == 1
    house = tmp_path_factory.mktemp("house")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "peftlab", house / "peftlab", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", house)  # by which a clone is known
    (house / "datasets").symlink_to(ROOT / "datasets")
    for path, text in blocks.items():
        (house / path).parent.mkdir(exist_ok=True)
        (house / path).write_text(text)
    (house / path).with_name("__init__.py").touch()
    registry = (house / REGISTRY).read_text()
    (house / REGISTRY).write_text(registry.replace("# isort: on\n", f"{line}# isort: on\n"))
    paths = os.pathsep.join([str(house), os.environ.get("PYTHONPATH", "")])

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-P", *arguments],  # -P: not the package in the working directory
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
        )

    return run


def test_it_has_a_public_name_and_a_count_on_the_command_line(python):
    done = python("-c", ASKED)
    assert done.returncode == 0, done.stderr
    assert f"{12 * 768:,}" in done.stdout


def test_it_passes_the_contract_tests_and_has_controls_in_the_panel(python):
    done = python(
        *("-m", "pytest", "-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider"),
        *("-v", "-k", "scaling and (gpt2 or t5 or panel or test_hyperparameters)"),
        "tests/methods/test_contract.py",
        "tests/methods/test_hyperparameters.py",
        "tests/lessons/test_count_panel.py",
    )
    assert done.returncode == 0, done.stdout
    passed = [line for line in done.stdout.splitlines() if "PASSED" in line]
    for part in (
        *("test_exactly_what_is_declared", "test_the_closed_form", "test_training_leaves"),
        *("test_disabled_is_the_plain", "test_saving_and_loading", "[scaling-targets]"),
        "test_count_panel.py",
    ):
        assert any(part in line for line in passed), part
