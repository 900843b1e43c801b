"""The rated sentences, made of small tables in the packaging of the real ones."""

import statistics
from collections import Counter
from dataclasses import replace

import pytest
import stand_ins

from peftlab.fetching import fetch
from peftlab.tasks import RATED, SPLITS, load_task, rated
from peftlab.tasks.rated import NEUTRAL, VADER, Rated, deal, labelled

SIZES = {"test": 6, "validation": 4}


def rows(number):
    """Ids, means and texts: three positive ones for two negative ones, and some near zero."""
    means = (1.5, -2.25, 0.75, -1.0, 3.0, 0.2, -0.4)
    return [(str(i), means[i % 7], f"sentence {i} says so") for i in range(number)]


def tables(sentences):
    """The two tables of a set; the first rating belongs to another text, as with some tweets."""
    ratings = [(key, f"{mean:.9f}", "0.5", "[1, 2]") for key, mean, _ in sentences]
    ratings[0] = (ratings[0][0], "-3.9", "0.9", "[-4, -4, -4]")
    return {"tweets_GroundTruth": sentences, "tweets_anonDataRatings": ratings}


@pytest.fixture
def tweets(tmp_path, monkeypatch):
    """The task `tweets` from a package of 70 sentences, and the file that its setup.py makes."""
    monkeypatch.setenv("PEFTLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(rated._SETS, "tweets", rated._SETS["tweets"]._replace(test=6, validation=4))
    ran = tmp_path / "ran"
    package = stand_ins.source(tmp_path / "shelf", VADER, tables(rows(70)), ran)
    item = replace(RATED["tweets"], package=package)
    monkeypatch.setitem(RATED, "tweets", item)
    return item, ran


def test_a_task_that_is_not_here_names_the_command_and_the_bundled_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("PEFTLAB_HOME", str(tmp_path))
    for name in RATED:
        with pytest.raises(ValueError, match=f"peftlab fetch {name} .*opinions and reviews"):
            load_task(name)


def test_no_code_of_the_source_distribution_runs(tweets, tmp_path, monkeypatch):
    item, ran = tweets
    stand_ins.only_index(monkeypatch, tmp_path / "shelf")
    fetch([item], say=lambda line: None)
    assert load_task("tweets").test
    assert not ran.exists()


def test_a_fetched_task_loads_with_labels_and_tags(tweets, tmp_path):
    item, _ = tweets
    fetch([item], tmp_path / "shelf", say=lambda line: None)
    task = load_task("tweets")
    assert (task.kind, task.labels) == ("label", ("negative", "positive"))
    assert {split: len(task.split(split)) for split in SIZES} == SIZES
    by_text = {text: mean for _, mean, text in rows(70)}
    for split in SPLITS:
        counts = Counter(example.label for example in task.split(split))
        assert counts[0] == counts[1]
        for example in task.split(split):
            mean = float(example.tags["rating"])
            assert mean == by_text[example.text] and abs(mean) >= NEUTRAL
            assert example.label == (mean > 0)
            lacking = example.text == "sentence 0 says so"
            assert example.tags["spread"] == ("" if lacking else "0.5")
    card = (item.folder / "README.md").read_text()
    assert "by 2\n  to 3 people each, 2 in the median" in card.replace("by 2 to 3", "by 2\n  to 3")
    assert "| test | 6 | 3 | 3 |" in card and "Hutto" in card
    assert (item.folder / "LICENSE.txt").read_text() == "a licence"


def test_a_fetched_file_that_was_altered_is_refused_by_name(tweets, tmp_path):
    item, _ = tweets
    fetch([item], tmp_path / "shelf", say=lambda line: None)
    with open(item.folder / "test.tsv", "a") as file:
        file.write("more\tpositive\t1\t1\n")
    with pytest.raises(ValueError, match=r"test\.tsv is truncated .*: peftlab fetch tweets"):
        load_task("tweets")


def test_labels_are_balanced_without_near_zero_and_without_equal_texts():
    given = [Rated(text, mean, "1") for _, mean, text in rows(70)]
    again = Rated(given[0].text, -3.0, "1")
    edge = [Rated("just in", NEUTRAL, "1"), Rated("just out", NEUTRAL - 0.01, "1")]
    kept = labelled([*given, again, *edge])
    texts = [row.text for row in kept]
    assert len(texts) == len(set(texts)) and "just out" not in texts
    assert again in kept and given[0] not in kept  # of equal texts the last one counts
    counts = Counter(row.label for row in kept)
    assert counts["negative"] == counts["positive"] == 21  # 20 of the 70, and the one of again
    assert all(row.label == ("positive" if row.mean > 0 else "negative") for row in kept)


def test_the_split_of_a_sentence_does_not_hang_on_the_order_of_the_rows():
    given = labelled(Rated(text, mean, "1") for _, mean, text in rows(70))
    assert deal(given, SIZES) == deal(given[::-1], SIZES)
    assert labelled(given[::-1]) == given


def test_texts_that_differ_in_case_or_signs_alone_stay_together():
    given = [Rated(text, mean, "1") for _, mean, text in rows(70)]
    shouted = [Rated(f"{row.text.upper()}!!!", row.mean, "1") for row in given]
    sizes = {"test": 8, "validation": 4}
    dealt = deal(labelled([*given, *shouted]), sizes)
    split_of = {row.text: split for split, own in dealt.items() for row in own}
    pairs = [(text, f"{text.upper()}!!!") for text in split_of if not text.endswith("!!!")]
    both = [(a, b) for a, b in pairs if b in split_of]
    assert len(both) > 10 and all(split_of[a] == split_of[b] for a, b in both)
    for split, size in sizes.items():
        assert Counter(row.label for row in dealt[split]) == dict.fromkeys(
            ("negative", "positive"), size // 2
        )


def test_too_few_sentences_are_refused():
    given = labelled(Rated(text, mean, "1") for _, mean, text in rows(14))
    with pytest.raises(ValueError, match="8 sentences are too few for 6 for test and 4"):
        deal(given, SIZES)


@pytest.mark.slow
def test_the_real_sentences_come_from_the_index(tmp_path, monkeypatch):
    """Their numbers are those of the paper, less those that get no label."""
    monkeypatch.setenv("PEFTLAB_HOME", str(tmp_path))
    try:
        fetch(list(RATED.values()), say=lambda line: None)
    except ValueError as error:
        pytest.skip(f"the index does not give it: {error}")
    kept = {"movies": 9990, "products": 2466, "editorials": 2344, "tweets": 2174}
    for name, number in kept.items():
        task = load_task(name)
        own = {split: task.split(split) for split in SPLITS}
        assert sum(map(len, own.values())) == number
        assert len(own["test"]) == (2000 if name == "movies" else 1000)
        likeness = {s: {rated._likeness(e.text) for e in examples} for s, examples in own.items()}
        assert not likeness["train"] & (likeness["test"] | likeness["validation"])
        assert not likeness["validation"] & likeness["test"]
        for examples in own.values():
            assert statistics.fmean(e.label for e in examples) == 0.5
