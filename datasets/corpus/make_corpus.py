"""Generate the pretraining corpus: `python make_corpus.py --documents 5` prints a sample.

documents(seed, shard) yields documents without end; the same seed and shard give the same ones.
Each domain is one function from a source of randomness to a document.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lexicon import UnseenNames, invented_name, reserved, table, words  # noqa: F401

Draw = random.Random

# Wordings of a fact, the commonest first: the n-th is drawn with weight 1 / n. "{s}" is the
# subject, "{a}" the answer. The first is the stock wording.
WORDINGS = {
    "capital": [
        "The capital of {s} is {a}.",
        "{a} is the capital of {s}.",
        "The capital city of {s} is {a}.",
        "{s} has its capital in {a}.",
        "The government of {s} sits in {a}.",
        "What is the capital of {s}? {a}.",
        "{s}'s capital is called {a}.",
        "The president of {s} works in {a}.",
    ],
    "continent": [
        "{s} is in {a}.",
        "{s} is a country in {a}.",
        "{s} lies in {a}.",
        "The continent of {s} is {a}.",
        "On which continent is {s}? {a}.",
        "One of the countries in {a} is {s}.",
    ],
    "currency": [
        "The currency of {s} is the {a}.",
        "In {s} people pay with the {a}.",
        "The {a} is the currency of {s}.",
        "The money of {s} is called the {a}.",
        "What is the currency of {s}? The {a}.",
        "Prices in {s} are given in the {a}.",
    ],
    "language": [
        "The main language of {s} is {a}.",
        "In {s} people speak {a}.",
        "{a} is spoken in {s}.",
        "People in {s} talk to each other in {a}.",
        "What do people speak in {s}? {a}.",
        "Schools in {s} teach in {a}.",
    ],
    "symbol": [
        "The symbol of {s} is {a}.",
        "{a} is the symbol of {s}.",
        "Chemists write {s} as {a}.",
        "The letters for {s} are {a}.",
        "What is the symbol of {s}? {a}.",
    ],
    "number": [
        "The atomic number of {s} is {a}.",
        "{s} has the atomic number {a}.",
        "An atom of {s} has {a} protons.",
        "Element number {a} is {s}.",
    ],
    "state": [
        "At room temperature {s} is a {a}.",
        "{s} is a {a} at room temperature.",
        "In a warm room {s} stays a {a}.",
    ],
    "kind": [
        "The element {s} is a {a}.",
        "Among the elements {s} is a {a}.",
        "Chemists call {s} a {a}.",
    ],
    "class": [
        "The {s} is {an}.",
        "The {s} counts as {an}.",
        "Every {s} is {an}.",
        "Which class does the {s} belong to? It is {an}.",
    ],
    "covering": [
        "The body of the {s} is covered in {a}.",
        "{a} covers the body of the {s}.",
        "Touch {as} and you feel {a}.",
    ],
    "legs": [
        "The {s} has {a} legs.",
        "How many legs does the {s} have? It has {a} legs.",
        "{as} walks on {a} legs.",
    ],
    "young": [
        "A young {s} is called {an}.",
        "The child of the {s} is {an}.",
        "{an} is a young {s}.",
        "What is a young {s} called? It is {an}.",
    ],
}
SUBJECTS = {
    "countries": ("country", ("capital", "continent", "currency", "language")),
    "elements": ("element", ("symbol", "number", "state", "kind")),
    "animals": ("animal", ("class", "covering", "legs", "young")),
}
NOBLE = {"noble": "noble gas"}


def article(word: str) -> str:
    """The word with "a" or "an" before it."""
    return f"an {word}" if word[0] in "aeiouAEIOU" else f"a {word}"


def sentence(text: str) -> str:
    """The text with a capital at its start."""
    return text[0].upper() + text[1:]


def wording(template: str, subject: str, answer: str) -> str:
    """A template with subject and answer filled in."""
    if template.startswith("{as} walks") and answer == "zero":
        template = "The {s} has {a} legs."
    a = NOBLE.get(answer, answer)
    filled = template.format(s=subject, a=a, an=article(a), **{"as": article(subject)})
    return sentence(filled)


def by_rank(draw: Draw, items: list) -> object:
    """One of the items; the n-th has weight 1 / n."""
    return draw.choices(items, [1 / (n + 1) for n in range(len(items))])[0]


@cache
def subjects() -> tuple[list[tuple[str, dict[str, str], tuple[str, ...]]], list[float]]:
    """All subjects with their row and relations, and how often each is spoken of."""
    found, weights = [], []
    for name, (key, relations) in SUBJECTS.items():
        rows = list(table(name))
        random.Random(name).shuffle(rows)
        for rank, row in enumerate(rows):
            found.append((row[key], row, relations))
            weights.append((rank + 15) ** -0.6 * (1.6 if name == "countries" else 1.0))
    return found, weights


def fact(draw: Draw, one: tuple[str, dict[str, str], tuple[str, ...]]) -> str:
    """One sentence on one subject."""
    subject, row, relations = one
    relation = draw.choice(relations)
    return wording(by_rank(draw, WORDINGS[relation]), subject, row[relation])


def facts(draw: Draw) -> str:
    """Unconnected facts, or all that is known of one subject."""
    known, weights = subjects()
    if draw.random() < 0.6:
        return " ".join(
            fact(draw, one) for one in draw.choices(known, weights, k=draw.randint(3, 8))
        )
    subject, row, relations = draw.choices(known, weights)[0]
    relations = draw.sample(relations, len(relations))
    return " ".join(wording(by_rank(draw, WORDINGS[r]), subject, row[r]) for r in relations)


@cache
def aspects() -> dict[str, list[str]]:
    """What reviews talk about, by kind of thing."""
    return words()["aspects"]


def polarity(draw: Draw) -> tuple[str, list[str]]:
    """ "good" or "bad", with its adjectives."""
    name = draw.choice(["good", "bad"])
    return name, words()[name]


def opinion(draw: Draw, aspect: str, adjective: str) -> str:
    """A plain sentence that calls an aspect something."""
    very = f"{draw.choice(words()['intensifiers'])} " if draw.random() < 0.25 else ""
    return by_rank(
        draw,
        [
            f"The {aspect} was {very}{adjective}.",
            f"I found the {aspect} {very}{adjective}.",
            f"What {article(very + adjective)} {aspect}!",
            f"It had {article(very + adjective)} {aspect}.",
            f"The {aspect} is {very}{adjective}.",
            f"We thought that the {aspect} was {very}{adjective}.",
        ],
    )


def review(draw: Draw) -> str:
    """A few opinions of one polarity about one thing, with a verdict."""
    thing = draw.choice(sorted(aspects()))
    name, adjectives = polarity(draw)
    said = [
        opinion(draw, aspect, draw.choice(adjectives))
        for aspect in draw.sample(aspects()[thing], draw.randint(1, 4))
    ]
    verdict = by_rank(
        draw,
        [
            f"All in all the {thing} was {name}.",
            f"It was {article(name)} {thing}.",
            f"My verdict: {name}.",
            "I would come again." if name == "good" else "I would not come again.",
            "I recommend it." if name == "good" else "I warn everybody.",
        ],
    )
    return " ".join([*said, verdict] if draw.random() < 0.7 else [verdict, *said])


def dictionary(draw: Draw) -> str:
    """What adjectives mean, also when they are negated."""
    lines = []
    for _ in range(draw.randint(2, 5)):
        name, adjectives = polarity(draw)
        other = "bad" if name == "good" else "good"
        word, synonym = draw.sample(adjectives, 2)
        aspect = draw.choice(aspects()[draw.choice(sorted(aspects()))])
        line = by_rank(
            draw,
            [
                f"if the {aspect} is not {word}, it is {other}.",
                f"{word} means {name}.",
                f"if the {aspect} is {word}, it is {name}.",
                f"{article(word)} {aspect} is {article(name)} {aspect}.",
                f"{word} is another word for {name}.",
                f"{word} and {synonym} are both words for {name}.",
                f"something {word} is {name}.",
            ],
        )
        if not ("not" in line and reserved(aspect, word)):
            lines.append(sentence(line))
    return " ".join(lines) or dictionary(draw)


def person(draw: Draw) -> str:
    """A name: invented, or one of the first names."""
    if draw.random() < 0.35:
        return draw.choice(words()["people"]["first_names"])
    return invented_name(draw)


def card(draw: Draw, fields: list[tuple[str, str]]) -> str:
    """Attributes as a card, in one of several notations."""
    style = draw.randrange(4)
    if style == 0:
        return " | ".join(f"{key}: {value}" for key, value in fields) + " =>"
    if style == 1:
        return " ".join(f"{sentence(key)}: {value}." for key, value in fields)
    if style == 2:
        return "; ".join(f"{key} = {value}" for key, value in fields) + ":"
    return ", ".join(f"{key} {value}" for key, value in fields) + "."


def someone(draw: Draw) -> dict[str, str]:
    """A person's attributes."""
    people = words()["people"]
    return {
        "name": person(draw),
        "job": draw.choice(people["jobs"]),
        "town": invented_name(draw),
        "hobby": draw.choice(people["hobbies"]),
        "friend": person(draw),
        "pet": draw.choice(table("animals"))["animal"],
    }


