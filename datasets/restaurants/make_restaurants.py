"""Make the data set `restaurants`: what is known of a place, and texts that say just that.

python datasets/restaurants/make_restaurants.py [FOLDER]
"""

import json
import random
import string
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "corpus"))
from lexicon import invented_name, words  # noqa: E402
from splits import save  # noqa: E402

SEED = 2017
SIZES = {"train": 1500, "validation": 200, "test": 400}
REFERENCES = {"train": 1, "validation": 3, "test": 4}
HELD_OUT, HELD_OUT_ROWS = "diner", 150  # the kind that only test has, and in how many rows
NAMES = ("name", "near")
# How often a row has so many slots, of the eight there are.
LENGTHS = {3: 1, 4: 2, 5: 3, 6: 3, 7: 2, 8: 1}

# The values of each slot, in the order in which a row lists them; the names are invented.
VALUES = {
    "kind": words()["eating"]["kinds"],
    "food": words()["eating"]["foods"],
    "price": words()["eating"]["prices"],
    "rating": words()["eating"]["ratings"],
    "area": words()["eating"]["areas"],
    "family": ["yes", "no"],
}
SLOTS = ("name", *VALUES, "near")

# The wordings. Before the noun: "a cheap pub".
BEFORE = {
    "price": {
        "cheap": ["cheap", "affordable"],
        "moderate": ["moderately priced", "mid-priced"],
        "expensive": ["expensive", "costly"],
    },
    "rating": {
        "low": ["low-rated", "poorly rated"],
        "average": ["average-rated"],
        "high": ["high-rated", "highly rated"],
    },
    "family": {"yes": ["family-friendly"], "no": ["adults-only"]},
}
# After the noun, or at the head of a sentence: "a pub by the river".
AFTER = {
    "food": ["serving {food} food", "serving {food} dishes", "with {food} food"],
    "area": {
        "riverside": ["by the river", "on the riverside"],
        "city centre": ["in the city centre", "in the centre of the city"],
        "harbour": ["at the harbour", "by the harbour"],
        "old town": ["in the old town", "in the old part of town"],
    },
    "near": ["near {near}", "close to {near}", "not far from {near}"],
}
# As a verb phrase: "It serves Italian food".
SAYS = {
    "food": ["serves {food} food", "serves {food} dishes", "offers {food} food"],
    "price": {value: [f"is {a}" for a in found] for value, found in BEFORE["price"].items()},
    "rating": {
        "low": ["has a low rating", "is poorly rated"],
        "average": ["has an average rating", "is rated as average"],
        "high": ["has a high rating", "is highly rated"],
    },
    "area": {value: [f"lies {a}" for a in found] for value, found in AFTER["area"].items()},
    "family": {
        "yes": ["is family-friendly", "welcomes families"],
        "no": ["is not family-friendly", "is for adults only"],
    },
    "near": ["is near {near}", "is close to {near}", "is not far from {near}"],
}
CHILDREN = {"yes": ["Children are welcome"], "no": ["Children are not welcome"]}

# By what a value is recognised in a text, whatever wrote it.
PHRASES = {
    "kind": {value: [value] for value in VALUES["kind"]},
    "food": {value: [value] for value in VALUES["food"]},
    "price": {
        "cheap": ["cheap", "affordable", "inexpensive"],
        "moderate": ["moderate", "moderately priced", "mid-priced"],
        "expensive": ["expensive", "costly", "pricey"],
    },
    "rating": {
        "low": ["low", "low-rated", "poorly rated"],
        "average": ["average", "average-rated"],
        "high": ["high", "high-rated", "highly rated"],
    },
    "area": {
        "riverside": ["riverside", "by the river"],
        "city centre": ["city centre", "centre of the city"],
        "harbour": ["harbour"],
        "old town": ["old town", "old part of town"],
    },
    "family": {
        "yes": ["family-friendly", "welcomes families", "children are welcome"],
        "no": ["not family-friendly", "adults only", "adults-only", "children are not welcome"],
    },
}


