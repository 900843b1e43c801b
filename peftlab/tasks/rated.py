"""Real sentences, each rated by many people: `movies`, `products`, `editorials` and `tweets`.

They come from an archive inside the source distribution of vaderSentiment (Hutto and Gilbert 2014),
which `peftlab fetch` brings. Here the archive becomes a folder in the form of the bundled tasks.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import statistics
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from peftlab.fetching import Fetchable
from peftlab.packages import Package
from peftlab.tasks.task import SPLITS

VADER = Package(
    "vaderSentiment",
    "3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    2_466_783,
)
_FOLDER = "vaderSentiment-3.3.2"
_INNER = f"{_FOLDER}/additional_resources/hutto_ICWSM_2014.tar.gz"
_CITATION = (
    "C.J. Hutto and Eric Gilbert (2014): VADER: A Parsimonious Rule-based Model for Sentiment "
    "Analysis of Social Media Text. Eighth International Conference on Weblogs and Social Media "
    "(ICWSM-14), Ann Arbor, MI"
)

NEUTRAL = 0.5  # a mean rating that is nearer to zero has no label


class Rated(NamedTuple):
    """A sentence with what people said of it.

    Args:
        text: the sentence, as it stands in the archive.
        mean: of the ratings, from -4 (very negative) to 4 (very positive).
        spread: the standard deviation of the ratings, as text; empty where it is not known.
    """

    text: str
    mean: float
    spread: str

    @property
    def label(self) -> str:
        """The sign of the mean rating, as a word."""
        return "positive" if self.mean > 0 else "negative"


def how_sure(rating: str) -> str:
    """Say how far from neutral people found a sentence, for accuracy by kind.

    Args:
        rating: the mean rating, as a task's tag has it.

    Returns:
        One of three kinds.
    """
    size = abs(float(rating))
    return f"mean rating {'0.5 to 1' if size < 1 else '1 to 2' if size < 2 else '2 to 4'}"


class _Set(NamedTuple):
    """Where a set stands in the archive, how it is cut, and what is known of it."""

    file: str
    validation: int
    test: int
    what: str
    origin: str


_SETS = {
    "movies": _Set(
        "movieReviewSnippets",
        1000,
        2000,
        "sentences of film reviews",
        "sentences of 2,000 film reviews that Pang and Lee (2004) took from rotten.tomatoes.com",
    ),
    "products": _Set(
        "amazonReviewSnippets",
        300,
        1000,
        "sentences of product reviews",
        "sentences of 309 customer reviews of five products, which Hu and Liu (2004) collected",
    ),
    "editorials": _Set(
        "nytEditorialSnippets",
        300,
        1000,
        "sentences of newspaper editorials",
        "sentences of 500 opinion articles of the New York Times",
    ),
    "tweets": _Set(
        "tweets",
        300,
        1000,
        "tweet-like texts",
        "texts after 4,000 tweets, and 200 that were contrived to test punctuation and the like",
    ),
}


def labelled(rows: Iterable[Rated]) -> list[Rated]:
    """The sentences that get a label: no two alike, and as many positive as negative ones.

    Args:
        rows: all sentences. Of equal texts the last one counts.

    Returns:
        Those whose mean rating is at least `NEUTRAL` away from zero, in the order of their hashes.
        Of the label that is more frequent, the last ones are left out.
    """
    last = {row.text: row for row in rows}
    kept = sorted(
        (row for row in last.values() if abs(row.mean) >= NEUTRAL), key=lambda row: _hash(row.text)
    )
    each = min(Counter({"negative": 0, "positive": 0} | Counter(r.label for r in kept)).values())
    seen: Counter[str] = Counter()
    balanced = []
    for row in kept:
        seen[row.label] += 1
        if seen[row.label] <= each:
            balanced.append(row)
    return balanced


def deal(rows: Iterable[Rated], sizes: Mapping[str, int]) -> dict[str, list[Rated]]:
    """Deal sentences to the splits by their hashes, so that every split is balanced.

    Texts that differ in case, punctuation or signs alone come into the same split.

    Args:
        rows: balanced, see `labelled`.
        sizes: how many sentences validation and test get, even numbers; training gets the others.

    Returns:
        The sentences of each split.

    Raises:
        ValueError: there are too few sentences for these sizes.
    """
    groups: dict[str, list[Rated]] = {}
    for row in rows:
        groups.setdefault(_likeness(row.text), []).append(row)
    room = {(s, label): n // 2 for s, n in sizes.items() for label in ("negative", "positive")}
    dealt: dict[str, list[Rated]] = {split: [] for split in SPLITS}
    for likeness in sorted(groups, key=_hash):
        group = groups[likeness]
        asked = Counter(row.label for row in group)
        fits = (s for s in sizes if all(room[s, label] >= n for label, n in asked.items()))
        split = next(fits, "train")
        for row in group:
            dealt[split].append(row)
            if split in sizes:
                room[split, row.label] -= 1
    if any(room.values()) or not dealt["train"]:
        wanted = " and ".join(f"{n:,} for {split}" for split, n in sizes.items())
        raise ValueError(f"{sum(map(len, dealt.values())):,} sentences are too few for {wanted}")
    return dealt


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _likeness(text: str) -> str:
    """The letters and digits of a text, without case; a text without any stays as it is."""
    words = "".join(c if c.isalnum() else " " for c in text.casefold()).split()
    return " ".join(words) or text


def _make(name: str, package: Path, folder: Path) -> None:
    """Write the folder of a set from the source distribution."""
    chosen = _SETS[name]
    with tarfile.open(package) as outer:
        licence = _member(outer, f"{_FOLDER}/LICENSE.txt")
        with tarfile.open(fileobj=io.BytesIO(_member(outer, _INNER))) as inner:
            sentences, ratings = (
                _table(_member(inner, f"hutto_ICWSM_2014/{chosen.file}_{part}.txt"))
                for part in ("GroundTruth", "anonDataRatings")
            )
    # for 199 tweets the two tables have different means: the ratings are those of another text
    spread = {(key, _rounded(mean)): deviation for key, mean, deviation, _ in ratings}
    rows = [
        Rated(text, float(mean), spread.get((key, _rounded(mean)), ""))
        for key, mean, text in sentences
    ]
    dealt = deal(labelled(rows), {"test": chosen.test, "validation": chosen.validation})
    for split, own in dealt.items():
        with open(folder / f"{split}.tsv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(("text", "label", "rating", "spread"))
            writer.writerows((row.text, row.label, f"{row.mean:.4g}", row.spread) for row in own)
    (folder / "LICENSE.txt").write_bytes(licence)
    raters = [len(json.loads(each)) for *_, each in ratings]
    (folder / "README.md").write_text(_card(name, raters, dealt), "utf-8")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None  # the archive's checksum was compared: it is a file
    return file.read()


def _table(content: bytes) -> list[list[str]]:
    lines = content.decode("utf-8-sig").replace("\r\n", "\n").strip("\n").split("\n")
    return [line.split("\t") for line in lines]


def _rounded(mean: str) -> float:
    """A mean that two tables write with different numbers of digits."""
    return round(float(mean), 6)


def _card(name: str, raters: list[int], dealt: Mapping[str, list[Rated]]) -> str:
    """The card of a set, with the sizes that were counted."""
    kept = [row for own in dealt.values() for row in own]
    unknown = sum(not row.spread for row in kept)
    sizes = "\n".join(
        f"| {split} | {len(own):,} | {sum(r.label == 'negative' for r in own):,} "
        f"| {sum(r.label == 'positive' for r in own):,} |"
        for split, own in dealt.items()
    )
    return f"""\