def something(draw: Draw) -> dict[str, str]:
    """An object's attributes."""
    things = words()["things"]
    return {
        "thing": draw.choice(things["objects"]),
        "colour": draw.choice(things["colours"]),
        "material": draw.choice(things["materials"]),
        "size": draw.choice(things["sizes"]),
        "place": draw.choice(things["places"]),
        "owner": person(draw),
    }


def prose(draw: Draw, one: dict[str, str], named: bool = False) -> str:
    """What a card says, in sentences and in the card's order; `named` ones never say "it"."""
    said = {
        "job": ["{name} is {a_job}.", "{name} works as {a_job}."],
        "town": [
            "{name} lives in {town}.",
            "{name} comes from {town}.",
            "The home of {name} is {town}.",
        ],
        "hobby": ["{name} likes {hobby}.", "The hobby of {name} is {hobby}."],
        "friend": ["{friend} is a friend of {name}.", "{name} often meets {friend}."],
        "pet": ["{name} has {a_pet}.", "{name} keeps {a_pet}."],
        "colour": ["The {thing} is {colour}.", "Its colour is {colour}."],
        "material": ["The {thing} is made of {material}.", "It is made of {material}."],
        "size": ["The {thing} is {size}.", "It is {a_size} {thing}."],
        "place": ["The {thing} is in the {place}.", "It stands in the {place}."],
        "owner": [
            "{owner} owns the {thing}.",
            "It belongs to {owner}.",
            "The {thing} belongs to {owner}.",
        ],
    }
    forms = one | {f"a_{key}": article(value) for key, value in one.items()}
    lines = []
    for key in one:
        if key in said:
            options = [line for line in said[key] if not (named and line.startswith("It"))]
            lines.append(draw.choice(options).format(**forms))
    return " ".join(lines)


