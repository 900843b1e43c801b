"""What lab 03 reads of its stored runs: pairs line up, and other models have none."""

import pytest
import torch
from tiny import tiny

from peftlab.lessons import prompt_tuning as lesson
from peftlab.lessons.prompt_tuning import shown
from peftlab.lessons.session import session

SETTINGS = {
    "backbone": "lab-gpt-micro",
    "task": "opinions",
    "seed": 0,
    "prompt_length": 5,
    "learning_rate": 1e-2,
    "epochs": 15,
    "language_model": "smollm2",
}


@pytest.fixture(scope="module")
def lab():
    return session(lesson.LESSON, SETTINGS)


@pytest.fixture(scope="module")
def without():
    return session(lesson.LESSON, SETTINGS | {"language_model": ""})


def test_every_point_on_facts_has_all_relations_and_seeds_in_one_order(lab):
    for series, seeds in (("length", lesson.FEW_SEEDS), ("start", lesson.START_SEEDS)):
        for trial in lab.plan.series[series].values():
            runs = shown.on_facts(lab, trial, seeds=seeds)
            assert [(run.task, run.seed) for run in runs] == [
                (f"facts/{name}", seed)
                for name in shown.load_task("facts").prompts
                for seed in seeds
            ]
    assert all(len(own) == 64 for size in shown.by_size(lab).values() for own in size.values())


def test_the_map_has_a_number_in_every_place_and_grows_with_the_rate(lab):
    found = shown.rate_map(lab)
    assert len(found) == len(lesson.LENGTHS)
    assert all(len(row) == len(lesson.RATES) and row[0] < row[4] for row in found)


def test_a_start_has_a_point_for_every_look_and_early_is_one_of_them(lab):
    curves = shown.over_time(lab)
    assert {tuple(own) for own in curves.values()} == {(2, 4, 6, 8, 10)}
    assert shown.early(lab)["uniform"] == curves["uniform"][2]


def test_the_real_model_is_compared_with_equal_seeds(lab):
    found = shown.real(lab, "real")
    assert {len(own) for own in found.values()} == {3}
    assert {len(own) for own in shown.real(lab, "real length").values()} == {3}
    assert list(shown.transfer(lab)) == ["movies", "products", "tweets"]
    assert all(0 < score < 1 for scores in shown.best_wording(lab).values() for score in scores)


def test_without_a_language_model_nothing_is_shown_of_one(without):
    assert shown.real(without, "real") == shown.transfer(without) == shown.best_wording(without)
    assert shown.real(without, "real") == {}
    assert not shown.starts_table(without).rows
    with pytest.raises(ValueError, match="leave the parameter language_model as it was"):
        session(lesson.LESSON, SETTINGS | {"language_model": "minilm"})


def test_an_even_look_counts_what_a_token_sees():
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    decoder = (2 / 3 + 2 / 4 + 2 / 5 + 2 / 3) / 4
    assert shown.even_look(tiny("gpt2", "sequence_classification"), 2, mask) == pytest.approx(
        decoder
    )
    encoder = (3 * 2 / 5 + 2 / 3) / 4
    assert shown.even_look(tiny("bert", "sequence_classification"), 2, mask) == pytest.approx(
        encoder
    )
