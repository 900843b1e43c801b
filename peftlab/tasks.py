"""Tasks: examples with their answers, in three splits.

A task is bundled, comes from the hub, or is read from your own files.

task = load_task("reviews")
task = load_task("facts/capital")           # one relation of a cloze task
task = load_task("path/to/file.tsv")        # its columns decide what the answers are:
                                            # text (and text_pair) and label: a label
                                            # tokens and tags: a tag for each word
                                            # text and target, or references: a text
task = load_task("hub:glue/sst2")           # with the extra `hub`
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from peftlab import paths
from peftlab.files import check_listed, checksums
from peftlab.rows import (
    COLUMNS,
    NUMBER,
    SUFFIXES,
    find_columns,
    parse_row,
    read_rows,
)
from peftlab.template import ANSWER, SECOND, SLOT, check_prompt, fill

SPLITS = ("train", "validation", "test")

#: What the answers of a task are: a label for each text, a tag for each word, a text that is
#: written, or what fills the gap "[Y]" of a text.
KINDS = ("label", "tag", "write", "cloze")

BUNDLED = ("reviews", "opinions", "entities", "pairs", "restaurants", "facts")


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
            `peftlab.metrics`.

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
                "see peftlab.word_counting.majority"
            )
        commonest = Counter(_flat(self.train)).most_common(1)[0][0]
        labels = _flat(self.split(split))
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


def load_task(name: str | Path, *, columns: Mapping[str, str] | None = None, seed: int = 0) -> Task:
    """Load a bundled task, your own file or folder, or a set from the hub.

    Args:
        name: one of `BUNDLED`, or "facts/RELATION"; a TSV, CSV or JSONL file, which is split
            80/10/10; a folder with train, validation and test files; or "hub:ID" or
            "hub:ID/CONFIG" with the extra `hub`. Where a set of the hub has no test split with
            answers, its validation split is the test. What is missing then is taken from its
            training split, a tenth each.
        columns: which columns to read, when they are not called text, text_pair, label, tokens,
            tags, target or references, for example {"text": "comment", "label": "stars"}.
        seed: decides which texts come into which split, where peftlab splits. Equal texts always
            come into the same one.

    Returns:
        The task, with all three splits.

    Raises:
        ValueError: nothing of that name, a missing column, an empty file or field, a label that
            training lacks, or a bundled file that was altered.
        ModuleNotFoundError: a "hub:" name without the extra `hub`.
    """
    name = str(name)
    if unknown := set(columns or {}) - set(COLUMNS):
        raise ValueError(
            f"columns: unknown role {sorted(unknown)[0]!r}; roles: {', '.join(COLUMNS)}"
        )
    if name == "facts" or name.startswith("facts/"):
        return _facts(name)
    if name in BUNDLED:
        return _bundled(name)
    if name.startswith("hub:"):
        return _from_hub(name, columns, seed)
    path = Path(name)
    if name.strip() and path.is_dir():
        found = {
            s: next((path / f"{s}{e}" for e in SUFFIXES if (path / f"{s}{e}").is_file()), None)
            for s in SPLITS
        }
        if missing := [split for split, file in found.items() if file is None]:
            raise ValueError(
                f"{path} has no {missing[0]} file; name them train, validation and test, "
                f"as {', '.join(SUFFIXES)}"
            )
        rows = {split: read_rows(file) for split, file in found.items()}
    elif path.is_file():
        rows = read_rows(path)
        found = find_columns(path.name, list(rows[0]), columns or {})
        for number, row in enumerate(rows, start=1):
            row[NUMBER] = number
        text = found.get("tokens") or found["text"]
        rows = _split(path.name, rows, text, ("test", "validation"), seed)
    else:
        raise ValueError(
            f"no task {name!r}: bundled are {', '.join(BUNDLED)}; "
            "or give a file, a folder, or hub:ID"
        )
    return _task(path.name, rows, columns)


def _bundled(name: str) -> Task:
    folder = paths.DATASETS / name
    task = _task(name, _bundled_rows(folder), None)
    if "slots.json" in checksums(folder):
        return replace(
            task, lexicon=json.loads(check_listed(folder, "slots.json").read_text("utf-8"))
        )
    return task


def _bundled_rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    listed = checksums(folder)
    names = {s: next((s + e for e in SUFFIXES if s + e in listed), f"{s}.tsv") for s in SPLITS}
    return {split: read_rows(check_listed(folder, file)) for split, file in names.items()}


def _facts(name: str) -> Task:
    """All relations of the facts, or one, in the default wording of each."""
    folder = paths.DATASETS / "facts"
    prompts: dict[str, tuple[str, ...]] = {}
    for row in read_rows(check_listed(folder, "prompts.tsv")):
        check_prompt(row["prompt"])
        prompts[row["relation"]] = (*prompts.get(row["relation"], ()), row["prompt"])
    _, _, relation = name.partition("/")
    if name != "facts":
        if relation not in prompts:
            raise ValueError(f"no relation {relation!r} in facts; it has: {', '.join(prompts)}")
        prompts = {relation: prompts[relation]}
    splits = {
        split: tuple(
            Example(
                fill(prompts[row["relation"]][0], row["subject"]),
                tags={key: value for key, value in row.items() if key != "answer"},
                references=(row["answer"],),
            )
            for row in rows
            if row["relation"] in prompts
        )
        for split, rows in _bundled_rows(folder).items()
    }
    return Task(name, "cloze", (), **splits, prompts=prompts)


def _from_hub(name: str, columns: Mapping[str, str] | None, seed: int) -> Task:
    try:
        metadata.version("datasets")  # importing could find a folder that is called datasets
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            f"{name!r} needs the package datasets: pip install 'peftlab[hub]'; "
            "or export the set to a TSV file"
        ) from None
    import datasets

    dataset_id, _, config = name.removeprefix("hub:").partition("/")
    try:
        loaded = _load_hub(datasets, dataset_id, config)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"cannot load {name!r} from the hub ({type(error).__name__}: {error}); without a "
            f"network, download it beforehand with load_dataset({dataset_id!r}), or give a TSV "
            f"file; bundled are {', '.join(BUNDLED)}"
        ) from error
    rows = {split: [dict(row) for row in loaded[split]] for split in SPLITS if split in loaded}
    if not rows.get("train"):
        raise ValueError(f"{name!r} has no train split; it has: {', '.join(loaded)}")
    found = find_columns(name, list(rows["train"][0]), columns or {})
    for split in ("validation", "test"):
        if split in rows and _hidden(rows[split], found.get("label")):
            del rows[split]
    if "test" not in rows and "validation" in rows:
        rows["test"] = rows.pop("validation")
    missing = [split for split in ("test", "validation") if split not in rows]
    if missing:
        text = found.get("tokens") or found["text"]
        rows |= _split(name, rows["train"], text, missing, seed)
    names = {
        column: feature.names
        for column, feature in loaded["train"].features.items()
        if hasattr(feature, "names")
    }
    return _task(name, rows, columns, names)


def _load_hub(datasets: Any, dataset_id: str, config: str) -> Any:
    """`glue/sst2` is the configuration sst2 of glue, but `owner/set` is one id."""
    try:
        return datasets.load_dataset(f"{dataset_id}/{config}" if config else dataset_id)
    except Exception:
        if not config:
            raise
        return datasets.load_dataset(dataset_id, config)


def _hidden(rows: list[dict[str, Any]], label: str | None) -> bool:
    """Whether a split has no answers: many benchmarks keep the labels of the test to themselves."""
    return all(row.get(label) == -1 for row in rows)


def _split(
    name: str, rows: list[dict[str, Any]], text: str, wanted: Sequence[str], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """A tenth of the rows for each split that is wanted, and the others for training.

    Rows of the same text come into the same split.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row.get(text)), []).append(row)
    if len(groups) < 10:
        raise ValueError(
            f"{name}: at least 10 different texts are needed to take {' and '.join(wanted)} "
            f"examples from, got {len(groups)}"
        )
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    tenth = len(order) // 10
    keys = {split: order[i * tenth : (i + 1) * tenth] for i, split in enumerate(wanted)}
    keys["train"] = order[len(wanted) * tenth :]
    return {split: [row for key in own for row in groups[key]] for split, own in keys.items()}


