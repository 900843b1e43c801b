"""What a probe asks: facts, words, negation, look-up and copying, with the answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from peftlab.pretraining.corpus import corpus

#: Wordings of facts that the corpus never uses, for the unseen-wording probe.
UNSEEN_WORDINGS = {
    "capital": [
        "The most important office in {s} is in its capital, {a}.",
        "Whoever wants to see the capital of {s} must go to {a}.",
        "As for {s}, its capital city is {a}.",
    ],
    "continent": ["You will find {s} in {a}.", "Look for {s} on a map of {a}."],
    "currency": [
        "Everybody in {s} counts money in the {a}.",
        "In the shops of {s} you pay with the {a}.",
    ],
    "language": ["Most books in {s} are in {a}.", "Children in {s} learn to speak {a}."],
    "symbol": ["In formulas {s} is {a}.", "The short symbol for {s} is {a}."],
    "class": ["It is well known that the {s} is {an}.", "Of course the {s} is {an}."],
    "young": ["The name of a young {s} is {a}.", "When it is young the {s} is called {an}."],
}


@dataclass(frozen=True)
class Question:
    """A text with one answer in it.

    Args:
        before: the text before the answer, without the space between them.
        answer: one word or more.
        after: the text after the answer.
        kind: a subgroup of the probe, such as the relation that a fact belongs to.
    """

    before: str
    answer: str
    after: str = "."
    kind: str = ""


def questions(seed: int = 0) -> dict[str, list[Question]]:
    """All questions.

    Args:
        seed: seed of the documents that the polarity, look-up and copying probes ask about.

    Returns:
        A list of questions for each probe, by its name.
    """
    made = corpus()
    stock = {relation: [wordings[0]] for relation, wordings in made.WORDINGS.items()}
    return {
        "facts, stock wording": list(_facts(made, stock)),
        "facts, unseen wording": list(_facts(made, UNSEEN_WORDINGS)),
        "dictionary": [
            Question(f"{made.sentence(word)} means", name)
            for name in ("good", "bad")
            for word in made.words()[name]
        ],
        "polarity": list(_polarity(made, seed)),
        "negation": list(_negation(made)),
        "look-up in sentences": list(_look_up(made, made.lookups, seed)),
        "look-up in cards and sentences": list(_look_up(made, made.questions, seed)),
        "copying": list(_copying(made, seed)),
    }


def _facts(made: ModuleType, wordings: Mapping[str, list[str]]) -> Iterator[Question]:
    """Each fact of the tables, in each of the wordings that are given for its relation."""
    for name, (key, relations) in made.SUBJECTS.items():
        for row in made.table(name):
            for relation in relations:
                for template in wordings.get(relation, ()):
                    marked = template.replace("{an}", "{a}")
                    answer = made.NOBLE.get(row[relation], row[relation])
                    if marked != template:
                        answer = made.article(answer)
                    text = made.wording(marked, row[key], "\0")
                    before, after = text.split("\0")
                    yield Question(before.rstrip(), answer, after, relation)


def _polarity(made: ModuleType, seed: int) -> Iterator[Question]:
    """Whether a thing is good or bad, after a sentence that praised or blamed one aspect of it."""
    draw = random.Random(seed)
    for name in ("good", "bad"):
        for word in made.words()[name]:
            thing = draw.choice(sorted(made.aspects()))
            aspect = draw.choice(made.aspects()[thing])
            yield Question(f"The {aspect} was {word}. All in all the {thing} was", name)


def _negation(made: ModuleType) -> Iterator[Question]:
    """Negated adjectives, in pairs of aspect and adjective that the corpus never negates."""
    for name, other in (("good", "bad"), ("bad", "good")):
        for word in made.words()[name]:
            for aspects in made.aspects().values():
                for aspect in aspects:
                    if made.reserved(aspect, word):
                        yield Question(f"If the {aspect} is not {word}, it is", other, kind=name)


def _look_up(
    made: ModuleType, domain: Callable[[Any], str], seed: int, count: int = 300
) -> Iterator[Question]:
    """The last question of a document about people or things whose names the corpus never has."""
    draw = made.UnseenNames(seed)
    for _ in range(count):
        document = domain(draw)
        before, _, answer = document.rpartition(" Answer: ")
        attribute = before.rpartition("Question: ")[2].split()[0]
        yield Question(f"{before} Answer:", answer.rstrip("."), kind=attribute)


def _copying(made: ModuleType, seed: int, count: int = 300) -> Iterator[Question]:
    """The next name, in the repetition of a list of names that the corpus never has."""
    draw = made.UnseenNames(seed)
    for _ in range(count):
        names = [made.invented_name(draw) for _ in range(draw.randint(3, 8))]
        place = draw.randrange(1, len(names))
        said = f"{' '.join(names)}. {' '.join(names[:place])}"
        yield Question(said, names[place], " ".join(["", *names[place + 1 :]]) + ".")
