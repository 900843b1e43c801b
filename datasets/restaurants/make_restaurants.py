"""Make the data set `restaurants`: what is known of a place, and texts that say just that.

python datasets/restaurants/make_restaurants.py [FOLDER]
"""

import itertools
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
from splits import deal, save  # noqa: E402

SEED = 2017
SIZES = {"train": 2000, "validation": 200, "test": 400}
REFERENCES = {"train": 1, "validation": 3, "test": 4}
HELD_OUT, HELD_OUT_ROWS = "diner", 150  # the kind that only test has, and in how many rows
NAMES = ("name", "near", "chef", "town")  # slots whose values are invented names
NAMED = 0.85  # how often a row has each of them but the first, which it always has
CLOSED = {1: 1, 2: 2, 3: 2}  # how often a row has so many of the other slots
LEAST = 4  # slots of a row, of either sort

# The values of each other slot, in the order in which a row lists them.
VALUES = {
    "kind": words()["eating"]["kinds"],
    "food": words()["eating"]["foods"],
    "price": words()["eating"]["prices"],
    "rating": words()["eating"]["ratings"],
    "area": words()["eating"]["areas"],
    "family": ["yes", "no"],
}
SLOTS = ("name", *VALUES, "town", "near", "chef")
KINDS = [kind for kind in VALUES["kind"] if kind != HELD_OUT]
Combination = tuple[tuple[str, str], ...]

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
    "town": ["in {town}"],
    "near": ["near {near}", "close to {near}", "not far from {near}"],
    "chef": ["run by chef {chef}", "with {chef} as chef"],
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
    "town": ["is in {town}", "lies in {town}"],
    "near": ["is near {near}", "is close to {near}", "is not far from {near}"],
    "chef": ["is run by chef {chef}", "has {chef} as its chef"],
}
# As a sentence of its own.
WHOLE = {
    "family": {"yes": ["Children are welcome there"], "no": ["Children are not welcome there"]},
    "chef": ["The chef is {chef}", "The chef there is {chef}", "{chef} cooks there"],
}

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
            follows it, {says} a list of verb phrases; each other place is for the slot that it
            names: as it is, such as {food}; with words around it, such as {Near}.
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
        return {field.lower() for field in self.fields()} & set(SLOTS) - {"name"}

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


# In what order slots stand that are said together.
PLACE = ("area", "town", "near")
CHEF_FIRST = ("chef", "area", "town")
CHEF_LAST = ("food", "family", "chef")

