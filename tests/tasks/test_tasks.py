"""Tasks: what can be loaded, how it is split, and what is refused."""

import csv
import json
import re
import shutil
import sys
from collections import Counter
from importlib import metadata
from itertools import combinations
from types import SimpleNamespace

import pytest

from peftlab import load_task, paths
from peftlab.files import sha256
from peftlab.tasks import SPLITS, Example, Task, verbalized, worded

ROWS = [
    {"text": f"sentence, number {i}", "label": "good" if i % 2 else "bad", "kind": f"k{i % 3}"}
    for i in range(30)
]


def write(path, rows):
    """Write `rows` in the format that the suffix names."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            table = csv.DictWriter(
                file, list(rows[0]), delimiter={".csv": ",", ".tsv": "\t"}[path.suffix]
            )
            table.writeheader()
            table.writerows(rows)
    return path


def write_splits(folder, suffix=".tsv", **splits):
    """A folder with a file a split; the splits that are not given hold two rows."""
    for split in SPLITS:
        write(folder / f"{split}{suffix}", splits.get(split, ROWS[:2]))
    return folder


def texts(task, split):
    return [example.text for example in getattr(task, split)]


# The bundled task


def test_reviews_have_their_published_sizes():
    reviews = load_task("reviews")
    assert [len(reviews.split(split)) for split in SPLITS] == [800, 200, 200]


@pytest.mark.parametrize("split", SPLITS)
def test_reviews_are_balanced(split):
    examples = load_task("reviews").split(split)
    assert set(Counter(example.label for example in examples).values()) == {len(examples) // 2}


def test_reviews_say_what_a_model_needs_to_know():
    reviews = load_task("reviews")
    assert (reviews.name, reviews.kind) == ("reviews", "label")
    assert reviews.labels == ("negative", "positive")
    example = reviews.test[0]
    assert example == Example(
        "Hardly any vibration reaches the wrists, and no fumes trouble the lungs.",
        reviews.labels.index("positive"),
        tags={"kind": "negation", "domain": "tools"},
    )
    kinds = {e.tags["kind"] for split in SPLITS for e in reviews.split(split)}
    hard = {"negation", "contrast", "comparison", "understatement", "irony", "mixed"}
    assert kinds == hard | {"plain"}


def test_reviews_are_found_from_any_working_directory(tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load_task("reviews").train) == 800


def test_altered_bundled_file_is_refused_by_name(tmp_path, monkeypatch):
    shutil.copytree(paths.DATASETS / "reviews", tmp_path / "reviews")
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    load_task("reviews")
    file = tmp_path / "reviews" / "validation.tsv"
    file.write_bytes(file.read_bytes().replace(b"positive", b"negative", 1))
    with pytest.raises(ValueError, match=r"validation\.tsv is truncated or altered.*SHA-256"):
        load_task("reviews")
    file.unlink()
    with pytest.raises(ValueError, match=r"validation\.tsv is missing"):
        load_task("reviews")


# Files and folders


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_folder_keeps_its_splits_in_every_format(tmp_path, suffix):
    folder = write_splits(
        tmp_path / "mine", suffix, train=ROWS[:20], validation=ROWS[20:24], test=ROWS[24:]
    )
    task = load_task(folder)
    assert task.name == "mine" and task.labels == ("bad", "good")
    assert texts(task, "train") == [row["text"] for row in ROWS[:20]]
    assert texts(task, "test") == [row["text"] for row in ROWS[24:]]
    assert [task.labels[e.label] for e in task.validation] == [r["label"] for r in ROWS[20:24]]
    assert task.test[0].tags == {"kind": "k0"}


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_single_file_gives_the_same_task_in_every_format(tmp_path, suffix):
    file = write(tmp_path / f"mine{suffix}", ROWS)
    task = load_task(str(file))
    assert task.name == file.name
    other = load_task(write(tmp_path / "other" / "mine.jsonl", ROWS))
    assert [getattr(task, split) for split in SPLITS] == [getattr(other, s) for s in SPLITS]


def test_single_file_is_split_80_10_10_without_loss(tmp_path):
    task = load_task(write(tmp_path / "mine.tsv", ROWS))
    assert [len(task.split(split)) for split in SPLITS] == [24, 3, 3]
    assert sorted(t for split in SPLITS for t in texts(task, split)) == sorted(
        row["text"] for row in ROWS
    )


def test_single_file_split_depends_on_the_seed_alone(tmp_path):
    file = write(tmp_path / "mine.tsv", ROWS)
    assert load_task(file, seed=3) == load_task(file, seed=3)
    assert texts(load_task(file, seed=3), "test") != texts(load_task(file, seed=4), "test")
    reversed_file = write(tmp_path / "other" / "mine.tsv", ROWS[::-1])
    assert texts(load_task(reversed_file, seed=3), "test") == texts(load_task(file, seed=3), "test")


@pytest.mark.parametrize("seed", range(5))
def test_equal_texts_never_stand_in_two_splits(tmp_path, seed):
    rows = [{"text": f"sentence {i // 2}", "label": "ab"[i % 2]} for i in range(60)]
    task = load_task(write(tmp_path / "mine.tsv", rows), seed=seed)
    train, validation, test = (set(texts(task, split)) for split in SPLITS)
    assert not (train & validation or train & test or validation & test)
    assert sum(len(task.split(split)) for split in SPLITS) == 60


def test_text_pairs(tmp_path):
    rows = [
        {"premise": f"it rains {i}", "hypothesis": f"it is wet {i}", "label": i % 3}
        for i in range(30)
    ]
    task = load_task(write(tmp_path / "mine.jsonl", rows))
    assert task.kind == "label" and task.labels == ("0", "1", "2")
    for example in task.train:
        i = example.text.split()[-1]
        assert (example.text_pair, example.label) == (f"it is wet {i}", int(i) % 3)


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
def test_tokens_and_tags(tmp_path, suffix):
    rows = [{"tokens": ["Anna", f"left{i}", "Rome"], "tags": ["PER", "O", "LOC"]} for i in range(9)]
    rows.append({"tokens": ["rain"], "tags": ["O"]})
    if suffix == ".tsv":
        rows = [{column: " ".join(words) for column, words in row.items()} for row in rows]
    task = load_task(
        write_splits(tmp_path / "mine", suffix, train=rows, test=rows, validation=rows)
    )
    assert task.kind == "tag" and task.labels == ("LOC", "O", "PER")
    assert task.train[0] == Example(("Anna", "left0", "Rome"), (2, 1, 0))
    assert task.test[-1] == Example(("rain",), (1,))


def test_columns_can_be_named(tmp_path):
    rows = [{"label": "ignored", "comment": r["text"], "stars": r["label"]} for r in ROWS]
    file = write(tmp_path / "mine.tsv", rows)
    task = load_task(file, columns={"text": "comment", "label": "stars"})
    assert task.labels == ("bad", "good")
    assert task.train[0].tags == {"label": "ignored"}


def test_byte_order_mark_and_quoted_delimiters_are_read(tmp_path):
    file = write(tmp_path / "mine.csv", ROWS)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert all("sentence, number" in text for text in texts(load_task(file), "train"))


def test_majority_is_the_share_of_the_commonest_training_label(tmp_path):
    rows = [{"text": f"t{i}", "label": label} for i, label in enumerate("aaab" + "abbb")]
    folder = write_splits(tmp_path / "mine", train=rows[:4], test=rows[4:], validation=rows[:2])
    task = load_task(folder)
    assert task.majority("train") == 3 / 4
    assert task.majority() == 1 / 4


@pytest.mark.parametrize(
    "split, message",
    [("dev", "must be one of train, validation, test, got 'dev'"), ("test", "no test examples")],
)
def test_wrong_or_empty_split_is_refused(split, message):
    task = Task("toy", "label", ("a", "b"), (Example("x", 0),), (), ())
    with pytest.raises(ValueError, match=message):
        task.split(split)


# What is refused


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.tsv", "text\tscore\nfine\t1\n", r"no label column among text, score.*columns="),
        ("a.tsv", "review\tlabel\nfine\t1\n", r"no text column among review, label"),
        ("a.jsonl", '{"tokens": ["a"], "label": "x"}\n', "no tags column among tokens, label"),
        ("a.tsv", "", r"a\.tsv is empty"),
        ("a.jsonl", "\n\n", r"a\.jsonl is empty"),
        ("a.csv", "text,label\n", r"a\.csv is empty: it needs a header line and at least one"),
        ("a.xlsx", "text,label\n", r"no known format; use \.tsv, \.csv, \.jsonl"),
        ("a.jsonl", '{"text": "a"\n', r"a\.jsonl cannot be read as jsonl: .*delimiter"),
        ("a.jsonl", '["text", "label"]\n', r"a\.jsonl: example 1 is no object with named fields"),
        ("a.tsv", 'text\tlabel\n"open\tbad\n', r"a\.tsv cannot be read as tsv"),
        ("a.tsv", "text\tlabel\ngood\tfilm\tbad\n", "example 1 has more fields than the header"),
        ("a.tsv", b"text\tlabel\ncaf\xe9\tgood\n", r"a\.tsv cannot be read as tsv: .*utf-8"),
        ("a.tsv", "text\tlabel\na\tgood\nb\tbad\n", "at least 10 different texts.*got 2"),
        ("a.tsv", "text\tlabel\n" + "a\tgood\n" * 20, "at least 10 different texts.*got 1"),
    ],
)
def test_unusable_file_is_refused(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        load_task(file)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_label_that_training_never_shows_is_refused(tmp_path, split):
    folder = write_splits(tmp_path / "mine", **{split: [{"text": "so so", "label": "neutral"}]})
    with pytest.raises(
        ValueError,
        match=f"the {split} split has the label 'neutral', which training never shows.*bad, good",
    ):
        load_task(folder)


def test_single_label_is_refused(tmp_path):
    folder = write_splits(tmp_path / "mine", train=ROWS[1::2])
    with pytest.raises(ValueError, match="only the label 'good'; at least two"):
        load_task(folder)


@pytest.mark.parametrize("row", [{"text": "x"}, {"text": "x", "label": None}, {"label": "good"}])
def test_row_without_a_field_is_refused_by_number(tmp_path, row):
    missing = "text" if "text" not in row else "label"
    folder = write_splits(tmp_path / "mine", ".jsonl", validation=[ROWS[0], row])
    with pytest.raises(ValueError, match=f"example 2 of validation has no {missing}"):
        load_task(folder)


@pytest.mark.parametrize("line", ["only a text", "a text\t", "  \tgood"])
def test_blank_field_is_refused_by_number(tmp_path, line):
    folder = write_splits(tmp_path / "mine")
    (folder / "test.tsv").write_text(f"text\tlabel\nfine\tgood\n{line}\n")
    with pytest.raises(ValueError, match=r"example 2 of test has no (text|label)"):
        load_task(folder)


def test_unequal_tokens_and_tags_are_refused(tmp_path):
    rows = [{"tokens": "a b", "tags": "X Y"}, {"tokens": "a b c", "tags": "X Y"}]
    folder = write_splits(tmp_path / "mine", train=rows)
    with pytest.raises(ValueError, match="example 2 of train has 3 tokens but 2 tags"):
        load_task(folder)


def test_folder_without_a_split_is_refused(tmp_path):
    folder = write_splits(tmp_path / "mine")
    (folder / "validation.tsv").unlink()
    with pytest.raises(ValueError, match=r"has no validation file.*\.tsv, \.csv, \.jsonl"):
        load_task(folder)


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"txt": "text"}, "unknown role 'txt'; roles: text, text_pair, label, tokens, tags"),
        ({"label": "stars"}, "no column 'stars' for label; columns: text, label, kind"),
    ],
)
def test_wrong_columns_are_refused(tmp_path, columns, message):
    file = write(tmp_path / "mine.tsv", ROWS)
    with pytest.raises(ValueError, match=message):
        load_task(file, columns=columns)


@pytest.mark.parametrize("name", ["review", "no/such/file.tsv"])
def test_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=f"no task '{name}': bundled are reviews, .*; or give a f"):
        load_task(name)


# Texts as answers

MEANINGS = [
    {"text": f"name: N{i} | food: Thai", "target": f"N{i} serves Thai food.", "kind": "seen"}
    for i in range(30)
]


def text_folder(folder, rows, suffix=".jsonl"):
    return write_splits(folder, suffix, train=rows, validation=rows, test=rows)


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_column_target_makes_a_text_task(tmp_path, suffix):
    task = load_task(write(tmp_path / f"mine{suffix}", MEANINGS))
    assert (task.kind, task.labels) == ("write", ())
    assert [len(task.split(split)) for split in SPLITS] == [24, 3, 3]
    for example in task.train:
        name = example.text.split()[1]
        assert example.references == (f"{name} serves Thai food.",)
        assert (example.label, example.tags) == (None, {"kind": "seen"})


def test_column_references_holds_all_accepted_texts(tmp_path):
    rows = [{"text": "a", "references": ["b", "c"]}, {"text": "d", "references": ["e"]}]
    task = load_task(text_folder(tmp_path / "mine", rows))
    assert task.test == (Example("a", references=("b", "c")), Example("d", references=("e",)))


def test_splits_may_differ_in_target_and_references(tmp_path):
    folder = write_splits(
        tmp_path / "mine",
        ".jsonl",
        train=[{"text": "a", "target": "b"}],
        validation=[{"text": "a", "target": "b"}],
        test=[{"text": "c", "references": ["d", "e"]}, {"text": "f", "target": "g"}],
    )
    task = load_task(folder)
    assert task.train[0].references == ("b",)
    assert [e.references for e in task.test] == [("d", "e"), ("g",)]


def test_label_goes_before_target_unless_asked(tmp_path):
    file = write(tmp_path / "mine.tsv", [row | {"target": "battery"} for row in ROWS])
    task = load_task(file)
    assert task.labels == ("bad", "good") and task.train[0].tags["target"] == "battery"
    asked = load_task(file, columns={"target": "label"})
    assert {e.references for e in asked.train} == {("bad",), ("good",)}


def test_text_pair_may_stand_beside_a_target(tmp_path):
    rows = [{"text": "q", "text_pair": "context", "target": "b"}]
    task = load_task(text_folder(tmp_path / "mine", rows, ".tsv"))
    assert task.test == (Example("q", text_pair="context", references=("b",)),)


def test_majority_of_texts_is_refused(tmp_path):
    task = load_task(write(tmp_path / "mine.tsv", MEANINGS))
    with pytest.raises(ValueError, match=r"'mine\.tsv' has no labels to count.*word_counting"):
        task.majority()


@pytest.mark.parametrize(
    "row, message",
    [
        ({"text": "a", "target": " "}, "example 2 of train has no target"),
        ({"text": "a", "references": []}, r"example 2 of train has no"),
        ({"target": "b"}, "example 2 of train has no text"),
        ({"text": "a", "references": "b"}, "example 2 of train has references 'b'; they are a lis"),
        ({"text": "a", "references": ["b", ""]}, r"has references \['b', ''\]"),
        ({"text": "a", "references": [1]}, r"has references \[1\]"),
    ],
)
def test_unusable_answer_is_refused(tmp_path, row, message):
    rows = [{"text": "a", "target": "b", "references": ["b"]}, row]
    with pytest.raises(ValueError, match=message):
        load_task(text_folder(tmp_path / "mine", rows))


# Bundled folders

PROMPTS = [
    {"relation": "capital", "prompt": "The capital of [X] is [Y].", "kind": "stock"},
    {"relation": "symbol", "prompt": "The symbol of [X] is [Y].", "kind": "stock"},
    {"relation": "capital", "prompt": "[Y] is the capital of [X].", "kind": "reversed"},
]
FACTS = [
    {"relation": "capital", "subject": "France", "answer": "Paris"},
    {"relation": "symbol", "subject": "Iron", "answer": "Fe"},
    {"relation": "capital", "subject": "Italy", "answer": "Rome"},
]


def seal(folder):
    """Write SHA256SUMS of all other files."""
    files = sorted(file for file in folder.iterdir() if file.name != "SHA256SUMS")
    (folder / "SHA256SUMS").write_text("".join(f"{sha256(f)}  {f.name}\n" for f in files))


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A folder of bundled sets with small facts and restaurants."""
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    facts = write_splits(tmp_path / "facts", train=FACTS, validation=FACTS[:2], test=FACTS[1:])
    write(facts / "prompts.tsv", PROMPTS)
    seal(facts)
    restaurants = text_folder(tmp_path / "restaurants", MEANINGS)
    (restaurants / "slots.json").write_text('{"names": ["name"], "phrases": {}}')
    seal(restaurants)
    return tmp_path