def _task(
    name: str,
    rows: dict[str, list[dict[str, Any]]],
    columns: Mapping[str, str] | None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> Task:
    header = list(dict.fromkeys(column for split in rows.values() for column in split[0]))
    found = find_columns(name, header, columns or {})
    parsed = {
        s: [parse_row(name, s, i, row, found) for i, row in enumerate(rs, start=1)]
        for s, rs in rows.items()
    }
    if found.keys() & {"target", "references"}:
        splits = {
            split: tuple(Example(text, None, pair, tags, texts) for text, texts, pair, tags in rs)
            for split, rs in parsed.items()
        }
        gaps = all(ANSWER in example.text for example in splits["train"])
        return Task(name, "cloze" if gaps else "write", (), **splits)
    tagging = "tokens" in found
    target = found["tags" if tagging else "label"]
    seen = dict.fromkeys(
        sorted({label for example in parsed["train"] for label in _labels(example[1])})
    )
    if len(seen) < 2:
        raise ValueError(
            f"{name}: training has only the label {next(iter(seen))!r}; at least two are needed"
        )
    to_index: Callable[[str], int] = {label: i for i, label in enumerate(seen)}.__getitem__
    splits = {}
    for split, examples in parsed.items():
        if unseen := sorted({label for e in examples for label in _labels(e[1])} - seen.keys()):
            raise ValueError(
                f"{name}: the {split} split has the label {unseen[0]!r}, "
                "which training never shows; "
                f"training has {', '.join(seen)}"
            )
        splits[split] = tuple(
            Example(text, tuple(map(to_index, label)) if tagging else to_index(label), pair, tags)
            for text, label, pair, tags in examples
        )
    labels = tuple(seen)
    if names and target in names:
        labels = tuple(names[target][int(label)] for label in labels)
    return Task(name, "tag" if tagging else "label", labels, **splits)


def _labels(label: str | tuple[str, ...]) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (label,)


def _flat(examples: Sequence[Example]) -> list[int]:
    return [i for e in examples for i in (e.label if isinstance(e.label, tuple) else (e.label,))]
