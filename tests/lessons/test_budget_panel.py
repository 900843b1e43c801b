"""The budget panel: sizes and exact counts for any budget, places only where they are known."""

import pytest
from bs4 import BeautifulSoup
from tiny import tiny, tiny_config

from peftlab.lessons.compare.panel import (
    BUDGETS,
    COMPARED,
    Measured,
    budget_panel,
    budget_record,
    draw_budget,
    one_budget,
    place,
)
from peftlab.methods.budget import closest

HEAD = "sequence_classification"
CONFIG = tiny_config("bert")
FRONTS = {"LoRA": {256: [0.7, 0.72], 4096: [0.8, 0.82]}, "full fine-tuning": {9000: [0.9, 0.9]}}
MEASURED = Measured(CONFIG, HEAD, FRONTS, {"head only": 0.6})


@pytest.mark.parametrize("budget", [300, 2000, 100_000])
def test_each_method_has_the_size_and_the_count_of_the_solver(budget):
    record = budget_record(MEASURED, budget)
    assert len(record["methods"]) == len(COMPARED)
    for (name, method), own in zip(COMPARED.items(), record["methods"], strict=True):
        assert own["name"] == name
        try:
            fit = closest(method, CONFIG, HEAD, budget)
        except ValueError as error:
            assert own["refused"] in str(error)
        else:
            assert own["trained"] == fit.trained and own["size"]


def test_a_table_counts_what_is_attached_and_says_what_does_not_fit():
    model = tiny("bert", HEAD)
    before = {name: own.clone() for name, own in model.state_dict().items()}
    rows = one_budget(model, 2000).rows
    fitting = [row for row in rows if "counted" in row]
    assert len(rows) == len(COMPARED) and len(fitting) >= 4
    assert all(row["counted"] == row["attached"] for row in fitting)
    assert all("give a budget of" in row["size"] for row in rows if row not in fitting)
    after = model.state_dict()
    assert after.keys() == before.keys() and all(after[n].equal(w) for n, w in before.items())


def test_a_place_is_measured_or_between_two_or_unknown():
    points = {100: [0.6, 0.7], 10_000: [0.8, 0.9]}
    assert place(points, 100) == (pytest.approx(0.65), "measured")
    assert place(points, 1000) == (pytest.approx(0.75), "between")
    assert place(points, 50) == place(points, 20_000) == place({}, 100) == (None, "")


def test_the_table_says_how_an_accuracy_is_known():
    html = draw_budget(MEASURED, budget_record(MEASURED, 256))
    table = BeautifulSoup(html, "html.parser").table.get_text(" ")
    assert "rank=1 256 100 % 0.001 71.0 %" in table and "not measured" in table
    assert "give a budget of" in table  # the MLP of a prefix is larger
    between = draw_budget(MEASURED, budget_record(MEASURED, 1024))
    assert "about 76.0 %" in between


def test_the_slider_moves_the_line_and_the_rings_and_keeps_any_start():
    panel = budget_panel(MEASURED, 777)
    assert panel.record["budget"] == 777
    panel.controls["budget"].value = BUDGETS[0]
    page = BeautifulSoup(panel.twin(), "html.parser")
    assert "the budget is 1,000" in page.img["alt"] and "at the budget LoRA" in page.img["alt"]


def test_without_stored_runs_the_panel_still_counts():
    html = draw_budget(Measured(CONFIG, HEAD, {}, {}), budget_record(MEASURED, 1000))
    assert "no stored runs" in html and "rank=" in html
