"""The prompt panel: exact counts, stored accuracies, and the attention that was measured."""

import pytest
from bs4 import BeautifulSoup
from tiny import tiny_config

from peftlab import PromptTuning
from peftlab.lessons.prompt_tuning.panel import (
    MeasuredPrompts,
    draw_prompt,
    prompt_panel,
    prompt_record,
)

HEAD = "sequence_classification"
MEASURED = MeasuredPrompts(
    config=tiny_config("bert"),
    head=HEAD,
    tokens=12,
    mass={4: [0.2, 0.4]},
    accuracy={4: [0.8, 0.9]},
)


@pytest.mark.parametrize("length", [1, 4, 20])
def test_counts_are_those_of_a_prompt_of_that_length(length):
    record = prompt_record(MEASURED, length)
    count = PromptTuning(prompt_length=length).parameter_count(MEASURED.config, HEAD)
    assert (record["trained"], record["share"]) == (count.trained, count.share)
    assert record["positions"] == length / (length + 12)
    assert record["room"] == 40


def test_a_length_without_stored_runs_says_which_there_are():
    assert "none; there are: 4" in draw_prompt(prompt_record(MEASURED, 8))
    assert "85.0 %" in draw_prompt(prompt_record(MEASURED, 4))


def test_every_setting_of_the_control_draws_a_table_and_a_picture_with_text():
    panel = prompt_panel(MEASURED, (1, 4, 20))
    for length in (1, 4, 20):
        panel.controls["prompt_length"].value = length
        assert panel.record["prompt_length"] == length
        page = BeautifulSoup(panel.twin(), "html.parser")
        assert page.table and str(length) in page.img["alt"]
