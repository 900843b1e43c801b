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
    verdicts.rank(record, {1: one, 8: MIDDLE, 64: large}, SEEDS)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == ("rank", verdict)
    assert [part.split()[0] for part in claim["ours"].split(", ")] == ["r=1", "r=8", "r=64"]
    assert claim["numbers"] == {"1": one, "8": MIDDLE, "64": large}
    if verdict == CLOSE:
        assert "the interval, " in claim["why"]


@pytest.mark.parametrize("points", [{}, {1: HIGH}, {8: HIGH, 64: HIGH}], ids=str)
def test_rank_is_unmeasured_without_both_ends(record, points):
    verdicts.rank(record, points, SEEDS)
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
    verdicts.budget(record, found, SEEDS)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == ("budget", verdict)
    assert claim["why"].startswith(why)
    assert claim["numbers"] == found
    assert "all four 91.0 %" in claim["ours"]


@pytest.mark.parametrize("found", [{}, {"query and value": HIGH, "query": LOW}], ids=len)
def test_budget_is_unmeasured_without_both_rivals(record, found):
    verdicts.budget(record, found, SEEDS)
    assert only(record)["verdict"] == UNMEASURED


# Subspaces


def maps(ranks, seeds, chance=0.01):
    return {
        "two ranks": [[ranks, 0.9], [0.9, 0.9]],
        "two seeds": [[seeds, 0.9], [0.9, 0.9]],
        "random": [[chance, 0.9], [0.9, 0.9]],
    }


@pytest.mark.parametrize(
    "top, of_ranks, of_seeds",
    [(0.90, HOLDS, HOLDS), (0.30, CLOSE, HOLDS), (0.10, FAILS, FAILS), (0.02, FAILS, FAILS)],
)
def test_subspaces_overlap_when_far_above_chance_and_as_the_paper_has_it(
    record, top, of_ranks, of_seeds
):
    verdicts.subspaces(record, maps(top, top, chance=0.01), SEEDS)
    ranks, seeds = record.data["claims"]
    assert (ranks["key"], seeds["key"]) == ("subspace_ranks", "subspace_seeds")
    assert (ranks["verdict"], seeds["verdict"]) == (of_ranks, of_seeds)
    assert all(bool(c["why"]) == (c["verdict"] != HOLDS) for c in (ranks, seeds))
    assert ranks["numbers"] == {"top": top, "random": 0.01}


def test_subspaces_of_ranks_and_of_seeds_are_judged_apart(record):
    verdicts.subspaces(record, maps(ranks=0.9, seeds=0.02), SEEDS)
    assert [claim["verdict"] for claim in record.data["claims"]] == [HOLDS, FAILS]


def test_subspaces_are_unmeasured_without_maps(record):
    verdicts.subspaces(record, {}, SEEDS)
    assert [claim["verdict"] for claim in record.data["claims"]] == [UNMEASURED] * 2


# Amplification


def row(inside=1.0, inside_own=5.0, inside_random=0.1, factor=3.0):
    return {
        "inside": inside,
        "inside_own": inside_own,
        "inside_random": inside_random,
        "factor": factor,
    }


def test_amplification_holds_for_directions_that_are_there_weak_and_strengthened(record):
    verdicts.amplification(record, [row(), row(inside=2.0, factor=4.0)], SEEDS)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == ("amplification", HOLDS)
    assert claim["ours"] == (
        "factor 3.00 to 4.00; the update's directions hold 10.0 to 20.0 times as much of W "
        "as random ones"
    )
    assert claim["numbers"] == {"rows": [row(), row(inside=2.0, factor=4.0)]}


@pytest.mark.parametrize(
    "broken, why",
    [
        (row(inside_random=0.9), "hardly more of W than random ones"),
        (row(inside_own=1.0), "W's own strongest ones"),
        (row(factor=0.9), "smaller there than W itself"),
    ],
)
def test_amplification_fails_when_one_run_breaks_one_part_and_says_which(record, broken, why):
    verdicts.amplification(record, [row(), broken], SEEDS)
    claim = only(record)
    assert claim["verdict"] == FAILS
    assert why in claim["why"] and ";" not in claim["why"]


def test_amplification_names_every_part_that_is_broken(record):
    verdicts.amplification(record, [row(1.0, 1.0, 0.9, 0.5)], SEEDS)
    assert len(only(record)["why"].split("; ")) == 3


# Together


def test_the_verdicts_decide_every_claim_of_the_lab(record, tmp_path):
    verdicts.identity(record, 0.0, 0.0, 0.25, seed=0)
    verdicts.quality(record, scores(HIGH, HIGH), SEEDS)
    verdicts.latency(record, 1.0, 1.2, 0.0, 0, seed=0)
    verdicts.rank(record, {1: HIGH, 64: HIGH}, SEEDS)
    verdicts.budget(record, groups(HIGH, LOW, LOW), SEEDS)
    verdicts.subspaces(record, maps(0.9, 0.9), SEEDS)
    verdicts.amplification(record, [row()], SEEDS)
    found = json.loads(record.write(tmp_path).read_text())
    assert {claim["key"] for claim in found["claims"]} == verdicts.CLAIMS.keys()