@dataclass(frozen=True)
class Sentence:
    """A pattern, and the slots that its open places take, in order.

    Args:
        pattern: {thing} is "a cheap pub", {described} the same without its article, {after} what
            follows it, {says} a list of verb phrases; {name}, {food}, {Area}, {Near} and
            {Children} stand for one slot each.
        before: slots that may stand before the noun of {thing} or {described}.
        after: slots that may stand in {after}.
        says: slots that may stand in {says}.
    """

    pattern: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    says: tuple[str, ...] = ()

    def fields(self) -> set[str]:
        """The names of the open places."""
        return {field for _, field, _, _ in string.Formatter().parse(self.pattern) if field}

    def single(self) -> set[str]:
        """The slots that the pattern itself names and cannot do without, but for the name."""
        slots = {"food": "food", "Area": "area", "Near": "near", "Children": "family"}
        return {slots[field] for field in self.fields() if field in slots}

    def slots(self) -> set[str]:
        """Every slot that the sentence can express, but for the name."""
        kind = {"kind"} if self.fields() & {"thing", "described"} else set()
        return self.single() | {*self.before, *self.after, *self.says} | kind

    def fits(self, row: dict[str, str]) -> bool:
        """Whether the row has what the pattern needs, and something for it to say."""
        thing = {"kind", *self.before, *self.after} if "thing" in self.fields() else row.keys()
        says = self.says if "says" in self.fields() else row.keys()
        return (
            self.single() <= row.keys()
            and bool(self.slots() & row.keys())
            and bool(row.keys() & thing)  # no bare "It is a place."
            and bool(row.keys() & set(says))
        )


# Each plan has a place for each of the eight slots. A sentence that has nothing to say is left out.
PLANS = [
    (
        Sentence("{name} is {thing}{after}.", ("price",), ("food", "area", "near")),
        Sentence("It {says}.", says=("rating", "family")),
    ),
    (
        Sentence("{name} is {thing}{after}.", ("family", "price"), ("area", "near")),
        Sentence("It {says}.", says=("food", "rating")),
    ),
    (
        Sentence("{name} is {thing}{after}.", ("rating", "price"), ("food",)),
        Sentence("It {says}.", says=("area", "near", "family")),
    ),
    (
        Sentence("{name} is {thing} that {says}.", ("rating", "price"), (), ("food", "family")),
        Sentence("It {says}.", says=("area", "near")),
    ),
    (
        Sentence("{name} {says}.", says=("food", "area", "near")),
        Sentence("It is {thing}.", ("rating", "price", "family")),
    ),
    (
        Sentence("{name} {says}.", says=("price", "rating", "family")),
        Sentence("It is {thing}{after}.", (), ("food", "area", "near")),
    ),
    (
        Sentence(
            "{name}, {thing}{after}, {says}.",
            ("price",),
            ("area", "near"),
            ("food", "rating", "family"),
        ),
    ),
    (
        Sentence("There is {thing} called {name}{after}.", ("price", "family"), ("area", "near")),
        Sentence("The place {says}.", says=("food", "rating")),
    ),
    (
        Sentence("You can visit {thing} called {name}{after}.", ("rating",), ("area", "near")),
        Sentence("It {says}.", says=("food", "price")),
        Sentence("{Children} there."),
    ),
    (
        Sentence("The {described} called {name} {says}.", ("rating", "price"), (), ("food",)),
        Sentence("It {says}.", says=("area", "near")),
        Sentence("{Children} there."),
    ),
    (
        Sentence("{name} can be found{after}.", after=("area", "near")),
        Sentence("It is {thing}{after}.", ("price", "rating"), ("food",)),
        Sentence("{Children} there."),
    ),
    (
        Sentence("{Area} there is {thing} called {name}{after}.", ("rating", "price"), ("near",)),
        Sentence("It {says}.", says=("food", "family")),
    ),
    (
        Sentence("{Near} you will find {name}, {thing}{after}.", ("family",), ("food", "area")),
        Sentence("The place {says}.", says=("price", "rating")),
    ),
    (
        Sentence("For {food} food, try {name}, {thing}{after}.", ("rating",), ("area", "near")),
        Sentence("It {says}.", says=("price", "family")),
    ),
    (
        Sentence("If you like {food} dishes, go to {name}."),
        Sentence("It is {thing}{after}.", ("price", "family"), ("area", "near")),
        Sentence("The place {says}.", says=("rating",)),
    ),
    (
        Sentence("People go to {name} for {food} food."),
        Sentence("The place {says}.", says=("price", "rating", "area", "near")),
        Sentence("It is {thing}.", ("family",)),
    ),
]