def test_bundled_jsonl_comes_with_its_slots(bundled):
    task = load_task("restaurants")
    assert (task.name, task.kind, len(task.train)) == ("restaurants", "write", 30)
    assert task.lexicon == {"names": ["name"], "phrases": {}}
    assert load_task("facts").lexicon is None


@pytest.mark.parametrize(
    "name, file",
    [("restaurants", "slots.json"), ("restaurants", "test.jsonl"), ("facts", "prompts.tsv")],
)
def test_every_bundled_file_is_checked(bundled, name, file):
    with open(bundled / name / file, "a") as altered:
        altered.write("\n")
    with pytest.raises(ValueError, match=f"{re.escape(file)} is truncated or altered"):
        load_task(name)


def test_bundled_folder_that_is_not_whole_is_refused(bundled):
    with pytest.raises(ValueError, match=r"entities/SHA256SUMS is missing; install peftlab again"):
        load_task("entities")
    (bundled / "facts" / "validation.tsv").unlink()
    seal(bundled / "facts")
    with pytest.raises(ValueError, match=r"SHA256SUMS does not name validation\.tsv; install"):
        load_task("facts")


# Cloze


def test_facts_are_all_relations_in_their_first_wording(bundled):
    task = load_task("facts")
    assert (task.name, task.kind, task.labels) == ("facts", "cloze", ())
    assert task.prompts == {
        "capital": ("The capital of [X] is [Y].", "[Y] is the capital of [X]."),
        "symbol": ("The symbol of [X] is [Y].",),
    }
    assert task.train[:2] == (
        Example(
            "The capital of France is [Y].",
            tags={"relation": "capital", "subject": "France"},
            references=("Paris",),
        ),
        Example(
            "The symbol of Iron is [Y].",
            tags={"relation": "symbol", "subject": "Iron"},
            references=("Fe",),
        ),
    )


