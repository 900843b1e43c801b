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
    verdicts.above(record, key, ("ours", ours), ("other", HIGH), SEEDS)
    assert decided(record) == {key: verdict}


@pytest.mark.parametrize(
    "random, verdict", [(LOW, HOLDS), ([0.89, 0.92, 0.9], CLOSE), ([0.98, 0.981, 0.98], FAILS)]
)
def test_random_scalars_have_to_be_clearly_worse(record, random, verdict):
    verdicts.above(record, "random", ("all", HIGH), ("random", random), SEEDS)
    assert decided(record) == {"random": verdict}


@pytest.mark.parametrize(
    "means, key, moves",
    [
        ({"query": 5.0, "key": 0.0, "mlp_in": 4.0, "value": 1.0}, HOLDS, HOLDS),
        ({"query": 5.0, "key": 3.0, "mlp_in": 4.0, "value": 1.0}, FAILS, HOLDS),
        ({"query": 1.0, "key": 0.0, "mlp_in": 4.0, "value": 5.0}, HOLDS, FAILS),
    ],
)
def test_movement_decides_the_key_and_the_two_kinds(record, means, key, moves):
    effects = {"key": 1e-6, "query": 3.0}
    verdicts.movement(record, [{kind: [v, v] for kind, v in means.items()}] * 3, effects, SEEDS)
    assert decided(record) == {"key": key, "moves": moves}


@pytest.mark.parametrize(
    "small, large, verdict",
    [((HIGH, LOW), (LOW, HIGH), HOLDS), ((LOW, HIGH), (LOW, HIGH), FAILS),
     ((HIGH, [0.89, 0.92, 0.9]), (LOW, HIGH), CLOSE)],
)  # fmt: skip
def test_the_curves_have_to_cross(record, small, large, verdict):
    bitfit = {50: small[0], 1000: large[0]}
    full = {50: small[1], 1000: large[1]}
    verdicts.crossover(record, bitfit, full, SEEDS)
    assert decided(record) == {"crossover": verdict}


def test_what_no_run_was_stored_for_is_not_measured(record):
    verdicts.above(record, "quality", ("a", []), ("b", HIGH), SEEDS)
    verdicts.above(record, "random", ("all", []), ("random", []), SEEDS)
    verdicts.movement(record, [], {}, SEEDS)
    verdicts.crossover(record, {}, {}, SEEDS)
    assert set(decided(record).values()) == {UNMEASURED}
