"""The verdicts of lab 07: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.bitfit import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

HIGH, NEAR, LOW = [0.90, 0.901, 0.902], [0.895, 0.896, 0.897], [0.70, 0.71, 0.72]
SEEDS = (0, 1, 2)


@pytest.fixture
def record():
    return Record("07_bitfit", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def decided(record):
    """Verdicts by claim, all of them ready for JSON."""
    for claim in record.data["claims"]:
        assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
        assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return {claim["key"]: claim["verdict"] for claim in record.data["claims"]}


@pytest.mark.parametrize("ours, verdict", [(NEAR, HOLDS), (LOW, FAILS), ([0.8, 0.91, 0.93], CLOSE)])
@pytest.mark.parametrize("key", ["quality", "two"])
def test_near_is_within_two_points(record, key, ours, verdict):
    verdicts.better(record, key, ("ours", ours), ("other", HIGH), SEEDS)
    assert decided(record) == {key: verdict}


SCORES = {
    "all": HIGH,
    "full": NEAR,
    "two": NEAR,
    "random": LOW,
    "rows_columns": LOW,
    "head": LOW,
    "query": LOW,
    "mlp_in": LOW,
}
KEYS = ("quality", "two", "random", "rows_columns", "frozen", "alone")


@pytest.mark.parametrize(
    "other, changed",
    [
        ({}, {}),
        ({"random": [0.98, 0.981, 0.98]}, {"random": FAILS}),
        ({"rows_columns": [0.89, 0.92, 0.9]}, {"rows_columns": CLOSE}),
        ({"query": [0.98, 0.981, 0.98]}, {"alone": FAILS}),
        ({"two": LOW}, {"two": FAILS, "alone": CLOSE}),
        ({"head": []}, {"frozen": UNMEASURED}),
        ({"mlp_in": []}, {"alone": UNMEASURED}),
    ],
)
def test_controls_decides_six_claims(record, other, changed):
    verdicts.controls(record, SCORES | other, SEEDS)
    assert decided(record) == dict.fromkeys(KEYS, HOLDS) | changed


@pytest.mark.parametrize(
    "effects, verdict",
    [
        ([{"key": 1e-6, "query": 0.3}] * 3, HOLDS),
        ([{"key": 0.1, "query": 0.3}] * 3, FAILS),
        ([{"key": 1e-6, "query": 1e-6}] * 3, FAILS),  # nothing was learnt by any
        ([{"key": 1e-6, "query": 0.3}, {"key": 0.1, "query": 0.3}], CLOSE),
    ],
)
def test_the_key_does_nothing_where_the_others_do_something(record, effects, verdict):
    verdicts.key(record, effects, SEEDS)
    assert decided(record) == {"key": verdict}


@pytest.mark.parametrize(
    "means, verdict",
    [
        ({"query": 5.0, "key": 0.0, "mlp_in": 4.0, "value": 1.0}, HOLDS),
        ({"query": 5.0, "key": 4.5, "mlp_in": 4.0, "value": 1.0}, FAILS),
        ({"query": 1.0, "key": 0.0, "mlp_in": 4.0, "value": 5.0}, FAILS),
    ],
)
def test_each_of_the_two_kinds_has_to_move_further_than_every_other(record, means, verdict):
    maps = [{k: [v + d, v + d] for k, v in means.items()} for d in (0.0, 0.01, 0.02)]
    verdicts.moves(record, maps, SEEDS)
    assert decided(record) == {"moves": verdict}


@pytest.mark.parametrize(
    "small, large, few, many",
    [
        ((HIGH, LOW), (LOW, HIGH), HOLDS, HOLDS),
        ((LOW, HIGH), (LOW, HIGH), FAILS, HOLDS),
        ((HIGH, [0.89, 0.92, 0.9]), (HIGH, LOW), CLOSE, FAILS),
    ],
)
def test_the_ends_of_the_curves_decide_a_claim_each(record, small, large, few, many):
    bitfit = {50: small[0], 250: NEAR, 1000: large[0]}
    full = {50: small[1], 250: NEAR, 1000: large[1]}
    verdicts.crossover(record, bitfit, full, dict.fromkeys(bitfit, SEEDS))
    assert decided(record) == {"few": few, "many": many}


def test_what_no_run_was_stored_for_is_not_measured(record):
    verdicts.controls(record, {name: [] for name in SCORES}, SEEDS)
    verdicts.key(record, [], SEEDS)
    verdicts.moves(record, [], SEEDS)
    verdicts.crossover(record, {}, {}, {})
    assert set(decided(record).values()) == {UNMEASURED}