def test_one_relation_of_facts(bundled):
    task = load_task("facts/capital")
    assert task.name == "facts/capital" and list(task.prompts) == ["capital"]
    assert [[e.references[0] for e in task.split(split)] for split in SPLITS] == [
        ["Paris", "Rome"],
        ["Paris"],
        ["Rome"],
    ]
    for unknown in ("facts/river", "facts/"):
        with pytest.raises(
            ValueError, match=r"no relation '(river|)' in facts; it has: capital, s"
        ):
            load_task(unknown)


def test_rephrased_task_differs_in_its_texts_alone(bundled):
    task = load_task("facts/capital")
    other = task.rephrase("[X] is governed from [Y] .")
    assert texts(other, "train") == [
        "France is governed from [Y] .",
        "Italy is governed from [Y] .",
    ]
    assert texts(other, "test") == ["Italy is governed from [Y] ."]
    assert other.rephrase(task.prompts["capital"][0]) == task
    assert texts(task, "test") == ["The capital of Italy is [Y]."]


def test_relations_are_rephrased_each(bundled):
    other = load_task("facts").rephrase({"symbol": "[X] is written [Y]"})
    assert texts(other, "train") == [
        "The capital of France is [Y].",
        "Iron is written [Y]",
        "The capital of Italy is [Y].",
    ]


