"""Make the task `opinions`: `python datasets/opinions/make_opinions.py [FOLDER]`.

The label of a sentence is the polarity of one adjective, turned round by a negation; of the two
adjectives of a contrast, the main clause's counts, and of two main clauses the later one's.
"""

import argparse
import random
import sys
from collections import Counter
from itertools import product
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "corpus"))
from lexicon import words  # noqa: E402
from make_corpus import article  # noqa: E402
from splits import deal, write  # noqa: E402

SIZES = {"train": 1000, "validation": 300, "test": 1000}
SHARES = {"plain": 0.4, "negation": 0.3, "contrast": 0.3}

# {a} is the aspect and {j} its adjective ({aj}: with "a" or "an" before it), {very} an intensifier
# or nothing, {who} a name.
PLAIN = [
    "The {a} was {very}{j}.",
    "The {a} is {very}{j}.",
    "I found the {a} {very}{j}.",
    "It had {aj} {a}.",
    "We thought that the {a} was {very}{j}.",
    "{who} called the {a} {j}.",
    "We talked about the {j} {a} all evening.",
    "Everyone agreed that the {a} was {very}{j}.",
    "I still remember the {j} {a}.",
    "As {who} said, the {a} was {very}{j}.",
    "Once again the {a} was {very}{j}.",
    "The {a} seemed {very}{j} to {who}.",
]
NEGATION = [
    "The {a} was not {j}.",
    "The {a} wasn't {j}.",
    "The {a} was never {j}.",
    "{who} did not find the {a} {j}.",
    "Nobody found the {a} {j}.",
    "No one called the {a} {j}.",
]
# Said only of good words, which makes them negative, or only of bad words.
ONE_SIDED = {
    "negative": [
        "The {a} was hardly {j}.",
        "The {a} was far from {j}.",
        "The {a} was anything but {j}.",
        "The {a} was not exactly {j}.",
        "I cannot say that the {a} was {j}.",
        "{who} would not go so far as to call the {a} {j}.",
    ],
    "positive": [
        "There was nothing {j} about the {a}.",
        "The {a} was by no means {j}.",
        "The {a} was not a bit {j}.",
        "The {a} was not in the least {j}.",
        "Nobody complained of {aj} {a}.",
        "{who} heard no one call the {a} {j}.",
    ],
}
# Here {a} and {j} decide; {b} and {k} are what is conceded. In half of them it comes first.
CONTRAST = [
    "The {b} was {k}, but the {a} was {j}.",
    "The {a} was {j}, although the {b} was {k}.",
    "The {b} was {k}, yet the {a} was {j}.",
    "The {a} was {j}, even though the {b} was {k}.",
    "The {b} was {k}; however, the {a} was {j}.",
    "{who} found the {a} {j}, though the {b} was {k}.",
    "Although the {b} was {k}, the {a} was {j}.",
    "The {a} was {j} despite the {k} {b}.",
    "Despite the {k} {b}, the {a} was {j}.",
    "The {a} was {j}, even if the {b} was {k}.",
    "Even though the {b} was {k}, {who} found the {a} {j}.",
    "The {a} was {j} in spite of the {k} {b}.",
]


class Writer:
    """Writes the sentences of one split.

    Args:
        pairings: which aspects may go with which adjectives.
        draw: the source of randomness.
    """

    def __init__(self, pairings: set[tuple[str, str]], draw: random.Random):
        self.pairings, self.draw = pairings, draw
        self.names = words()["people"]["first_names"][-24:]  # those that are nothing but names
        self.used = Counter()

    def adjective(self, aspect: str, polarity: str, kind: str) -> str:
        """One of the adjectives that this split gives to the aspect, of those least used so far."""
        found = [word for word in words()[polarity] if (aspect, word) in self.pairings]
        least = min(self.used[kind, word] for word in found)
        chosen = self.draw.choice([word for word in found if self.used[kind, word] == least])
        self.used[kind, chosen] += 1
        return chosen

    def simple(self, kind: str, wording: str, domain: str, polarity: str) -> str:
        """A plain or a negated sentence with an adjective of this polarity."""
        aspect = self.draw.choice(words()["aspects"][domain])
        adjective = self.adjective(aspect, polarity, kind)
        very = f"{self.draw.choice(words()['intensifiers'])} "
        return wording.format(
            a=aspect,
            j=adjective,
            aj=article(adjective),
            very=very if self.draw.random() < 0.25 else "",
            who=self.draw.choice(self.names),
        )

    def contrasts(self, wording: str, domain: str) -> dict[str, str]:
        """By label, two sentences of the same words: what one concedes, decides the other."""
        good, bad = self.draw.sample(words()["aspects"][domain], 2)
        better = self.adjective(good, "good", "contrast")
        worse = self.adjective(bad, "bad", "contrast")
        who = self.draw.choice(self.names)
        return {
            "negative": wording.format(a=bad, j=worse, b=good, k=better, who=who),
            "positive": wording.format(a=good, j=better, b=bad, k=worse, who=who),
        }

    def pair(self, kind: str, number: int) -> dict[str, tuple[str, str, str, str]]:
        """A negative and a positive row of one kind, by text."""
        domain = self.draw.choice(sorted(words()["aspects"]))
        if kind == "contrast":
            texts = self.contrasts(CONTRAST[number % len(CONTRAST)], domain)
        elif kind == "negation":
            texts = {}
            for label, polarity in (("negative", "good"), ("positive", "bad")):
                wordings = NEGATION + ONE_SIDED[label]
                texts[label] = self.simple(kind, wordings[number % len(wordings)], domain, polarity)
        else:
            wording = PLAIN[number % len(PLAIN)]
            texts = {
                "negative": self.simple(kind, wording, domain, "bad"),
                "positive": self.simple(kind, wording, domain, "good"),
            }
        return {text: (text, label, kind, domain) for label, text in texts.items()}

    def split(self, size: int) -> list[tuple[str, str, str, str]]:
        """The rows of the split, shuffled."""
        rows = {}
        for kind, share in SHARES.items():
            for number in range(round(size * share) // 2):
                pair = self.pair(kind, number)
                while pair.keys() & rows.keys():
                    pair = self.pair(kind, number)
                rows |= pair
        return self.draw.sample(list(rows.values()), size)


def main(folder: Path = FOLDER) -> None:
    """Write the files of the task into a folder."""
    draw = random.Random("opinions")
    dealt = {name: set() for name in SIZES}
    aspects = [aspect for group in words()["aspects"].values() for aspect in group]
    for aspect, polarity in product(aspects, ("good", "bad")):  # each split has some of each
        for name, part in deal([(aspect, word) for word in words()[polarity]], draw).items():
            dealt[name] |= part
    rows = {name: Writer(dealt[name], draw).split(size) for name, size in SIZES.items()}
    write(folder, ("text", "label", "kind", "domain"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the task opinions.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to write")
    main(parser.parse_args().folder)
