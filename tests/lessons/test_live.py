"""What the lessons measure beside their trials, for their labs alone."""

from types import SimpleNamespace

import pytest
import torch
from tiny_task import write_backbone, write_task

from peftlab import PromptTuning, insight, load_task
from peftlab.lessons import p_tuning, prompt_tuning
from peftlab.lessons.lesson import Group, Lesson, Plan
from peftlab.lessons.p_tuning import sweep as p_tuning_sweep
from peftlab.lessons.prompt_tuning import live as prompt_live
from peftlab.lessons.session import session
from peftlab.runs import trial as trials
from peftlab.runs.trial import Trial


@pytest.fixture
def lab(tmp_path):
    """A session of a lesson with one live trial, on a tiny backbone."""
    method = PromptTuning(prompt_length=3)
    main = Trial(label="prompt tuning", method=method, learning_rate=1e-1, epochs=1)
    plan = Plan(
        trials={"prompt": main},
        series={"voter": {"voter": Trial(**vars(main) | {"wording": "[X] [Y]"})}},
        groups={"stored": Group(trials=[main], seeds=(0, 1))},
    )
    lesson = Lesson(lab="09_toy", title="A", question="B?", plan=lambda **_: plan)
    where = {"backbone": write_backbone(tmp_path / "bert"), "task": write_task(tmp_path / "t.tsv")}
    return session(lesson, where | {"seed": 4})


def test_the_start_of_a_prompt_is_the_one_that_its_training_saw(lab, monkeypatch):
    seen = []

    def watching(attachment, *arguments, **options):
        seen.append(insight.soft_prompt(attachment).prompt.detach().clone())
        return train(attachment, *arguments, **options)

    train = trials.train
    monkeypatch.setattr(trials, "train", watching)
    lab.train("prompt")
    start, now = prompt_tuning.start_of(lab), insight.soft_prompt(lab.live["prompt"].attachment)
    assert torch.equal(start, seen[0])
    assert not torch.equal(start, now.prompt)


def test_a_prompt_for_a_relation_is_trained_on_the_subject_alone(lab, monkeypatch):
    seen = []
    monkeypatch.setattr(prompt_live, "train", lambda *a, **options: seen.append((a, options)))
    found = prompt_tuning.fact_prompt(lab, "capital")
    (attachment, tokenizer, data), options = seen[0]
    assert (attachment, tokenizer, data) == (found.attachment, found.tokenizer, found.data)
    assert options["learning_rate"] == 1e-1 and options["seed"] == lab.seed
    assert torch.equal(found.prompt, insight.soft_prompt(attachment).prompt)
    assert data.test[0].text.removesuffix("[Y]").strip() == data.test[0].tags["subject"]


def test_prompts_by_hand_are_sorted_and_those_without_an_answer_say_why(monkeypatch):
    data = load_task("facts/capital")
    worst, silent, best, *others = data.prompts["capital"]

    def evaluate(model, tokenizer, examples):
        (prompt,) = [p for p in data.prompts["capital"] if examples == data.rephrase(p).test]
        if prompt == silent:
            raise ValueError("no place for an answer")
        return SimpleNamespace(accuracy={worst: 0.1, best: 0.9}.get(prompt, 0.5))

    monkeypatch.setattr(p_tuning_sweep, "evaluate", evaluate)
    found, refused = p_tuning.by_hand(None, None, data)
    assert [*found] == [best, *others, worst]
    assert refused == {silent: "no place for an answer"}


@pytest.mark.parametrize("name", ["opinions", "facts"])
def test_a_task_without_prompts_of_one_relation_has_none_by_hand(name):
    assert p_tuning.by_hand(None, None, load_task(name)) == ({}, {})


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("is", "was", "The capital of [X] was [Y]."),
        ("The", "", "Capital of [X] is [Y]."),
        ("The", "this", "This capital of [X] is [Y]."),
    ],
)
def test_one_word_of_a_prompt_changes(old, new, changed):
    assert p_tuning_sweep.one_word("The capital of [X] is [Y].", old, new) == changed


@pytest.mark.parametrize(("prompt", "times"), [("[X] has [Y].", 0), ("is [X] is [Y].", 2)])
def test_a_word_that_a_prompt_does_not_have_once_cannot_be_changed(prompt, times):
    with pytest.raises(ValueError, match=f"has the word 'is' {times} times; name a word that it"):
        p_tuning_sweep.one_word(prompt, "is", "was")


def test_each_word_of_a_prompt_is_left_out_once():
    assert p_tuning_sweep.without_words("The capital of [X] is the [Y].") == {
        "The": "Capital of [X] is the [Y].",
        "capital": "The of [X] is the [Y].",
        "of": "The capital [X] is the [Y].",
        "is": "The capital of [X] the [Y].",
        "the": "The capital of [X] is [Y].",
    }
    assert p_tuning_sweep.without_words("of [X] of [Y]") == {}


def test_the_chosen_prompt_is_the_best_on_train_whatever_it_gets_on_test():
    prompts = {"a": {"train": 0.4, "test": 0.9}, "b": {"train": 0.6, "test": 0.1}}
    assert p_tuning.chosen(prompts) == "b"
    assert p_tuning.chosen(prompts | {"c": {"train": 0.6, "test": 1.0}}) == "b"  # the first one