@pytest.mark.parametrize(
    "prompt, message",
    [
        ("The capital of [X] is", r"'The capital of \[X\] is' has \[Y\] 0 times"),
        ("The capital is [Y]", r"has \[X\] 0 times"),
        ("[X] [X] [Y]", r"has \[X\] 2 times"),
        ({"river": "[X] [Y]"}, "no relation 'river' in task 'facts/capital'; it has: capital"),
    ],
)
def test_wrong_prompt_is_refused(bundled, prompt, message):
    with pytest.raises(ValueError, match=message):
        load_task("facts/capital").rephrase(prompt)


def test_one_prompt_for_many_relations_is_refused(bundled):
    with pytest.raises(ValueError, match=r"2 relations.*give \{'capital': '\[X\] \[Y\]'\}"):
        load_task("facts").rephrase("[X] [Y]")


def test_other_tasks_have_nothing_to_rephrase():
    with pytest.raises(ValueError, match="'reviews' has no prompts to rephrase"):
        load_task("reviews").rephrase("[X] [Y]")


@pytest.mark.parametrize("second, kind", [("b is [Y]", "cloze"), ("b is", "write")])
def test_a_file_is_a_cloze_when_every_text_has_its_gap(tmp_path, second, kind):
    rows = "".join(f"a{i} is [Y]\tx\n" for i in range(9))
    for split in SPLITS:
        (tmp_path / f"{split}.tsv").write_text(f"text\ttarget\n{rows}{second}\tx\n")
    assert load_task(tmp_path).kind == kind


