"""The data sets `restaurants` and `facts`: made again exactly, and as their cards promise."""

import csv
import importlib.util
import json
import re
import sys
from collections import Counter, defaultdict

import pytest

from peftlab import paths

SPLITS = ("train", "validation", "test")
RESTAURANTS, FACTS = paths.DATASETS / "restaurants", paths.DATASETS / "facts"
ORDER = ["name", "kind", "food", "price", "rating", "area", "family", "town", "near", "chef"]


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = loaded  # where dataclasses look for their module
    spec.loader.exec_module(loaded)
    return loaded


MAKERS = {
    folder: module(folder / f"make_{folder.name}.py")  # these put the corpus on the path
    for folder in (RESTAURANTS, FACTS)
}
lexicon, make_corpus = sys.modules["lexicon"], module(paths.DATASETS / "corpus" / "make_corpus.py")


def table(name):
    with open(FACTS / f"{name}.tsv", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", strict=True))


def lines(name):
    return [json.loads(line) for line in (RESTAURANTS / f"{name}.jsonl").read_text().splitlines()]


ROWS = {split: lines(split) for split in SPLITS}
KNOWN = {split: table(split) for split in SPLITS}
PROMPTS = table("prompts")
SLOTS = json.loads((RESTAURANTS / "slots.json").read_text())
NAMES, PHRASES = SLOTS["names"], SLOTS["phrases"]


def meaning(row):
    """The slots of a row as a dictionary."""
    assert row["text"].endswith(" =>")
    return dict(part.split(": ") for part in row["text"].removesuffix(" =>").split(" | "))


def said(text):
    """Every slot value that a text has a wording of; of two that overlap, only the longer."""
    wordings = {
        phrase: (slot, value)
        for slot, values in PHRASES.items()
        for value, phrases in values.items()
        for phrase in phrases
    }
    longest_first = "|".join(map(re.escape, sorted(wordings, key=len, reverse=True)))
    found = re.findall(rf"(?<![\w-])(?:{longest_first})(?![\w-])", text, re.IGNORECASE)
    lower = {phrase.lower(): value for phrase, value in wordings.items()}
    return sorted(lower[phrase.lower()] for phrase in found)


@pytest.mark.parametrize("folder", MAKERS, ids=lambda folder: folder.name)
def test_the_generator_makes_the_committed_files_again_byte_for_byte(folder, tmp_path):
    MAKERS[folder].main(tmp_path)
    made = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    kept = {f.name: f.read_bytes() for f in folder.iterdir() if f.suffix in (".tsv", ".jsonl")}
    assert kept.keys() < made.keys()
    assert made == {name: (folder / name).read_bytes() for name in made}


def test_restaurants_has_the_sizes_of_its_card():
    assert [len(ROWS[split]) for split in SPLITS] == [2000, 200, 400]
    assert Counter(row["kind"] for row in ROWS["test"]) == {"seen": 250, "held-out": 150}


@pytest.mark.parametrize("split", SPLITS)
def test_a_meaning_has_its_name_and_three_to_six_other_slots_in_order(split):
    for row in ROWS[split]:
        slots = list(meaning(row))
        assert slots[0] == "name" and 4 <= len(slots) <= 7
        assert 1 <= len(PHRASES.keys() & set(slots)) <= 3
        assert slots == [slot for slot in ORDER if slot in slots]


@pytest.mark.parametrize("split", SPLITS)
def test_names_are_most_slots_of_every_split(split):
    assert NAMES == ["name", "near", "chef", "town"]
    slots = Counter(slot for row in ROWS[split] for slot in meaning(row))
    assert 0.55 <= sum(slots[name] for name in NAMES) / slots.total() <= 0.65
    assert all(0.8 <= slots[name] / len(ROWS[split]) <= 0.9 for name in NAMES[1:])


def test_no_two_splits_share_a_text_or_the_slots_and_values_of_a_row_whatever_its_names():
    homes = defaultdict(set)
    for split in SPLITS:
        for row in ROWS[split]:
            slots = meaning(row).items()
            found = frozenset((slot, "" if slot in NAMES else value) for slot, value in slots)
            for shared in (found, *row["references"]):
                homes[shared].add(split)
    assert all(len(splits) == 1 for splits in homes.values())


@pytest.mark.parametrize("split", SPLITS)
def test_the_names_of_a_row_differ_and_only_those_in_test_are_reserved(split):
    for row in ROWS[split]:
        found = [value for slot, value in meaning(row).items() if slot in NAMES]
        assert len(set(found)) == len(found)
        assert all(lexicon.reserved(name) == (split == "test") for name in found)


@pytest.mark.parametrize("split", SPLITS)
def test_diners_are_the_held_out_rows_and_no_others(split):
    for row in ROWS[split]:
        assert (meaning(row).get("kind") == "diner") == (row["kind"] == "held-out")
        assert split == "test" or row["kind"] == "seen"


@pytest.mark.parametrize("split", SPLITS)
def test_every_reference_says_each_slot_once_and_nothing_else(split):
    for row in ROWS[split]:
        slots = meaning(row)
        for text in row["references"]:
            assert said(text) == sorted((s, v) for s, v in slots.items() if s in PHRASES), text
            words = re.findall(r"\w+", text)
            for name in (value for slot, value in slots.items() if slot in NAMES):
                assert words.count(name) == 1, text
            capitals = set(re.findall(r"(?<!\. )(?<!^)\b[A-Z]\w+", text))
            assert capitals <= set(slots.values()), f"{text}: another name"


@pytest.mark.parametrize("split, least", [("train", 1), ("validation", 3), ("test", 3)])
def test_references_differ_and_are_enough(split, least):
    for row in ROWS[split]:
        assert len(set(row["references"])) == len(row["references"]) >= least


def test_references_are_one_to_three_whole_sentences_with_the_right_article():
    for row in (row for split in SPLITS for row in ROWS[split]):
        for text in row["references"]:
            assert re.fullmatch(r"([A-Z][^.]*\. ?){1,3}(?<! )", text), text
            assert "  " not in text and not re.search(r" [.,]|,[^ ]", text), text
            assert not re.search(r"\ban [^aeiou]|\ba [aeiou]", text, re.IGNORECASE), text


def test_every_phrase_is_read_as_the_value_it_belongs_to():
    for slot, values in PHRASES.items():
        for value, phrases in values.items():
            assert all(said(phrase) == [(slot, value)] for phrase in phrases)


def test_every_value_is_worded_in_train_but_the_held_out_kind():
    seen = {found for row in ROWS["train"] for text in row["references"] for found in said(text)}
    every = {(slot, value) for slot, values in PHRASES.items() for value in values}
    assert every - seen == {("kind", "diner")}


def test_no_subject_of_facts_is_in_two_splits_whatever_the_relation():
    homes = defaultdict(set)
    for split in SPLITS:
        for row in KNOWN[split]:
            homes[row["subject"]].add(split)
    assert all(len(splits) == 1 for splits in homes.values())


def test_facts_agree_with_the_tables_of_the_corpus():
    keys = {"countries": "country", "elements": "element", "animals": "animal"}
    truth = {row[key]: row for name, key in keys.items() for row in lexicon.table(name)}
    for row in (row for split in SPLITS for row in KNOWN[split]):
        assert truth[row["subject"]][row["relation"]] == row["answer"]
        assert " " not in row["answer"]


@pytest.mark.parametrize("split", SPLITS)
def test_every_relation_is_in_every_split_and_has_prompts(split):
    assert {row["relation"] for row in KNOWN[split]} == {row["relation"] for row in PROMPTS}


def test_no_answer_holds_for_most_test_subjects():
    for relation in {row["relation"] for row in PROMPTS}:
        answers = [row["answer"] for row in KNOWN["test"] if row["relation"] == relation]
        assert Counter(answers).most_common(1)[0][1] <= 0.6 * len(answers)


def test_each_relation_has_different_prompts_and_the_stock_one_first():
    kinds = defaultdict(list)
    for row in PROMPTS:
        kinds[row["relation"]].append(row["kind"])
    assert len({row["prompt"] for row in PROMPTS}) == len(PROMPTS)
    for found in kinds.values():
        assert len(found) >= 6 and found[0] == "stock" and found.count("stock") == 1
        assert set(found) == {"stock", "paraphrase", "odd"}


def test_a_prompt_names_its_subject_before_its_answer():
    for row in PROMPTS:
        assert re.fullmatch(r"[^\[\]]*\[X\][^\[\]]*\[Y\]\.", row["prompt"]), row["prompt"]


def test_the_corpus_has_the_stock_prompts_but_no_odd_one():
    gaps = {"s": "[X]", "a": "[Y]", "an": "a [Y]", "as": "a [X]"}
    for row in PROMPTS:
        corpus = {text.format(**gaps) for text in make_corpus.WORDINGS[row["relation"]]}
        if row["kind"] != "paraphrase":
            assert (row["prompt"] in corpus) == (row["kind"] == "stock"), row["prompt"]


def test_prompts_fit_their_subjects_and_answers_without_a_wrong_article():
    for prompt in PROMPTS:
        for row in (row for split in SPLITS for row in KNOWN[split]):
            if row["relation"] == prompt["relation"]:
                text = prompt["prompt"].replace("[X]", row["subject"])
                text = text.replace("[Y]", row["answer"])
                assert not re.search(r"\ba [aeio]|\ban [^aeiou]", text), text
