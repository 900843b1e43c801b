"""The adapter panel: every choice of layers was evaluated beforehand."""

import itertools

import pytest
from bs4 import BeautifulSoup
from tiny_task import write_backbone, write_task

from peftlab import Adapter, evaluate, load_backbone, load_task
from peftlab.insight import without_adapters
from peftlab.lessons.adapter.panel import (
    Switches,
    draw_switches,
    switch_names,
    switches_panel,
    switches_record,
)
from peftlab.lessons.adapter.switches import named, switched, switches

SCORES = {
    named(off): {"accuracy": 0.9 - 0.1 * len(off), "loss": 0.3 + sum(off), "right": [0.5, 0.25]}
    for count in range(3)
    for off in itertools.combinations(range(2), count)
}
MEASURED = Switches(
    depth=2,
    found={"sentences": [4, 2], "tested": 50, "scores": SCORES},
    sentences=["A fine <film>.", "word " * 60],
    labels=["positive", "negative"],
)
NAMES = ("layer 1", "layer 2")


@pytest.mark.parametrize("on", [*itertools.product((True, False), repeat=2)])
def test_a_choice_finds_its_own_scores(on):
    record = switches_record(MEASURED, **dict(zip(NAMES, on, strict=True)))
    off = [i for i, stays in enumerate(on) if not stays]
    assert record["off"] == [NAMES[i] for i in off]
    assert record["now"] == {"accuracy": 0.9 - 0.1 * len(off), "loss": 0.3 + sum(off)}
    assert record["whole"]["accuracy"] == 0.9 and record["none"]["loss"] == 1.3
    assert len(record["every"]) == 4


def test_the_order_of_the_switches_makes_no_difference():
    record = switches_record(MEASURED, **{"layer 2": True, "layer 1": False})
    assert record["off"] == ["layer 1"] and record["now"]["loss"] == 0.3


def test_every_setting_of_the_controls_draws_tables_and_a_picture_with_text():
    panel = switches_panel(MEASURED)
    for on in itertools.product((True, False), repeat=2):
        for name, stays in zip(NAMES, on, strict=True):
            panel.controls[name].value = stays
        page = BeautifulSoup(panel.twin(), "html.parser")
        assert len(page.find_all("table")) == 2
        assert f"with {2 - sum(on)} taken away" in page.img["alt"]
        assert "A fine <film>." in page.text and "word " * 30 not in page.text


def test_draw_says_the_scores_of_all_three():
    html = draw_switches(switches_record(MEASURED, **{"layer 1": True, "layer 2": False}))
    assert "80.0 %" in html and "1.300, 0.300, 1.300" in html


@pytest.mark.parametrize(
    ("depth", "names"),
    [
        (1, ["layer 1"]),
        (6, [f"layer {i}" for i in range(1, 7)]),
        (8, ["layers 1 to 2", "layers 3 to 4", "layer 5", "layer 6", "layer 7", "layer 8"]),
    ],
)
def test_a_deep_model_has_switches_for_several_layers(depth, names):
    assert switch_names(depth) == names
    assert [layer for own in switched(depth) for layer in own] == list(range(depth))


def test_switches_measure_every_choice_on_the_model(tmp_path):
    data = load_task(write_task(tmp_path / "toy.tsv"))
    model, tokenizer = load_backbone(write_backbone(tmp_path / "bert"), data)
    attachment = Adapter(bottleneck=2, init_std=1.0).attach(model)
    before = {name: tensor.clone() for name, tensor in attachment.state_dict().items()}
    found = switches(model, tokenizer, data, 20)
    depth = model.config.num_hidden_layers
    tested = data.test[:20]
    assert len(found["scores"]) == 2**depth and found["tested"] == len(tested)
    with without_adapters(model, [1]):
        alone = evaluate(model, tokenizer, tested)
    assert found["scores"]["1"]["loss"] == pytest.approx(alone.loss)
    assert found["scores"]["1"]["accuracy"] == alone.accuracy
    assert all(0 <= p <= 1 for one in found["scores"].values() for p in one["right"])
    assert len(set(found["sentences"])) == len(found["scores"][""]["right"])
    assert all(i < len(tested) for i in found["sentences"])
    after = attachment.state_dict()
    assert all((after[name] == tensor).all() for name, tensor in before.items())