def test_unknown_kind_of_task_is_refused():
    with pytest.raises(ValueError, match="kind must be one of label, tag, write, cloze; got 'cau"):
        Task("toy", "causal_lm", (), (), (), ())


# Templates around texts


def of(kind, *examples, labels=("bad", "good"), name="toy"):
    return Task(name, kind, labels, *[tuple(examples)] * 3)


CLASSES = of("label", Example("a film", 1, tags={"kind": "k"}), Example("b", 0))
PAIRS = of("label", Example("a", 1, "b"), Example("c", 0, "d"))
TAGS = of("tag", Example(("a", "film"), (0, 1)))
WRITING = of("write", Example("a pub", references=("It is a pub.",)), labels=())
GAPS = of("cloze", Example("a is [Y]", references=("b",)), labels=())
WORDS = {"good": "great", "bad": "awful"}


def test_worded_task_differs_in_its_texts_alone():
    task = worded(CLASSES, "[P] [X] : [P]")
    for split in SPLITS:
        assert texts(task, split) == ["[P] a film : [P]", "[P] b : [P]"]
        for new, old in zip(task.split(split), CLASSES.split(split), strict=True):
            assert (new.label, new.tags, new.references) == (old.label, old.tags, old.references)
    assert (task.name, task.kind, task.labels) == (CLASSES.name, CLASSES.kind, CLASSES.labels)
    assert texts(CLASSES, "train") == ["a film", "b"]


