"""Whether tasks separate methods: what is trained, how a margin is decided, what is printed."""

import pytest

from peftlab.runs import separation
from peftlab.runs.separation import FULL, HEAD, LORA, RANDOM, STUDIES, Study, judge
from peftlab.runs.trial import Run
from peftlab.tasks import load_task

STUDY = Study(
    task="opinions",
    backbone="lab-bert",
    full=(5e-4, 10),
    lora=(5e-3, 10),
    head=(1e-2, 4),
    demands={HEAD: ("far", 0.15), LORA: ("near", 0.03), FULL: ("least", 0.9)},
)


def made(label, **measured):
    """A run with nothing in it but what a margin looks at."""
    place = {"settings": {}, "backbone": "b", "task": "t", "seed": 0, "counts": {}, "seconds": 0.0}
    found = {"validation_accuracy": None, "test_accuracy": 0.5, "test_loss": 1.0, "by_kind": {}}
    return Run(label=label, **place, **found, **measured)


def runs(**scores):
    return [
        made(label, test_scores={"accuracy": score})
        for label, found in scores.items()
        for score in found
    ]


def decided(full, **others):
    names = {"lora": LORA, "head": HEAD, "random": RANDOM}
    rows = judge(STUDY, runs(**{FULL: full}, **{names[k]: v for k, v in others.items()}))
    return {row["trial"]: row["holds"] for row in rows}


def test_trials_differ_in_what_they_train_and_where_they_start():
    trials = {trial.label: trial for trial in STUDY.trials()}
    assert list(trials) == [FULL, LORA, HEAD, RANDOM]
    assert [t.method.name for t in trials.values()] == ["full", "lora", "head", "full"]
    assert [t.pretrained for t in trials.values()] == [True, True, True, False]
    assert (trials[RANDOM].learning_rate, trials[RANDOM].epochs) == (5e-4, 10)
    assert trials[HEAD].epochs == 4
    assert [t.label for t in Study(task="a", backbone="b", full=(1.0, 1)).trials()] == [
        FULL,
        RANDOM,
    ]


def test_margins_are_decided_by_means_over_seeds():
    assert decided([1.0, 0.8], head=[0.7, 0.8], lora=[0.86, 0.88]) == {
        FULL: True,
        HEAD: True,
        LORA: True,
    }
    assert decided([0.8], head=[0.7], lora=[0.76]) == {FULL: False, HEAD: False, LORA: False}
    assert decided([0.95], lora=[0.99], random=[0.5]) == {FULL: True, LORA: True, RANDOM: None}


def test_a_study_may_be_about_one_kind_of_rows():
    study = Study(task="opinions", backbone="b", full=(1.0, 1), kind="plain")
    study.demands[FULL] = ("least", 0.9)
    kinds = {"plain": {"accuracy": 0.95}, "contrast": {"accuracy": 0.1}}
    run = made(FULL, test_scores={"accuracy": 0.5}, scores_by_kind=kinds)
    (row,) = judge(study, [run])
    assert (row["mean"], row["holds"], row["metric"]) == (0.95, True, "accuracy, plain rows")


def test_the_table_says_what_holds():
    margins = judge(STUDY, runs(**{FULL: [0.95, 0.97], HEAD: [0.9, 0.9]}))
    prompts = {"capital": {"a": 0.0, "b": 0.75}}
    lines = separation.table({"margins": margins, "prompts": prompts}).splitlines()
    assert "96.0 ± 1.4" in lines[1]
    assert lines[1].endswith("at least 90%: holds")
    assert lines[2].endswith("15% or more under full: does not hold")
    assert "0 to 75 by prompt" in lines[3]


def test_every_study_is_of_a_bundled_task_and_demands_something_it_trains():
    for study in STUDIES:
        assert load_task(study.task).name == study.task
        labels = {trial.label for trial in study.trials()}
        assert study.demands
        assert set(study.demands) <= labels


def test_an_unknown_task_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="no study of 'sums'; there are: opinions, entities"):
        separation.separation(["sums"], folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
