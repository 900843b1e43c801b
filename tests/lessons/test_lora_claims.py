"""The verdicts of lab 01: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.lora import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

HIGH, MIDDLE, LOW = [0.90, 0.91, 0.92], [0.89, 0.92, 0.90], [0.70, 0.71, 0.72]
SEEDS = (0, 1, 2)


@pytest.fixture
def record():
    return Record("01_lora", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def only(record):
    """The one claim that was decided, ready for JSON."""
    (claim,) = record.data["claims"]
    assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
    assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return claim


# Identity


def test_identity_holds_when_nothing_moved_and_only_b_has_a_gradient(record):
    verdicts.identity(record, 0.0, 0.0, 0.25, seed=3)
    claim = only(record)
    assert (claim["key"], claim["verdict"], claim["seeds"]) == ("identity", HOLDS, [3])
    assert claim["ours"] == "largest difference of the logits: 0.0; gradient of every A: 0.0"


@pytest.mark.parametrize(
    "difference, gradient_a, gradient_b",
    [(1e-9, 0.0, 0.25), (0.0, 1e-9, 0.25), (0.0, 0.0, 0.0)],
    ids=["the logits moved", "an A has a gradient", "a B has none"],
)
def test_identity_fails_when_the_start_is_only_nearly_the_backbone(
    record, difference, gradient_a, gradient_b
):
    verdicts.identity(record, difference, gradient_a, gradient_b, seed=0)
    assert only(record)["verdict"] == FAILS


# Quality


def scores(lora, full):
    return {"LoRA": lora, "full": full, "head": [0.6], "random": []}


@pytest.mark.parametrize(
    "lora, full, verdict",
    [
        ([0.90, 0.901, 0.902], [0.90, 0.901, 0.902], HOLDS),
        ([0.95, 0.95, 0.951], [0.90, 0.90, 0.901], HOLDS),
        ([0.88, 0.89, 0.90], [0.90, 0.912, 0.918], CLOSE),  # about 2 points below
        ([0.80, 0.90, 0.95], [0.82, 0.91, 0.94], CLOSE),  # the seeds differ too much
        ([0.70, 0.71, 0.72], [0.90, 0.91, 0.92], FAILS),
    ],
)
def test_quality_holds_when_clearly_within_two_points(record, lora, full, verdict):
    verdicts.quality(record, scores(lora, full), SEEDS)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == ("quality", verdict)
    assert claim["numbers"] == scores(lora, full)


def test_quality_shows_the_means_the_gap_and_the_controls(record):
    verdicts.quality(
        record, scores([0.90, 0.92, 0.91, 0.99], [0.93, 0.95, 0.94, 0.98]), [0, 1, 2, 3]
    )
    claim = only(record)
    assert claim["ours"] == (
        "LoRA 93.0 %, full 95.0 %, head 60.0 %; LoRA minus full -2.0 points (-5.2 to +1.2)"
    )
    assert claim["seeds"] == [0, 1, 2, 3]
    assert record.data["separation"] == pytest.approx({"LoRA": 93, "full": 95, "head": 60})


def test_quality_pairs_as_many_seeds_as_both_have(record):
    verdicts.quality(record, scores(HIGH[:2], HIGH), SEEDS)
    assert (only(record)["seeds"], only(record)["effects"][0]["seeds"]) == ([0, 1], 2)


@pytest.mark.parametrize("lora, full", [([], [0.9]), ([0.9], []), ([], [])])
def test_quality_is_unmeasured_without_stored_runs_of_both(record, lora, full):
    verdicts.quality(record, scores(lora, full), SEEDS)
    assert only(record)["verdict"] == UNMEASURED


# Latency


@pytest.mark.parametrize(
    "merged, difference, extra, verdict",
    [
        (1.01, 1e-6, 0, HOLDS),
        (0.97, 0.0, 0, HOLDS),
        (1.2, 1e-6, 0, CLOSE),  # the same modules: the clock is at fault
        (1.0, 0.1, 0, FAILS),
        (1.0, 0.0, 4, FAILS),
        (1.5, 0.1, 4, FAILS),
    ],
)
def test_latency_holds_when_the_merged_model_is_the_backbone_in_size_and_speed(
    record, merged, difference, extra, verdict
):
    verdicts.latency(record, merged, 1.3, difference, extra, seed=5)
    claim = only(record)
    assert (claim["key"], claim["verdict"], claim["seeds"]) == ("latency", verdict, [5])
    assert f"merged {merged:.2f}, unmerged 1.30" in claim["ours"]
    assert claim["numbers"]["extra"] == extra


# Rank


@pytest.mark.parametrize(
    "one, large, verdict",
    [
        (HIGH, HIGH, HOLDS),  # equal, with two points to spare
        (HIGH, LOW, HOLDS),
        (LOW, HIGH, FAILS),
        ([0.85, 0.89, 0.93], HIGH, CLOSE),  # two points below, give or take four
    ],
)
def test_rank_holds_when_rank_one_is_within_two_points_of_the_largest(record, one, large, verdict):
    for held in (0, 1):  # it has to be so with alpha held, and with alpha / r held
        record.data["claims"].clear()
        series = [{1: HIGH, 8: HIGH, 64: HIGH}] * 2
        series[held] = {1: one, 8: large, 64: large}
        verdicts.rank(record, *series, SEEDS)
        claim = only(record)
        assert (claim["key"], claim["verdict"]) == ("rank", verdict)
        assert list(claim["numbers"].values())[held] == {"1": one, "8": large, "64": large}
        assert len(claim["effects"]) == 4
        if verdict == CLOSE:
            assert "the interval, " in claim["why"]


@pytest.mark.parametrize("points", [{}, {1: HIGH}, {8: HIGH, 64: HIGH}], ids=str)
def test_rank_is_unmeasured_without_both_ends(record, points):
    verdicts.rank(record, points, {1: HIGH, 64: HIGH}, SEEDS)
    assert only(record)["verdict"] == UNMEASURED


# Budget


def groups(both, query, value):
    return {"query and value": both, "query": query, "value": value, "all four": HIGH}


@pytest.mark.parametrize(
    "both, query, value, verdict, why",
    [
        (HIGH, LOW, LOW, HOLDS, ""),
        (LOW, LOW, HIGH, FAILS, "query and value minus value: below 0"),
        (LOW, HIGH, LOW, FAILS, "query and value minus query: below 0"),
        (HIGH, LOW, MIDDLE, CLOSE, "query and value minus value: the interval"),
        (HIGH, MIDDLE, HIGH, CLOSE, "query and value minus query: the interval"),
    ],
)
def test_budget_holds_when_both_matrices_beat_each_alone(record, both, query, value, verdict, why):
    found = groups(both, query, value)
    verdicts.budget(record, found, found, SEEDS)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == ("budget", verdict)
    assert claim["why"].startswith(why)
    assert claim["numbers"]["one rate"] == found and len(claim["effects"]) == 2
    assert "all four 91.0 %" in claim["ours"]


def test_budget_needs_to_hold_where_a_rival_has_its_own_rate_too(record):
    found = groups(HIGH, LOW, LOW)
    verdicts.budget(record, found, found | {"value": HIGH}, SEEDS)
    claim = only(record)
    assert claim["verdict"] == CLOSE
    assert claim["why"].startswith("query and value minus value at its own rate: the interval")
    assert [e["what"] for e in claim["effects"]] == [
        "query and value minus query",
        "query and value minus value",
        "query and value minus value at its own rate",
    ]


@pytest.mark.parametrize("found", [{}, {"query and value": HIGH, "query": LOW}], ids=len)
def test_budget_is_unmeasured_without_both_rivals(record, found):
    verdicts.budget(record, found, found, SEEDS)
    assert only(record)["verdict"] == UNMEASURED


# Subspaces

CHANCE = [0.001, 0.02, 0.0]
ALIKE, APART = [0.9, 0.4, 0.01], [0.01, 0.002, 0.5]  # medians 0.4 and 0.01


def tops(ranks, seeds):
    return {"two ranks": ranks, "two seeds": seeds}


@pytest.mark.parametrize(
    "found, verdict",
    [([ALIKE, ALIKE], HOLDS), ([ALIKE, APART], CLOSE), ([APART, APART], FAILS)],
)
def test_subspaces_overlap_when_most_matrices_of_every_seed_are_beyond_chance(
    record, found, verdict
):
    verdicts.subspaces(record, tops(found, [ALIKE]), CHANCE, SEEDS)
    ranks, seeds = record.data["claims"]
    assert (ranks["key"], seeds["key"]) == ("subspace_ranks", "subspace_seeds")
    assert (ranks["verdict"], seeds["verdict"]) == (verdict, HOLDS)
    assert bool(ranks["why"]) == (verdict != HOLDS)
    assert seeds["ours"] == (
        "median similarity 0.40; 2 of 3 matrices are above the most similar of 3 random pairs, "
        "0.020"
    )


def test_subspaces_are_unmeasured_without_checkpoints(record):
    verdicts.subspaces(record, {}, CHANCE, SEEDS)
    assert [claim["verdict"] for claim in record.data["claims"]] == [UNMEASURED] * 2


# Amplification


def row(over=3.0, factor=3.0, inside=1.0, backbone="minilm", k=4):
    return {"backbone": backbone, "directions": k, "inside": inside, "inside_own": 5.0} | {
        "over_random": over,
        "factor": factor,
    }


def test_amplification_holds_for_directions_that_are_there_weak_and_strengthened(record):
    rows = [row(), row(3.1, 3.2), row(0.1, 0.1, k=1)]  # another number of directions is for show
    verdicts.amplification(record, rows, SEEDS)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == ("amplification", HOLDS)
    assert claim["numbers"] == {"rows": rows}
    assert [effect["what"] for effect in claim["effects"]] == [
        "minilm: W there over random",
        "minilm: factor",
    ]


@pytest.mark.parametrize(
    "broken, verdict, why",
    [
        ([row(0.8), row(0.81)], FAILS, "other: W there over random: below 1 times"),
        ([row(factor=0.8), row(factor=0.81)], FAILS, "other: factor: below 1 times"),
        ([row(0.5), row(1.8)], CLOSE, "other: W there over random: the interval"),
        ([row(), row(inside=5.0)], FAILS, "W's own strongest ones"),
    ],
)
def test_amplification_has_to_be_so_on_every_backbone(record, broken, verdict, why):
    rows = [row(), row(3.1, 3.2), *(one | {"backbone": "other"} for one in broken)]
    verdicts.amplification(record, rows, SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict and why in claim["why"]


def test_amplification_is_unmeasured_without_the_papers_number_of_directions(record):
    verdicts.amplification(record, [row(k=1)], SEEDS)
    assert only(record)["verdict"] == UNMEASURED


# Together


def test_the_verdicts_decide_every_claim_of_the_lab(record, tmp_path):
    verdicts.identity(record, 0.0, 0.0, 0.25, seed=0)
    verdicts.quality(record, scores(HIGH, HIGH), SEEDS)
    verdicts.latency(record, 1.0, 1.2, 0.0, 0, seed=0)
    verdicts.rank(record, {1: HIGH, 64: HIGH}, {1: HIGH, 64: HIGH}, SEEDS)
    verdicts.budget(record, *[groups(HIGH, LOW, LOW)] * 2, SEEDS)
    verdicts.subspaces(record, tops([ALIKE], [ALIKE]), CHANCE, SEEDS)
    verdicts.amplification(record, [row()], SEEDS)
    found = json.loads(record.write(tmp_path).read_text())
    assert {claim["key"] for claim in found["claims"]} == verdicts.CLAIMS.keys()
