"""The verdicts of lab 04: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.prefix_tuning import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

SEEDS = (0, 1, 2)
NONE = {"slot_accuracy": [], "bleu": []}


def scores(slots, bleu=None):
    """Scores of three seeds near a slot accuracy; BLEU follows unless it is given."""
    apart = [slots, slots + 0.01, slots - 0.01]
    return {"slot_accuracy": apart, "bleu": [bleu or 80 * s for s in apart]}


def wide(slots):
    apart = [slots, slots + 0.2, slots - 0.2]
    return {"slot_accuracy": apart, "bleu": [80 * s for s in apart]}


@pytest.fixture
def record():
    return Record("04_prefix_tuning", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def only(record):
    """The one claim that was decided, ready for JSON."""
    (claim,) = record.data["claims"]
    assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
    assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return claim


@pytest.mark.parametrize("key", ["quality", "deep", "infix", "unseen", "adapters", "words"])
@pytest.mark.parametrize(
    "ours, theirs, verdict",
    [
        (scores(0.6), scores(0.4), HOLDS),
        (scores(0.4), scores(0.6), FAILS),
        (wide(0.5), scores(0.52), CLOSE),
        (scores(0.6, bleu=20.0), scores(0.4, bleu=40.0), FAILS),  # both scores have to agree
    ],
)
def test_one_setting_is_ahead_by_slots_and_by_bleu(record, key, ours, theirs, verdict):
    verdicts.ahead(record, key, ("ours", ours), ("theirs", theirs), SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict
    assert [effect["unit"] for effect in claim["effects"]] == ["points", "BLEU points"]
    assert len(claim["printed"]) in (0, 2)


def test_two_points_below_are_as_good_where_the_claim_says_as_good(record):
    verdicts.ahead(record, "quality", ("a", scores(0.60, 50.0)), ("b", scores(0.61, 51.0)), SEEDS)
    verdicts.ahead(record, "deep", ("a", scores(0.60, 50.0)), ("b", scores(0.61, 51.0)), SEEDS)
    assert [claim["verdict"] for claim in record.data["claims"]] == [HOLDS, FAILS]


@pytest.mark.parametrize(
    "few, most, verdict",
    [
        ((0.4, 0.5), 0.6, HOLDS),  # ahead with few examples, level with many
        ((0.4, 0.5), 0.9, FAILS),  # ahead, and most of all with many
        ((0.2, 0.2), 0.3, FAILS),
    ],
)
def test_few_needs_to_be_ahead_and_the_more_so_with_fewer_examples(record, few, most, verdict):
    prefix = {50: scores(few[0]), 100: scores(few[1]), 500: scores(most)}
    full = {50: scores(0.3), 100: scores(0.4), 500: scores(0.6)}
    verdicts.few(record, prefix, full, SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict
    gap = 100 * (few[0] - 0.3) - 100 * (most - 0.6)
    assert claim["effects"][2]["mean"] == pytest.approx(gap)


@pytest.mark.parametrize(
    "mlp, direct, verdict",
    [
        ([0.60, 0.601, 0.602, 0.603], [0.40, 0.50, 0.48, 0.42], HOLDS),
        ([0.40, 0.50, 0.48, 0.42], [0.60, 0.601, 0.602, 0.603], FAILS),
        ([0.60, 0.601, 0.602, 0.603], [0.50, 0.501, 0.502, 0.503], CLOSE),
    ],
)
def test_steadier_is_better_with_seeds_nearer_together(record, mlp, direct, verdict):
    verdicts.stable(record, mlp, direct, (0, 1, 2, 3))
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "one, ten, eighty, verdict",
    [(0.3, 0.5, 0.4, HOLDS), (0.5, 0.3, 0.4, FAILS), (0.3, 0.5, 0.6, FAILS)],
)
def test_ten_rows_have_worse_ones_on_both_sides(record, one, ten, eighty, verdict):
    points = {P: scores(s)["slot_accuracy"] for P, s in {1: one, 10: ten, 80: eighty}.items()}
    verdicts.length(record, points, SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict
    assert [effect["what"] for effect in claim["effects"]] == [
        "10 rows minus 1 row",
        "10 rows minus 80 rows",
    ]


def test_a_length_within_the_noise_of_another_is_too_close_to_call(record):
    points = {P: scores(0.3)["slot_accuracy"] for P in (1, 10)} | {80: [0.1, 0.5, 0.3]}
    verdicts.length(record, points | {10: [0.4, 0.41, 0.39]}, SEEDS)
    assert only(record)["verdict"] == CLOSE


def test_without_stored_runs_no_claim_is_measured(record):
    for key in ("quality", "deep", "infix", "unseen", "adapters", "words"):
        verdicts.ahead(record, key, ("ours", NONE), ("theirs", {}), ())
    verdicts.few(record, {50: NONE, 500: NONE}, {50: NONE, 500: NONE}, ())
    verdicts.stable(record, [], [], ())
    verdicts.length(record, {}, ())
    found = {claim["key"]: claim["verdict"] for claim in record.data["claims"]}
    assert found == dict.fromkeys(verdicts.CLAIMS, UNMEASURED)
