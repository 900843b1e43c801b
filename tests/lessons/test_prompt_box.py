"""The prompt box: what a model answers to any prompt, and that nothing of it trains."""

import pytest
import torch
from bs4 import BeautifulSoup

from peftlab import load_backbone, load_task
from peftlab.lessons.p_tuning.panel import Asked, answers_record, draw_answers, prompt_box

STOCK = "The capital of [X] is [Y]."


@pytest.fixture(scope="module")
def data():
    return load_task("facts/capital")


@pytest.fixture(scope="module", params=["lab-gpt-micro", "lab-bert"])
def models(request, data):
    return {request.param: Asked(*load_backbone(request.param, data))}


def test_five_subjects_answer_with_their_likeliest_tokens(models, data):
    (name,) = models
    record = answers_record(models, data, STOCK, name)
    assert [one["subject"] for one in record["answers"]] == [
        example.tags["subject"] for example in data.test[:5]
    ]
    assert sum(one["solved"] for one in record["answers"]) >= 4  # the stock phrase of pretraining
    for one in record["answers"]:
        (_, first), (_, second), (_, third) = one["says"]
        assert 1 >= first >= second >= third > 0
        assert one["solved"] == (one["right"] == pytest.approx(first))


def test_a_subject_answers_alone_as_it_does_beside_others(models, data):
    """Padding changes nothing."""
    (name,) = models
    together = answers_record(models, data, STOCK, name)["answers"]
    for i, one in enumerate(together):
        alone = load_task("facts/capital")
        object.__setattr__(alone, "test", (data.test[i],))
        (other,) = answers_record(models, alone, STOCK, name)["answers"]
        assert other["right"] == pytest.approx(one["right"], abs=1e-5)


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("", "once each"),
        ("The capital of France is [Y].", "once each"),
        ("[X] [X] [Y]", "2 times"),
        ("[P*3] [X] [Y]", "for templates that train"),
        ("[X2] [X] [Y]", "for templates that train"),
        ("[X] is " + "very " * 100 + "[Y]", "write at most 300"),
    ],
)
def test_a_prompt_that_cannot_be_asked_says_why(models, data, prompt, why):
    (name,) = models
    record = answers_record(models, data, prompt, name)
    assert why in record["problem"] and "answers" not in record
    page = BeautifulSoup(draw_answers(record), "html.parser")
    assert page.table and page.img["alt"]


def test_a_decoder_cannot_answer_before_it_reads_the_subject(data):
    models = {"gpt": Asked(*load_backbone("lab-gpt-nano", data))}
    record = answers_record(models, data, "[Y] is the capital of [X].", "gpt")
    assert "decoder reads from left to right" in record["problem"]


def test_the_box_takes_any_text_and_draws_a_table_and_a_picture(models, data):
    (name,) = models
    model = models[name].model
    before = [p.clone() for p in model.parameters()]
    panel = prompt_box(models, data, data.prompts["capital"])
    assert panel.record["prompt"] == STOCK
    panel.controls["prompt"].value = "The language of [X] is [Y]."
    assert panel.record == answers_record(models, data, "The language of [X] is [Y].", name)
    page = BeautifulSoup(panel.twin(), "html.parser")
    assert page.table and "The language of [X] is [Y]." in page.text
    assert all(one["subject"] in page.img["alt"] for one in panel.record["answers"])
    panel.controls["prompt"].value = "<b>no gap</b>"
    assert "problem" in panel.record and "<b>" not in panel.twin().split("<table")[0].replace(
        "<b>no", "x"
    )
    assert all(map(torch.equal, before, model.parameters()))
