"""A task: its examples in three splits, its labels, and its metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from peftlab.tasks.template import check_prompt, fill

SPLITS = ("train", "validation", "test")


#: What the answers of a task are: a label for each text, a tag for each word, a text that is
#: written, or what fills the gap "[Y]" of a text.
KINDS = ("label", "tag", "write", "cloze")


@dataclass(frozen=True)
class Example:
    """One example with its answer: a label, or a text.

    Args:
        text: the sentence; for tagging, a tuple of words; in a cloze, "[Y]" stands for the answer.
        label: the index of its label; for tagging, an index for each word; None where texts answer.
        text_pair: a second sentence, or None.
        tags: what the other columns of the file say of it, such as its kind.
        references: the texts that are accepted as an answer; training uses the first.
        choices: the words of which the answer is one, each of them a single token; empty where any
            answer is possible.
        slots: how many "[P]" in the text are slots of a template.
    """

    text: str | tuple[str, ...]
    label: int | tuple[int, ...] | None = None
    text_pair: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    slots: int = 0


@dataclass(frozen=True)
class Task:
    """Examples in three splits, with what a model needs to know about them.

    Args:
        name: what it was loaded as.
        kind: what the answers are, one of `KINDS`; in a cloze, every training text has its gap.
        labels: label names; a label's index is its place here; none where texts answer.
        train, validation, test: the splits, without a shared sentence.
        prompts: the wordings of each relation that come with a cloze task, the default one first.
        lexicon: which phrases say which value of a slot, for descriptions of restaurants; see
            `peftlab.tasks.scores`.

    Raises:
        ValueError: `kind` is not one of `KINDS`.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    prompts: Mapping[str, tuple[str, ...]] | None = None
    lexicon: Mapping[str, Any] | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {self.kind!r}")

    def split(self, name: str) -> tuple[Example, ...]:
        """A split by name.

        Args:
            name: "train", "validation" or "test".

        Returns:
            Its examples, at least one.

        Raises:
            ValueError: there is no such split, or it is empty.
        """
        if name not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {name!r}")
        if not getattr(self, name):
            raise ValueError(f"task {self.name!r} has no {name} examples")
        return getattr(self, name)

    def majority(self, split: str = "test") -> float:
        """Accuracy of a model that always gives the most frequent label of the training split.

        Args:
            split: on which the accuracy is counted.

        Returns:
            The accuracy, from 0 to 1; for tagging, of words.

        Raises:
            ValueError: the answers are texts, or there is no such split.
        """
        if not self.labels:
            raise ValueError(
                f"task {self.name!r} has no labels to count, its answers are texts; "
                "see peftlab.tasks.word_counting.majority"
            )
        commonest = Counter(flat(self.train)).most_common(1)[0][0]
        labels = flat(self.split(split))
        return sum(label == commonest for label in labels) / len(labels)

    def rephrase(self, prompt: str | Mapping[str, str]) -> Task:
        """The same cloze task in another wording.

        Args:
            prompt: such as "The capital of [X] is [Y]."; where the task has several relations, a
                dictionary with a prompt for each relation that changes. A decoder needs [X]
                before [Y].

        Returns:
            The task with other texts; its answers are the same.

        Raises:
            ValueError: this is no cloze task with relations, a relation is unknown, or a prompt
                does not have [X] and [Y] once each.
        """
        if self.prompts is None:
            raise ValueError(f"task {self.name!r} has no prompts to rephrase; facts has")
        if isinstance(prompt, str):
            if len(self.prompts) > 1:
                raise ValueError(
                    f"task {self.name!r} has {len(self.prompts)} relations, and one prompt cannot "
                    f"serve all; give {{{next(iter(self.prompts))!r}: {prompt!r}}}"
                )
            prompt = dict.fromkeys(self.prompts, prompt)
        if not isinstance(prompt, Mapping):
            raise TypeError(f"a prompt is a text, or texts by relation; got {prompt!r}")
        if unknown := sorted(prompt.keys() - self.prompts.keys()):
            raise ValueError(
                f"no relation {unknown[0]!r} in task {self.name!r}; it has: "
                f"{', '.join(self.prompts)}"
            )
        for wording in prompt.values():
            check_prompt(wording)
        return replace(
            self,
            **{
                split: tuple(
                    replace(e, text=fill(prompt[e.tags["relation"]], e.tags["subject"]))
                    if e.tags["relation"] in prompt
                    else e
                    for e in getattr(self, split)
                )
                for split in SPLITS
            },
        )


def flat(examples: Sequence[Example]) -> list[int]:
    """List all labels of the examples in a row.

    Args:
        examples: with a label each, or with a label for each word.

    Returns:
        The labels; a tagged example gives one for each word.
    """
    return [i for e in examples for i in (e.label if isinstance(e.label, tuple) else (e.label,))]
