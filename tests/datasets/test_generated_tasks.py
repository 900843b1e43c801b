"""The data sets `opinions`, `pairs` and `entities`: made again exactly, balanced, no shortcuts."""

import csv
import importlib.util
import math
import random
import re
import sys
from collections import Counter, defaultdict
from itertools import combinations

import pytest

from peftlab import paths
from peftlab.files import sha256

SIZES = {
    "opinions": {"train": 1000, "validation": 300, "test": 1000},
    "pairs": {"train": 4000, "validation": 300, "test": 1000},
    "entities": {"train": 1500, "validation": 300, "test": 700},
}
SPLITS = ("train", "validation", "test")
FILES = [(name, split) for name in SIZES for split in SPLITS]


def maker(name):
    """The module that generates a task; it puts the corpus on the path."""
    path = paths.DATASETS / name / f"make_{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


MAKERS = {name: maker(name) for name in SIZES}
lexicon, splits = sys.modules["lexicon"], sys.modules["splits"]


def read(name, split):
    with open(paths.DATASETS / name / f"{split}.tsv", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", strict=True))


ROWS = {name: {split: read(name, split) for split in SPLITS} for name in SIZES}


def words(text):
    return re.findall(r"[a-z]+(?:[-'][a-z]+)*", text.lower())


def naive_bayes(rows, features):
    """A classifier that counts features: the sum of log P(feature | label), add-one smoothed."""
    counts = defaultdict(Counter)
    for row in rows:
        counts[row["label"]].update(features(row))
    vocabulary = len(set().union(*counts.values()))

    def score(label, row):
        total = counts[label].total() + vocabulary
        return sum(math.log((counts[label][f] + 1) / total) for f in features(row))

    return lambda row: max(sorted(counts), key=lambda label: score(label, row))


def accuracy(classify, rows):
    return sum(classify(row) == row["label"] for row in rows) / len(rows)


# All three


@pytest.mark.parametrize("name", SIZES)
def test_the_generator_writes_the_files_that_are_here(name, tmp_path):
    MAKERS[name].main(tmp_path)
    for file in ("train.tsv", "validation.tsv", "test.tsv", "SHA256SUMS"):
        made, here = tmp_path / file, paths.DATASETS / name / file
        assert made.read_bytes() == here.read_bytes(), f"run make_{name}.py again"


@pytest.mark.parametrize("name", SIZES)
def test_checksums_are_those_of_the_files(name):
    folder = paths.DATASETS / name
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {f"{split}.tsv": sha256(folder / f"{split}.tsv") for split in SPLITS}


@pytest.mark.parametrize("name, split", FILES)
def test_sizes(name, split):
    assert len(ROWS[name][split]) == SIZES[name][split]


@pytest.mark.parametrize("name", SIZES)
def test_no_text_appears_twice(name):
    texts = [row.get("text") or row["tokens"] for s in SPLITS for row in ROWS[name][s]]
    assert len(set(texts)) == len(texts) == sum(SIZES[name].values())


@pytest.mark.parametrize("name, split", FILES)
def test_texts_are_clean_and_ascii(name, split):
    for row in ROWS[name][split]:
        for column in {"text", "text_pair", "tokens"} & row.keys():
            text = row[column]
            assert text.isascii() and text == " ".join(text.split()), text
            assert text[0].isupper() and text[-1] in ".!?" and '"' not in text, text


@pytest.mark.parametrize("name", SIZES)
def test_the_card_gives_the_sizes_of_the_files(name):
    card = (paths.DATASETS / name / "README.md").read_text()
    for column in {"kind", "label", "domain"} & ROWS[name]["train"][0].keys():
        if (name, column) == ("opinions", "label"):
            continue  # half and half, says the card
        counts = {split: Counter(row[column] for row in ROWS[name][split]) for split in SPLITS}
        for value in counts["train"]:
            sizes = [counts[split][value] for split in SPLITS]
            cells = " | ".join(f"{size:,}" for size in [*sizes, sum(sizes)])
            assert f"| {value} | {cells} |" in card


def test_what_is_dealt_is_dealt_once():
    draw = random.Random(0)
    dealt = splits.deal(range(100), draw)
    assert sorted(item for part in dealt.values() for item in part) == list(range(100))
    assert [len(dealt[split]) for split in SPLITS] == [50, 10, 40]


# opinions


@pytest.mark.parametrize("split", SPLITS)
def test_opinions_are_balanced_within_kind_and_domain(split):
    rows, size = ROWS["opinions"][split], SIZES["opinions"][split]
    counts = Counter((row["kind"], row["label"]) for row in rows)
    shares = {"plain": 0.4, "negation": 0.3, "contrast": 0.3}
    assert counts == {
        (kind, label): size * share / 2
        for kind, share in shares.items()
        for label in ("negative", "positive")
    }
    domains = Counter((row["domain"], row["label"]) for row in rows)
    assert all(domains[d, "negative"] == domains[d, "positive"] for d, _ in domains)


ASPECTS = {aspect for group in lexicon.words()["aspects"].values() for aspect in group}
POLARITY = {word: name for name in ("good", "bad") for word in lexicon.words()[name]}


def found(vocabulary, text):
    """The words of a list in the order in which a text has them, the longest where two overlap."""
    longest = sorted(vocabulary, key=len, reverse=True)
    return re.findall(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])", text)


