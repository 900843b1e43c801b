"""Make the task `entities`: `python datasets/entities/make_entities.py [FOLDER]`.

Most names are words that are also something else: Rose is a person, a town, a part of "Rose and
Sons", or a flower at the start of a sentence, where its capital says nothing. Only the sentence
tells which.
"""

import argparse
import random
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "corpus"))
from lexicon import invented_name, table, words  # noqa: E402
from make_corpus import article  # noqa: E402
from splits import deal, write  # noqa: E402

SIZES = {"train": 1500, "validation": 300, "test": 700}
UNSEEN = {"train": 0.0, "validation": 0.0, "test": 0.3}  # of the invented names

# Names with other meanings, by meaning; each has sentences below in which it is that plain word.
PLAIN = {
    "plant": ["Rose", "Olive", "Lily", "Daisy", "Iris", "Ivy", "Hazel", "Heather", "Jasmine"],
    "stone": ["Ruby", "Pearl", "Amber", "Jade"],
    "time": ["April", "May", "June", "Summer"],
    "trade": ["Hunter", "Mason", "Carter", "Cooper", "Piper", "Baker"],
    "Robin": ["Robin"],
    "Wells": ["Wells"],
    "Frank": ["Frank"],
    "Will": ["Will"],
    "Mark": ["Mark"],
    "Bill": ["Bill"],
    "Grant": ["Grant"],
    "Chase": ["Chase"],
    "Rob": ["Rob"],
}
# And those that are only people, places and companies.
NAMES = [
    *["Jordan", "Georgia", "Paris", "Florence", "Chester", "Lincoln", "Austin", "Dallas", "Sydney"],
    *["Victoria", "Charlotte", "Adelaide", "Sofia", "Alexandria", "Kingston", "Drew", "Forrest"],
]

# In a frame, PER, LOC and ORG stand for a name that has the sentence's ambiguous word in it, PER1,
# LOC1 and ORG1 for this word alone as a name, W for it as a plain word. Those in small letters are
# other names, and the rest are filled in from the lexicon.
FRAMES = {
    "person": [
        "PER is a_job .",
        "PER walked to the spot on day .",
        "PER likes hobby .",
        "My kin PER lives in loc .",
        "The object belongs to PER .",
        "PER and per borrowed a colour object .",
        "PER1 , the kin of per , works for org .",
        "PER1 , a_job in loc , found the object .",
        "The object is mine , says PER .",
        "In the spot PER met the kin of per .",
    ],
    "place": [
        "The train to LOC was late .",
        "LOC is a small town by the sea .",
        "per lives in LOC .",
        "On day we drove from LOC to loc .",
        "People in LOC like food food .",
        "LOC has a harbour and number churches .",
        "LOC1 , a town near loc , has a spot .",
        "LOC1 , where per lives , is a town with a spot .",
        "It often rains in LOC , says per .",
        "org opened a shop in LOC .",
    ],
    "organisation": [
        "ORG sells colour objects in loc .",
        "per works for ORG .",
        "The workers of ORG met in the spot on day .",
        "On day ORG opened a shop near the spot .",
        "The object was made by ORG .",
        "ORG pays per and per .",
        "ORG1 , a firm in loc , makes colour objects .",
        "ORG1 , the firm of per , sold the spot .",
        "Shares in ORG fell on day .",
        "ORG is a firm in loc .",
    ],
    "several": [
        "PER works for ORG in LOC .",
        "PER of org met per in loc .",
        "PER of loc left ORG on day .",
        "ORG of loc pays per and PER .",
        "per and PER drove from loc to LOC .",
        "ORG and org are in LOC .",
        "per , a_job at ORG , lives in LOC .",
        "LOC is the home of per and of ORG .",
        "ORG and per sold the spot to org .",
        "PER1 , a_job , and ORG1 , a firm , share the spot .",
        "LOC1 , a town , and PER1 , a_job , share a name .",
    ],
}
WORD_FRAMES = {
    "plant": [
        "W leaves lay on the object .",
        "W is a plant that per likes .",
        "W plants are sold by org .",
        "W and grass grow in the spot .",
        "W does not grow in loc .",
    ],
    "stone": [
        "W rings are sold by org .",
        "W is a stone that per likes .",
        "W and glass lay in the spot .",
        "W comes from hills near loc .",
    ],
    "time": [
        "W is warm in loc .",
        "W rain filled the spot .",
        "W days are long in loc .",
        "W is the time for hobby , says per .",
    ],
    "trade": [
        "W and dog came home to loc .",
        "W and job met in the spot .",
        "W or job , everybody likes loc .",
        "W wanted by org in loc !",
        "W by trade , per likes hobby .",
    ],
    "Robin": [
        "W and sparrow sang in the spot .",
        "W eggs lay in the spot .",
        "W song woke per on day .",
    ],
    "Wells": ["W give water to loc .", "W stand behind the spot .", "W and towers belong to org ."],
    "Frank": ["W words from per help .", "W talk is rare in loc .", "W answers came from org ."],
    "Will": ["W the object break ?", "W per come on day ?", "W it rain in loc on day ?"],
    "Mark": ["W the object for per .", "W the road to loc .", "W the day when org opens ."],
    "Bill": ["W per for the object .", "W org for the object .", "W and ticket are from loc ."],
    "Grant": ["W per a day in loc .", "W org more time .", "W money paid for the spot ."],
    "Chase": ["W the cat out of the spot .", "W the dog home to per .", "W nobody in loc ."],
    "Rob": ["W nobody in loc .", "W a bank and you meet per .", "W org and you go to court ."],
}
# Names by what they name: W is the ambiguous word, first a first name, name any other name.
FORMS = {
    "PER": ["W", "W", "W name", "first W", "W first name"],
    "LOC": ["W", "W", "W Hill", "Port W", "New W", "W Bay", "Isle of W"],
    "ORG": [
        "W company",
        "W company",
        "W and Sons",
        "Bank of W",
        "The W company",
        "W and name company",
        "W , name and Sons",
        "The W name Art School",
    ],
}