# Each plan has a place for each of the ten slots. A sentence that has nothing to say is left out.
PLANS = [
    (
        Sentence("{name} is {thing}{after}.", ("price",), ("food", *PLACE)),
        Sentence("It {says}.", says=("rating", "family", "chef")),
    ),
    (
        Sentence("{name} is {thing}{after}.", ("family", "price"), PLACE),
        Sentence("It {says}.", says=("food", "rating", "chef")),
    ),
    (
        Sentence("{name} is {thing}{after}.", ("rating", "price"), ("food", "area")),
        Sentence("It {says}.", says=("town", "near", "family")),
        Sentence("{Chef}."),
    ),
    (
        Sentence("{name} is {thing} that {says}.", ("rating", "price"), (), CHEF_LAST),
        Sentence("It lies{after}.", after=PLACE),
    ),
    (
        Sentence("{name} {says}.", says=("food", "near")),
        Sentence("It is {thing}{after}.", ("rating", "price", "family"), CHEF_FIRST),
    ),
    (
        Sentence("{name} {says}.", says=("price", "rating", "family", "chef")),
        Sentence("It is {thing}{after}.", (), ("food", *PLACE)),
    ),
    (Sentence("{name}, {thing}{after}, {says}.", ("price", "rating"), PLACE, CHEF_LAST),),
    (
        Sentence("There is {thing} called {name}{after}.", ("price", "family"), PLACE),
        Sentence("The place {says}.", says=("food", "rating", "chef")),
    ),
    (
        Sentence("You can visit {thing} called {name}{after}.", ("rating",), PLACE),
        Sentence("It {says}.", says=("food", "price", "chef")),
        Sentence("{Family}."),
    ),
    (
        Sentence("The {described} called {name} {says}.", ("rating", "price"), (), CHEF_LAST),
        Sentence("It lies{after}.", after=PLACE),
    ),
    (
        Sentence("{name} can be found{after}.", after=PLACE),
        Sentence("It is {thing}{after}.", ("family", "price", "rating"), ("food",)),
        Sentence("{Chef}."),
    ),
    (
        Sentence("{Area} there is {thing} called {name}{after}.", ("rating", "price"), ("near",)),
        Sentence("It {says}.", says=("town", "food", "chef")),
        Sentence("{Family}."),
    ),
    (
        Sentence("{Town} there is {thing} called {name}{after}.", ("price",), ("area", "near")),
        Sentence("It {says}.", says=("food", "rating", "family")),
        Sentence("{Chef}."),
    ),
    (
        Sentence("{Near} you will find {name}, {thing}{after}.", ("family",), CHEF_FIRST),
        Sentence("The place {says}.", says=("food", "price", "rating")),
    ),
    (
        Sentence("Chef {chef} runs {name}, {thing}{after}.", ("price", "rating"), PLACE),
        Sentence("It {says}.", says=("food", "family")),
    ),
    (
        Sentence("{chef} cooks at {name}, {thing}{after}.", ("family",), ("food", *PLACE)),
        Sentence("The place {says}.", says=("price", "rating")),
    ),
    (
        Sentence("For {food} food, try {name}, {thing}{after}.", ("rating",), PLACE),
        Sentence("It {says}.", says=("price", "family", "chef")),
    ),
    (
        Sentence("If you like {food} dishes, go to {name}."),
        Sentence("It is {thing}{after}.", ("price", "family"), PLACE),
        Sentence("The place {says}.", says=("rating", "chef")),
    ),
    (
        Sentence("People go to {name} for {food} food."),
        Sentence("The place {says}.", says=("price", "rating", "area", "chef")),
        Sentence("It is {thing}{after}.", ("family",), ("town", "near")),
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
        chef=row.get("chef"),
        thing=("an " if described[0] in "aeiou" else "a ") + described,
        described=described,
        after="".join(f" {phrase}" for phrase in some(AFTER, sentence.after)),
        says=listed(some(SAYS, sentence.says)),
        Area=capital("".join(some(AFTER, ["area"]))),
        Town=capital("".join(some(AFTER, ["town"]))),
        Near=capital("".join(some(AFTER, ["near"]))),
        Family="".join(some(WHOLE, ["family"])),
        Chef="".join(some(WHOLE, ["chef"])),
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
    chosen: set[str] = set()
    while len(chosen) < LEAST or (must and "kind" not in chosen):
        number = draw.choices(list(CLOSED), weights=list(CLOSED.values()))[0]
        names = [slot for slot in NAMES[1:] if draw.random() < NAMED]
        chosen = {"name", *draw.sample(list(VALUES), number), *names}
    row: dict[str, str] = {}
    for slot in (slot for slot in SLOTS if slot in chosen):
        if slot in VALUES:
            row[slot] = draw.choice(kinds if slot == "kind" else VALUES[slot])
            continue
        row[slot] = invented_name(draw, unseen)
        while list(row.values()).count(row[slot]) > 1:
            row[slot] = invented_name(draw, unseen)
    return row


def combination(row: dict[str, str]) -> Combination:
    """The slots of a row and, but for the names, their values."""
    return tuple((slot, "" if slot in NAMES else value) for slot, value in row.items())


def combinations(kinds: Sequence[str]) -> Iterable[Combination]:
    """Every combination that a row with these kinds of place can have."""
    found = {"name": [""], **VALUES, "kind": kinds}
    options = [
        [(slot, value) for value in found.get(slot, [""])] + [None] * (slot != "name")
        for slot in SLOTS
    ]
    for chosen in itertools.product(*options):
        yield tuple(pair for pair in chosen if pair)


def rows(draw: random.Random, split: str, own: set[Combination]) -> Iterable[dict]:
    """The rows of one split, with the combinations that are its own or have the held-out kind."""
    held_out = HELD_OUT_ROWS if split == "test" else 0
    made = 0
    while made < SIZES[split]:
        extra = made < held_out
        row = draw_row(draw, [HELD_OUT] if extra else KINDS, split == "test", must=extra)
        if not extra and combination(row) not in own:
            continue
        made += 1
        yield {
            "text": " | ".join(f"{slot}: {value}" for slot, value in row.items()) + " =>",
            "references": references(draw, row, REFERENCES[split]),
            "kind": "held-out" if extra else "seen",
        }


def main(folder: str | Path = HERE) -> None:
    """Write the splits, slots.json and SHA256SUMS into the folder."""
    draw = random.Random(SEED)
    own = deal(combinations(KINDS), draw)  # so that train and test share no combination
    files = {"slots.json": json.dumps({"names": NAMES, "phrases": PHRASES}, indent=1) + "\n"}
    for split in SIZES:
        made = list(rows(draw, split, own[split]))
        draw.shuffle(made)
        files[f"{split}.jsonl"] = "".join(json.dumps(row) + "\n" for row in made)
    save(Path(folder), files)


if __name__ == "__main__":
    main(*sys.argv[1:])