def test_template_of_a_pair_makes_one_text_of_two():
    task = worded(PAIRS, "[X2] [P] [X]")
    assert task.train == (Example("b [P] a", 1), Example("d [P] c", 0))


@pytest.mark.parametrize("template", ["[P] [X]", "[P] [X] [Y]", "[P] [X] [Y] "])
def test_texts_that_answer_follow_their_template(template):
    (example,) = worded(WRITING, template).train
    assert example == Example("[P] a pub", references=("It is a pub.",))


def test_gap_of_a_cloze_stays_where_its_text_has_it():
    assert texts(worded(GAPS, "[P] [X] [P]"), "train") == ["[P] a is [Y] [P]"]


@pytest.mark.parametrize("wrap", [worded, lambda t, template: verbalized(t, template, WORDS)])
@pytest.mark.parametrize(
    "task, template, message",
    [
        (CLASSES, "[P] [X] [X2]", r"has \[X2\], .* task 'toy' is of the other kind"),
        (PAIRS, "[P] [X]", r"lacks \[X2\], .* task 'toy' is of the other kind"),
    ],
)
def test_template_for_another_number_of_texts_is_refused(wrap, task, template, message):
    template = template if wrap is worded else template + " [Y]"
    with pytest.raises(ValueError, match=message):
        wrap(task, template)


@pytest.mark.parametrize(
    "task, template, message",
    [
        (TAGS, "[P] [X]", "task 'toy' labels words; a template is for whole texts"),
        (CLASSES, "[P] [X] [Y]", r"no word to stand at \[Y\] of '\[P\] \[X\] \[Y\]'.*verbalizer"),
        (WRITING, "[P] [X] [Y] .", r"no word to stand at \[Y\].*leave \[Y\] out"),
        (GAPS, "[P] [X] [Y]", r"no word to stand at \[Y\].*leave \[Y\] out"),
    ],
)
def test_template_that_does_not_fit_the_task_is_refused(task, template, message):
    with pytest.raises(ValueError, match=message):
        worded(task, template)


