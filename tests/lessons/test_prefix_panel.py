"""The prefix panel: exact counts of any length and span, and stored scores of exactly these."""

import itertools

import pytest
from bs4 import BeautifulSoup
from tiny import tiny_config

from peftlab import PTuningV2
from peftlab.lessons.p_tuning_v2.panel import (
    MeasuredPrefixes,
    draw_prefix,
    prefix_panel,
    prefix_record,
)

HEAD = "sequence_classification"
CONFIG = tiny_config("bert")
LAYERS = CONFIG.num_hidden_layers
ALL, TOP = (1, LAYERS), (LAYERS, LAYERS)
MEASURED = MeasuredPrefixes(
    config=CONFIG,
    head=HEAD,
    layers=LAYERS,
    tokens=7,
    reached={"F1": {(5, ALL): [0.7, 0.8], (5, TOP): [0.6]}, "accuracy": {(5, ALL): [0.9]}},
    mass={(5, ALL): [0.25] * LAYERS},
)


@pytest.mark.parametrize("P, span", [*itertools.product((1, 5, 100), (ALL, TOP))])
def test_counts_are_those_of_the_method_with_these_rows(P, span):
    record = prefix_record(MEASURED, P, span)
    count = PTuningV2(prefix_length=P, layers=span).parameter_count(CONFIG, HEAD)
    assert (record["trained"], record["share"]) == (count.trained, count.share)
    layers = span[1] - span[0] + 1
    assert record["trained"] == 2 * layers * CONFIG.hidden_size * P
    assert sum(record["rows"]) == layers


def test_only_stored_runs_of_exactly_this_setting_are_shown():
    html = draw_prefix(prefix_record(MEASURED, 5, ALL))
    assert "75.0 %" in html and "90.0 %" in html and "layer 1 25 % on the rows" in html
    html = draw_prefix(prefix_record(MEASURED, 20, ALL))
    assert (
        f"P=5 in 1 to {LAYERS}, P=5 in {LAYERS} to {LAYERS}" in html and "on the rows" not in html
    )
    half = draw_prefix(prefix_record(MEASURED, 5, TOP))
    assert "60.0 %" in half and "(0 seeds)" in half


def test_the_panel_starts_at_a_stored_length_and_the_picture_follows_the_layers():
    panel = prefix_panel(MEASURED, (1, 5, 20))
    assert (panel.record["prefix_length"], panel.record["layers"]) == (5, [1, LAYERS])
    panel.controls["layers"].value = TOP
    page = BeautifulSoup(panel.twin(), "html.parser")
    assert page.table and f"5 trained rows in layer {LAYERS}" in page.img["alt"]


def test_a_panel_without_stored_runs_still_counts():
    empty = MeasuredPrefixes(config=CONFIG, head=HEAD, layers=LAYERS, tokens=7, reached={})
    panel = prefix_panel(empty, (1, 5))
    assert panel.record["trained"] > 0 and "none for this backbone" in panel.twin()


@pytest.mark.parametrize("layers", [(0, 1), (1.7, 2), (1,), (1, LAYERS + 1), "ab"])
def test_layers_that_are_no_span_of_the_backbone_are_refused(layers):
    with pytest.raises((TypeError, ValueError), match=r"layers.*write for example"):
        prefix_record(MEASURED, 5, layers)
