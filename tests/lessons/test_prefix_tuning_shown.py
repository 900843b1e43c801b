"""What lab 04 shows: scores of a series by seed and kind, and the examples whose texts are kept."""

from types import SimpleNamespace

import pytest
from tiny import tiny_config

from peftlab.lessons.prefix_tuning import scores, shown, slots
from peftlab.lessons.prefix_tuning.sweep import SHOWN, chosen
from peftlab.tasks import load_task

SERIES = {"place": {"prefix": "one", "infix": "other"}}


def lab(score="slot_accuracy"):
    """A session with two stored runs of the first setting."""

    def run(seed):
        own = {"slot_accuracy": 0.1 * seed, "bleu": 10.0 * seed, "chrf": 1.0}
        kinds = {"held-out": own | {"bleu": 1.0 * seed}}
        return SimpleNamespace(seed=seed, test_scores=own, scores_by_kind=kinds)

    stored = {"one": [run(1), run(2), run(7)], "other": []}
    plan = SimpleNamespace(series=SERIES)
    return SimpleNamespace(plan=plan, score=score, runs=lambda trial: stored[trial])


def test_scores_are_those_of_the_seeds_asked_for():
    found = scores(lab(), "place", (1, 2))
    assert found["prefix"] == {"slot_accuracy": [0.1, 0.2], "bleu": [10.0, 20.0]}
    assert found["infix"] == {"slot_accuracy": [], "bleu": []}
    assert slots(found) == {"prefix": [0.1, 0.2]}
    assert scores(lab(), "place", (2,), kind="held-out")["prefix"]["bleu"] == [2.0]


def test_a_task_without_texts_has_no_such_scores():
    assert slots(scores(lab("accuracy"), "place", (1, 2))) == {}


def test_the_texts_that_are_kept_are_of_every_kind():
    task = load_task("restaurants")
    kinds = [example.tags["kind"] for example in chosen(task)]
    assert len(kinds) == SHOWN and kinds == ["seen"] * 2 + ["held-out"] * 2
    assert len(chosen(load_task("opinions"))) <= SHOWN


@pytest.mark.parametrize(
    "answer, said",
    [("Tavoro is a pub.", "Tavoro is a pub."), (1, "good"), ((0, 1), "bad good")],
)
def test_an_answer_is_shown_in_words_for_every_kind_of_task(monkeypatch, answer, said):
    text = ("Tavoro", "serves") if isinstance(answer, tuple) else "Tavoro serves"
    example = SimpleNamespace(text=text, references=(), tags={})
    task = SimpleNamespace(labels=("bad", "good"), test=[example])
    monkeypatch.setattr(shown, "load_task", lambda name: task)
    monkeypatch.setattr(shown, "load_backbone", lambda *_: (None, None))
    monkeypatch.setattr(shown, "evaluate", lambda *_: SimpleNamespace(predictions=[answer]))
    live = {"prefix": SimpleNamespace(attachment=SimpleNamespace(model=None))}
    own = SimpleNamespace(live=live, task="own", backbone="b", scores=lambda name: [])
    page = shown.written_table(own)._repr_html_()
    assert said in page and "Tavoro serves" in page


@pytest.mark.parametrize(
    "scores, inputs, answers, found",
    [
        ({"bleu": 1.0, "chrf": 2.0}, ["Rome"], ["Roma"], ("Rome", "Roma")),
        ({"accuracy": 1.0}, ["Rome"], [0], ("Rome", "bad")),
        ({"accuracy": 1.0}, [["Rome", "is"]], [[1, 0]], ("Rome is", "good bad")),
    ],
    ids=["texts without slots", "labels", "tags"],
)
def test_the_panel_gets_the_stored_runs_of_any_task(monkeypatch, scores, inputs, answers, found):
    monkeypatch.setattr(shown, "load_task", lambda name: SimpleNamespace(labels=("bad", "good")))
    run = SimpleNamespace(test_scores=scores)
    study = {
        "mass": {"10": [0.5]},
        "shown": [{"input": own, "references": []} for own in inputs],
        "written": {"P=10": answers, "full fine-tuning": answers},
    }
    own = SimpleNamespace(
        study=study,
        task="own",
        runs=lambda name: [run],
        scores=lambda name: [1.0],
        series=lambda name, score: {10: [scores[score]]},
    )
    measured = shown.measured_prefixes(own, tiny_config("gpt2"), "causal_lm")
    assert (measured.shown[0]["input"], measured.written[10][0]) == found
    assert measured.bleu == ({10: [1.0]} if "bleu" in scores else {})
    assert not measured.slot_accuracy
    assert found[1] in shown.panel.prefix_panel(measured, (10,)).twin()
