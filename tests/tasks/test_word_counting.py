"""Baselines that count words: what they learn, and what they cannot."""

import pytest

from peftlab import load_task
from peftlab.tasks import Example, Task
from peftlab.tasks.word_counting import majority, word_counting


def task_of(kind, labels, train, test, **more):
    return Task("toy", kind, labels, train, (), test, **more)


def labelled(*rows):
    return tuple(Example(text, label) for text, label in rows)


def test_naive_bayes_weighs_words_by_their_labels():
    train = labelled(("good good film", 1), ("dull film", 0), ("a fine plot", 1), ("a plot", 0))
    test = labelled(("Good plot", 1), ("dull dull good", 0), ("fine film", 1))
    assert word_counting(task_of("label", ("n", "p"), train, test)) == 1.0


def test_naive_bayes_goes_by_the_shares_of_the_labels_when_it_knows_no_word():
    train = labelled(("a b", 0), ("c d", 1), ("e f", 1))
    test = labelled(("x", 1), ("y", 0))
    task = task_of("label", ("n", "p"), train, test)
    assert word_counting(task) == majority(task) == 0.5


def test_words_of_a_pair_are_told_apart():
    train = tuple(
        Example(first, label, text_pair=second)
        for first, second, label in (("wet", "dry", 0), ("dry", "wet", 1))
    )
    assert word_counting(task_of("label", ("a", "b"), train, train)) == 1.0


def test_words_have_their_usual_tags_and_new_words_the_commonest():
    labels = ("O", "B-X", "I-X")
    train = (
        Example(("Ona", "left", "Rome"), (1, 0, 1)),
        Example(("Ona", "met", "Ona", "again"), (1, 0, 0, 0)),
    )
    test = (Example(("Ona", "saw", "Rome"), (1, 0, 1)), Example(("left", "Bel"), (0, 1)))
    task = task_of("tag", labels, train, test)
    assert word_counting(task) == pytest.approx(4 / 5)  # two found, three wanted
    assert majority(task) == 0


def test_texts_are_those_of_the_example_with_most_shared_words():
    train = tuple(
        Example(f"The {a} of {b} is [Y]", references=(c,))
        for a, b, c in (("size", "Bel", "big"), ("capital", "Ona", "Rome"), ("size", "Ona", "big"))
    )
    test = (
        Example("[Y] is the capital of Ona", references=("Rome",)),
        Example("[Y] is the size", references=("big",)),
    )
    task = task_of("cloze", (), train, test)
    assert word_counting(task) == 1.0
    assert majority(task) == 0.5


def test_reviews_are_beyond_counting_words():
    reviews = load_task("reviews")
    assert majority(reviews) == reviews.majority() == 0.5
    assert 0.5 < word_counting(reviews) < 0.75