def pairings(text):
    """Each aspect with the adjective said of it: they come in the same order."""
    return list(zip(found(ASPECTS, text), found(POLARITY, text), strict=True))


def test_opinions_of_two_splits_share_no_aspect_with_its_adjective():
    said = {s: {p for row in ROWS["opinions"][s] for p in pairings(row["text"])} for s in SPLITS}
    assert len(said["train"]) > 800
    for one, other in combinations(SPLITS, 2):
        assert not said[one] & said[other]


@pytest.mark.parametrize("split", SPLITS)
def test_labels_of_opinions_follow_the_rule_of_the_card(split):
    for row in ROWS["opinions"][split]:
        values = [POLARITY[word] for _, word in pairings(row["text"])]
        if row["kind"] == "contrast":
            assert sorted(values) == ["bad", "good"]
            later = re.search(r", but |, yet |; however, |^(Although|Even|Despite)", row["text"])
            decides = values[1 if later else 0]
        else:
            (decides,) = values
        positive = (decides == "good") != (row["kind"] == "negation")
        assert row["label"] == ("positive" if positive else "negative"), row["text"]


@pytest.mark.parametrize("split", SPLITS)
def test_contrasts_come_in_twins_of_the_same_words(split):
    labels = defaultdict(list)
    for row in ROWS["opinions"][split]:
        if row["kind"] == "contrast":
            labels[tuple(sorted(words(row["text"])))].append(row["label"])
    assert all(Counter(own)["negative"] == Counter(own)["positive"] for own in labels.values())


@pytest.mark.parametrize("split", ["validation", "test"])
def test_counting_words_does_not_solve_opinions(split):
    rows = ROWS["opinions"]
    classify = naive_bayes(rows["train"], lambda row: words(row["text"]))
    assert 0.55 < accuracy(classify, rows[split]) < 0.7
    contrasts = [row for row in rows[split] if row["kind"] == "contrast"]
    assert accuracy(classify, contrasts) == 0.5


# pairs


@pytest.mark.parametrize("split", SPLITS)
def test_pairs_are_balanced_within_kind(split):
    rows, size = ROWS["pairs"][split], SIZES["pairs"][split]
    counts = Counter((row["kind"], row["label"]) for row in rows)
    assert len(counts) == 5 * 3
    assert all(abs(count - size / 15) < 1 for count in counts.values())
    labels = Counter(row["label"] for row in rows).values()
    assert max(labels) - min(labels) <= 1


def test_pairs_of_two_splits_share_no_person_and_no_thing():
    lists = {
        "people": (lexicon.words()["people"]["first_names"], 7),
        "things": (lexicon.words()["things"]["objects"], 3),
    }
    for names, least in lists.values():
        seen = {s: {n for r in ROWS["pairs"][s] for n in found(names, r["text"])} for s in SPLITS}
        assert all(len(own) >= least for own in seen.values())
        for one, other in combinations(SPLITS, 2):
            assert not seen[one] & seen[other]


def test_pairs_of_two_splits_share_no_aspect_with_its_adjective():
    said = {
        s: {
            pairing
            for row in ROWS["pairs"][s]
            if row["kind"] == "polarity"
            for pairing in pairings(row["text"])
        }
        for s in SPLITS
    }
    for one, other in combinations(SPLITS, 2):
        assert said[one] and not said[one] & said[other]


@pytest.mark.parametrize("split", SPLITS)
def test_texts_of_pairs_are_short(split):
    for row in ROWS["pairs"][split]:
        assert len(row["text"].split()) <= 25 and len(row["text_pair"].split()) <= 10


@pytest.mark.parametrize(
    "features",
    [
        lambda row: words(row["text"]),
        lambda row: words(row["text_pair"]),
        lambda row: words(row["text"]) + [f"claim: {word}" for word in words(row["text_pair"])],
    ],
    ids=["premise", "claim", "both"],
)
def test_counting_words_does_not_solve_pairs(features):
    rows = ROWS["pairs"]
    classify = naive_bayes(rows["train"], features)
    assert accuracy(classify, rows["train"]) > 0.45, "the baseline learns what it is shown"
    assert 0.27 < accuracy(classify, rows["test"]) < 0.4


@pytest.mark.parametrize("split", SPLITS)
def test_labels_of_polarity_pairs_follow_from_the_adjectives(split):
    for row in ROWS["pairs"][split]:
        if row["kind"] != "polarity":
            continue
        said = {aspect: POLARITY[word] for aspect, word in pairings(row["text"])}
        (aspect,), (verdict,) = (
            found(ASPECTS, row["text_pair"]),
            found(("good", "bad"), row["text_pair"]),
        )
        wanted = {None: "neutral", verdict: "entailment"}.get(said.get(aspect), "contradiction")
        assert row["label"] == wanted