@pytest.mark.parametrize("inside", ["[X2]", "[X]", "[X] or [X2]"])
def test_marks_of_a_template_in_a_text_are_text(inside):
    single = of("label", Example(inside, 1), Example("b", 0))
    assert worded(single, "[P] [X]").train[0].text == f"[P] {inside}"
    pair = of("label", Example(inside, 1, inside), Example("c", 0, "d"))
    assert worded(pair, "[X] [P] [X2]").train[0].text == f"{inside} [P] {inside}"
    cloze = verbalized(pair, "[X2] [P] [X] [Y]", WORDS)
    assert cloze.train[0].text == f"{inside} [P] {inside} [Y]"


def test_verbalized_task_asks_for_the_word_of_each_label():
    task = verbalized(CLASSES, "[X] [P] It was [Y] .", WORDS)
    assert task.kind == "cloze" and task.labels == ()
    for split in SPLITS:
        first, second = task.split(split)
        assert first == Example(
            "a film [P] It was [Y] .",
            tags={"kind": "k"},
            references=("great",),
            choices=("awful", "great"),
        )
        assert second.references == ("awful",) and second.label is None


def test_verbalized_pair_is_one_text():
    (first, _) = verbalized(PAIRS, "[X] ? [P] [Y] , [X2]", WORDS).test
    assert (first.text, first.text_pair) == ("a ? [P] [Y] , b", None)


@pytest.mark.parametrize("task", [TAGS, WRITING, GAPS])
def test_only_labels_of_whole_texts_are_put_into_words(task):
    with pytest.raises(ValueError, match="task 'toy' has no labels of whole texts to put into w"):
        verbalized(task, "[P] [X] [Y]", WORDS)


@pytest.mark.parametrize(
    "words",
    [{}, {"good": "great"}, WORDS | {"odd": "odd"}, {"good": "great", "bad": "great"}],
)
def test_verbalizer_needs_a_word_of_its_own_for_each_label(words):
    with pytest.raises(ValueError, match="a word of its own for each of bad, good; got") as error:
        verbalized(CLASSES, "[P] [X] [Y]", words)
    assert repr(words) in str(error.value)


def test_verbalizer_needs_a_gap():
    with pytest.raises(ValueError, match=r"'\[P\] \[X\]' has no \[Y\] for the word of the label"):
        verbalized(CLASSES, "[P] [X]", WORDS)


# Sets from the hub


