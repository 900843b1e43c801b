"""The verdicts of lab 03: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.prompt_tuning import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

HIGH, NEAR, LOW = [0.90, 0.901, 0.902], [0.895, 0.896, 0.897], [0.70, 0.71, 0.72]
WIDE = [0.6, 0.95, 0.9]
SEEDS = (0, 1, 2)


@pytest.fixture
def record():
    return Record("03_prompt_tuning", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def only(record):
    """The one claim that was decided, ready for JSON."""
    (claim,) = record.data["claims"]
    assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
    assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return claim


@pytest.mark.parametrize(
    "small, large, verdict", [(LOW, NEAR, HOLDS), (NEAR, LOW, FAILS), (LOW, WIDE, CLOSE)]
)
def test_scale_needs_the_gap_to_close_at_every_step(record, small, large, verdict):
    full = {"nano": HIGH, "micro": HIGH, "small": HIGH}
    verdicts.scale(
        record, {"nano": small, "micro": [0.80, 0.81, 0.82], "small": large}, full, SEEDS
    )
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "one, twenty, fifty, verdict",
    [(LOW, NEAR, HIGH, HOLDS), (HIGH, LOW, LOW, FAILS), (LOW, NEAR, [0.98] * 3, FAILS),
     (LOW, WIDE, HIGH, CLOSE)],
)  # fmt: skip
def test_length_needs_more_than_one_row_and_no_more_than_twenty(
    record, one, twenty, fifty, verdict
):
    verdicts.length(record, {1: one, 20: twenty, 50: fifty}, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize("difference, verdict", [(1e-6, HOLDS), (0.1, FAILS)])
def test_mixed_is_exact_but_for_rounding(record, difference, verdict):
    verdicts.mixed(record, difference, seed=0)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "votes, verdict",
    [([0.9, 0.91, 0.92], HOLDS), ([0.7, 0.71, 0.69], FAILS), ([0.7, 0.95, 0.82], CLOSE)],
)
def test_votes_have_to_be_above_their_voters(record, votes, verdict):
    groups = [
        {"seeds": [2 * i, 2 * i + 1], "single": [0.79, 0.81], "vote": vote}
        for i, vote in enumerate(votes)
    ]
    verdicts.ensemble(record, groups)
    claim = only(record)
    assert (claim["verdict"], claim["seeds"]) == (verdict, [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    "words, uniform, verdict", [(HIGH, LOW, HOLDS), (LOW, HIGH, FAILS), (WIDE, NEAR, CLOSE)]
)
def test_one_setting_has_to_be_ahead_of_the_other(record, words, uniform, verdict):
    scores = {"words": words, "uniform": uniform, "beside": LOW}
    verdicts.ahead(record, "init", scores, "words", "uniform", SEEDS, "pairs")
    claim = only(record)
    assert claim["verdict"] == verdict
    assert claim["numbers"]["beside"] == LOW


@pytest.mark.parametrize(
    "prompt, full, verdict",
    [(HIGH, LOW, HOLDS), (LOW, HIGH, FAILS), (WIDE, NEAR, CLOSE)],
)
def test_a_shift_of_domain_counts_only_where_nobody_trained(record, prompt, full, verdict):
    at_home = {"prompt tuning": LOW, "full fine-tuning": HIGH}
    away = {"prompt tuning": prompt, "full fine-tuning": full}
    verdicts.domain(record, {"movies": at_home, "products": away, "tweets": away}, SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict
    assert claim["numbers"]["movies, full fine-tuning"] == HIGH


def test_a_prompt_that_wins_on_one_of_two_domains_does_not_win(record):
    away = [("products", HIGH, LOW), ("tweets", LOW, HIGH)]
    scores = {name: {"prompt tuning": a, "full fine-tuning": b} for name, a, b in away}
    verdicts.domain(record, {"movies": scores["tweets"]} | scores, SEEDS)
    assert only(record)["verdict"] == FAILS


def test_what_no_run_was_stored_for_is_not_measured(record):
    verdicts.scale(record, {}, {}, SEEDS)
    verdicts.length(record, {20: HIGH}, SEEDS)
    verdicts.ahead(record, "rate", {"a": [], "b": HIGH}, "a", "b", SEEDS)
    verdicts.domain(record, {}, SEEDS)
    verdicts.ensemble(record, [])
    assert {claim["verdict"] for claim in record.data["claims"]} == {UNMEASURED}
