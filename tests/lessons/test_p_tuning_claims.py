"""The verdicts of lab 05: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.p_tuning import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

SEEDS = (0, 1, 2)
SPREAD = {name: {"a": 1.0, "b": 0.5, "c": low} for name, low in (("x", 0.0), ("y", 0.1))}
TIGHT = {name: {"a": 0.9, "b": 0.8} for name in ("x", "y")}


@pytest.fixture
def record():
    return Record("05_p_tuning", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def only(record):
    """The one claim that was decided, ready for JSON."""
    (claim,) = record.data["claims"]
    assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
    assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return claim


@pytest.mark.parametrize(
    "prompts, verdict",
    [(SPREAD, HOLDS), (TIGHT, FAILS), ({"x": SPREAD["x"], "y": TIGHT["y"]}, FAILS)],
)
def test_swing_needs_most_relations_to_swing(record, prompts, verdict):
    verdicts.swing(record, prompts, seed=0)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "learnt, verdict",
    [({"x": [0.9, 0.95], "y": [0.92, 0.9]}, HOLDS), ({"x": [0.0, 1.1], "y": [0.0, 1.0]}, FAILS),
     ({"x": [0.0, 1.0], "y": [0.5, 0.6]}, CLOSE)],
)  # fmt: skip
def test_spread_compares_the_ranges(record, learnt, verdict):
    verdicts.spread(record, SPREAD, learnt, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "learnt, verdict",
    [({"x": [0.95, 0.97], "y": [0.96, 0.98]}, HOLDS), ({"x": [0.5], "y": [0.51]}, FAILS),
     ({"x": [0.8], "y": [1.0]}, CLOSE)],
)  # fmt: skip
def test_best_compares_the_mean_with_the_best_prompt(record, learnt, verdict):
    verdicts.best(record, TIGHT, learnt, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "steps, verdict",
    [({"lstm": [5, 6], "mlp": [10, 11], "none": [20, 21]}, HOLDS),
     ({"lstm": [15, 16], "mlp": [10, 11], "none": [20, 21]}, FAILS),
     ({"lstm": [5, 15], "mlp": [10, 11], "none": [40, 41]}, CLOSE)],
)  # fmt: skip
def test_convergence_needs_the_lstm_to_be_fastest(record, steps, verdict):
    verdicts.convergence(record, steps, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize("difference, verdict", [(0.0, HOLDS), (1e-7, FAILS)])
def test_baking_is_exact(record, difference, verdict):
    verdicts.baking(record, difference, seed=0)
    assert only(record)["verdict"] == verdict


def test_what_no_run_was_stored_for_is_not_measured(record):
    verdicts.swing(record, {}, seed=0)
    verdicts.spread(record, SPREAD, {}, SEEDS)
    verdicts.best(record, SPREAD, {}, SEEDS)
    verdicts.convergence(record, {"lstm": [3]}, SEEDS)
    assert {claim["verdict"] for claim in record.data["claims"]} == {UNMEASURED}
