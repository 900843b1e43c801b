"""What counting words achieves on a task: the baselines that a model has to beat.

- `word_counting(task)` uses naive Bayes, the usual tag of each word, or the answer of the most
  similar training example.
- `majority(task)` gives every example the same answer.

Both learn from the training split and return the headline score on the test split.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from peftlab.tasks.evaluation import Evaluation
from peftlab.tasks.scores import headline, scores
from peftlab.tasks.task import Example, Task


def word_counting(task: Task) -> float:
    """The headline score on the test split of a model that counts words.

    Which model that is depends on what the task asks for:

    - A label: multinomial naive Bayes with add-one smoothing. In a task of pairs, a word of the
      first text and the same word in the second text are two different words.
    - A tag for each word: the tag that the word most often has in training. A word that is new gets
      the most frequent tag of all.
    - A text: the first reference of the most similar training example. That is the one with the
      most words in common; among equals the one with the fewest words, and then the first.

    Args:
        task: with a training and a test split.

    Returns:
        The score that `scores.headline` names, in the units of `scores.scores`.
    """
    if task.kind == "label":
        return _score(task, _naive_bayes(task))
    if task.kind == "tag":
        return _score(task, _usual_tags(task))
    return _score(task, _most_similar(task))


def majority(task: Task) -> float:
    """The headline score of giving every test example the most frequent answer of training.

    Args:
        task: with a training and a test split.

    Returns:
        The score that `scores.headline` names, in the units of `scores.scores`.
    """
    if not task.labels:
        text = Counter(e.references[0] for e in task.split("train")).most_common(1)[0][0]
        return _score(task, lambda example: text)
    if task.kind == "label":
        return task.majority()
    tag = Counter(tag for e in task.split("train") for tag in e.label).most_common(1)[0][0]
    return _score(task, lambda example: (tag,) * len(example.text))


def _score(task: Task, predict: Callable[[Example], Any]) -> float:
    """The headline score of one prediction for each test example."""
    examples = task.split("test")
    found = Evaluation(examples, tuple(map(predict, examples)), math.nan)
    return scores(task, found)[headline(task)]


def _words(example: Example) -> list[str]:
    """The words of an example in lower case; in a pair, each begins with the number of its text."""
    texts = [text for text in (example.text, example.text_pair) if text is not None]
    marks = [""] if len(texts) == 1 else ["1 ", "2 "]
    return [
        mark + word
        for mark, text in zip(marks, texts, strict=True)
        for word in re.findall(r"\w+(?:'\w+)?", text.lower())
    ]


def _naive_bayes(task: Task) -> Callable[[Example], int]:
    """The label of the largest log P(label) + sum of log P(word | label)."""
    examples = task.split("train")
    labels = Counter(example.label for example in examples)
    words: dict[int, Counter[str]] = {label: Counter() for label in labels}
    for example in examples:
        words[example.label].update(_words(example))
    vocabulary = len(set().union(*words.values()))
    totals = {label: own.total() + vocabulary for label, own in words.items()}

    def score(label: int, example: Example) -> float:
        chances = ((words[label][word] + 1) / totals[label] for word in _words(example))
        return math.log(labels[label] / len(examples)) + sum(map(math.log, chances))

    return lambda example: max(labels, key=lambda label: score(label, example))


def _usual_tags(task: Task) -> Callable[[Example], tuple[int, ...]]:
    """For each word the tag that it most often has in training."""
    tags: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for example in task.split("train"):
        for word, tag in zip(example.text, example.label, strict=True):
            tags[word][tag] += 1
    usual = {word: own.most_common(1)[0][0] for word, own in tags.items()}
    other = sum(tags.values(), Counter()).most_common(1)[0][0]
    return lambda example: tuple(usual.get(word, other) for word in example.text)


def _most_similar(task: Task) -> Callable[[Example], str]:
    """The first reference of the training example that shares the most words."""
    examples = task.split("train")
    bags = [set(_words(example)) for example in examples]
    holders = defaultdict(list)
    for i, bag in enumerate(bags):
        for word in bag:
            holders[word].append(i)

    def answer(example: Example) -> str:
        shared: Counter[int] = Counter()
        for word in set(_words(example)):
            shared.update(holders.get(word, ()))
        best = max(shared or [0], key=lambda i: (shared[i], -len(bags[i]), -i))
        return examples[best].references[0]

    return answer
