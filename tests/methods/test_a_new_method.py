"""A new method is a folder and one line in the registry: all that is read from there has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

METHOD = '''
"""A toy: a trained vector is added to what every MLP gives."""

from dataclasses import dataclass
from typing import ClassVar

from peftlab import anatomy
from peftlab.methods.base import Method
from peftlab.methods.hyperparameters import number, whole


@dataclass(frozen=True, kw_only=True)
class Shift(Method):
    """Vectors behind every MLP."""

    name: ClassVar[str] = "shift"
    title: ClassVar[str] = "shifted MLPs"

    vectors: int = whole(1, low=1, usual=(1, 4), counts=True)
    scale: float = number(1.0, low=0)

    def _added(self, config, head):
        chosen = anatomy.select(anatomy.projections(config, head), ["mlp_out"])
        return sum(self.vectors * p.d_out for p in chosen)

    def attach(self, model):
        from peftlab.attach import attaching, projections
        from shift.layers import ShiftedLinear

        chosen = anatomy.select(projections(model), ["mlp_out"])
        with attaching(self, model) as attachment:
            for p in chosen:
                base = model.get_submodule(p.name)
                attachment.add(p.name, ShiftedLinear(base, p.d_out, self.vectors, self.scale))
        return attachment
'''
LAYERS = '''
"""The layer of the toy."""

import torch
from torch import nn

from peftlab.attach import Addition


class ShiftedLinear(Addition):
    """A frozen linear map with vectors added to what it gives."""

    def __init__(self, base, width, vectors, scale):
        super().__init__()
        self.base, self.scale = base, scale
        self.vectors = nn.Parameter(torch.zeros(vectors, width))

    def forward(self, x):
        return self.base(x) + self.scale * self.vectors.sum(0)

    @property
    def weight(self):
        return self.base.weight
'''
REGISTRY = """
from peftlab.methods import METHODS
from shift.method import Shift

METHODS[Shift.name] = Shift
"""
ASKED = """
import sys, peftlab
assert peftlab.Shift(vectors=2).vectors == 2 and "Shift" in peftlab.__all__
from peftlab.cli import main
assert "torch" not in sys.modules, "counting waits for torch"
main("count --backbone bert-base --method shift -o vectors=4".split())
"""


@pytest.fixture(scope="module")
def shift(tmp_path_factory):
    """What runs Python with the toy in its registry."""
    folder = tmp_path_factory.mktemp("with_a_toy")
    (folder / "shift").mkdir()
    (folder / "shift" / "method.py").write_text(METHOD)
    (folder / "shift" / "layers.py").write_text(LAYERS)
    (folder / "registry.py").write_text(REGISTRY)
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(folder), str(root), os.environ.get("PYTHONPATH", "")])

    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=root,
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
        )

    return python


def test_it_has_a_public_name_and_a_count_on_the_command_line(shift):
    done = shift("-c", REGISTRY + ASKED)
    assert done.returncode == 0, done.stderr
    assert f"{12 * 4 * 768:,}" in done.stdout


def test_it_passes_the_contract_tests_and_has_controls_in_the_panel(shift):
    done = shift(
        *("-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "registry"),
        *("-v", "-k", "shift and (gpt2 or t5 or panel or test_hyperparameters)"),
        "tests/methods/test_contract.py",
        "tests/methods/test_hyperparameters.py",
        "tests/lessons/test_count_panel.py",
    )
    assert done.returncode == 0, done.stdout
    passed = [line for line in done.stdout.splitlines() if "PASSED" in line]
    for part in (
        *("test_exactly_what_is_declared", "test_the_closed_form", "test_training_leaves"),
        *("test_disabled_is_the_plain", "test_saving_and_loading", "[shift-vectors]"),
        "test_count_panel.py",
    ):
        assert any(part in line for line in passed), part
