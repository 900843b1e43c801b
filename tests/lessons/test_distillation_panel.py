"""The distillation panel: softened distributions of both models, and stored students."""

import pytest
import torch
from bs4 import BeautifulSoup

from peftlab.lessons.distillation.panel import (
    MeasuredStudents,
    draw_students,
    students_panel,
    students_record,
)

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
