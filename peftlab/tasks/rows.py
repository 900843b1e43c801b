"""The rows of a file or of a hub set, and the role of each column."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftlab.tasks.template import ANSWER, SUBJECT

DELIMITERS = {".tsv": "\t", ".csv": ","}


SUFFIXES = (*DELIMITERS, ".jsonl")


#: What a column may be called when the caller does not say.
COLUMNS = {
    "text": ("text", "sentence", "text_a", "sentence1", "premise", "question"),
    "text_pair": ("text_pair", "text_b", "sentence2", "hypothesis", "sentence_pair"),
    "label": ("label", "labels"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags"),
    "target": ("target",),
    "references": ("references",),
}


NUMBER = "number in the file"  # where a row of a single file stood before it was shuffled


TEXTS = ("target", "references")  # either answers with a text; an example may have both


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a TSV, CSV or JSONL file.

    Args:
        path: its ending tells the format.

    Returns:
        A dictionary for each row, from column to value; in a TSV or CSV file all values are texts.

    Raises:
        ValueError: the format is unknown, the file is damaged or empty, a column's name occurs
            twice, or a row does not fit the header.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} is of no known format; use {', '.join(SUFFIXES)}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".jsonl":
                rows = [json.loads(line) for line in file if line.strip()]
            else:
                reader = csv.DictReader(file, delimiter=DELIMITERS[path.suffix], strict=True)
                header = list(reader.fieldnames or [])
                if twice := [column for column in header if header.count(column) > 1]:
                    raise ValueError(f"{path} has two columns called {twice[0]!r}; rename one")
                rows = list(reader)
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
    if not rows:
        raise ValueError(f"{path} is empty: it needs a header line and at least one example")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(
                f"{path}: example {number} is no object with named fields; "
                'a line looks like {"text": "...", "label": "..."}'
            )
        if None in row:  # where csv puts what stands beyond the header's columns
            raise ValueError(
                f"{path}: example {number} has more fields than the header; "
                "put a text that holds the delimiter in double quotes"
            )
    return rows


def find_columns(name: str, header: list[str], asked: Mapping[str, str]) -> dict[str, str]:
    """Which column has which role.

    Args:
        name: of the file or set, for the errors.
        header: its columns.
        asked: columns that the caller gives to a role; they come before those of `COLUMNS`.

    Returns:
        A column for each role that is read; the roles tell what the answers are.

    Raises:
        ValueError: a column that was asked for is not there, or a role that is needed has none.
    """
    for role, column in asked.items():
        if column not in header:
            raise ValueError(
                f"{name}: no column {column!r} for {role}; columns: {', '.join(map(str, header))}"
            )
    found = dict(asked)
    for role, aliases in COLUMNS.items():
        if role not in found and (
            hit := next((alias for alias in aliases if alias in header), None)
        ):
            found[role] = hit
    if "tokens" in found:
        needed = ("tokens", "tags")
    elif any(role in found for role in TEXTS) and (
        "label" not in found or any(role in asked for role in TEXTS)
    ):
        needed = ("text",)
        found.pop("label", None)
    else:
        needed = ("text", "label")
    for role in needed:
        if role not in found:
            raise ValueError(
                f"{name}: no {role} column among {', '.join(map(str, header))}; "
                f"rename one to {role!r}, "
                f"or say which: load_task(..., columns={{{role!r}: {str(header[-1])!r}}})"
            )
    texts = TEXTS if needed == ("text",) else ()
    pair = () if "tokens" in found else ("text_pair",)
    return {role: column for role, column in found.items() if role in (*needed, *texts, *pair)}


def parse_row(
    name: str, split: str, line: int, row: dict[str, Any], found: Mapping[str, str]
) -> tuple:
    """One row as (text, answer, text_pair, tags).

    Args:
        name: of the file or set, for the errors.
        split: in which the row stands, for the errors.
        line: the place of the row in its split, counted from 1, for the errors.
        row: from column to value.
        found: from role to column, see `find_columns`.

    Returns:
        The four parts. The answer is the name of a label, a tuple with one name for each word, or
        the tuple of accepted texts.

    Raises:
        ValueError: a value is missing or of the wrong type, words and tags differ in number, or a
            gap of the text cannot be filled.
    """
    where = f"example {row.get(NUMBER, line)} of {'the file' if NUMBER in row else split}"
    values = {}
    either = [role for role in TEXTS if role in found and not _blank(row.get(found[role]))]
    for role, column in found.items():
        value = row.get(column)
        if _blank(value):
            if role in TEXTS and either:
                continue
            raise ValueError(f"{name}: {where} has no {role} (column {column!r})")
        if role in ("text", "text_pair", "target") and not isinstance(value, (str, int, float)):
            raise ValueError(f"{name}: {where} has the {role} {value!r}; it must be one text")
        values[role] = value
    tags = {k: v for k, v in row.items() if k not in found.values() and isinstance(v, str)}
    if either:
        pair = values.get("text_pair")
        texts = values["references"] if "references" in values else [str(values["target"])]
        if not isinstance(texts, list) or any(_blank(t) or not isinstance(t, str) for t in texts):
            raise ValueError(
                f"{name}: {where} has references {texts!r}; they are a "
                "list of texts, as JSONL holds it; a column with one text is called target"
            )
        text = str(values["text"])
        if text.count(ANSWER) > 1:
            raise ValueError(f"{name}: {where} has more than one {ANSWER}; an answer fills one gap")
        if SUBJECT in text and ANSWER in text:
            raise ValueError(
                f"{name}: {where} has {SUBJECT}; write the subject itself in its place: only the "
                "prompts of the bundled facts fill it in"
            )
        return str(values["text"]), tuple(texts), None if pair is None else str(pair), tags
    if "tokens" not in values:
        pair = values.get("text_pair")
        return str(values["text"]), str(values["label"]), None if pair is None else str(pair), tags
    tokens, labels = (
        v.split() if isinstance(v, str) else v for v in (values["tokens"], values["tags"])
    )
    if len(tokens) != len(labels):
        raise ValueError(f"{name}: {where} has {len(tokens)} tokens but {len(labels)} tags")
    return tuple(map(str, tokens)), tuple(map(str, labels)), None, tags


def _blank(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())