def listed(phrases: Sequence[str]) -> str:
    """The phrases as a list: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(phrases[:-1]), phrases[-1]])) if phrases else ""


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def wording(
    draw: random.Random,
    wordings: dict[str, list[str] | dict[str, list[str]]],
    slot: str,
    row: dict[str, str],
) -> str:
    """One of the wordings of a slot's value."""
    found = wordings[slot]
    return draw.choice(found if isinstance(found, list) else found[row[slot]]).format_map(row)


def write(draw: random.Random, sentence: Sentence, row: dict[str, str]) -> str:
    """The sentence with its open places filled."""

    def some(wordings: dict[str, list[str] | dict[str, list[str]]], slots: Sequence[str]) -> list:
        return [wording(draw, wordings, slot, row) for slot in slots if slot in row]

    described = " ".join(
        filter(None, [", ".join(some(BEFORE, sentence.before)), row.get("kind", "place")])
    )
    return sentence.pattern.format(
        name=row["name"],
        food=row.get("food"),
        thing=("an " if described[0] in "aeiou" else "a ") + described,
        described=described,
        after="".join(f" {phrase}" for phrase in some(AFTER, sentence.after)),
        says=listed(some(SAYS, sentence.says)),
        Area=capital("".join(some(AFTER, ["area"]))),
        Near=capital("".join(some(AFTER, ["near"]))),
        Children="".join(some({"family": CHILDREN}, ["family"])),
    )


def references(draw: random.Random, row: dict[str, str], number: int) -> list[str]:
    """Texts that express the row, each by another plan."""
    fitting = [
        plan
        for plan in PLANS
        if all(s.fits(row) for s in plan if "name" in s.fields())
        and row.keys() - {"name"} <= set().union(*(s.slots() for s in plan if s.fits(row)))
    ]
    texts: list[str] = []
    for plan in draw.sample(fitting, len(fitting)):
        text = " ".join(write(draw, sentence, row) for sentence in plan if sentence.fits(row))
        if text not in texts and len(texts) < number:  # two plans can say little in the same way
            texts.append(text)
    return texts


def draw_row(draw: random.Random, kinds: Sequence[str], unseen: bool, must: bool) -> dict[str, str]:
    """The slots of one row and their values.

    Args:
        draw: the source of randomness.
        kinds: the kinds of place to draw from.
        unseen: whether the names are reserved ones, which the corpus never has.
        must: whether the kind has to be among the slots.
    """
    length = draw.choices(list(LENGTHS), weights=list(LENGTHS.values()))[0]
    chosen = {"name", *draw.sample(SLOTS[1:], length - 1)}
    while must and "kind" not in chosen:
        chosen = {"name", *draw.sample(SLOTS[1:], length - 1)}
    row: dict[str, str] = {}
    for slot in SLOTS:
        if slot in chosen and slot in NAMES:
            row[slot] = invented_name(draw, unseen)
        elif slot in chosen:
            row[slot] = draw.choice(kinds if slot == "kind" else VALUES[slot])
    return row


def values(row: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The row without its names: no two rows of the set have the same."""
    return tuple((slot, row[slot]) for slot in VALUES if slot in row)


def rows(draw: random.Random, split: str, taken: set) -> Iterable[dict]:
    """The rows of one split, none with values that are taken already."""
    held_out = HELD_OUT_ROWS if split == "test" else 0
    kinds = [kind for kind in VALUES["kind"] if kind != HELD_OUT]
    made = 0
    while made < SIZES[split]:
        extra = made < held_out
        row = draw_row(draw, [HELD_OUT] if extra else kinds, split == "test", must=extra)
        if values(row) in taken or row.get("near") == row["name"]:
            continue
        taken.add(values(row))
        made += 1
        yield {
            "text": " | ".join(f"{slot}: {value}" for slot, value in row.items()) + " =>",
            "references": references(draw, row, REFERENCES[split]),
            "kind": "held-out" if extra else "seen",
        }


def main(folder: str | Path = HERE) -> None:
    """Write the splits, slots.json and SHA256SUMS into the folder."""
    draw = random.Random(SEED)
    taken: set = set()
    files = {"slots.json": json.dumps({"names": NAMES, "phrases": PHRASES}, indent=1) + "\n"}
    for split in ("test", "validation", "train"):  # test first: few values have few slots
        made = list(rows(draw, split, taken))
        draw.shuffle(made)
        files[f"{split}.jsonl"] = "".join(json.dumps(row) + "\n" for row in made)
    save(Path(folder), files)


if __name__ == "__main__":
    main(*sys.argv[1:])
