"""The prefix panel: exact counts, stored scores and attention, and the text of each length."""

from dataclasses import replace

import pytest
from bs4 import BeautifulSoup
from tiny import tiny_config

from peftlab import PrefixTuning
from peftlab.lessons.prefix_tuning.panel import (
    MeasuredPrefixes,
    draw_prefix,
    prefix_panel,
    prefix_record,
)

SHOWN = [
    {"input": "name: Orviva | kind: pub =>", "references": ["Orviva is a pub.", "A pub: Orviva."]},
    {"input": "name: Corla | food: Thai =>", "references": ["Corla has Thai food."]},
]
MEASURED = MeasuredPrefixes(
    config=tiny_config("gpt2"),
    head="causal_lm",
    width=6,
    mass={4: [0.2, 0.4]},
    slot_accuracy={4: [0.5, 0.7]},
    slot_error={4: [0.5, 0.3]},
    bleu={4: [20.0, 30.0]},
    shown=SHOWN,
    written={4: ["Orviva is a bakery.", "Corla is Corla."]},
)
EMPTY = MeasuredPrefixes(MEASURED.config, "causal_lm", 6, {}, {}, {}, {}, (), {})


@pytest.mark.parametrize("length", [1, 4, 20])
def test_counts_are_those_of_a_prefix_of_that_length(length):
    record = prefix_record(MEASURED, length, 0)
    method = PrefixTuning(prefix_length=length, reparametrization_width=6)
    count = method.parameter_count(MEASURED.config, "causal_lm")
    assert (record["trained"], record["stored"]) == (count.trained, count.stored)
    assert record["share"] == count.stored / count.backbone


def test_a_stored_length_shows_its_scores_and_its_text_beside_the_references():
    page = draw_prefix(prefix_record(MEASURED, 4, 0))
    for said in ("slot accuracy 60.0 %", "slot error 40.0 %", "BLEU 25.0", "Orviva is a bakery."):
        assert said in page
    assert "A pub: Orviva." in page and "Corla" not in page
    assert "Corla is Corla." in draw_prefix(prefix_record(MEASURED, 4, 1))


def test_a_length_without_stored_runs_says_which_there_are():
    page = draw_prefix(prefix_record(MEASURED, 8, 0))
    assert "there are: 4" in page and "no stored run of this length" in page


def test_every_setting_of_the_controls_draws_tables_and_a_picture_with_text():
    panel = prefix_panel(MEASURED, (1, 4, 20))
    assert [label for label, _ in panel.controls["place"].options] == [
        "Orviva (pub)",
        "Corla (kind not said)",
    ]
    for length in (1, 4, 20):
        for place in (0, 1):
            panel.controls["prefix_length"].value = length
            panel.controls["place"].value = place
            page = BeautifulSoup(panel.twin(), "html.parser")
            assert len(page.find_all("table")) == 2 and str(length) in page.img["alt"]


def test_without_stored_runs_the_panel_counts():
    panel = prefix_panel(EMPTY, (1, 4))
    assert panel.record["stored"] and panel.record["text"] is None
    assert "none" in panel.twin()


def test_an_own_task_of_texts_has_no_slots_and_may_look_in_any_way():
    """Tables of other slots, sentences: what `-p task my_tables.jsonl` brings."""
    inputs = ("city: Rome | number: 3 =>", "a sentence: with | bars", "one without any slot at all")
    own = replace(
        MEASURED,
        slot_accuracy={},
        slot_error={},
        shown=[{"input": text, "references": ["Rome."]} for text in inputs],
        written={4: ["Rome.", "", "No."]},
    )
    panel = prefix_panel(own, (1, 4, 20))
    assert panel.record["prefix_length"] == 4 and panel.record["seeds"] == 2
    assert "BLEU 25.0" in panel.twin() and "slot accuracy" not in panel.twin()
    names = [name for name, _ in panel.controls["place"].options]
    assert names == [*inputs[:2], "one without any slot at all"]


@pytest.mark.parametrize("place", [-1, 2, "x", 1.0])
def test_a_place_that_is_not_shown_is_refused(place):
    with pytest.raises((TypeError, ValueError), match="place must be"):
        prefix_record(MEASURED, 4, place)
