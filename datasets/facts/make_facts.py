"""Make the data set `facts`: what is true of countries, elements and animals, and how to ask.

python datasets/facts/make_facts.py [FOLDER]
"""

import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "corpus"))
from lexicon import table  # noqa: E402
from splits import deal, save  # noqa: E402

SEED = 2019
# Table, the column of its subjects, and the relations taken from it.
TABLES = {
    "countries": ("country", ("capital", "continent", "currency", "language")),
    "elements": ("element", ("symbol", "number")),
    "animals": ("animal", ("class", "young")),
}

# Prompts by relation, with [X] for the subject and [Y] for the answer; the first is the stock one.
PROMPTS = {
    "capital": [
        ("stock", "The capital of [X] is [Y]."),
        ("paraphrase", "The capital city of [X] is [Y]."),
        ("paraphrase", "[X] has its seat of government in [Y]."),
        ("paraphrase", "The government of [X] sits in [Y]."),
        ("odd", "Whoever governs [X] does so from [Y]."),
        ("odd", "Ambassadors who are sent to [X] mostly end up in [Y]."),
        ("odd", "Of all the towns in [X], the first in rank is [Y]."),
    ],
    "continent": [
        ("stock", "[X] is in [Y]."),
        ("paraphrase", "[X] is a country in [Y]."),
        ("paraphrase", "[X] is one of the countries of [Y]."),
        ("paraphrase", "The continent to which [X] belongs is [Y]."),
        ("odd", "Anybody born in [X] was born in [Y]."),
        ("odd", "On a globe, look for [X] somewhere in [Y]."),
        ("odd", "Whoever has been to [X] has set foot in [Y]."),
    ],
    "currency": [
        ("stock", "The currency of [X] is the [Y]."),
        ("paraphrase", "In [X] people pay with the [Y]."),
        ("paraphrase", "The money of [X] is called the [Y]."),
        ("paraphrase", "What people spend in [X] is the [Y]."),
        ("odd", "Wages in [X] are counted in a unit called the [Y]."),
        ("odd", "A traveller to [X] should first change some cash into the [Y]."),
        ("odd", "Those who rob banks in [X] are after the [Y]."),
    ],
    "language": [
        ("stock", "The main language of [X] is [Y]."),
        ("paraphrase", "In [X] people speak [Y]."),
        ("paraphrase", "The language of [X] is called [Y]."),
        ("paraphrase", "The people of [X] talk in [Y]."),
        ("odd", "To be understood in [X], learn some [Y]."),
        ("odd", "A joke from [X] is best told in [Y]."),
        ("odd", "If you hear two people from [X] quarrel, it is probably in [Y]."),
    ],
    "symbol": [
        ("stock", "The symbol of [X] is [Y]."),
        ("paraphrase", "The chemical symbol for [X] is [Y]."),
        ("paraphrase", "Chemists write [X] as [Y]."),
        ("paraphrase", "In formulas, [X] is written as [Y]."),
        ("odd", "On the jar that holds [X], the label just says [Y]."),
        ("odd", "A chemist who is short of space cuts [X] down to [Y]."),
        ("odd", "Look for [X] in the periodic table, and in its box you read [Y]."),
    ],
    "number": [
        ("stock", "The atomic number of [X] is [Y]."),
        ("paraphrase", "The element [X] has the atomic number [Y]."),
        ("paraphrase", "The number of protons in an atom of [X] is [Y]."),
        ("paraphrase", "In the periodic table, [X] has the number [Y]."),
        ("odd", "Count the protons in [X], and you get to [Y]."),
        ("odd", "In the long queue of the elements, [X] stands at place [Y]."),
        ("odd", "If elements wore shirts, that of [X] would show a large [Y]."),
    ],
    "class": [
        ("stock", "The [X] is a [Y]."),
        ("paraphrase", "The [X] is a kind of [Y]."),
        ("paraphrase", "The class of the [X] is [Y]."),
        ("paraphrase", "The [X] belongs to the class called [Y]."),
        ("odd", "Whoever meets the [X] has met one more [Y]."),
        ("odd", "Sort the animals, and the [X] goes into the drawer marked [Y]."),
        ("odd", "To the zoologist, the [X] is just another [Y]."),
    ],
    "young": [
        ("stock", "A young [X] is called a [Y]."),
        ("paraphrase", "The young of the [X] is called a [Y]."),
        ("paraphrase", "The word for a young [X] is [Y]."),
        ("paraphrase", "The child of the [X] is a [Y]."),
        ("odd", "Long before it was old, the [X] was a [Y]."),
        ("odd", "Give the [X] a little one, and you have got yourself a [Y]."),
        ("odd", "Nobody who knows the [X] says baby: the right word is [Y]."),
    ],
}


def rows() -> Iterable[tuple[str, str, str, str]]:
    """Each fact as split, relation, subject and answer."""
    draw = random.Random(SEED)
    for name, (key, relations) in TABLES.items():
        found = {row[key]: row for row in table(name)}
        dealt = deal(found, draw)
        for split in dealt:
            for relation in relations:
                for subject in sorted(dealt[split]):
                    if fits(relation, found[subject][relation]):
                        yield split, relation, subject, found[subject][relation]


def fits(relation: str, answer: str) -> bool:
    """Whether the prompts can take the answer: one word, and no vowel after "a [Y]"."""
    return " " not in answer and not (relation in ("class", "young") and answer[0] in "aeiou")


def tsv(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A tab-separated table with its header."""
    return "".join("\t".join(line) + "\n" for line in [columns, *lines])


def main(folder: str | Path = HERE) -> None:
    """Write the splits, prompts.tsv and SHA256SUMS into the folder."""
    facts = list(rows())
    files = {
        f"{split}.tsv": tsv(
            ("relation", "subject", "answer"), [fact[1:] for fact in facts if fact[0] == split]
        )
        for split in ("train", "validation", "test")
    }
    files["prompts.tsv"] = tsv(
        ("relation", "prompt", "kind"),
        [(relation, prompt, kind) for relation, found in PROMPTS.items() for kind, prompt in found],
    )
    save(Path(folder), files)


if __name__ == "__main__":
    main(*sys.argv[1:])
