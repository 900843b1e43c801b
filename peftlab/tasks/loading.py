"""Tasks: examples with their answers, in three splits.

A task is bundled, comes from the hub, or is read from your own files.

task = load_task("reviews")
task = load_task("facts/capital")           # one relation of a cloze task
task = load_task("movies")                  # real sentences, once `peftlab fetch` brought them
task = load_task("path/to/file.tsv")        # its columns decide what the answers are:
                                            # text (and text_pair) and label: a label
                                            # tokens and tags: a tag for each word
                                            # text and target, or references: a text
task = load_task("hub:glue/sst2")           # with the extra `hub`
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from peftlab import fetching, paths
from peftlab.files import REINSTALL, check_listed, checksums
from peftlab.tasks.rated import RATED, how_sure
from peftlab.tasks.rows import COLUMNS, NUMBER, SUFFIXES, find_columns, parse_row, read_rows
from peftlab.tasks.task import SPLITS, Example, Task
from peftlab.tasks.template import ANSWER, check_prompt, fill

BUNDLED = ("reviews", "opinions", "entities", "pairs", "restaurants", "facts")


def load_task(name: str | Path, *, columns: Mapping[str, str] | None = None, seed: int = 0) -> Task:
    """Load a bundled task, your own file or folder, or a set from the hub.

    Args:
        name: one of `BUNDLED`, or "facts/RELATION"; one of `RATED`, which `peftlab fetch` brings;
            a TSV, CSV or JSONL file, which is split 80/10/10; a folder with train, validation and
            test files; or "hub:ID" or "hub:ID/CONFIG" with the extra `hub`. Where a set of the hub
            has no test split with answers, its validation split is the test. What is missing then
            is taken from its training split, a tenth each.
        columns: which columns to read, when they are not called text, text_pair, label, tokens,
            tags, target or references, for example {"text": "comment", "label": "stars"}.
        seed: decides which texts come into which split, where peftlab splits. Equal texts always
            come into the same one.

    Returns:
        The task, with all three splits.

    Raises:
        ValueError: nothing of that name, a missing column, an empty file or field, a label that
            training lacks, a bundled or fetched file that was altered, or a task that was not
            fetched yet.
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
    if name in RATED:
        rows = _bundled_rows(fetching.find(RATED[name]), RATED[name].remedy)
        kinds = {
            s: [row | {"kind": how_sure(row["rating"])} for row in own] for s, own in rows.items()
        }
        return _task(name, kinds, None)
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
            f"no task {name!r}: bundled are {', '.join(BUNDLED)}; peftlab fetch brings "
            f"{', '.join(RATED)}; or give a file, a folder, or hub:ID"
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


def _bundled_rows(folder: Path, remedy: str = REINSTALL) -> dict[str, list[dict[str, Any]]]:
    listed = checksums(folder, remedy)
    names = {s: next((s + e for e in SUFFIXES if s + e in listed), f"{s}.tsv") for s in SPLITS}
    return {split: read_rows(check_listed(folder, file, remedy)) for split, file in names.items()}


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
                f"which training never shows; training has {', '.join(seen)}: "
                "add rows of that label, or leave it out"
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
