"""Texts put into templates: worded inputs, verbalized labels, trained slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from peftlab.tasks.task import SPLITS, Example, Task
from peftlab.tasks.template import ANSWER, SECOND, SLOT, fill


def worded(task: Task, template: str) -> Task:
    """The same task with its texts inside a template.

    Args:
        task: its texts are strings, not words with tags.
        template: has [X] for the text, and [X2] for the second text where there is one. Where the
            answer is written, the template may end with [Y]; otherwise it has no [Y].

    Returns:
        The task with other texts; its answers are the same.

    Raises:
        ValueError: the template does not fit the task.
    """
    if any(not isinstance(e.text, str) for e in task.train):
        raise ValueError(f"task {task.name!r} labels words; a template is for whole texts")
    before, gap, after = template.partition(ANSWER)
    if gap and (task.kind != "write" or after.strip()):
        raise ValueError(
            f"task {task.name!r} has no word to stand at {ANSWER} of {template!r}; leave {ANSWER} "
            "out, or give the method a verbalizer, a word for each label"
        )
    return _wrapped(task, before.rstrip())


def verbalized(task: Task, template: str, words: Mapping[str, str]) -> Task:
    """A classification task as a cloze: each label is a word at [Y] of a template.

    Args:
        task: it has a label for each text.
        template: has [X] for the text, [Y] for the word, and [X2] for the second text where there
            is one.
        words: a word for each label.

    Returns:
        A cloze, whose answers are chosen among the words.

    Raises:
        ValueError: the task has other labels, two labels share a word, or the template does not
            fit.
    """
    if task.kind != "label":
        raise ValueError(f"task {task.name!r} has no labels of whole texts to put into words")
    if set(words) != set(task.labels) or len(set(words.values())) < len(words):
        raise ValueError(
            f"the verbalizer needs a word of its own for each of {', '.join(task.labels)}; "
            f"got {dict(words)!r}"
        )
    if ANSWER not in template:
        raise ValueError(f"the template {template!r} has no {ANSWER} for the word of the label")
    choices = tuple(words[label] for label in task.labels)
    for example in (e for split in SPLITS for e in getattr(task, split)):
        if ANSWER in example.text or ANSWER in (example.text_pair or ""):
            raise ValueError(f"{example.text!r} has {ANSWER}, the place of the target; rename it")
    wrapped = _wrapped(task, template)
    splits = {
        split: tuple(
            replace(e, label=None, references=(choices[e.label],), choices=choices)
            for e in getattr(wrapped, split)
        )
        for split in SPLITS
    }
    return replace(wrapped, kind="cloze", labels=(), **splits)


def slotted(task: Task, slots: int) -> Task:
    """The same task, each text marked as one that has the slots of a template.

    Args:
        task: its texts are in the template already.
        slots: the number of "[P]" in the template.

    Returns:
        The task with `slots` in each example.

    Raises:
        ValueError: a text has "[P]" of its own.
    """
    for example in (e for split in SPLITS for e in getattr(task, split)):
        if example.text.count(SLOT) != slots:
            raise ValueError(
                f"{example.text!r} has {SLOT} beside the {slots} of the template; rename it"
            )
    return replace(
        task,
        **{s: tuple(replace(e, slots=slots) for e in getattr(task, s)) for s in SPLITS},
    )


def _wrapped(task: Task, template: str) -> Task:
    if any(bool(e.text_pair) != (SECOND in template) for e in task.train):
        raise ValueError(
            f"{template!r} {'has' if SECOND in template else 'lacks'} {SECOND}, the place of a "
            f"second text, and task {task.name!r} is of the other kind"
        )

    def inside(e: Example) -> Example:
        return replace(e, text=fill(template, e.text, e.text_pair or ""), text_pair=None)

    return replace(task, **{s: tuple(map(inside, getattr(task, s))) for s in SPLITS})
