"""What lab 09 computes from runs: the front, best rates, what is not told apart, what is lost."""

from types import SimpleNamespace

import pytest
import torch

from peftlab.lessons import compare as lesson
from peftlab.lessons.compare import drawing, exercises, shown
from peftlab.lessons.compare.sweep import LANGUAGE_MODEL, MIDDLE, PLACES, RATED, SIZES
from peftlab.runs.records import find_runs, stored

SETTINGS = {"learning_rate": 3e-3, "epochs": 3, "examples": 1000}


def plan(backbone="minilm", task="movies"):
    return lesson.LESSON.plan(backbone=backbone, task=task, **SETTINGS)


def test_the_front_holds_whom_nobody_beats():
    points = {"a": (1, 50.0), "b": (2, 40.0), "c": (2, 60.0), "d": (3, 60.0), "e": (9, 61.0)}
    assert drawing.front_of(points) == ["a", "c", "e"]
    twins = {"a": (1, 50.0), "b": (1, 50.0)}
    assert drawing.front_of(twins) == ["a", "b"]


@pytest.mark.parametrize(
    "points, best",
    [
        ({1e-4: 0.5, 1e-3: 0.9, 1e-2: 0.5}, 1e-3),  # as good on either side
        ({1e-4: 0.8, 1e-3: 0.9, 1e-2: 0.5}, 10**-3.3),  # the parabola's top, by hand
        ({1e-4: 0.9, 1e-3: 0.8, 1e-2: 0.5}, 1e-4),  # an end
        ({1e-4: 0.5, 1e-3: 0.8, 1e-2: 0.9}, 1e-2),
        ({1e-4: 0.5, 1e-3: 0.5, 1e-2: 0.5}, 1e-4),
    ],
)
def test_the_best_rate_is_the_top_of_a_parabola(points, best):
    assert shown.best_rate(points) == pytest.approx(best)
    assert shown.best_rate(dict(reversed(points.items()))) == pytest.approx(best)


def test_what_is_not_told_apart_has_an_interval_that_reaches_zero():
    values = {"best": [80.0, 81, 82], "near": [79.0, 82, 81], "far": [70.0, 71, 72.1]}
    assert shown.not_apart("best", values) == ["near"]
    costs = {"best": [1.0, 1.1, 1.2], "dear": [3.0, 3.1, 3.3]}
    assert shown.not_apart("best", costs, sign=-1.0) == []
    once = {"best": [1.0], "near": [1.04], "far": [1.1]}
    assert shown.not_apart("best", once, sign=-1.0) == ["near"]


def test_what_is_lost_and_how_the_loss_grew_are_differences_by_seed():
    def run(before, after, reading=None):
        return SimpleNamespace(
            test_accuracy=before, afterwards={"movies": after}, task="movies", reading=reading
        )

    runs = {"LoRA": [run(0.8, 0.7), run(0.9, 0.9)]}
    assert shown.lost(runs)["LoRA"] == pytest.approx([10.0, 0.0])
    read = {"LoRA": [run(0.8, 0.7, {"before": 3.0, "after": 3.5})], "head": [run(0.8, 0.7)]}
    assert shown.reading(read) == {"LoRA": [0.5]}


def test_means_are_written_with_their_interval_where_there_is_one():
    assert shown.with_ends([80.0]) == "80.0"
    assert shown.with_ends([80.0, 82.0], "{:.0f}") == "81 (68 to 94)"


def test_runs_that_other_labs_have_stored_are_found_in_their_records():
    groups = [group for group in plan().groups.values() if group.record]
    assert {group.record for group in groups} >= {"01_lora_sweep", "02_adapter_sweep"}
    for group in groups:
        runs = stored(group.record)["runs"]
        for trial in group.trials:
            found = {run.seed for run in find_runs(runs, trial, "minilm", "movies")}
            assert found >= set(group.seeds), (group.record, trial.label)


def test_the_plan_runs_on_its_own_ground_wherever_the_live_run_is():
    elsewhere = plan("lab-bert", "opinions")
    assert {group.backbone for group in elsewhere.groups.values()} >= {LANGUAGE_MODEL, *RATED}
    assert all(group.backbone and group.task for group in elsewhere.groups.values())
    assert MIDDLE.keys() == SIZES.keys()


def test_the_four_places_cost_about_the_same(minilm_config):
    counts = [
        method.parameter_count(minilm_config, "sequence_classification").trained
        for method in PLACES.values()
    ]
    assert max(counts) <= 1.2 * min(counts)


@pytest.fixture
def minilm_config():
    from peftlab.anatomy.catalog import catalog_config

    return catalog_config("minilm")


def test_the_front_of_the_exercise_is_that_of_the_figure():
    inputs = exercises.FRONT.inputs(torch.Generator().manual_seed(3))
    points = {
        str(i): (float(c), float(s))
        for i, (c, s) in enumerate(zip(inputs["counts"], inputs["scores"], strict=True))
    }
    kept = exercises.front(**inputs).nonzero()[:, 0].tolist()
    assert {str(i) for i in kept} == set(drawing.front_of(points))