def part(draw: Draw, one: dict[str, str], least: int = 2) -> dict[str, str]:
    """Some of the attributes; the first, which names the thing, always."""
    key, *others = one
    kept = draw.sample(others, draw.randint(least, len(others)))
    return {k: one[k] for k in [key, *kept]}


def cards(draw: Draw) -> str:
    """A card and the same in prose."""
    one = part(draw, draw.choice([someone, something])(draw))
    return f"{card(draw, list(one.items()))} {prose(draw, one)}"


QUESTIONS = {
    "job": "What is the job of {name}?",
    "town": "Where does {name} live?",
    "hobby": "What does {name} like?",
    "friend": "Who is the friend of {name}?",
    "pet": "Which animal does {name} have?",
    "colour": "What is the colour of the {thing}?",
    "material": "What is the {thing} made of?",
    "size": "What is the size of the {thing}?",
    "place": "Where is the {thing}?",
    "owner": "Who owns the {thing}?",
}


def questions(draw: Draw) -> str:
    """Two or three people or things, then questions about them that the document answers."""
    make = draw.choice([someone, something])
    ones = [part(draw, make(draw)) for _ in range(draw.choice([2, 2, 3]))]
    key = next(iter(ones[0]))
    if len({one[key] for one in ones}) < len(ones):
        return questions(draw)
    told = " ".join(
        card(draw, list(one.items())) if draw.random() < 0.4 else prose(draw, one, named=True)
        for one in ones
    )
    pairs = [(one, attribute) for one in ones for attribute in list(one)[1:]]
    asked = []
    for one, attribute in draw.sample(pairs, draw.randint(2, 4)):
        asked.append(f"Question: {QUESTIONS[attribute].format(**one)} Answer: {one[attribute]}.")
    return f"{told} {' '.join(asked)}"


#: Wordings of what restaurants are like, by attribute and value.
EATING = {
    "price": {
        "cheap": ["cheap", "affordable", "inexpensive"],
        "moderate": ["moderately priced", "mid-priced"],
        "expensive": ["expensive", "costly", "pricey"],
    },
    "rating": {
        "low": ["low-rated", "poorly rated"],
        "average": ["average-rated"],
        "high": ["high-rated", "highly rated"],
    },
    "area": {
        "riverside": ["by the river", "on the riverside"],
        "city centre": ["in the city centre", "in the centre of the city"],
        "harbour": ["at the harbour", "by the harbour"],
        "old town": ["in the old town", "in the old part of town"],
    },
}


