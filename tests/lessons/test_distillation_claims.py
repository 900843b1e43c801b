"""The verdicts of lab 08: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab import Distillation
from peftlab.anatomy.catalog import catalog_config
from peftlab.ledger.record import Record
from peftlab.lessons.distillation import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

HIGH, NEAR, LOW = [0.90, 0.901, 0.902], [0.893, 0.894, 0.897], [0.60, 0.61, 0.62]
WILD = [0.70, 0.95, 0.85]
SEEDS = (0, 1, 2)


@pytest.fixture
def record():
    return Record("08_distilbert", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def decided(record):
    """Verdicts by claim, all of them ready for JSON."""
    for claim in record.data["claims"]:
        assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
        assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return {claim["key"]: claim["verdict"] for claim in record.data["claims"]}


@pytest.mark.parametrize("lower, verdict", [(LOW, HOLDS), (NEAR, FAILS), (WILD, CLOSE)])
@pytest.mark.parametrize("key", ["task"])
def test_what_helps_has_to_be_a_point_above_what_goes_without(record, key, lower, verdict):
    verdicts.better(record, key, ("with", HIGH), ("without", lower), SEEDS)
    assert decided(record) == {key: verdict}


@pytest.mark.parametrize("key", ["LoRA"])
@pytest.mark.parametrize("ours, verdict", [(NEAR, HOLDS), (LOW, FAILS), (WILD, CLOSE)])
def test_what_hardly_matters_may_be_two_points_below(record, key, ours, verdict):
    verdicts.better(record, key, ("without", ours), ("with", HIGH), SEEDS)
    assert decided(record) == {key: verdict}


@pytest.mark.parametrize(
    "first, second, verdict",
    [(NEAR, NEAR, HOLDS), (NEAR, LOW, FAILS), (NEAR, WILD, CLOSE), ([], NEAR, UNMEASURED)],
)
def test_97_percent_have_to_be_kept_on_every_ground(record, first, second, verdict):
    verdicts.kept(record, {"a": (first, HIGH), "b": (second, HIGH)}, SEEDS)
    assert decided(record) == {"kept": verdict}


def test_97_percent_are_a_share_and_no_distance(record):
    verdicts.kept(record, {"a": ([0.486] * 3, [0.5] * 3)}, SEEDS)  # 97.2 %
    assert decided(record) == {"kept": HOLDS}


@pytest.mark.parametrize(
    "alone, verdict",
    [([2.9, 2.8, 2.85], HOLDS), ([2.3, 2.4, 2.2], FAILS), ([2.0, 3.2, 2.7], CLOSE)],
)
@pytest.mark.parametrize("key", ["soft", "cosine", "alone", "longer"])
def test_a_teacher_helps_where_the_loss_on_held_out_text_is_lower(record, key, alone, verdict):
    verdicts.fills_in(record, key, ("with", [2.6, 2.59, 2.61]), ("without", alone), SEEDS)
    assert decided(record) == {key: verdict}


@pytest.mark.parametrize(
    "without, verdict", [([2.62, 2.63, 2.6], HOLDS), ([2.9, 2.8, 2.85], FAILS), ([], UNMEASURED)]
)
def test_masked_tokens_hardly_matter_up_to_a_tenth_of_a_nat(record, without, verdict):
    verdicts.fills_in(record, "hard", ("without", without), ("with", [2.6, 2.59, 2.61]), SEEDS)
    assert decided(record) == {"hard": verdict}


@pytest.mark.parametrize(
    "steps, time, verdict", [(LOW, LOW, HOLDS), (LOW, NEAR, FAILS), (LOW, WILD, CLOSE)]
)
def test_after_fine_tuning_the_teacher_has_to_be_ahead_both_ways(record, steps, time, verdict):
    verdicts.above_each(record, "tuned", ("with", HIGH), {"steps": steps, "time": time}, SEEDS)
    assert decided(record) == {"tuned": verdict}


@pytest.mark.parametrize(
    "random, verdict", [(LOW, HOLDS), (HIGH, FAILS), (WILD, CLOSE), ([], UNMEASURED)]
)
def test_the_random_start_has_to_be_below_each_student_that_lacks_a_loss(record, random, verdict):
    verdicts.start(record, random, {"soft": NEAR, "cosine": [0.85, 0.853, 0.851]}, SEEDS)
    assert decided(record) == {"start": verdict}


@pytest.mark.parametrize(
    "others, verdict", [((LOW, LOW), HOLDS), ((LOW, HIGH), CLOSE), ((LOW, []), UNMEASURED)]
)
def test_spread_layers_have_to_be_above_both_other_choices(record, others, verdict):
    first, last = others
    verdicts.above_each(record, "layers", ("spread", NEAR), {"first": first, "last": last}, SEEDS)
    assert decided(record)["layers"] in (verdict, FAILS if verdict is CLOSE else verdict)


@pytest.mark.parametrize(
    "ratios, verdict", [([1.9, 2.0, 1.95], HOLDS), ([1.2, 1.21, 1.22], FAILS), ([1.3, 1.9], CLOSE)]
)
def test_faster_means_more_than_the_papers_ratio(record, ratios, verdict):
    verdicts.faster(record, ratios, 0)
    assert decided(record) == {"faster": verdict}


def test_the_papers_student_is_40_percent_smaller_and_ours_is_said_beside_it(record):
    counts = {
        name: Distillation().parameter_count(catalog_config(name))
        for name in ("bert-base", "minilm")
    }
    verdicts.smaller(record, counts, 0)
    assert decided(record) == {"smaller": HOLDS}
    assert "bert-base: 39.4 % smaller, minilm: 24.1 % smaller" in record.data["claims"][0]["ours"]
