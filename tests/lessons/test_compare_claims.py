"""The verdicts of lab 09: when each claim holds, when it does not, and when nobody can tell."""

import json

import pytest

from peftlab.ledger.record import Record
from peftlab.lessons.compare import claims as verdicts
from peftlab.seeds import CLOSE, FAILS, HOLDS, UNMEASURED

SEEDS = (0, 1, 2)


def near(mean, wide=0.01):
    return [mean, mean + wide, mean - wide]


@pytest.fixture
def record():
    return Record("09_compare", "A title", "A question?", {}, claims=verdicts.CLAIMS)


def only(record):
    (claim,) = record.data["claims"]
    assert json.loads(json.dumps(claim["numbers"])) == claim["numbers"]
    assert bool(claim["why"]) == (claim["verdict"] != HOLDS)
    return claim


@pytest.mark.parametrize("apart, verdict", [(1e-6, HOLDS), (1e-3, FAILS)])
def test_the_gate_holds_to_rounding(record, apart, verdict):
    verdicts.gate(record, apart, 0)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize(
    "ratio, verdict",
    [(1.0, HOLDS), (0.8, HOLDS), (1.2, HOLDS), (0.3, FAILS), (1.5, FAILS), (0.7, CLOSE)],
)
def test_about_ten_is_half_to_twice_as_much_on_every_backbone(record, ratio, verdict):
    found = {"small": {"rank 8": near(1.0)}, "large": {"rank 8": near(ratio), "rank 1": near(0)}}
    verdicts.ratio(record, found, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize("large, verdict", [(1.0, HOLDS), (0.2, FAILS), (0.805, CLOSE)])
def test_the_ratio_grows_from_each_backbone_to_the_next_larger_one(record, large, verdict):
    found = {"s": {"rank 8": near(0.5)}, "m": {"rank 8": near(0.8)}}
    found["l"] = {"rank 8": [large + 0.01, large - 0.01, large]}
    verdicts.ratio_size(record, found, SEEDS)
    assert only(record)["verdict"] == verdict


def test_the_mlp_is_held_against_attention_and_everywhere_against_the_usual(record):
    points = {"usual": near(0.80), "attention": near(0.78), "MLP": near(0.82), "every": near(0.79)}
    verdicts.where(record, points, SEEDS)
    first, second = record.data["claims"]
    assert first["effects"][0]["mean"] == pytest.approx(4.0) and first["verdict"] == HOLDS
    assert second["effects"][0]["mean"] == pytest.approx(-1.0) and second["verdict"] == HOLDS


@pytest.mark.parametrize("LoRA, verdict", [(0.9, HOLDS), (0.5, FAILS)])
def test_every_small_method_has_to_be_ahead_with_few_sentences(record, LoRA, verdict):
    points = {"LoRA": near(LoRA), "adapters": near(0.8), "full fine-tuning": near(0.7)}
    verdicts.few(record, points, SEEDS)
    assert only(record)["verdict"] == verdict


@pytest.mark.parametrize("decide, key", [("forgets", "forgets"), ("reads_on", "reads_on")])
@pytest.mark.parametrize("full, verdict", [(5.0, HOLDS), (1.0, FAILS)])
def test_full_fine_tuning_has_to_lose_more_than_lora(record, decide, key, full, verdict):
    lost = {"LoRA": near(3.0), "full fine-tuning": near(full, 0.02), "head only": near(0.0)}
    getattr(verdicts, decide)(record, lost, SEEDS)
    claim = only(record)
    assert (claim["key"], claim["verdict"]) == (key, verdict)


@pytest.mark.parametrize("tweets, verdict", [(0.9, HOLDS), (0.5, FAILS)])
def test_a_prompt_has_to_carry_over_better_on_every_task(record, tweets, verdict):
    def task(prompt):
        return {"prompt tuning": near(prompt), "full fine-tuning": near(0.7), "LoRA": near(0.1)}

    others = {"products": task(0.9), "tweets": task(tweets)}
    unlearnt = {"movies": task(0.5), "products": task(0.1)}  # decides nothing
    found = {"smollm2": {"movies": task(0.68)} | others, "minilm": unlearnt}
    verdicts.transfer(record, found, SEEDS)
    claim = only(record)
    assert claim["verdict"] == verdict and len(claim["effects"]) == 2


@pytest.mark.parametrize(
    "name, nothing",
    [
        ("ratio", {}),
        ("ratio_size", {}),
        ("where", {}),
        ("few", {}),
        ("forgets", {}),
        ("reads_on", {}),
        ("transfer", {"minilm": {}}),
        ("transfer", {"minilm": {"movies": {"LoRA": [0.9]}, "tweets": {"LoRA": [0.9]}}}),
    ],
)
def test_nothing_stored_is_said_and_decides_nothing(record, name, nothing):
    getattr(verdicts, name)(record, nothing, SEEDS)
    assert {claim["verdict"] for claim in record.data["claims"]} == {UNMEASURED}
