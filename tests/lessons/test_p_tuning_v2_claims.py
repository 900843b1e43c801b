"""The verdicts of lab 06: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.p_tuning_v2 import LESSON
from peftlab.lessons.p_tuning_v2 import claims as verdicts
from peftlab.lessons.session import session
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

HIGH, NEAR, LOW = [0.90, 0.901, 0.902], [0.89, 0.892, 0.893], [0.60, 0.61, 0.62]
WILD = [0.70, 0.95, 0.85]
SEEDS = (0, 1, 2)


@pytest.fixture
def record():
    return Record("06_p_tuning_v2", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def decided(record):
    """Verdicts by claim, all of them ready for JSON."""
    for claim in record.data["claims"]:
        assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
        assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return {claim["key"]: claim["verdict"] for claim in record.data["claims"]}


def ahead(record, tagging, classes):
    """Deep is at HIGH everywhere, and shallow as given."""
    grounds = {"tagging": tagging, "opinions": classes, "movies": []}
    deep = {"tagging": HIGH, "opinions": HIGH, "movies": []}
    verdicts.ahead(record, deep, grounds, SEEDS, "tagging", "opinions")
    return decided(record)


@pytest.mark.parametrize(
    "tagging, classes, deep, more",
    [
        (LOW, [0.8, 0.81, 0.82], HOLDS, HOLDS),
        ([0.8, 0.81, 0.82], LOW, HOLDS, FAILS),
        (LOW, LOW, HOLDS, CLOSE),
        (LOW, NEAR, FAILS, HOLDS),  # a lead of one point is not far
        (LOW, WILD, CLOSE, CLOSE),
    ],
)
def test_deep_has_to_be_far_ahead_on_every_ground_and_more_in_tagging(
    record, tagging, classes, deep, more
):
    assert ahead(record, tagging, classes) == {"deep": deep, "tagging": more}


def test_a_ground_without_runs_is_left_out_and_without_two_nothing_is_measured(record):
    verdicts.ahead(record, {"tagging": HIGH}, {"tagging": LOW}, SEEDS, "tagging", "opinions")
    assert decided(record) == {"deep": UNMEASURED, "tagging": UNMEASURED}


@pytest.mark.parametrize("last, verdict", [(HIGH, HOLDS), (LOW, FAILS), (WILD, CLOSE)])
def test_the_last_layers_have_to_be_above_the_first(record, last, verdict):
    verdicts.better(record, "depth", ("last", last), ("first", [0.8, 0.81, 0.82]), SEEDS)
    assert decided(record) == {"depth": verdict}


@pytest.mark.parametrize(
    "classes, tagging, verdict",
    [
        ((NEAR, HIGH), (LOW, HIGH), HOLDS),
        ((LOW, HIGH), (LOW, HIGH), FAILS),  # classification wants many rows, too
        ((NEAR, HIGH), (HIGH, LOW), FAILS),  # tagging does not
        ((NEAR, HIGH), (WILD, HIGH), CLOSE),
    ],
)
def test_length_needs_both_halves(record, classes, tagging, verdict):
    points = [{5: short, 20: long} for short, long in (classes, tagging)]
    verdicts.length(record, *points, SEEDS)
    assert decided(record) == {"length": verdict}


def test_length_needs_short_and_long_prompts(record):
    verdicts.length(record, {20: HIGH}, {5: HIGH, 20: HIGH}, SEEDS)
    assert decided(record) == {"length": UNMEASURED}


@pytest.mark.parametrize("head, verdict", [(NEAR, HOLDS), (LOW, FAILS), (WILD, CLOSE)])
def test_the_head_may_be_two_points_below_the_verbalizer(record, head, verdict):
    verdicts.better(record, "head", ("[CLS]", head), ("words", HIGH), SEEDS)
    assert decided(record) == {"head": verdict}


@pytest.mark.parametrize("deep, verdict", [(NEAR, HOLDS), (LOW, FAILS), (WILD, CLOSE)])
def test_comparable_is_within_two_points_on_every_ground(record, deep, verdict):
    full = {"tagging": HIGH, "opinions": HIGH, "movies": HIGH}
    verdicts.comparable(record, {"tagging": NEAR, "opinions": deep, "movies": []}, full, SEEDS)
    assert decided(record) == {"full": verdict}


def test_settings_are_compared_by_the_seeds_that_both_have(record):
    verdicts.better(record, "depth", ("last", [*HIGH, 0.1]), ("first", LOW), [*SEEDS, 3])
    assert decided(record) == {"depth": HOLDS}
    assert record.data["claims"][0]["seeds"] == list(SEEDS)


def test_full_fine_tuning_may_have_more_seeds(record):
    verdicts.comparable(record, {"tagging": NEAR}, {"tagging": [*HIGH, 0.1, 0.1]}, SEEDS)
    assert decided(record) == {"full": HOLDS}
    other = Record("06_p_tuning_v2", "A title", "A question?", {}, claims=verdicts.CLAIMS)
    verdicts.comparable(other, {}, {}, SEEDS)
    assert decided(other) == {"full": UNMEASURED}


@pytest.mark.parametrize("longest, verdict", [(224, HOLDS), (400, FAILS)])
def test_the_shares_are_counted(record, longest, verdict):
    verdicts.share(record, {"roberta-large": 8, "bert-large": longest}, 0)
    assert decided(record) == {"share": verdict}


@pytest.mark.parametrize(
    "difference, moved, verdict", [(0.0, 1.2, HOLDS), (1e-6, 1.2, FAILS), (0.0, 0.0, FAILS)]
)
def test_the_same_function_gives_the_same_bits_and_does_something(
    record, difference, moved, verdict
):
    verdicts.same(record, difference, moved, 0)
    assert decided(record) == {"same": verdict}


def test_a_task_that_is_answered_by_texts_is_refused_before_anything_loads():
    given = dict.fromkeys(LESSON.settings, 1) | {"task": "restaurants", "backbone": "lab-gpt-nano"}
    with pytest.raises(ValueError, match="takes tasks of kind tag or label"):
        session(LESSON, given)
