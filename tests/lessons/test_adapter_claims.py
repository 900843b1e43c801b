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
    verdicts.better(record, "quality", ("adapters", ours), ("full", full), SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "higher, lower, verdict",
    [(HIGH, LOW, HOLDS), (LOW, HIGH, FAILS), (HIGH, [0.89, 0.92, 0.9], CLOSE)],
)
def test_top_layers_is_decided_beyond_the_noise(record, higher, lower, verdict):
    verdicts.better(record, "top_layers", ("adapters", higher), ("top layer", lower), SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize("smallest, verdict", [(NEAR, HOLDS), (LOW, FAILS)])
def test_size_compares_every_size_with_the_largest(record, smallest, verdict):
    verdicts.size(record, {2: smallest, 64: NEAR, 16: HIGH}, SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict
    assert [effect["what"] for effect in claim["effects"]] == ["m=2 minus m=64", "m=16 minus m=64"]


@pytest.mark.parametrize(
    "small, safe, large, verdict",
    [
        (NEAR, HIGH, LOW, HOLDS),
        (LOW, HIGH, LOW, FAILS),
        (HIGH, NEAR, HIGH, FAILS),
        (HIGH, HIGH, [0.7, 0.9, 0.88], CLOSE),
    ],
)
def test_init_std_needs_safe_small_ones_and_a_harmful_large_one(
    record, small, safe, large, verdict
):
    verdicts.init_std(record, {1e-3: small, 1e-2: safe, 1e-1: LOW, 1.0: large}, SEEDS)
    assert only(record)["verdict"] == verdict


def scores(accuracy, loss):
    return {"accuracy": accuracy, "loss": loss}


def spans(low, high, everything):
    """Scores of a model of two layers, whose loss is 1 - accuracy."""
    low, high, everything = (scores(a, 1 - a) for a in (low, high, everything))
    return [[low, everything], [None, high]]


@pytest.mark.parametrize(
    "low, high, everything, wanted",
    [
        (0.895, 0.892, 0.5, (HOLDS, HOLDS)),
        (0.7, 0.89, 0.5, (HOLDS, FAILS)),
        (0.89, 0.5, 0.7, (FAILS, HOLDS)),
    ],
)
def test_layers_decides_two_claims(record, low, high, everything, wanted):
    maps = [spans(low + d, high + d / 2, everything) for d in (0, 0.001, 0.002)]
    verdicts.layers(record, maps, [scores(0.9, 0.1)] * 3, SEEDS)
    found = {claim["key"]: claim["verdict"] for claim in record.data["claims"]}
    assert found == dict(zip(("all_layers", "depth"), wanted, strict=True))
    json.dumps(record.data["claims"])


@pytest.mark.parametrize(
    "low, high, verdict",
    [(0.895, 0.892, HOLDS), (0.895, 0.7, FAILS), (0.7, 0.895, FAILS), (0.88, 0.89, CLOSE)],
)
def test_one_layer_needs_every_layer_to_cost_little(record, low, high, verdict):
    wholes = [0.9, 0.902, 0.904]
    singles = [[low + d, high + d] for d in (0.001, 0.002, 0.003)]
    verdicts.one_layer(record, singles, wholes, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "adapters, merged, verdict", [(1.2, 1.0, HOLDS), (1.01, 1.0, FAILS), (1.2, 1.1, FAILS)]
)
def test_latency_needs_slower_adapters_and_no_slower_merged_lora(record, adapters, merged, verdict):
    jitter = (-0.001, 0.0, 0.001)
    verdicts.latency(record, [adapters + d for d in jitter], [merged + d for d in jitter], seed=0)
    assert only(record)["verdict"] == verdict


def test_latency_on_a_noisy_machine_is_too_close_to_call(record):
    verdicts.latency(record, [0.9, 1.2, 1.6], [0.8, 1.0, 1.3], seed=0)
    assert only(record)["verdict"] == CLOSE


def test_what_no_run_was_stored_for_is_not_measured(record):
    verdicts.better(record, "quality", ("adapters", []), ("full", []), SEEDS)
    verdicts.size(record, {}, SEEDS)
    verdicts.init_std(record, {}, SEEDS)
    verdicts.layers(record, [], [], SEEDS)
    verdicts.one_layer(record, [], [], SEEDS)
    assert {claim["verdict"] for claim in record.data["claims"]} == {UNMEASURED}
