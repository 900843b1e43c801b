"""The words of the corpus, read from the files beside this one, and the invented names."""

import csv
import random
import tomllib
import zlib
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


@cache
def words() -> dict[str, Any]:
    """The word lists of lexicon.toml, by section."""
    return tomllib.loads((FOLDER / "lexicon.toml").read_text(encoding="utf-8"))


@cache
def table(name: str) -> list[dict[str, str]]:
    """The rows of countries.tsv, elements.tsv or animals.tsv."""
    with open(FOLDER / f"{name}.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def reserved(*parts: str) -> bool:
    """Whether a name, or a pairing of words, is kept out of the corpus: one in ten is.

    Probes and tests ask about the reserved ones, so that nothing there was seen in pretraining.
    """
    return zlib.crc32(" ".join(parts).encode()) % 10 == 0


class UnseenNames(random.Random):
    """A source of randomness from which invented names are reserved ones."""


def invented_name(draw: random.Random, unseen: bool | None = None) -> str:
    """A name made of two or three syllables, such as "Talvel" or "Brimiton".

    Args:
        draw: the source of randomness.
        unseen: give a reserved name, which the corpus never has; otherwise one that it may have.
            By default reserved ones come from a draw of the class UnseenNames alone.
    """
    unseen = isinstance(draw, UnseenNames) if unseen is None else unseen
    syllables = words()["syllables"]
    while True:
        name = draw.choice(syllables["first"])
        if draw.random() < 0.5:
            name += draw.choice(syllables["middle"])
        name += draw.choice(syllables["last"])
        if reserved(name) == unseen:
            return name
