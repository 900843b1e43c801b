"""What lab 09 measures of a method besides its parameters; times are only above 0."""

import pytest

from peftlab import FullFineTuning, LoRA, PrefixTuning
from peftlab.lessons.compare import costs
from peftlab.runs.trial import Trial

METHODS = {"full": FullFineTuning(), "LoRA": LoRA(), "prefix": PrefixTuning(prefix_length=4)}


@pytest.fixture(scope="module")
def found():
    trials = {name: Trial(label=name, method=m, learning_rate=1e-3) for name, m in METHODS.items()}
    return costs(trials, "lab-gpt-nano", "opinions", seed=0)


def test_every_method_has_its_costs_and_only_what_is_linear_is_merged(found):
    assert found.keys() == METHODS.keys()
    assert all(value > 0 for own in found.values() for value in own.values())
    assert "merged" in found["LoRA"] and "merged" not in found["prefix"]


def test_what_only_training_needs_takes_memory_and_is_not_stored(found):
    full, LoRA, prefix = found.values()
    assert full["memory"] > LoRA["memory"]  # gradients and two states of the optimizer
    rows = 2 * 2 * 4 * 64  # keys and values of 4 rows in 2 layers of width 64
    assert 4 * rows <= 2**20 * prefix["stored"] <= 4 * rows + 1024 and full["stored"] > 1