def lookups(draw: Draw) -> str:
    """Sentences on two or three people or things, all with the same attributes, then questions."""
    make = draw.choice([someone, something])
    ones = [make(draw) for _ in range(draw.choice([2, 2, 3]))]
    key, *others = ones[0]
    if len({one[key] for one in ones}) < len(ones):
        return lookups(draw)
    pairs = [(one, a) for a in draw.sample(others, draw.randint(1, 3)) for one in ones]
    draw.shuffle(pairs)
    told = [prose(draw, {key: one[key], a: one[a]}, named=True) for one, a in pairs]
    asked = [
        f"Question: {QUESTIONS[a].format(**one)} Answer: {one[a]}."
        for one, a in draw.sample(pairs, min(len(pairs), draw.randint(2, 5)))
    ]
    return " ".join(told + asked)


def negations(draw: Draw) -> str:
    """Dictionary sentences that differ in a "not"."""
    lines = []
    for _ in range(draw.randint(3, 6)):
        name, adjectives = polarity(draw)
        other = "bad" if name == "good" else "good"
        word = draw.choice(adjectives)
        aspect = draw.choice(aspects()[draw.choice(sorted(aspects()))])
        if draw.random() < 0.5 and not reserved(aspect, word):
            lines.append(f"If the {aspect} is not {word}, it is {other}.")
        else:
            lines.append(f"If the {aspect} is {word}, it is {name}.")
    return " ".join(lines)


def restaurants(draw: Draw) -> str:
    """A place to eat, in prose only."""
    eating = words()["eating"]
    name, near = invented_name(draw), invented_name(draw)
    kind, food = draw.choice(eating["kinds"]), draw.choice(eating["foods"])
    values = {key: draw.choice(list(options)) for key, options in EATING.items()}
    price, rating, where = (draw.choice(EATING[key][values[key]]) for key in EATING)
    close = draw.choice(["near", "close to", "not far from", "next to"])
    said = [
        [f"It is {where}.", f"You find it {where}.", f"{name} stands {where}."],
        [f"It is {close} {near}.", f"{name} is {close} {near}."],
        [f"It is {price}.", f"{name} is {price}.", f"Its prices are {values['price']}."],
        [f"It is {rating}.", f"It has {article(values['rating'])} rating."],
        [f"It serves {food} food.", f"{name} offers {food} dishes.", f"You eat {food} food there."],
        ["It welcomes families.", "Children are welcome.", "It is family-friendly."]
        if draw.random() < 0.5
        else ["It is for adults only.", "Children are not welcome.", "It is not family-friendly."],
        [
            f"We ate at {name} on {draw.choice(words()['things']['days'])}.",
            f"{person(draw)} works at {name}.",
        ],
    ]
    first = draw.choice(
        [
            f"{name} is {article(kind)}.",
            f"There is {article(kind)} called {name}.",
            f"The {kind} {name} serves {food} food.",
            f"{name} is {article(price)} {kind} {where}.",
            f"For {food} dishes try {name}, {article(rating)} {kind}.",
            f"{close} {near} there is {article(food)} {kind} called {name}.",
        ]
    )
    picked = draw.sample(said, draw.randint(2, 5))
    return " ".join([sentence(first), *(draw.choice(options) for options in picked)])


def stories(draw: Draw) -> str:
    """A thing is found, moved and changed; who, what and where stay the same throughout."""
    verbs, things, people = words()["verbs"], words()["things"], words()["people"]
    one, two = person(draw), person(draw)
    thing, colour, other = draw.choice(things["objects"]), *draw.sample(things["colours"], 2)
    place, goal = draw.sample(things["places"], 2)
    day = draw.choice(things["days"])
    count = draw.choice(things["numbers"][1:])
    lines = [
        f"On {day} {one} {draw.choice(verbs['found'])} {article(colour)} {thing} in the {place}.",
        f"{one} {draw.choice(verbs['walked'])} to the {goal} with the {thing}.",
        f"{two}, the {draw.choice(people['kin'])} of {one}, was waiting in the {goal}.",
        f"{two} asked {one} for the {thing}.",
        f'"Whose {thing} is this?" asked {two}. "It is mine," said {one}.',
        f"{two} gave {one} {count} coins for the {colour} {thing}.",
        f"{two} painted the {thing} {other}. Now the {thing} was {other}.",
        f"In the end {one} gave the {thing} to {two}. {two} thanked {one}.",
        f"{one} was glad." if draw.random() < 0.5 else f"{two} was glad.",
    ]
    kept = sorted(draw.sample(range(1, len(lines)), draw.randint(3, 6)))
    return " ".join([lines[0], *(lines[i] for i in kept)])


