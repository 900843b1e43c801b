"""The distillation panel: softened distributions of both models, and stored students."""

from dataclasses import replace

import pytest
import torch
from bs4 import BeautifulSoup
from tiny_teacher import write_teacher

from peftlab.backbones import load_language_model
from peftlab.lessons.distillation import LESSON
from peftlab.lessons.distillation.panel import (
    MeasuredStudents,
    draw_students,
    students_panel,
    students_record,
)
from peftlab.lessons.distillation.shown import Distilled, answers
from peftlab.lessons.session import session

DRAW = torch.Generator().manual_seed(0)
TEACHER, STUDENT = 3 * torch.randn(2, 12, generator=DRAW)
MEASURED = MeasuredStudents(
    answers={
        "A [Y].": {"teacher": TEACHER, "student": STUDENT},
        "B [Y].": {"teacher": TEACHER, "student": TEACHER},
    },
    words=[f"w{i}" for i in range(12)],
    held_out={"all three losses": [2.0, 3.0]},
    accuracy={"all three losses": [0.7, 0.8]},
)


@pytest.mark.parametrize("T", [1.0, 2.0, 8.0])
def test_both_distributions_are_softened_and_the_words_stay(T):
    record = students_record(MEASURED, "A [Y].", T, "all three losses")
    places = [int(word[1:]) for word in record["words"]]
    assert places == TEACHER.topk(8).indices.tolist()
    for who, logits in (("teacher", TEACHER), ("ours", STUDENT)):
        assert record[who] == pytest.approx((logits / T).softmax(-1)[places].tolist())


def test_entropy_grows_with_the_temperature_and_equal_models_lose_nothing():
    found = [students_record(MEASURED, "B [Y].", T, "") for T in (1.0, 2.0, 8.0)]
    entropies = [record["entropy"]["teacher"] for record in found]
    assert entropies == sorted(entropies) and entropies[-1] < torch.tensor(12.0).log() + 1e-4
    assert all(record["loss"] == pytest.approx(0, abs=1e-4) for record in found)


def test_stored_students_are_averaged_and_others_are_not_made_up():
    html = draw_students(students_record(MEASURED, "A [Y].", 2.0, "all three losses"))
    assert "2.50 nats" in html and "75.0 %" in html and "(2 seeds)" in html
    assert "none for this backbone" in draw_students(students_record(MEASURED, "A [Y].", 2.0, "x"))


def test_the_panel_follows_its_controls_and_its_twin_says_the_picture():
    panel = students_panel(MEASURED, (1.0, 2.0, 4.0))
    assert panel.values == {"sentence": "A [Y].", "temperature": 2.0, "student": "all three losses"}
    panel.controls["temperature"].value = 4.0
    assert panel.record["temperature"] == 4.0
    page = BeautifulSoup(panel.twin(), "html.parser")
    assert page.table and "temperature 4" in page.img["alt"]


def test_a_panel_without_stored_students_still_softens():
    bare = MeasuredStudents(answers=MEASURED.answers, words=MEASURED.words)
    panel = students_panel(bare, (1.0,))
    assert "none for this backbone" in panel.twin()


@pytest.mark.parametrize("T", [0, -1.0, float("nan"), float("inf"), "2"])
def test_a_temperature_that_softens_nothing_is_refused(T):
    with pytest.raises((TypeError, ValueError), match="temperature must be"):
        students_record(MEASURED, "A [Y].", T, "x")


def test_a_sentence_that_was_not_measured_is_refused_with_those_that_were():
    with pytest.raises(ValueError, match=r"'C \[Y\]\.' was not measured; there are: A \[Y\]"):
        students_record(MEASURED, "C [Y].", 1.0, "x")


def test_few_words_with_odd_signs_are_drawn():
    found = {"It costs $5 or $6 [Y].": {"teacher": TEACHER[:3], "student": STUDENT[:3]}}
    odd = MeasuredStudents(answers=found, words=["$\\foo$", "<b>", "##s"])
    page = draw_students(students_record(odd, "It costs $5 or $6 [Y].", 1.0, "x"))
    assert "<b>" not in page


def test_the_panel_calls_the_score_by_its_name():
    record = students_record(
        replace(MEASURED, score="entity F1"), "A [Y].", 2.0, "all three losses"
    )
    assert "entity F1 after fine-tuning" in draw_students(record)


@pytest.mark.parametrize(("sentence", "gaps"), [("No gap.", 0), ("[Y] and [Y].", 2)])
def test_a_sentence_without_exactly_one_gap_is_refused(sentence, gaps):
    teacher, tokenizer = load_language_model("lab-bert")
    with pytest.raises(ValueError, match=f"exactly one gap.*has {gaps}"):
        answers(Distilled(teacher, teacher, tokenizer, {}), [sentence])


@pytest.mark.parametrize(
    ("backbone", "said"), [("lab-gpt-nano", "bert, roberta"), ("", "give a backbone a name")]
)
def test_a_backbone_that_cannot_teach_stops_the_session(backbone, said):
    given = {"task": "entities", "seed": 0, "epochs": 1, "examples": 8}
    with pytest.raises(ValueError, match=f"cannot teach here: .*{said}.*write backbone='lab-bert'"):
        session(LESSON, given | {"backbone": backbone})


def test_a_sweep_is_refused_for_a_teacher_of_another_depth(tmp_path):
    given = {"backbone": write_teacher(tmp_path / "teacher"), "task": "entities", "seed": 0}
    given |= {"epochs": 1, "examples": 8}
    assert session(LESSON, given).seed == 0
    with pytest.raises(ValueError, match="rerun_sweep needs a teacher of 6 layers"):
        session(LESSON, given | {"rerun_sweep": True})