@pytest.mark.parametrize("split", SPLITS)
def test_labels_of_role_pairs_follow_from_who_handed_over_what(split):
    give = re.compile(r"(\w+) (?:sold|gave) the (\w+) to (\w+)")
    take = re.compile(r"(\w+) (?:bought|got) the (\w+) from (\w+)")

    def event(text):
        if match := give.search(text):
            return match.groups()
        taker, thing, giver = take.search(text).groups()
        return giver, thing, taker

    for row in ROWS["pairs"][split]:
        if row["kind"] == "roles":
            told, claimed = event(row["text"]), event(row["text_pair"])
            wanted = {told: "entailment", told[::-1]: "contradiction"}.get(claimed, "neutral")
            assert row["label"] == wanted


# entities


def tagged(row):
    return list(zip(row["tokens"].split(), row["tags"].split(), strict=True))


def spans(tags):
    """The entities of BIO tags as (start, end, type); an I- that follows nothing is none."""
    entities, start = set(), None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{tags[start][2:]}":
            entities.add((start, i, tags[start][2:]))
            start = None
        if tag.startswith("B-"):
            start = i
    return entities


@pytest.mark.parametrize("split", SPLITS)
def test_tags_of_entities_are_bio(split):
    kinds = Counter(row["kind"] for row in ROWS["entities"][split])
    assert kinds == dict.fromkeys(
        ("person", "place", "organisation", "word", "several"), SIZES["entities"][split] // 5
    )
    lengths = Counter()
    for row in ROWS["entities"][split]:
        before = "O"
        for token, tag in tagged(row):
            assert tag == "O" or (tag[:2] in ("B-", "I-") and tag[2:] in ("PER", "LOC", "ORG"))
            assert tag[0] != "I" or before[2:] == tag[2:], row["tokens"]
            assert tag[0] != "B" or token[0].isupper()
            before = tag
        lengths.update(end - start for start, end, _ in spans(row["tags"].split()))
    assert set(lengths) == {1, 2, 3, 4, 5}


def test_each_ambiguous_word_has_three_roles_or_more_in_train():
    roles = defaultdict(set)
    for row in ROWS["entities"]["train"]:
        for token, tag in tagged(row):
            roles[token].add(tag[2:] or "O")
    module = MAKERS["entities"]
    plain = [word for group in module.PLAIN.values() for word in group]
    assert all({"PER", "LOC", "ORG"} <= roles[word] for word in plain + module.NAMES)
    assert all("O" in roles[word] for word in plain)


def test_plain_words_are_those_that_start_a_sentence():
    for split in SPLITS:
        for row in ROWS["entities"][split]:
            first = row["tags"].split()[0]
            assert row["kind"] != "word" or first == "O"


def test_only_test_has_names_that_the_corpus_lacks():
    syllables = lexicon.words()["syllables"]
    first, middle, last = ("|".join(syllables[part]) for part in ("first", "middle", "last"))
    invented = re.compile(rf"(?:{first})(?:{middle})?(?:{last})")
    known = set(lexicon.words()["people"]["first_names"])
    known |= {row["capital"] for row in lexicon.table("countries")}
    for split in SPLITS:
        names = [
            token
            for row in ROWS["entities"][split]
            for token, tag in tagged(row)
            if tag != "O" and invented.fullmatch(token) and token not in known
        ]
        unseen = sum(lexicon.reserved(name) for name in names) / len(names)
        assert len(names) > 100
        assert (0.2 < unseen < 0.4) if split == "test" else unseen == 0


def test_two_splits_share_no_wording_with_its_plain_word():
    writer = MAKERS["entities"].Writer(0, None)
    fillers = {word for own in writer.fillers.values() for text in own for word in text.split()}

    def wording(row):
        """The plain word, then the others without fillers, and names by their types."""
        (word, _), *others = tagged(row)
        names = [tag if tag.startswith("B-") else token for token, tag in others if tag[0] != "I"]
        return word, *[part for part in names if part not in fillers]

    said = {
        split: {wording(row) for row in ROWS["entities"][split] if row["kind"] == "word"}
        for split in SPLITS
    }
    assert len(said["train"]) > 50
    for one, other in combinations(SPLITS, 2):
        assert not said[one] & said[other]


def test_the_commonest_tag_of_each_word_does_not_solve_entities():
    counts = defaultdict(Counter)
    for row in ROWS["entities"]["train"]:
        for token, tag in tagged(row):
            counts[token][tag] += 1
    right = given = wanted = 0
    for row in ROWS["entities"]["test"]:
        guess = [
            counts[token].most_common(1)[0][0] if token in counts else "O"
            for token in row["tokens"].split()
        ]
        predicted, gold = spans(guess), spans(row["tags"].split())
        right += len(predicted & gold)
        given, wanted = given + len(predicted), wanted + len(gold)
    assert 0.05 < 2 * right / (given + wanted) < 0.55
