"""Make the task `pairs`: `python datasets/pairs/make_pairs.py [FOLDER]`.

A premise states two facts. For each label there is a claim that it entails, contradicts or leaves
open; premises are drawn without regard to the label, and claims alike for all three, so that
neither text alone gives the label away.
"""

import argparse
import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "corpus"))
from lexicon import invented_name, words  # noqa: E402
from make_corpus import article, sentence  # noqa: E402
from splits import deal, write  # noqa: E402

SIZES = {"train": 4000, "validation": 300, "test": 1000}
LABELS = ("entailment", "contradiction", "neutral")
KINDS = ("attribute", "entity", "negation", "polarity", "roles")

# {e} is whom or what it is about, {v} the value ({av}: with "a" or "an" before it).
WORDINGS = {
    "job": ["{e} is {av}", "{e} works as {av}"],
    "town": ["{e} lives in {v}", "the home of {e} is {v}"],
    "hobby": ["{e} likes {v}", "the hobby of {e} is {v}"],
    "colour": ["the {e} is {v}", "the colour of the {e} is {v}"],
    "material": ["the {e} is made of {v}"],
    "place": ["the {e} is in the {v}", "the {e} stands in the {v}"],
    "quality": ["the {e} was {v}"],
}
NEGATED = {
    "job": "{e} is not {av}",
    "town": "{e} does not live in {v}",
    "hobby": "{e} does not like {v}",
    "colour": "the {e} is not {v}",
    "material": "the {e} is not made of {v}",
    "place": "the {e} is not in the {v}",
}
ATTRIBUTES = {"person": ("job", "town", "hobby"), "thing": ("colour", "material", "place")}
JOINED = ["{}. {}.", "{} and {}.", "{}, while {}."]
HANDING_OVER = [("sold", "bought"), ("gave", "got")]
ALONE = ["found", "lost", "cleaned", "painted"]


@dataclass(frozen=True)
class Fact:
    """That an entity has a value of an attribute."""

    entity: str
    attribute: str
    value: str

    def said(self, wording: str) -> str:
        """The fact in words, without capital and full stop."""
        return wording.format(e=self.entity, v=self.value, av=article(self.value))