Tagged = list[tuple[str, str]]


class Writer:
    """Writes the sentences of one split.

    Args:
        unseen: the share of the invented names that the corpus never has.
        draw: the source of randomness.
    """

    def __init__(self, unseen: float, draw: random.Random):
        self.unseen, self.draw = unseen, draw
        people, things, lexicon = words()["people"], words()["things"], words()
        self.fillers = {
            "job": people["jobs"],
            "a_job": [article(job) for job in people["jobs"]],
            "kin": people["kin"],
            "hobby": people["hobbies"],
            "object": things["objects"],
            "objects": [
                f"{thing}s"
                for thing in things["objects"]
                if not thing.endswith(("s", "x", "h", "f", "fe", "y"))
            ],
            "colour": things["colours"],
            "spot": things["places"],
            "day": things["days"],
            "number": things["numbers"][1:],
            "food": lexicon["eating"]["foods"],
            "first": people["first_names"],
            "company": lexicon["plain"]["company"],
        }
        self.capitals = [row["capital"] for row in table("countries") if " " not in row["capital"]]

    def invented(self) -> str:
        """An invented name, by chance one that the corpus never has."""
        return invented_name(self.draw, unseen=self.draw.random() < self.unseen)

    def other(self, tag: str) -> str:
        """The word that another name in the sentence is built on."""
        if self.draw.random() < 0.5:
            return self.invented()
        pool = self.capitals if tag == "LOC" else self.fillers["first"]
        return self.draw.choice(pool)

    def name(self, tag: str, word: str, alone: bool = False) -> Tagged:
        """A name of a person, a place or a company, built on a word."""
        form = "W" if alone else self.draw.choice(FORMS[tag])
        tokens = []
        for part in form.split():
            if part == "W":
                part = word
            elif part == "name":
                part = self.other(tag)
            elif part in self.fillers:
                part = self.draw.choice(self.fillers[part])
            tokens.append(part)
        return [(token, f"{'I' if i else 'B'}-{tag}") for i, token in enumerate(tokens)]

    def sentence(self, frame: str, word: str) -> Tagged:
        """A frame filled in: each of its tokens with its tag."""
        tagged = []
        for part in frame.split():
            tag = part[:3]
            if part == "W":
                tagged.append((word, "O"))
            elif tag in FORMS:
                tagged += self.name(tag, word, alone=part.endswith("1"))
            elif part.upper() in FORMS:
                tagged += self.name(part.upper(), self.other(part.upper()))
            else:
                text = self.draw.choice(self.fillers[part]) if part in self.fillers else part
                tagged += [(token, "O") for token in text.split()]
        return tagged

    def split(self, size: int, pairings: set[tuple[str, str, str]]) -> list[tuple[str, ...]]:
        """The rows of the split, shuffled.

        Args:
            size: how many.
            pairings: kinds, their frames and the words that may stand in them.
        """
        kinds = sorted({kind for kind, _, _ in pairings})
        rows = {}
        for kind in kinds:
            cells = sorted(cell for cell in pairings if cell[0] == kind)
            self.draw.shuffle(cells)
            for number in range(size // len(kinds)):
                _, frame, word = cells[number % len(cells)]
                tokens = None
                while tokens is None or tokens in rows:
                    tagged = self.sentence(frame, word)
                    tokens = " ".join(token for token, _ in tagged)
                rows[tokens] = (tokens, " ".join(tag for _, tag in tagged), kind)
        return self.draw.sample(list(rows.values()), size)


def pairings() -> list[tuple[str, str, str]]:
    """Every kind with its frames and each word that can stand in them."""
    ambiguous = [word for group in PLAIN.values() for word in group] + NAMES
    found = [
        (kind, frame, word)
        for kind, frames in FRAMES.items()
        for frame in frames
        for word in ambiguous
    ]
    found += [
        ("word", frame, word)
        for meaning, frames in WORD_FRAMES.items()
        for frame in frames
        for word in PLAIN[meaning]
    ]
    return found


def main(folder: Path = FOLDER) -> None:
    """Write the files of the task into a folder."""
    draw = random.Random("entities")
    dealt = deal(pairings(), draw)
    rows = {
        name: Writer(UNSEEN[name], draw).split(size, dealt[name]) for name, size in SIZES.items()
    }
    write(folder, ("tokens", "tags", "kind"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the task entities.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to write")
    main(parser.parse_args().folder)
