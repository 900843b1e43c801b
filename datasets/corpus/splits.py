"""What the generators of the tasks share: dealing items to splits, writing files with checksums."""

import csv
import hashlib
import io
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

SHARES = {"train": 0.5, "validation": 0.1, "test": 0.4}


def deal(items: Iterable[Hashable], draw: random.Random) -> dict[str, set]:
    """Give each item to one split, half of them to train: what train has, test never has."""
    order = sorted(items)
    draw.shuffle(order)
    dealt, start = {}, 0
    for split, share in SHARES.items():
        end = len(order) if split == "test" else start + round(share * len(order))
        dealt[split], start = set(order[start:end]), end
    return dealt


def write(
    folder: Path, columns: Sequence[str], splits: Mapping[str, Sequence[Sequence[str]]]
) -> None:
    """Write NAME.tsv for each split, and SHA256SUMS.

    Args:
        folder: where to; it is made when it is not there.
        columns: the header.
        splits: the rows of each split, by its name.
    """
    files = {}
    for name, rows in splits.items():
        text = io.StringIO()
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows([columns, *rows])
        files[f"{name}.tsv"] = text.getvalue()
    save(folder, files)


def save(folder: Path, files: Mapping[str, str]) -> None:
    """Write ASCII texts by file name, and SHA256SUMS beside them.

    Args:
        folder: where to; it is made when it is not there.
        files: the texts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sums = ""
    for name, text in sorted(files.items()):
        data = text.encode("ascii")
        (folder / name).write_bytes(data)
        sums += f"{hashlib.sha256(data).hexdigest()}  {name}\n"
    (folder / "SHA256SUMS").write_bytes(sums.encode())