def without_hub_extra(monkeypatch):
    def version(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.delitem(sys.modules, "datasets", raising=False)


def test_hub_names_the_missing_extra(monkeypatch):
    without_hub_extra(monkeypatch)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'peftlab\[hub\]'"):
        load_task("hub:glue/sst2")


def test_folder_called_datasets_does_not_pass_for_the_extra(tmp_path, monkeypatch):
    without_hub_extra(monkeypatch)
    (tmp_path / "datasets").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'peftlab\[hub\]'"):
        load_task("hub:glue/sst2")


class HubSplit(list):
    """Rows, with the label names where the hub keeps them."""

    features = {"label": SimpleNamespace(names=["bad", "good"]), "sentence": SimpleNamespace()}


def hub_rows(split, size, label=None):
    return HubSplit(
        {"sentence": f"{split} {i}", "label": i % 2 if label is None else label}
        for i in range(size)
    )


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the package datasets: a dictionary from what is asked to what is given."""
    sets = {}

    def load_dataset(*asked):
        if asked not in sets:
            raise OSError(f"no set {asked}")
        return sets[asked]

    monkeypatch.setattr(metadata, "version", lambda package: "4.0")
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return sets


@pytest.mark.parametrize(
    "name, asked",
    [
        ("hub:imdb", ("imdb",)),
        ("hub:owner/set", ("owner/set",)),
        ("hub:glue/sst2", ("glue", "sst2")),
    ],
)
def test_hub_set_is_asked_for_by_id_or_by_configuration(hub, name, asked):
    hub[asked] = {s: hub_rows(s, size) for s, size in zip(SPLITS, (20, 4, 6), strict=True)}
    task = load_task(name)
    assert [len(task.split(split)) for split in SPLITS] == [20, 4, 6]
    assert task.labels == ("bad", "good") and task.name == name
    assert task.test[1] == Example("test 1", 1)


def test_hidden_test_labels_are_replaced_by_the_validation_split(hub):
    hub["glue", "sst2"] = {
        "train": hub_rows("train", 40),
        "validation": hub_rows("validation", 6),
        "test": hub_rows("test", 6, label=-1),
    }
    task = load_task("hub:glue/sst2")
    assert texts(task, "test") == [f"validation {i}" for i in range(6)]
    assert len(task.validation) == 4 and len(task.train) == 36
    assert sorted(texts(task, "train") + texts(task, "validation")) == sorted(
        f"train {i}" for i in range(40)
    )


def test_hub_set_with_training_data_alone_is_split(hub):
    hub["mine",] = {"train": hub_rows("train", 40)}
    task = load_task("hub:mine")
    together = [text for split in SPLITS for text in texts(task, split)]
    assert sorted(together) == sorted(f"train {i}" for i in range(40))


@pytest.mark.parametrize("given", [("train",), ("train", "validation"), ("train", "test")])
def test_equal_texts_of_a_hub_set_stay_together_and_the_seed_decides_where(hub, given):
    rows = HubSplit(hub_rows("train", 40) + hub_rows("train", 40, label=0))
    hub["mine",] = {split: hub_rows(split, 6) for split in given} | {"train": rows}
    tasks = [load_task("hub:mine", seed=seed) for seed in (0, 0, 1)]
    assert tasks[0] == tasks[1] and tasks[0] != tasks[2]
    for task in tasks:
        for one, other in combinations(SPLITS, 2):
            assert not {*texts(task, one)} & {*texts(task, other)}


def test_hub_set_of_few_texts_is_refused(hub):
    hub["mine",] = {"train": HubSplit(hub_rows("train", 9) * 5)}
    with pytest.raises(ValueError, match=r"hub:mine: at least 10 different texts .* got 9"):
        load_task("hub:mine")


def test_hub_set_without_training_data_is_refused(hub):
    hub["mine",] = {"test": hub_rows("test", 4)}
    with pytest.raises(ValueError, match="no train split; it has: test"):
        load_task("hub:mine")


def test_hub_out_of_reach_says_what_else_there_is(hub):
    with pytest.raises(ValueError, match=r"cannot load 'hub:nowhere'.*download it.*reviews"):
        load_task("hub:nowhere")


# What would have been read wrongly without a word


def test_two_columns_of_one_name_are_refused(tmp_path):
    file = tmp_path / "twice.tsv"
    file.write_text("text\tlabel\tlabel\n" + "".join(f"s{i}\tgood\tbad\n" for i in range(20)))
    with pytest.raises(ValueError, match="has two columns called 'label'; rename one"):
        load_task(file)


@pytest.mark.parametrize("role", ["text", "target"])
def test_a_list_where_a_text_belongs_is_refused(tmp_path, role):
    rows = [{"text": f"s{i}", "target": "t"} | ({role: ["x"]} if i == 3 else {}) for i in range(20)]
    with pytest.raises(ValueError, match=rf"has the {role} \['x'\]; it must be one text"):
        load_task(write(tmp_path / "lists.jsonl", rows))


@pytest.mark.parametrize(
    "text, match", [("[Y] or [Y]", r"more than one \[Y\]"), ("[X] is [Y]", r"has \[X\]; write")]
)
def test_gaps_that_nothing_would_fill_are_refused(tmp_path, text, match):
    rows = [{"text": f"{text} {i}", "target": "t"} for i in range(20)]
    with pytest.raises(ValueError, match=match):
        load_task(write(tmp_path / "gaps.tsv", rows))


def test_an_error_names_the_example_by_its_place_in_the_file(tmp_path):
    rows = [dict(row) for row in ROWS]
    rows[13]["label"] = ""
    with pytest.raises(ValueError, match="example 14 of the file has no label"):
        load_task(write(tmp_path / "hole.tsv", rows))


@pytest.mark.parametrize("prompt", [3, None, {"capital": None}])
def test_a_prompt_that_is_no_text_is_refused(prompt):
    with pytest.raises(TypeError, match="a prompt is a text"):
        load_task("facts/capital").rephrase(prompt)


@pytest.mark.parametrize("name", ["", " "])
def test_a_task_without_a_name_is_refused(name):
    with pytest.raises(ValueError, match="no task '"):
        load_task(name)
