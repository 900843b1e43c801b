"""Scores of an evaluation, by the kind of task.

scores(task, evaluate(model, tokenizer, task.test))     # {"f1": 0.71, "accuracy": 0.93}
headline(task)                                          # "f1", the one to compare methods by

BLEU: Papineni et al. 2002; chrF: Popović 2015; both as sacrebleu computes them (Post 2018,
arXiv 1804.08771). Entity F1: the CoNLL-2003 task (Tjong Kim Sang and De Meulder 2003,
arXiv cs/0306050), as seqeval computes it. Slot error: Wen et al. 2015, arXiv 1508.01745.

The words of a description of `restaurants` tell what it says. A meaning is written as "name: Tavoro
| food: Italian", with or without an arrow " =>" at its end. `task.lexicon` knows the phrases:
{"names": [slot, ...], "phrases": {slot: {value: [phrase, ...]}}}.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from peftlab.tasks.evaluation import Evaluation
from peftlab.tasks.task import Task


def scores(task: Task, evaluation: Evaluation) -> dict[str, float]:
    """All scores that fit the task.

    Args:
        task: decides which: "accuracy" for classification; "accuracy" of the words and, where the
            labels are BIO tags, entity-level "f1" for tagging; "exact_match" for a cloze; "bleu",
            "chrf" and "exact_match" for other texts, and with a lexicon "slot_accuracy",
            "slot_accuracy_without_names" and "slot_error" before them.
        evaluation: of examples of this task, from `evaluate`.

    Returns:
        Scores by name, from 0 to 1, except "bleu" and "chrf", which sacrebleu gives from 0 to 100;
        "slot_error" can exceed 1, when a text adds more than its meaning holds.
    """
    if task.kind == "label":
        return {"accuracy": evaluation.accuracy}
    if task.kind == "tag":
        f1 = {"f1": _entity_f1(task, evaluation)} if _bio(task) else {}
        return f1 | {"accuracy": evaluation.accuracy}
    exact = {"exact_match": evaluation.accuracy}
    if task.kind == "cloze":
        return exact
    slots = {} if task.lexicon is None else slot_scores(task.lexicon, evaluation)
    return slots | _overlap(evaluation) | exact


def scores_by(task: Task, evaluation: Evaluation, tag: str) -> dict[str, dict[str, float]]:
    """`scores` of the examples of each value of a tag, such as "kind".

    Args:
        task: see `scores`.
        evaluation: see `scores`.
        tag: one that every example has.

    Returns:
        The scores by name, for each value of the tag.
    """
    pairs = list(zip(evaluation.examples, evaluation.predictions, strict=True))
    found = {}
    for value in sorted({example.tags[tag] for example, _ in pairs}):
        examples, predictions = zip(*(p for p in pairs if p[0].tags[tag] == value), strict=True)
        part = replace(evaluation, examples=examples, predictions=predictions)
        found[value] = scores(task, part)
    return found


def headline(task: Task) -> str:
    """The name of the score that methods are compared by.

    Args:
        task: decides which.

    Returns:
        One of the names that `scores` gives.
    """
    if task.kind == "label":
        return "accuracy"
    if task.kind == "tag":
        return "f1" if _bio(task) else "accuracy"
    if task.kind == "cloze":
        return "exact_match"
    return "bleu" if task.lexicon is None else "slot_accuracy"


def slot_scores(lexicon: Mapping[str, Any], evaluation: Evaluation) -> dict[str, float]:
    """How much of the meanings the texts say, and what they say beyond.

    slot_accuracy = right / slots; slot_error = (slots - right + added) / slots.

    Args:
        lexicon: as `task.lexicon`.
        evaluation: the texts of its examples are meanings.

    Returns:
        "slot_accuracy", the same "slot_accuracy_without_names", and "slot_error".
    """
    total = Counter()
    for example, text in zip(evaluation.examples, evaluation.predictions, strict=True):
        total += count_slots(lexicon, example.text, text)
    everything = max(1, total["slots"])
    return {
        "slot_accuracy": total["right"] / everything,
        "slot_accuracy_without_names": (total["right"] - total["right_names"])
        / max(1, total["slots"] - total["names"]),
        "slot_error": (total["slots"] - total["right"] + total["added"]) / everything,
    }


def count_slots(lexicon: Mapping[str, Any], meaning: str, text: str) -> Counter[str]:
    """How many slots of a meaning one text says, and how many others it says.

    A slot that is a name is right when its value stands in the text as it is, in whole words.
    Another slot is right when the text has a phrase of its value, in whole words of any case, and
    none of another value. Longer phrases are found first and take their words away, so that "not
    family-friendly" is not "family-friendly". A slot is added when the meaning lacks it and the
    text has a phrase of it.

    Args:
        lexicon: as `task.lexicon`.
        meaning: slots and their values, as above.
        text: a description.

    Returns:
        Counts of "slots", of those the "right" ones, and of the "added" ones; "names" and
        "right_names" are counted among the first two.
    """
    parts = meaning.removesuffix("=>").strip().split(" | ")
    wanted = dict(part.split(": ", 1) for part in parts)
    text = " ".join(text.split())
    counts = Counter(slots=len(wanted))
    rest = text
    for slot in wanted.keys() & set(lexicon["names"]):
        found = re.search(_whole_words(wanted[slot]), text) is not None
        counts["names"] += 1
        if found:
            counts.update(right=1, right_names=1)
        rest = re.sub(_whole_words(wanted[slot]), "\0", rest)  # "The Cheap Oak" is not cheap
    for slot, phrases in lexicon["phrases"].items():
        said = _said(phrases, rest)
        if slot in wanted and said == {wanted[slot]}:
            counts["right"] += 1
        if slot not in wanted and said:
            counts["added"] += 1
    return counts


def _said(phrases: Mapping[str, Sequence[str]], text: str) -> set[str]:
    """The values that a text has a phrase of."""
    pairs = [(phrase, value) for value, own in phrases.items() for phrase in own]
    said = set()
    for phrase, value in sorted(pairs, key=lambda pair: -len(pair[0])):
        text, times = re.subn(_whole_words(phrase), "\0", text, flags=re.IGNORECASE)
        if times:
            said.add(value)
    return said


def _whole_words(phrase: str) -> str:
    return rf"(?<!\w){re.escape(phrase)}(?!\w)"


def _bio(task: Task) -> bool:
    return all(label == "O" or label[:2] in ("B-", "I-") for label in task.labels)


def _entity_f1(task: Task, evaluation: Evaluation) -> float:
    """F1 of entities, of which type, start and end must be right; words cut off have none."""
    from seqeval.metrics import f1_score  # brings scikit-learn, which takes a while
    from seqeval.scheme import IOB2

    wanted = [[task.labels[i] for i in example.label] for example in evaluation.examples]
    given = [
        [*(task.labels[i] for i in answer), *["O"] * (len(tags) - len(answer))]
        for tags, answer in zip(wanted, evaluation.predictions, strict=True)
    ]
    return float(f1_score(wanted, given, mode="strict", scheme=IOB2, zero_division=0))


def _overlap(evaluation: Evaluation) -> dict[str, float]:
    import sacrebleu

    most = max(len(example.references) for example in evaluation.examples)
    streams = [
        [e.references[i] if i < len(e.references) else None for e in evaluation.examples]
        for i in range(most)
    ]
    texts = list(evaluation.predictions)
    return {
        "bleu": sacrebleu.corpus_bleu(texts, streams, force=True).score,
        "chrf": sacrebleu.corpus_chrf(texts, streams).score,
    }
