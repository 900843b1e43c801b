"""The template panel: the template that the controls say, its counts and its stored runs."""

import itertools

import pytest
from bs4 import BeautifulSoup
from tiny import tiny_config

from peftlab import PTuning
from peftlab.lessons.p_tuning.panel import (
    MeasuredTemplates,
    draw_template,
    template_panel,
    template_record,
)

MEASURED = MeasuredTemplates(
    config=tiny_config("gpt2"),
    head="causal_lm",
    anchors=("", "is"),
    target="[Y]",
    accuracy={PTuning(template="[P*3] [X] [P*3] [Y]").template: [0.8, 0.9]},
    references={"best prompt": 0.5},
)


@pytest.mark.parametrize(
    ("chosen", "template"),
    [
        ((3, 2, "is"), "[P*3] [X] [P*2] is [Y]"),
        ((0, 2, ""), "[X] [P*2] [Y]"),
        ((1, 0, "is"), "[P*1] [X] is [Y]"),
    ],
)
def test_the_record_is_of_the_template_that_was_chosen(chosen, template):
    record = template_record(MEASURED, *chosen)
    count = PTuning(template=template).parameter_count(MEASURED.config, MEASURED.head)
    assert record["template"] == template
    assert (record["trained"], record["kept"]) == (count.trained, count.stored)
    assert record["accuracy"] == []


def test_stored_runs_are_found_by_their_template():
    assert template_record(MEASURED, 3, 3, "")["accuracy"] == [0.8, 0.9]
    assert "85.0 %" in draw_template(template_record(MEASURED, 3, 3, ""))
    assert "no stored runs" in draw_template(template_record(MEASURED, 3, 3, "is"))


def test_a_template_without_slots_is_a_problem_that_the_panel_tells():
    record = template_record(MEASURED, 0, 0, "is")
    assert "needs a slot" in record["problem"] and "needs a slot" in draw_template(record)


def test_every_setting_of_the_controls_draws_a_table_and_a_picture_with_text():
    panel = template_panel(MEASURED)
    for before, between, anchor in itertools.product((0, 3), (0, 3), ("", "is")):
        panel.controls["before"].value = before
        panel.controls["between"].value = between
        panel.controls["anchor"].value = anchor
        page = BeautifulSoup(panel.twin(), "html.parser")
        assert page.table and len(page.img["alt"]) > 20
        assert panel.record == template_record(MEASURED, before, between, anchor)
