"""The bias panel: exact counts of any choice, and stored accuracies of exactly that choice."""

import itertools

import pytest
from bs4 import BeautifulSoup
from tiny import tiny_config

from peftlab import BitFit
from peftlab.lessons.bitfit.panel import MeasuredBiases, biases_panel, biases_record, draw_biases
from peftlab.methods.bitfit.method import KINDS, TWO

HEAD = "sequence_classification"
MEASURED = MeasuredBiases(
    config=tiny_config("bert"),
    head=HEAD,
    accuracy={frozenset(KINDS): [0.9], frozenset(TWO): [0.7, 0.8]},
    references={"full fine-tuning": 0.95},
)


def chosen(*kinds):
    return {kind: kind in kinds for kind in KINDS}


@pytest.mark.parametrize("kinds", [KINDS, TWO, ("query",), *itertools.combinations(KINDS, 7)])
def test_counts_are_those_of_bitfit_on_these_kinds(kinds):
    record = biases_record(MEASURED, **chosen(*kinds))
    count = BitFit(biases=kinds).parameter_count(MEASURED.config, HEAD)
    assert (record["trained"], record["share"]) == (count.trained, count.share)


def test_nothing_chosen_is_nothing_trained():
    record = biases_record(MEASURED, **chosen())
    assert (record["trained"], record["kinds"], record["accuracy"]) == (0, [], [])


def test_only_stored_runs_of_exactly_this_choice_are_shown():
    assert "75.0 %" in draw_biases(biases_record(MEASURED, **chosen(*TWO)))
    html = draw_biases(biases_record(MEASURED, **chosen("key")))
    assert "none; there are: all eight; query, mlp_in" in html


def test_the_panel_starts_with_the_papers_two_kinds_and_follows_its_boxes():
    panel = biases_panel(MEASURED)
    assert panel.record["kinds"] == list(TWO)
    panel.controls["value"].value = True
    assert panel.record["kinds"] == ["query", "value", "mlp_in"]
    page = BeautifulSoup(panel.twin(), "html.parser")
    assert page.table and "query 64 (chosen)" in page.img["alt"]