class Writer:
    """Writes the pairs of one split.

    Args:
        people, things: the names and objects of this split.
        qualities: which aspects may go with which adjectives.
        draw: the source of randomness.
    """

    def __init__(
        self,
        people: set[str],
        things: set[str],
        qualities: set[tuple[str, str]],
        draw: random.Random,
    ):
        self.entities = {"person": sorted(people), "thing": sorted(things)}
        self.qualities, self.draw = sorted(qualities), draw

    def value(self, attribute: str, other_than: str = "") -> str:
        """A value of an attribute."""
        lexicon = words()
        if attribute == "town":
            return invented_name(self.draw)
        if attribute in ("job", "hobby"):
            values = lexicon["people"]["jobs" if attribute == "job" else "hobbies"]
        else:
            values = lexicon["things"][f"{attribute}s"]
        return self.draw.choice([value for value in values if value != other_than])

    def joined(self, first: str, second: str) -> str:
        """Two statements, in either order, as one or two sentences."""
        first, second = self.draw.sample([first, second], 2)
        form = self.draw.choice(JOINED)
        if form.startswith("{}."):
            second = sentence(second)
        return sentence(form.format(first, second))

    def premise(self, facts: list[Fact]) -> str:
        """Two facts in words."""
        return self.joined(*(f.said(self.draw.choice(WORDINGS[f.attribute])) for f in facts))

    def attribute(self, label: str) -> tuple[list[Fact], Fact]:
        """Two attributes of one entity, and a claim about it or about another."""
        group = self.draw.choice(sorted(ATTRIBUTES))
        one, other = self.draw.sample(self.entities[group], 2)
        *known, unknown = self.draw.sample(ATTRIBUTES[group], 3)
        facts = [Fact(one, k, self.value(k)) for k in known]
        claim = facts[0]
        if label == "contradiction":
            claim = replace(claim, value=self.value(claim.attribute, claim.value))
        elif label == "neutral" and self.draw.random() < 0.5:
            claim = replace(claim, entity=other)
        elif label == "neutral":
            claim = Fact(one, unknown, self.value(unknown))
        return facts, claim

    def entity(self, label: str) -> tuple[list[Fact], Fact]:
        """One attribute of each of two entities, and a claim that may mix them up."""
        group = self.draw.choice(sorted(ATTRIBUTES))
        one, two, other = self.draw.sample(self.entities[group], 3)
        same = self.draw.random() < 0.5
        first, second, third = self.draw.sample(ATTRIBUTES[group], 3)
        value = self.value(first)
        facts = [Fact(one, first, value)]
        if same:
            facts.append(Fact(two, first, self.value(first, value)))
        else:
            facts.append(Fact(two, second, self.value(second)))
        claim = facts[0]
        if label == "contradiction":
            wrong = facts[1].value if same else self.value(first, value)
            claim = replace(claim, value=wrong)
        elif label == "neutral" and not same:
            claim = replace(claim, entity=two)
        elif label == "neutral" and self.draw.random() < 0.5:
            claim = replace(claim, entity=other)
        elif label == "neutral":
            claim = Fact(one, third, self.value(third))
        return facts, claim

    def polarity(self, label: str) -> tuple[list[Fact], Fact]:
        """Two aspects with their adjectives, and a claim that one was good or bad."""
        aspects = words()["aspects"][self.draw.choice(sorted(words()["aspects"]))]
        one, two, other = self.draw.sample(aspects, 3)
        facts = [
            Fact(aspect, "quality", self.draw.choice([w for a, w in self.qualities if a == aspect]))
            for aspect in (one, two)
        ]
        verdict = "good" if facts[0].value in words()["good"] else "bad"
        if label == "contradiction":
            verdict = "bad" if verdict == "good" else "good"
        elif label == "neutral":
            one, verdict = other, self.draw.choice(["good", "bad"])
        return facts, Fact(one, "quality", verdict)

    def roles(self, label: str) -> tuple[str, str]:
        """Who handed what to whom, and a claim that may turn it round or be about another thing."""
        giver, taker, third = self.draw.sample(self.entities["person"], 3)
        thing, other = self.draw.sample(self.entities["thing"], 2)
        give, take = self.draw.choice(HANDING_OVER)

        def told(giver: str, thing: str, taker: str) -> str:
            if self.draw.random() < 0.5:
                return f"{giver} {give} the {thing} to {taker}"
            return f"{taker} {take} the {thing} from {giver}"

        beside = f"{third} {self.draw.choice(ALONE)} the {other}"
        premise = self.joined(told(giver, thing, taker), beside)
        if label == "entailment":
            claim = told(giver, thing, taker)
        elif label == "contradiction":
            claim = told(taker, thing, giver)
        else:
            claim = told(*self.draw.choice([(giver, other, taker), (taker, other, giver)]))
        return premise, f"{sentence(claim)}."

    def row(self, kind: str, label: str) -> tuple[str, str, str, str]:
        """One row of the file."""
        if kind == "roles":
            return *self.roles(label), label, kind
        if kind == "negation":  # it denies what would have the opposite label
            opposite = {"entailment": "contradiction", "contradiction": "entailment"}
            make = self.draw.choice([self.attribute, self.entity])
            facts, claim = make(opposite.get(label, label))
            wording = NEGATED[claim.attribute]
        else:
            facts, claim = getattr(self, kind)(label)
            wording = self.draw.choice(WORDINGS[claim.attribute])
        return self.premise(facts), f"{sentence(claim.said(wording))}.", label, kind

    def split(self, size: int) -> list[tuple[str, str, str, str]]:
        """The rows of the split, shuffled; no premise comes twice."""
        rows = {}
        for start, kind in enumerate(KINDS):
            for number in range(size // len(KINDS)):
                label = LABELS[(start + number) % len(LABELS)]
                row = self.row(kind, label)
                while row[0] in rows:
                    row = self.row(kind, label)
                rows[row[0]] = row
        return self.draw.sample(list(rows.values()), size)


def main(folder: Path = FOLDER) -> None:
    """Write the files of the task into a folder."""
    draw = random.Random("pairs")
    people = deal(words()["people"]["first_names"], draw)
    things = deal(words()["things"]["objects"], draw)
    aspects = [aspect for group in words()["aspects"].values() for aspect in group]
    adjectives = words()["good"] + words()["bad"]
    qualities = deal([(aspect, word) for aspect in aspects for word in adjectives], draw)
    rows = {
        name: Writer(people[name], things[name], qualities[name], draw).split(size)
        for name, size in SIZES.items()
    }
    write(folder, ("text", "text_pair", "label", "kind"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the task pairs.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to write")
    main(parser.parse_args().folder)
