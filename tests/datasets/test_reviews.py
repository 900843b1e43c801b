"""The data set `reviews`: balance, no near-duplicates, nothing that counting words could solve."""

import csv
import math
import re
from collections import Counter, defaultdict
from itertools import combinations

import pytest

from peftlab import paths
from peftlab.files import sha256

FOLDER = paths.DATASETS / "reviews"
SIZES = {"train": 800, "validation": 200, "test": 200}
DOMAINS = ("books", "films", "food", "services", "tools", "travel")


def read(split):
    with open(FOLDER / f"{split}.tsv", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", strict=True))


ROWS = {split: read(split) for split in SIZES}
SENTENCES = [row["text"] for split in SIZES for row in ROWS[split]]


def words(sentence):
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)?", sentence.lower())


def trigrams(sentence):
    tokens = words(sentence)
    return set(zip(tokens, tokens[1:], tokens[2:], strict=False))


def overlap(first, second):
    """Shared word 3-grams as a share of those of the sentence that has fewer."""
    return len(first & second) / min(len(first), len(second))


@pytest.mark.parametrize("split, size", SIZES.items())
def test_each_kind_is_balanced_in_each_split(split, size):
    hard = ("negation", "contrast", "comparison", "understatement", "irony", "mixed")
    counts = Counter((row["kind"], row["label"]) for row in ROWS[split])
    expected = dict.fromkeys(hard, size // 20) | {"plain": size // 5}
    assert counts == {
        (kind, label): n for kind, n in expected.items() for label in ("negative", "positive")
    }


@pytest.mark.parametrize("split, size", SIZES.items())
def test_each_domain_has_about_a_sixth_of_each_split(split, size):
    counts = Counter(row["domain"] for row in ROWS[split])
    assert sorted(counts) == sorted(DOMAINS)
    assert all(0.9 < count / (size / len(DOMAINS)) < 1.12 for count in counts.values())


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_does_not_give_the_label_away(domain):
    labels = [row["label"] for split in SIZES for row in ROWS[split] if row["domain"] == domain]
    assert 0.45 < labels.count("positive") / len(labels) < 0.55


def test_sentences_are_short_clean_and_ascii():
    for sentence in SENTENCES:
        assert 6 <= len(sentence.split()) <= 28, sentence
        assert sentence.isascii() and sentence.isprintable(), sentence
        assert sentence == " ".join(sentence.split()), sentence
        assert sentence[0].isupper() and sentence[-1] in ".!?", sentence


def test_no_two_sentences_are_near_duplicates():
    grams = [trigrams(sentence) for sentence in SENTENCES]
    holders = defaultdict(list)
    for i, own in enumerate(grams):
        for gram in own:
            holders[gram].append(i)
    sharing = {pair for group in holders.values() for pair in combinations(group, 2)}
    assert sharing, "some sentences share a 3-gram, or this test looks at nothing"
    near = [(SENTENCES[i], SENTENCES[j]) for i, j in sharing if overlap(grams[i], grams[j]) >= 0.3]
    assert not near


def test_no_sentence_appears_twice():
    assert len({" ".join(words(sentence)) for sentence in SENTENCES}) == sum(SIZES.values())


def test_checksums_are_those_of_the_files():
    sums = dict(reversed(line.split()) for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    assert sums == {f"{split}.tsv": sha256(FOLDER / f"{split}.tsv") for split in SIZES}


def test_the_card_gives_the_sizes_of_the_files():
    card = (FOLDER / "README.md").read_text()
    for column in ("kind", "domain"):
        counts = {split: Counter(row[column] for row in ROWS[split]) for split in SIZES}
        for value in counts["train"]:
            sizes = [counts[split][value] for split in SIZES]
            assert f"| {value} | {' | '.join(map(str, [*sizes, sum(sizes)]))} |" in card


def naive_bayes(rows):
    """A classifier that counts words: the sum of log P(word | label), add-one smoothed."""
    counts = {label: Counter() for label in ("negative", "positive")}
    for row in rows:
        counts[row["label"]].update(words(row["text"]))
    vocabulary = len(set().union(*counts.values()))

    def score(label, sentence):
        total = counts[label].total() + vocabulary
        return sum(math.log((counts[label][word] + 1) / total) for word in words(sentence))

    return lambda sentence: max(counts, key=lambda label: score(label, sentence))


def accuracy(classify, rows):
    return sum(classify(row["text"]) == row["label"] for row in rows) / len(rows)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_counting_words_does_not_solve_it(split):
    classify = naive_bayes(ROWS["train"])
    assert accuracy(classify, ROWS["train"]) > 0.9, "the baseline learns what it is shown"
    assert 0.5 < accuracy(classify, ROWS[split]) < 0.75


def test_length_does_not_give_the_label_away():
    for split in SIZES:
        lengths = [(len(words(row["text"])), row["label"]) for row in ROWS[split]]
        for threshold in range(7, 25):
            right = sum((n < threshold) == (label == "negative") for n, label in lengths)
            assert 0.4 < right / len(lengths) < 0.6
