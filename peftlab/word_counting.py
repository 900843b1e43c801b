"""What counting words achieves on a task: the baselines that a model has to beat.

word_counting(task)     # naive Bayes, the usual tag of a word, or the answer of a similar example
majority(task)          # one answer for everything

Both learn from the training split and give the headline score on the test split.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from peftlab.evaluation import Evaluation
from peftlab.metrics import headline, scores
from peftlab.tasks import Example, Task


def word_counting(task: Task) -> float:
    """The headline score on the test split of a model that counts words.

    Classification: multinomial naive Bayes with add-one smoothing; the words of a pair are marked
    by the text they stand in. Tagging: the most frequent tag of each word, and of all words where
    the word is new. Texts: the first reference of the training example that shares most words, of
    several the first of those with fewest words of their own.
    """
    if task.kind == "label":
        return _score(task, _naive_bayes(task))
    if task.kind == "tag":
        return _score(task, _usual_tags(task))
    return _score(task, _most_similar(task))


def majority(task: Task) -> float:
    """The headline score on the test split of always giving training's most frequent answer."""
    if not task.labels:
        text = Counter(e.references[0] for e in task.split("train")).most_common(1)[0][0]
        return _score(task, lambda example: text)
    if task.kind == "label":
        return task.majority()
    tag = Counter(tag for e in task.split("train") for tag in e.label).most_common(1)[0][0]
    return _score(task, lambda example: (tag,) * len(example.text))


def _score(task: Task, predict: Callable[[Example], Any]) -> float:
    examples = task.split("test")
    found = Evaluation(examples, tuple(map(predict, examples)), math.nan)
    return scores(task, found)[headline(task)]


def _words(example: Example) -> list[str]:
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
    tags: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for example in task.split("train"):
        for word, tag in zip(example.text, example.label, strict=True):
            tags[word][tag] += 1
    usual = {word: own.most_common(1)[0][0] for word, own in tags.items()}
    other = sum(tags.values(), Counter()).most_common(1)[0][0]
    return lambda example: tuple(usual.get(word, other) for word in example.text)


def _most_similar(task: Task) -> Callable[[Example], str]:
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
