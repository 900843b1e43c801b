"""The verdicts of lab 02: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.adapter import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

HIGH, NEAR, LOW = [0.90, 0.901, 0.902], [0.895, 0.896, 0.897], [0.70, 0.71, 0.72]
SEEDS = (0, 1, 2)


@pytest.fixture
def record():
    return Record("02_adapter", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def only(record):
    """The one claim that was decided, ready for JSON."""
    (claim,) = record.data["claims"]
    assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
    assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return claim


@pytest.mark.parametrize("at_1e2, verdict", [(0.05, HOLDS), (0.3, FAILS)])
def test_start_is_judged_at_deviations_up_to_1e2(record, at_1e2, verdict):
    verdicts.start(record, {(8, 1e-3): 0.01, (8, 1e-2): at_1e2, (8, 1.0): 40.0}, seed=0)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "ours, full, verdict",
    [(NEAR, HIGH, HOLDS), (LOW, HIGH, FAILS), ([0.8, 0.9, 0.88], [0.88, 0.91, 0.9], CLOSE)],
)
def test_quality_is_within_two_points_of_full_fine_tuning(record, ours, full, verdict):
    verdicts.above(record, "quality", ("adapters", ours), ("full", full), SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "higher, lower, verdict",
    [(HIGH, LOW, HOLDS), (LOW, HIGH, FAILS), (HIGH, [0.89, 0.92, 0.9], CLOSE)],
)
@pytest.mark.parametrize("key", ["norms", "top_layers"])
def test_above_is_decided_beyond_the_noise(record, key, higher, lower, verdict):
    verdicts.above(record, key, ("adapters", higher), ("other", lower), SEEDS)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == (key, verdict)


@pytest.mark.parametrize("worst, verdict", [(NEAR, HOLDS), (LOW, FAILS)])
def test_size_hardly_matters_when_the_ends_are_close(record, worst, verdict):
    verdicts.size(record, {2: worst, 16: HIGH, 64: NEAR}, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "safe, large, verdict", [(NEAR, LOW, HOLDS), (LOW, LOW, FAILS), (NEAR, HIGH, FAILS)]
)
def test_init_std_needs_safe_small_ones_and_a_harmful_large_one(record, safe, large, verdict):
    verdicts.init_std(record, {1e-3: HIGH, 1e-2: safe, 1.0: large}, SEEDS)
    assert only(record)["verdict"] == verdict


def spans(low, high, everything):
    """Accuracies of a model of two layers."""
    return [[low, everything], [None, high]]


@pytest.mark.parametrize(
    "low, high, everything, verdict",
    [(0.89, 0.7, 0.5, HOLDS), (0.7, 0.89, 0.5, FAILS), (0.89, 0.5, 0.7, FAILS)],
)
def test_ablation_compares_low_layers_high_ones_and_all(record, low, high, everything, verdict):
    maps = [spans(low + d, high + d / 2, everything) for d in (0, 0.001, 0.002)]
    verdicts.ablation(record, maps, [0.9, 0.9, 0.9], SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "adapters, merged, verdict", [(1.2, 1.0, HOLDS), (1.01, 1.0, CLOSE), (1.2, 1.1, CLOSE)]
)
def test_latency_needs_slower_adapters_and_no_slower_merged_lora(record, adapters, merged, verdict):
    verdicts.latency(record, adapters, merged, seed=0)
    assert only(record)["verdict"] == verdict


def test_what_no_run_was_stored_for_is_not_measured(record):
    verdicts.above(record, "quality", ("adapters", []), ("full", []), SEEDS)
    verdicts.above(record, "norms", ("a", []), ("b", []), SEEDS)
    verdicts.size(record, {}, SEEDS)
    verdicts.init_std(record, {}, SEEDS)
    verdicts.ablation(record, [], [], SEEDS)
    assert {claim["verdict"] for claim in record.data["claims"]} == {UNMEASURED}
