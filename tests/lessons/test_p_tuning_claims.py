"""The verdicts of lab 05: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.p_tuning import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

SEEDS = (0, 1, 2)


def on_test(scores):
    return {prompt: {"train": 1 - score, "test": score} for prompt, score in scores.items()}


WIDE = {n: on_test({"a": 1.0, "b": 0.5, "c": low}) for n, low in (("x", 0.0), ("y", 0.1))}


@pytest.fixture
def record():
    return Record("05_p_tuning", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def only(record):
    """The one claim that was decided, ready for JSON."""
    (claim,) = record.data["claims"]
    assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
    assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return claim


def pairs(*scores):
    return {
        f"r{i}": {"prompt": "p", "before": b, "after": {"the": 1.0, "is": a}}
        for i, (b, a) in enumerate(scores)
    }


@pytest.mark.parametrize("key", ["swing", "swing_real"])
@pytest.mark.parametrize(
    ("without", "verdict"),
    [
        (pairs((1.0, 0.1), (0.2, 0.0), (0.5, 0.1), (0.0, 0.0)), HOLDS),
        (pairs((0.3, 0.25), (0.2, 0.18), (0.4, 0.36)), FAILS),
        (pairs((1.0, 0.0), (0.3, 0.3), (0.6, 0.5)), CLOSE),
    ],
)
def test_one_word_has_to_cost_two_fifths_of_the_right_answers(record, key, without, verdict):
    """Where nothing is right, nothing can be lost."""
    verdicts.swing(record, key, without, seed=0)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == (key, verdict)


@pytest.mark.parametrize(
    ("learnt", "verdict"),
    [
        ({"x": [0.9, 0.95], "y": [0.92, 0.9]}, HOLDS),
        ({"x": [0.0, 1.1], "y": [0.0, 1.0]}, FAILS),
        ({"x": [0.0, 1.0], "y": [0.5, 0.6]}, CLOSE),
    ],
)
def test_spread_compares_the_ranges(record, learnt, verdict):
    verdicts.spread(record, WIDE, learnt, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    ("learnt", "verdict"),
    [
        ({"x": [0.7, 0.72, 0.71], "y": [0.5, 0.52, 0.51]}, HOLDS),
        ({"x": [0.7, 0.72, 0.71], "y": [0.1, 0.12, 0.11]}, FAILS),
        ({"x": [0.7, 0.72, 0.71], "y": [0.1, 0.32, 0.21]}, CLOSE),
        ({"x": [0.7], "y": [0.5]}, CLOSE),
    ],
)
def test_best_has_to_be_above_the_chosen_prompt_in_every_relation(record, learnt, verdict):
    verdicts.best(record, {"x": 0.3, "y": 0.2, "z": 0.1}, learnt, SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict
    assert [effect["what"][0] for effect in claim["effects"]] == ["x", "y"]  # z was not trained


@pytest.mark.parametrize(
    ("steps", "encoder", "lstm"),
    [
        ({"lstm": [5, 6], "mlp": [10, 11], "none": [20, 21]}, HOLDS, HOLDS),
        ({"lstm": [9, 10], "mlp": [10, 11], "none": [10, 12]}, CLOSE, FAILS),
        ({"lstm": [15, 16], "mlp": [10, 11], "none": [20, 21]}, HOLDS, FAILS),
        ({"lstm": [5, 15], "mlp": [10, 11], "none": [4, 5]}, FAILS, CLOSE),
    ],
)
def test_the_encoder_and_its_lstm_are_two_claims(record, steps, encoder, lstm):
    verdicts.convergence(record, steps, SEEDS)
    found = {claim["key"]: claim["verdict"] for claim in record.data["claims"]}
    assert found == {"encoder": encoder, "lstm": lstm}


@pytest.mark.parametrize(
    ("behind", "verdict"),
    [([0.9, 0.8, 0.85], HOLDS), ([0.1, 0.0, 0.1], FAILS), ([0.2, 0.9, 0.4], CLOSE)],
)
def test_place_pairs_slots_behind_with_those_in_front(record, behind, verdict):
    scores = {"both sides": [0.5], "in front": [0.4, 0.45, 0.5], "behind": behind}
    verdicts.place(record, scores, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    ("one", "verdict"),
    [([0.6, 0.7], HOLDS), ([0.1, 0.2], FAILS), ([0.2, 0.9], CLOSE)],
)
def test_an_anchor_has_to_help_in_each_template_and_no_template_hides_another(record, one, verdict):
    scores = {
        ("three", "no word"): [0.3, 0.4],
        ("three", "fitting"): [0.9, 1.0],
        ("three", "window"): [0.0, 0.0],
        ("one", "no word"): [0.4, 0.5],
        ("one", "fitting"): one,
    }
    verdicts.anchors(record, scores, SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict and len(claim["effects"]) == 2


@pytest.mark.parametrize(("difference", "verdict"), [(0.0, HOLDS), (1e-7, FAILS)])
def test_baking_is_exact(record, difference, verdict):
    verdicts.baking(record, difference, seed=0)
    assert only(record)["verdict"] == verdict


def families(gpt, bert, full, gpt_full=(0.1, 0.12)):
    return {
        "gpt": {"P-Tuning": {"x": gpt}, "full fine-tuning": {"x": list(gpt_full) if gpt else []}},
        "bert": {"P-Tuning": {"x": bert}, "full fine-tuning": {"x": full}},
    }


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        (families([0.8, 0.81], [0.7, 0.71], [0.6, 0.61]), HOLDS),
        (families([1.0, 1.0], [0.7, 0.71], [0.99, 0.99]), HOLDS),
        (families([0.8, 0.81], [0.7, 0.71], [0.95, 0.96]), FAILS),
        (families([0.8, 0.81], [0.7, 0.71], [0.6, 0.61], [0.7, 0.72]), FAILS),
        (families([0.8, 0.81], [0.7, 0.9], [0.6, 0.61]), CLOSE),
    ],
)
def test_the_title_compares_with_a_bert_trained_either_way(record, scores, verdict):
    verdicts.title(record, scores, SEEDS)
    assert only(record)["verdict"] == verdict


def test_what_no_run_was_stored_for_is_not_measured(record):
    verdicts.swing(record, "swing", {}, seed=0)
    verdicts.spread(record, WIDE, {}, SEEDS)
    verdicts.best(record, {}, {}, SEEDS)
    verdicts.convergence(record, {"lstm": [3]}, SEEDS)
    verdicts.place(record, {}, SEEDS)
    verdicts.anchors(record, {("three", "no word"): [0.1]}, SEEDS)
    verdicts.title(record, families([], [], []), SEEDS)
    assert {claim["verdict"] for claim in record.data["claims"]} == {UNMEASURED}
    assert len(record.data["claims"]) == 8