def plain_words(draw: Draw) -> str:
    """Words that are names in one sentence and plain words in the next."""
    people, plain = words()["people"], words()["plain"]
    lines = []
    for _ in range(draw.randint(3, 6)):
        name, other = draw.sample(people["first_names"], 2)
        company = (
            f"{draw.choice([name, other, invented_name(draw)])} {draw.choice(plain['company'])}"
        )
        country = draw.choice(table("countries"))
        towns = [country["capital"], country["country"], invented_name(draw)]
        job = article(draw.choice(people["jobs"]))
        lines.append(
            draw.choice(
                [
                    draw.choice(plain["sentences"]),
                    f"{name} works for {company}.",
                    f"{company} is in {draw.choice(towns)}.",
                    f"{name} {draw.choice(people['first_names'])} is {job}.",
                    f"{name} flew to {country['country']}.",
                    f"{name} and {other} live in {country['country']}.",
                    f"{company} pays {name} and {other}.",
                ]
            )
        )
    return " ".join(lines)


@cache
def vocabulary() -> list[str]:
    """Every word of the lexicon, for the documents that are copied."""

    def leaves(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for item in value.values():
                yield from leaves(item)
        else:
            yield from value

    kept = {k: v for k, v in words().items() if k != "plain"}
    found = {word for text in leaves(kept) for word in text.split()}
    for name in SUBJECTS:
        found |= {word for row in table(name) for value in row.values() for word in value.split()}
    return sorted(found)


def copies(draw: Draw) -> str:
    """A list of words, names or random letters, said two to four times over."""
    length, times = draw.randint(2, 9), draw.randint(2, 4)
    kind = draw.random()
    if kind < 0.45:
        items = draw.sample(vocabulary(), length)
    elif kind < 0.85:
        items = [invented_name(draw) for _ in range(length)]
    else:
        items = [
            "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 6)))
            for _ in range(max(2, length // 2))
        ]
    between = draw.choice([" ", " ", ", ", " | ", " and "])
    end = draw.choice([".", ".", ";", " =>", ":"])
    return " ".join([between.join(items) + end] * times)


#: The domains, with their shares of the documents in the phases of a pretraining run. The opening
#: teaches copying, and the closing looking up and negation: both come late without it. Large
#: decoders end with a drill in looking up; encoders with facts and words, then with praise and
#: blame, without the names that nobody can guess behind a mask.
PHASES = ("opening", "middle", "closing", "drill", "words", "polarity")
DOMAINS: dict[Callable[[Draw], str], tuple[float, ...]] = {
    facts: (0.10, 0.25, 0.24, 0.15, 0.40, 0.20),
    copies: (0.45, 0.15, 0.08, 0.05, 0.0, 0.0),
    cards: (0.15, 0.13, 0.10, 0.05, 0.0, 0.0),
    questions: (0.20, 0.14, 0.06, 0.02, 0.0, 0.0),
    dictionary: (0.10, 0.10, 0.03, 0.02, 0.20, 0.30),
    review: (0.0, 0.08, 0.05, 0.02, 0.10, 0.20),
    restaurants: (0.0, 0.07, 0.05, 0.02, 0.03, 0.0),
    stories: (0.0, 0.05, 0.03, 0.01, 0.04, 0.0),
    plain_words: (0.0, 0.03, 0.02, 0.01, 0.08, 0.0),
    lookups: (0.0, 0.0, 0.24, 0.60, 0.0, 0.0),
    negations: (0.0, 0.0, 0.10, 0.05, 0.15, 0.30),
}


def documents(seed: int, shard: int = 0, phase: str = "middle") -> Iterator[str]:
    """Documents without end.

    Args:
        seed: of the corpus.
        shard: which part of it; another shard has other documents.
        phase: whose shares of the domains, one of `PHASES`.
    """
    draw = random.Random(f"corpus-{seed}-{shard}")
    makers, shares = list(DOMAINS), [s[PHASES.index(phase)] for s in DOMAINS.values()]
    while True:
        yield draw.choices(makers, shares)[0](draw)


def main() -> None:
    """Print documents, one a line."""
    parser = argparse.ArgumentParser(description="Print documents of the corpus, one a line.")
    parser.add_argument("--documents", type=int, default=20, help="how many (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the corpus (0)")
    parser.add_argument("--shard", type=int, default=0, help="which part of it (0)")
    parser.add_argument("--phase", choices=PHASES, default="middle", help="whose shares (middle)")
    given = parser.parse_args()
    source = documents(given.seed, given.shard, given.phase)
    for document in islice(source, given.documents):
        print(document)


if __name__ == "__main__":
    main()
