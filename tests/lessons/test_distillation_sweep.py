"""The sweep of lab 08, small: students on text, their fine-tuning, students of a fine-tuned one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_task import write_task
from tiny_teacher import lines, write_teacher

from peftlab.lessons import distillation
from peftlab.lessons.distillation import shown
from peftlab.lessons.distillation import sweep as own
from peftlab.lessons.lesson import sweep
from peftlab.lessons.session import Session
from peftlab.runs.records import stored

SETTINGS = {"seed": 0, "epochs": 1, "examples": 8}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A sweep of two steps each: its study, a session that reads it, and where it ran."""
    place = tmp_path_factory.mktemp("distilled")
    teacher, task = write_teacher(place / "teacher"), write_task(place / "toy.tsv")
    short = {
        key: replace(student, steps=2, method=replace(student.method, layers=2))
        for key, student in own.STUDENTS.items()
        if key in ("triple", "alone")
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        for name, value in {
            "STUDENTS": short,
            "TRIPLE": short["triple"],
            "TRIED": [replace(short["triple"], name=f"tried {i}") for i in range(2)],
            "SEEDS": (0, 1),
            "FEW_SEEDS": (0,),
            "TUNINGS": 2,
            "REAL": (teacher, task),
            "REAL_EXAMPLES": 8,
            "texts": lines,
            "_taught": lambda: iter([("distilled", 1e-3, own.Distillation(cosine_weight=0))]),
        }.items():
            patched.setattr(own, name, value)
            if hasattr(shown, name):
                patched.setattr(shown, name, value)
        plan = distillation.LESSON.plan(backbone=teacher, task=task, **SETTINGS)
        study = sweep(distillation.LESSON, plan, teacher, task)
        session = Session(distillation.LESSON, SETTINGS | {"backbone": teacher, "task": task})
        session.plan = plan
        session.study = study
        yield study, session, place


def test_every_student_is_made_once_and_fine_tuned_with_seeds_of_its_own(done):
    study, _, _ = done
    students = [run for run in study["runs"] if run.label == "student"]
    folders = {(run.backbone, run.seed) for run in students}
    assert folders == {
        (f"08_distilbert_runs/students/{name}-{seed}", 10 * seed + i)
        for name in ("all-three-losses", "without-a-teacher")
        for seed in (0, 1)
        for i in (0, 1)
    }
    assert list(study["students"]) == ["triple", "alone"]
    assert all(len(found["held_out"]) == 2 for found in study["students"].values())


def test_a_score_is_the_mean_over_the_fine_tunings_of_one_student(done):
    study, session, _ = done
    for seed, score in enumerate(distillation.scores(session)):
        runs = [
            run.test_accuracy
            for run in study["runs"]
            if run.label == "student" and run.backbone.endswith(f"losses-{seed}")
        ]
        assert len(runs) == 2 and score == pytest.approx(sum(runs) / 2)
    assert len(distillation.scores(session, "teacher")) == 2
    assert len(distillation.scores(session, trial="LoRA")) == 2


def test_the_student_on_movies_learns_from_the_model_that_was_fine_tuned_with_its_seed(done):
    study, session, place = done
    (run,) = [r for r in study["runs"] if r.label == "distilled"]
    assert run.settings["distillation"]["cosine_weight"] == 0
    assert (place / run.backbone / "model.safetensors").is_file()
    assert run.backbone == own.teacher_folder(0)
    assert distillation.movies(session, "distilled") == [run.test_accuracy]
    assert len(distillation.movies(session, "teacher")) == 1


def test_the_seed_of_the_grid_is_shown_nowhere(done):
    study, session, _ = done
    assert any(run.seed == 100 for run in study["runs"])
    assert {"teacher, 0.001", "student, 0.001"} <= study["grid"].keys()
    shown_runs = session.runs("student", backbone=own.TRIED[1].folder(100))
    assert shown_runs == []


def test_a_finished_sweep_runs_nothing_again(done, monkeypatch):
    study, session, place = done
    monkeypatch.chdir(place)
    monkeypatch.setattr(own, "distill", None)
    before = {path: path.stat().st_mtime_ns for path in Path("08_distilbert_runs").rglob("*.json")}
    again = sweep(distillation.LESSON, session.plan, session.backbone, session.task)
    assert json.dumps(again["grid"]) == json.dumps(study["grid"])
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_rates_of_lab_08_are_the_best_of_its_stored_grid():
    """By held-out text or validation, with a seed that no figure shows."""
    grid = stored("08_distilbert_sweep")["grid"]
    found: dict[str, dict[float, float]] = {}
    for label, value in grid.items():
        name, rate = label.rsplit(", ", 1)
        found.setdefault(name, {})[float(rate)] = value
    best = {
        name: (min if name in (own.TRIPLE.name, "without a teacher") else max)(tried, key=tried.get)
        for name, tried in found.items()
    }
    assert best == {
        own.TRIPLE.name: own.RATES["text"],
        "without a teacher": own.RATES["alone"],
        "teacher": own.RATES["teacher"],
        "student": own.RATES["student"],
        "student with LoRA": own.RATES["LoRA"],
    }