# {name}

{len(kept):,} real English sentences, each rated by many people, labelled negative or positive.

    task = load_task("{name}")

## How it was made

`peftlab fetch {name}` made it of the package {VADER.name} {VADER.version}.
It holds {_SETS[name].origin}.

- {len(raters):,} sentences were rated from -4 (very negative) to 4 (very positive) by {min(raters)}
  to {max(raters)} people each, {statistics.median(raters):g} in the median, who were trained and
  checked (Hutto and Gilbert 2014).
- Of equal texts the last one counts. Sentences whose mean rating is nearer to zero than {NEUTRAL}
  are left out.
- The label is the sign of the mean rating.
- Both labels are equally frequent in every split: of the other one, the sentences whose texts have
  the highest hashes are left out.
- The hash of a sentence's letters and digits decides its split. Texts that differ in case,
  punctuation or signs alone come into the same split.

## Columns and files

`train.tsv`, `validation.tsv` and `test.tsv`: UTF-8, tab-separated, with a header line; a field that
holds a double quote is quoted as in CSV.

| column | what |
|---|---|
| `text` | the sentence, unchanged |
| `label` | `negative` or `positive` |
| `rating` | the mean rating |
| `spread` | the standard deviation of the ratings; empty in {unknown:,} rows that lack it |

| split | sentences | negative | positive |
|---|---|---|---|
{sizes}

## Known limits

- The label says how a sentence sounds to its readers, not what its writer thought of the whole.
- Sentences of one review or article may stand in different splits.
- The sentences are of the years up to 2013. Some of them are coarse.

## Licence and citation

MIT, as the package, copyright 2016 C.J. Hutto; see `LICENSE.txt`. The sentences are quotations.

{_CITATION}.
"""


#: What `peftlab fetch` brings of texts, by name.
RATED = {
    name: Fetchable(
        name,
        f"{chosen.what} with the mean rating of many people",
        VADER,
        "MIT, copyright 2016 C.J. Hutto",
        _CITATION,
        "the tasks opinions and reviews (-p backbone lab-bert -p task opinions)",
        partial(_make, name),
    )
    for name, chosen in _SETS.items()
}
