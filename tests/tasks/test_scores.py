"""Scores: published definitions, slots by their words, and which task gets which."""

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from peftlab.tasks import Evaluation, Example, Task
from peftlab.tasks.scores import count_slots, headline, scores

SLOTS = {
    "names": ["name", "near"],
    "phrases": {
        "food": {"Italian": ["Italian", "pasta"], "Thai": ["Thai"]},
        "price": {"cheap": ["cheap", "low-priced"], "high": ["expensive"]},
        "family": {
            "yes": ["family-friendly", "welcomes families"],
            "no": ["not family-friendly", "for adults"],
        },
    },
}


def task_of(kind, labels=(), examples=(), **more):
    return Task("toy", kind, labels, examples, examples, examples, **more)


def score(task, predictions):
    return scores(task, Evaluation(task.test, tuple(predictions), 0.0))


def counts(meaning, text):
    found = count_slots(SLOTS, meaning, text)
    return found["right"], found["added"]


# Which task gets which


def test_classification_has_an_accuracy():
    task = task_of("label", ("a", "b"), (Example("x", 0), Example("y", 1)))
    assert score(task, [0, 0]) == {"accuracy": 0.5}
    assert headline(task) == "accuracy"


def test_cloze_has_an_exact_match():
    examples = tuple(Example("[Y] is", references=(city,)) for city in ("Rome", "Paris"))
    task = task_of("cloze", examples=examples)
    assert score(task, ["Rome", "paris"]) == {"exact_match": 0.5}
    assert headline(task) == "exact_match"


TEXTS = (
    Example("name: Ona | food: Thai", references=("Ona serves Thai food.", "Thai food at Ona.")),
    Example("name: Bel | price: cheap", references=("Bel is a cheap place.",)),
)


def test_texts_without_slots_have_overlap_and_exact_match():
    task = task_of("write", examples=TEXTS)
    found = score(task, ["Thai food at Ona.", "Bel is a cheap place."])
    assert found == {"bleu": pytest.approx(100), "chrf": pytest.approx(100), "exact_match": 1.0}
    assert headline(task) == "bleu"


def test_texts_with_slots_are_compared_by_them():
    task = task_of("write", examples=TEXTS, lexicon=SLOTS)
    found = score(task, ["Ona serves Thai food.", "Bel is a Thai place."])
    assert list(found) == [
        "slot_accuracy", "slot_accuracy_without_names", "slot_error", "bleu", "chrf", "exact_match"
    ]  # fmt: skip
    assert found["slot_accuracy"] == 3 / 4  # name, food; name
    assert found["slot_accuracy_without_names"] == 1 / 2
    assert found["slot_error"] == (1 + 1) / 4  # no price, and a food that nobody asked for
    assert headline(task) == "slot_accuracy"


def test_bleu_and_chrf_use_all_references_of_each_example():
    task = task_of("write", examples=TEXTS)
    texts = ["Thai food at Ona today.", "Bel is a cheap pub."]
    found = score(task, texts)
    streams = [
        ["Ona serves Thai food.", "Bel is a cheap place."],
        ["Thai food at Ona.", None],
    ]
    assert found["bleu"] == pytest.approx(sacrebleu.BLEU().corpus_score(texts, streams).score)
    assert found["chrf"] == pytest.approx(sacrebleu.CHRF().corpus_score(texts, streams).score)
    firsts = task_of(
        "write",
        examples=tuple(Example(e.text, references=e.references[:1]) for e in TEXTS),
    )
    assert found["bleu"] > score(firsts, texts)["bleu"]


# Entities

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
OUT, B_PER, I_PER, B_LOC, I_LOC = range(5)


def tagging(*rows, labels=BIO):
    examples = tuple(Example(("w",) * len(row), tuple(row)) for row in rows)
    return task_of("tag", labels, examples)


@pytest.mark.parametrize(
    "answer, f1",
    [
        ([B_PER, I_PER, OUT, B_LOC], 1),
        ([B_PER, OUT, OUT, B_LOC], 1 / 2),  # one end wrong: two found, two wanted, one right
        ([B_LOC, I_LOC, OUT, B_LOC], 1 / 2),  # one type wrong
        ([OUT, OUT, OUT, B_LOC], 2 / 3),
        ([I_PER, I_PER, OUT, B_LOC], 2 / 3),  # without a B- there is no entity
        ([OUT, OUT, OUT, OUT], 0),
        ([B_PER, I_PER], 2 / 3),  # cut off
    ],
)
def test_entities_count_when_type_start_and_end_are_right(answer, f1):
    task = tagging([B_PER, I_PER, OUT, B_LOC])
    found = score(task, [tuple(answer)])
    assert found["f1"] == pytest.approx(f1)
    assert list(found) == ["f1", "accuracy"] and headline(task) == "f1"


def test_f1_is_over_all_sentences_and_not_their_mean():
    task = tagging([B_PER, B_PER, B_PER], [OUT, OUT, B_LOC])
    assert score(task, [(B_PER,) * 3, (OUT, OUT, OUT)])["f1"] == pytest.approx(6 / 7)


def test_labels_that_are_no_bio_tags_have_an_accuracy_alone():
    task = tagging([0, 1], labels=("noun", "verb"))
    assert score(task, [(0, 0)]) == {"accuracy": 0.5}
    assert headline(task) == "accuracy"


# Slots


@pytest.mark.parametrize(
    "meaning, text, right, added",
    [
        ("name: Ona", "Ona is a pub.", 1, 0),
        ("name: Ona", "Try Ona's bar", 1, 0),
        ("name: Ona", "Onabel is a pub.", 0, 0),
        ("name: Ona", "ona is a pub.", 0, 0),
        ("name: The Oak | near: Ona =>", "The Oak is near Ona", 2, 0),
        ("food: Italian", "ITALIAN dishes", 1, 0),
        ("food: Italian", "they serve\npasta.", 1, 0),
        ("food: Italian", "Thai dishes", 0, 0),
        ("food: Italian", "Italian and Thai dishes", 0, 0),
        ("food: Italian", "Italianate dishes", 0, 0),
        ("family: no", "It is not family-friendly.", 1, 0),
        ("family: yes", "It is not family-friendly.", 0, 0),
        ("family: yes", "It is family-friendly.", 1, 0),
        ("family: yes", "family-friendly, not family-friendly", 0, 0),
        ("name: Ona", "Ona is cheap and Thai, Thai, Thai.", 1, 2),
        ("name: Cheap Ona", "Cheap Ona is a pub.", 1, 0),
        ("name: Ona | food: Thai | price: cheap", "", 0, 0),
    ],
)
def test_slots_are_read_off_the_words(meaning, text, right, added):
    assert counts(meaning, text) == (right, added)


VALUES = [(slot, value) for slot, values in SLOTS["phrases"].items() for value in values]


@given(st.lists(st.sampled_from(VALUES), min_size=1, unique_by=lambda pair: pair[0]), st.data())
def test_saying_every_slot_and_no_other_is_all_right(pairs, data):
    meaning = " | ".join(["name: Ona", *(f"{slot}: {value}" for slot, value in pairs)])
    said = [data.draw(st.sampled_from(SLOTS["phrases"][slot][value])) for slot, value in pairs]
    text = ", ".join(data.draw(st.permutations(["Ona", *said])))
    assert counts(meaning, text) == (len(pairs) + 1, 0)
    assert counts("name: Ona", text) == (1, len(pairs))
