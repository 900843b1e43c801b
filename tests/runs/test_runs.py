"""Many runs: what a run holds, which runs are kept and found again, and what is said of them."""

import json
import re
from dataclasses import replace

import joblib
import pytest
import torch
from tiny_task import KINDS, write_backbone, write_task

from peftlab import (
    Distillation,
    FullFineTuning,
    HeadOnly,
    LoRA,
    PromptTuning,
    evaluate,
    insight,
    load_backbone,
    load_task,
    paths,
)
from peftlab.attach.storage import read
from peftlab.insight import reading_loss
from peftlab.runs import engine, trial
from peftlab.runs.engine import run_folder, run_trials
from peftlab.runs.records import accuracies, agreement, find_runs, steps_to, store, stored
from peftlab.runs.trial import Run, Trial, distinct, run_trial
from peftlab.training import History

LORA = Trial(
    label="LoRA r=2", method=LoRA(rank=2), learning_rate=1e-2, epochs=2, batch_size=12, warmup=0.5
)
HEAD = Trial(label="head only", method=HeadOnly(), learning_rate=1e-2, epochs=1)
FULL = Trial(label="full fine-tuning", method=FullFineTuning(), learning_rate=1e-3, epochs=1)
STUDENT = replace(FULL, label="student", distillation=Distillation(layers=(1,), hard_weight=1.0))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return write_task(tmp_path_factory.mktemp("task") / "toy.tsv")


@pytest.fixture(scope="module")
def one(backbone, task):
    """A trained attachment and its run."""
    return run_trial(LORA, backbone, task, seed=3, progress=False)


@pytest.fixture
def run_all(backbone, task, tmp_path):
    """`run_trials` one after the other, in this process."""

    def run(trials, seeds=(0, 1), **settings):
        settings = {"folder": tmp_path / "runs", "progress": False} | settings
        with joblib.parallel_config(backend="sequential"):
            return run_trials(trials, backbone=backbone, task=task, seeds=seeds, **settings)

    return run


@pytest.fixture
def trained(monkeypatch):
    """The labels and seeds of the runs that really train."""
    calls = []

    def counted(trial, backbone, task, seed, **settings):
        calls.append((trial.label, seed))
        return run_trial(trial, backbone, task, seed, **settings)

    monkeypatch.setattr(engine, "run_trial", counted)
    return calls


def made(trial, seed=0, accuracy=0.5, backbone="b", task="t"):
    """A run with nothing in it but what finding looks at."""
    place = {"label": trial.label, "backbone": backbone, "task": task, "seed": seed}
    found = {"counts": {}, "validation_accuracy": None, "test_accuracy": accuracy}
    return Run.from_json(
        trial.settings() | place | found | {"test_loss": 1.0, "by_kind": {}, "seconds": 0.5}
    )


def timeless(run):
    """A run without its seconds, which no seed decides."""
    return replace(run, seconds=0.0, history=dict(run.history) | {"seconds": 0.0})


# One run


def test_a_run_holds_its_settings_its_counts_and_what_was_measured(one, backbone, task):
    attachment, run = one
    assert run.label == "LoRA r=2"
    assert run.settings == LORA.settings() and run.same_setting(LORA)
    assert (run.backbone, run.task, run.seed) == (backbone, task, 3)
    assert run.counts == attachment.report().to_dict()
    assert run.seconds == run.history["seconds"] > 0
    assert len(run.history["losses"]) == 2 * 4  # two epochs of 48 sentences, 12 a step
    assert run.validation == run.history["validation"]


def test_a_run_is_trained_with_the_settings_of_its_trial(one):
    settings = one[1].history["settings"]
    for key in ("learning_rate", "epochs", "batch_size", "warmup"):
        assert settings[key] == getattr(LORA, key)
    assert settings["seed"] == 3
    assert one[0].method == LORA.method


def test_a_student_is_trained_by_what_its_teacher_says(backbone, task):
    attachment, run = run_trial(STUDENT, backbone, task, seed=0, progress=False)
    student = attachment.model
    assert type(student).__name__ == "DistilBertForSequenceClassification"
    assert student.config.n_layers == 1
    assert run.counts == attachment.report().to_dict()
    assert run.counts["trained"] + run.counts["head"] == sum(
        p.numel() for p in student.parameters()
    )
    back = Run.from_json(json.loads(json.dumps(run.to_json())))
    assert back == run and back.same_setting(STUDENT)
    other = replace(STUDENT, distillation=replace(STUDENT.distillation, temperature=1.0))
    for another in (FULL, other, replace(STUDENT, method=HeadOnly())):
        assert not back.same_setting(another)
    assert "distillation" not in FULL.settings()
    _, softer = run_trial(other, backbone, task, seed=0, progress=False)
    assert softer.history["losses"] != run.history["losses"]
    alone = Distillation(layers=(1,), soft_weight=0, hard_weight=1.0, cosine_weight=0)
    _, hard = run_trial(
        replace(STUDENT, distillation=alone), backbone, task, seed=0, progress=False
    )
    assert hard.history["losses"][0] < run.history["losses"][0]  # the others come on top


@pytest.mark.parametrize("bulky", [True, False])
def test_a_run_as_plain_values_comes_back(one, bulky):
    run = replace(one[1], spectra={"a": [2.0, 1.0]})
    plain = run.to_json(bulky=bulky)
    back = Run.from_json(json.loads(json.dumps(plain)))
    kept = run if bulky else replace(run, history=None, spectra=None)
    assert back == kept
    assert back.to_json(bulky=bulky) == plain
    assert back.validation == run.validation  # with and without the history
    assert ("history" in plain) == ("spectra" in plain) == bulky


@pytest.mark.parametrize(
    "path", sorted(paths.DATASETS.glob("records/*.json")), ids=lambda p: p.stem
)
def test_the_stored_runs_are_read_and_written_as_they_are(path):
    for plain in json.loads(path.read_text())["runs"]:
        assert json.dumps(Run.from_json(plain).to_json()) == json.dumps(plain)


def test_a_run_is_of_a_trial_with_exactly_its_settings():
    assert made(LORA).same_setting(replace(LORA, label="another name"))
    assert made(replace(LORA, learning_rate=1 / 3)).same_setting(
        replace(LORA, learning_rate=0.33333)
    )
    assert not made(replace(LORA, examples=8)).same_setting(LORA)
    assert not made(LORA).same_setting(replace(LORA, examples=8))


def test_the_accuracies_of_a_run_are_those_of_its_model_on_each_split(one, backbone, task):
    attachment, run = one
    data, tokenizer = load_task(task), load_backbone(backbone)[1]
    test, validation = (
        evaluate(attachment.model, tokenizer, split) for split in (data.test, data.validation)
    )
    assert run.test_accuracy == test.accuracy
    assert run.test_scores == {"accuracy": test.accuracy}
    assert run.test_loss == pytest.approx(test.loss, rel=1e-5)
    assert run.validation_accuracy == validation.accuracy
    assert run.by_kind == test.by("kind")
    assert run.by_kind.keys() <= set(KINDS)
    assert run.scores_by_kind == {
        kind: {"accuracy": found["accuracy"]} for kind, found in run.by_kind.items()
    }


def test_a_task_without_kinds_has_no_accuracy_by_kind(backbone, tmp_path):
    task = write_task(tmp_path / "plain.tsv", rows=20, kinds=False)
    run = run_trial(HEAD, backbone, task, seed=0, progress=False)[1]
    assert run.by_kind == run.scores_by_kind == {}


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(one, backbone, task):
    again, other = (run_trial(LORA, backbone, task, seed, progress=False) for seed in (3, 4))
    assert timeless(again[1]) == timeless(one[1])
    for name, tensor in one[0].state_dict().items():
        assert torch.equal(tensor, again[0].state_dict()[name])
        assert not torch.equal(tensor, other[0].state_dict()[name])
    assert other[1].history["losses"] != one[1].history["losses"]


def test_the_control_without_pretraining_starts_from_random_weights(backbone, task):
    random = replace(HEAD, label="random", pretrained=False)
    attachments = [
        run_trial(trial, backbone, task, seed=0, progress=False)[0] for trial in (HEAD, random)
    ]
    plain = load_backbone(backbone)[0].get_input_embeddings().weight
    same = [torch.equal(a.model.get_input_embeddings().weight, plain) for a in attachments]
    assert same == [True, False]


# Many runs


def test_runs_come_trial_by_trial_and_seed_by_seed(run_all):
    runs = run_all([HEAD, FULL], seeds=[1, 0])
    assert [(run.label, run.seed) for run in runs] == [
        ("head only", 1),
        ("head only", 0),
        ("full fine-tuning", 1),
        ("full fine-tuning", 0),
    ]


def test_a_run_among_many_is_the_run_alone(run_all, one):
    assert timeless(run_all([LORA, HEAD], seeds=[3])[0]) == timeless(one[1])


def test_finished_runs_are_kept_and_not_run_again(run_all, trained):
    runs = run_all([LORA])
    assert trained == [("LoRA r=2", 0), ("LoRA r=2", 1)]
    assert run_all([LORA]) == runs
    assert len(trained) == 2
    more = run_all([LORA, HEAD], seeds=(0, 1, 2))
    assert trained[2:] == [("LoRA r=2", 2), *(("head only", seed) for seed in (0, 1, 2))]
    assert more[:2] == runs


def test_an_interrupted_call_goes_on_with_what_is_missing(
    run_all, trained, backbone, task, tmp_path
):
    runs = run_all([LORA])
    path = run_folder(tmp_path / "runs", LORA, backbone, task, 1) / "run.json"
    path.unlink()  # as after an interruption between checkpoint and run
    trained.clear()
    again = run_all([LORA])
    assert trained == [("LoRA r=2", 1)]
    assert again[0] == runs[0]
    assert timeless(again[1]) == timeless(runs[1])


@pytest.mark.parametrize(
    "takes, shares",
    [({"head only": 1.0, "full fine-tuning": 3.0}, (38, 75, 88)), (None, (25, 50, 75))],
)
def test_the_longest_runs_begin_and_the_bar_knows_it(run_all, capsys, takes, shares):
    runs = run_all([HEAD, FULL], progress=True, takes=takes, title="seeds")
    assert [run.label for run in runs] == ["head only"] * 2 + ["full fine-tuning"] * 2
    drawn = capsys.readouterr().err
    assert "\rseeds:  " in drawn
    for count, share in enumerate((*shares, 100), 1):
        assert re.search(rf"{share}%\|[^\r]*, {count} of 4 runs", drawn), (count, drawn)


def test_a_run_that_fails_leaves_the_finished_ones(run_all, trained, tmp_path):
    broken = replace(HEAD, label="broken", batch_size=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        run_all([HEAD, broken], seeds=[0])
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 1
    run_all([HEAD], seeds=[0])
    assert trained == [("head only", 0), ("broken", 0)]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_kept_run_that_was_altered_is_named(run_all, trained, tmp_path, text):
    run_all([HEAD], seeds=[0])
    (path,) = tmp_path.glob("runs/*/run.json")
    path.write_text(text)
    with pytest.raises(
        ValueError, match=r"run\.json was altered and is no run any more; delete it"
    ):
        run_all([HEAD], seeds=[0])
    path.unlink()
    assert run_all([HEAD], seeds=[0])[0].label == "head only"


def test_a_half_trained_run_does_not_pass_for_a_finished_one(run_all, monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        patched.setattr(trial, "train", lambda *a, **k: History({}, interrupted=True))
        with pytest.raises(KeyboardInterrupt):
            run_all([LORA], seeds=[0])
    assert not list(tmp_path.glob("runs/*/*"))
    assert run_all([LORA], seeds=[0])[0].history["losses"]


def test_a_kept_lora_comes_with_its_checkpoint(run_all, one, backbone, task, tmp_path):
    run_all([LORA, HEAD, FULL], seeds=[3])
    folders = {
        trial.label: run_folder(tmp_path / "runs", trial, backbone, task, 3)
        for trial in (LORA, HEAD, FULL)
    }
    state = read(folders["LoRA r=2"])[1]
    for name, tensor in one[0].state_dict().items():
        assert torch.equal(state[name], tensor)
    for label in ("head only", "full fine-tuning"):
        assert [path.name for path in folders[label].iterdir()] == ["run.json"]


def test_a_kept_full_fine_tuning_comes_with_the_spectra_of_its_update(run_all, backbone, task):
    (run,) = run_all([FULL], seeds=[0])
    attachment, alone = run_trial(FULL, backbone, task, seed=0, progress=False)
    spectra = {n: insight.spectrum(delta) for n, delta in insight.updates(attachment).items()}
    assert run.spectra == spectra
    assert timeless(replace(run, spectra=None)) == timeless(alone)


def test_what_is_kept_of_a_run_may_be_chosen(run_all, tmp_path):
    def keep(attachment, run, folder):
        return replace(run, spectra={"trained": [attachment.report().trained]})

    (run,) = run_all([LORA], seeds=[0], keep=keep)
    assert run.spectra == {"trained": [run.counts["trained"]]}
    assert [path.name for path in tmp_path.glob("runs/*/*")] == ["run.json"]


def test_two_labels_of_one_setting_share_a_run_and_keep_their_labels(run_all, trained):
    runs = run_all([HEAD, replace(HEAD, label="the same")], seeds=[0])
    assert len(trained) == 1
    assert [run.label for run in runs] == ["head only", "the same"]
    assert replace(runs[1], label="head only") == runs[0]
    assert run_all([replace(HEAD, label="later")], seeds=[0])[0].label == "later"
    assert len(trained) == 1


@pytest.mark.parametrize(
    "trials, seeds, message",
    [
        ([], [0], "nothing to run: give at least one trial and one seed"),
        ([LORA], [], "nothing to run"),
        ([LORA, HEAD, replace(HEAD, label=LORA.label)], [0], "two trials are called 'LoRA r=2'"),
    ],
)
def test_nothing_to_run_and_equal_labels_are_refused(run_all, tmp_path, trials, seeds, message):
    with pytest.raises(ValueError, match=message):
        run_all(trials, seeds)
    assert not list(tmp_path.iterdir())


CHANGES = [
    {"method": LoRA(rank=4)},
    {"method": LoRA(rank=2, targets=("query",))},
    {"method": HeadOnly()},
    {"learning_rate": 2e-2},
    {"epochs": 3},
    {"batch_size": 8},
    {"pretrained": False},
    {"warmup": 0.1},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_another_setting_is_kept_elsewhere(change):
    place = ("runs", LORA, "b", "t", 0)
    folder = run_folder(*place)
    assert run_folder("runs", replace(LORA, **change), "b", "t", 0) != folder
    for i, other in ((2, "b2"), (3, "t2"), (4, 1)):
        assert run_folder(*place[:i], other, *place[i + 1 :]) != folder
    assert run_folder("runs", replace(LORA, label="renamed"), "b", "t", 0) == folder


# Finding runs


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_runs_are_found_by_every_setting(change):
    other = replace(LORA, **change)
    runs = [made(LORA), made(other), made(LORA, seed=1)]
    assert find_runs(runs, LORA, "b", "t") == [runs[0], runs[2]]
    assert find_runs(runs, other, "b", "t") == [runs[1]]


def test_runs_are_found_by_backbone_and_task_whatever_their_label():
    runs = [made(LORA, backbone="b2"), made(LORA, task="t2"), made(replace(LORA, label="x"))]
    assert find_runs(runs, LORA, "b", "t") == runs[2:]
    assert find_runs([], LORA, "b", "t") == []


def test_accuracies_are_those_of_the_runs_found_one_a_seed():
    runs = [made(LORA, 0, 0.5), made(HEAD, 0, 0.1), made(LORA, 1, 0.75)]
    assert accuracies(iter(runs), LORA, backbone="b", task="t") == [0.5, 0.75]
    assert accuracies(runs, LORA, backbone="b", task="t2") == []


# Stored records


@pytest.fixture
def records(tmp_path, monkeypatch):
    """The folder of stored records, empty."""
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    (tmp_path / "records").mkdir()
    return tmp_path / "records"


def test_a_stored_record_says_how_it_was_made_and_comes_back(records, one):
    given = store("sweep", [one[1]], "make it", records, overlaps={"a": [[0.5]]})
    assert given["runs"] == [one[1]]
    found = stored("sweep")
    assert found.keys() == given.keys()
    assert (found["name"], found["command"]) == ("sweep", "make it")
    assert {"torch", "transformers", "peftlab", "python"} <= found["versions"].keys()
    assert found["overlaps"] == {"a": [[0.5]]}
    (run,) = found["runs"]
    assert run.same_setting(LORA) and run.history is None
    assert run.test_accuracy == pytest.approx(one[1].test_accuracy, rel=1e-4)
    losses, exact = ([look["loss"] for look in r.validation] for r in (run, one[1]))
    assert losses == pytest.approx(exact, rel=1e-4)
    assert [p.name for p in records.iterdir()] == ["sweep.json"]


def test_stored_numbers_have_five_significant_digits_and_counts_stay_whole(records):
    counts = {"loss": 0.123456789, "small": 1.23456789e-7, "count": 123456789, "on": True}
    run = replace(made(LORA), counts=counts)
    store("digits", [run], "", records, maps=[[2 / 3]], none=None)
    found = stored("digits")
    assert found["runs"][0].counts == {
        "loss": 0.12346,
        "small": 1.2346e-7,
        "count": 123456789,
        "on": True,
    }
    assert (found["maps"], found["none"]) == ([[0.66667]], None)


def test_runs_are_found_in_a_record_although_it_is_rounded(records):
    trial = replace(LORA, learning_rate=10**-2.5, warmup=1 / 3)
    store("rounded", [made(trial)], "", records)
    runs = stored("rounded")["runs"]
    assert find_runs(runs, trial, "b", "t") == runs
    assert find_runs(runs, replace(trial, learning_rate=3.163e-3), "b", "t") == []


def test_an_unknown_record_is_refused_with_the_known_ones(records):
    with pytest.raises(ValueError, match="no stored record 'sweep'; there are: none"):
        stored("sweep")
    for name in ("b", "a"):
        store(name, [], "", records)
    with pytest.raises(ValueError, match="no stored record 'sweep'; there are: a, b"):
        stored("sweep")


# What is said of runs


@pytest.mark.parametrize(
    "live, stored, tolerance, agrees",
    [
        (0.80, [0.78, 0.82], 0.0, "yes"),
        (0.82, [0.78, 0.82], 0.0, "yes"),
        (0.83, [0.78, 0.82], 0.0, "no"),
        (0.83, [0.78, 0.82], 0.01, "yes"),  # as far out as is allowed
        (0.77, [0.78, 0.82], 0.01, "yes"),
        (0.76, [0.78, 0.82], 0.01, "no"),
        (0.04, [0.07], 0.03, "yes"),  # 0.07 - 0.03 is a little more than 0.04
        (0.5, [0.8], 0.03, "no"),
    ],
)
def test_a_live_run_agrees_within_the_stored_range_and_the_tolerance(
    live, stored, tolerance, agrees
):
    (row,) = agreement({"x": made(LORA, accuracy=live)}, {"x": stored}, tolerance)
    assert row["run"] == "LoRA r=2"
    assert row["live"] == f"{100 * live:.1f} %"
    assert row["stored"] == f"{100 * min(stored):.1f} to {100 * max(stored):.1f} %"
    assert row["agrees"] == agrees


def test_a_live_run_without_stored_ones_neither_agrees_nor_differs():
    live = {"x": made(LORA, accuracy=0.5), "y": made(HEAD, accuracy=0.25)}
    rows = agreement(live, {"x": [], "y": [0.25]}, 0.03)
    assert rows[0]["stored"] == "no stored run of this setting"
    assert [row["agrees"] for row in rows] == ["–", "yes"]
    assert rows[0].keys() == rows[1].keys()


def test_a_trial_puts_its_texts_into_words(task):
    plain = LORA.task(task)
    assert plain == load_task(task)
    worded = replace(LORA, wording="So: [X]", examples=3).task(task)
    assert [e.text for e in worded.train] == [f"So: {e.text}" for e in plain.train[:3]]
    words = tuple((label, f"word{i}") for i, label in enumerate(plain.labels))
    cloze = replace(LORA, wording="[X] So [Y]", words=words).task(task)
    assert cloze.kind == "cloze" and cloze.test[0].references[0].startswith("word")
    assert replace(LORA, wording="a [X]").settings() != LORA.settings()
    assert "wording" not in LORA.settings() and "words" not in LORA.settings()
    facts = replace(LORA, wording="[X] [Y]").task("facts/capital")
    assert facts.test[0].text == f"{facts.test[0].tags['subject']} [Y]"


def test_steps_to_is_the_first_look_that_reaches_it():
    looks = [{"step": s, "accuracy": a} for s, a in ((5, 0.2), (10, 0.9), (15, 0.8))]
    run = replace(made(LORA), validation=looks)
    assert [steps_to(run, accuracy) for accuracy in (0.2, 0.9, 0.95)] == [5, 10, 15]


def test_distinct_trials_differ_in_more_than_their_label():
    again, other = replace(LORA, label="again"), replace(LORA, epochs=5)
    assert distinct([LORA, HEAD, again, other]) == [LORA, HEAD, other]


def test_drawn_examples_come_from_the_seed_of_the_run(task):
    few = replace(LORA, examples=5, drawn=True)
    first, again, other = (few.task(task, seed).train for seed in (1, 1, 2))
    every = load_task(task).train
    places = [every.index(example) for example in first]
    assert first == again != other and len(set(places)) == 5 and places != sorted(places)
    assert replace(few, drawn=False).task(task, 1).train == load_task(task).train[:5]
    assert "drawn" not in replace(few, drawn=False).settings() and few.settings()["drawn"]


def test_a_trial_looks_at_validation_every_few_epochs(task, backbone):
    trial = replace(LORA, epochs=3, look_every=2)
    _, run = run_trial(trial, backbone, task, seed=0, progress=False)
    assert len(run.validation) == 2 and run.settings["look_every"] == 2
    assert "look_every" not in LORA.settings()
    with pytest.raises(ValueError, match="look_every must be"):
        replace(LORA, look_every=0)


@pytest.mark.parametrize("examples", [0, -5, 1.5])
def test_a_trial_needs_a_whole_number_of_examples(examples):
    with pytest.raises((TypeError, ValueError), match="examples must be"):
        replace(LORA, examples=examples)


def test_a_trial_may_look_at_a_part_and_be_tried_elsewhere(backbone, task, tmp_path):
    other = write_task(tmp_path / "other.tsv")
    trial = replace(LORA, validated=3, tested=5, elsewhere=(other,))
    data, whole = trial.task(task), load_task(task)
    assert (data.train, data.validation, data.test) == (
        whole.train,
        whole.validation[:3],
        whole.test[:5],
    )
    run = run_trial(trial, backbone, task, 0, progress=False)[1]
    assert run.same_setting(trial) and not run.same_setting(LORA)
    assert set(run.transfer) == {other} and 0 <= run.transfer[other] <= 1
    assert Run.from_json(json.loads(json.dumps(run.to_json()))).transfer == run.transfer
    assert run_trial(LORA, backbone, task, 0, progress=False)[1].transfer is None


def test_a_task_elsewhere_has_the_same_labels_or_nothing_trains(backbone, task, tmp_path):
    with pytest.raises(TypeError, match=r"write elsewhere=\('movies',\)"):
        replace(LORA, elsewhere="movies")
    (tmp_path / "other.tsv").write_text(
        "".join(f"{text}\t{label}\n" for text, label in [("text", "label")])
        + "".join(f"text {i}\t{'abc'[i % 3]}\n" for i in range(30))
    )
    wrong = replace(LORA, elsewhere=(str(tmp_path / "other.tsv"),))
    with pytest.raises(ValueError, match=r"has the labels \('a', 'b', 'c'\), and .*same labels"):
        run_trial(wrong, backbone, task, 0, progress=False)


@pytest.mark.parametrize("name", ["validated", "tested"])
def test_a_part_has_at_least_one_example(name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        replace(LORA, **{name: 0})


def test_a_run_that_fails_stops_nothing_and_is_tried_again(run_all, backbone, task, tmp_path):
    broken, failures = replace(HEAD, label="broken", batch_size=0), []
    runs = run_all([broken, HEAD], failures=failures)
    assert [run.label for run in runs] == ["head only"] * 2
    assert {(failure.label, failure.seed) for failure in failures} == {("broken", 0), ("broken", 1)}
    note = run_folder(tmp_path / "runs", broken, backbone, task, 0) / "failed.txt"
    assert note.read_text().startswith("broken, seed 0: ValueError: batch_size must be at least 1")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        run_all([broken, HEAD])


def test_a_note_of_a_failure_is_gone_once_the_run_is_there(
    run_all, monkeypatch, backbone, task, tmp_path
):
    def failing(*arguments, **options):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "run_trial", failing)
        assert run_all([HEAD], seeds=[0], failures=[]) == []
    folder = run_folder(tmp_path / "runs", HEAD, backbone, task, 0)
    assert [path.name for path in folder.iterdir()] == ["failed.txt"]
    assert run_all([HEAD], seeds=[0])[0].seed == 0
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_an_error_that_cannot_be_sent_is_told_in_words(run_all, monkeypatch):
    class Own(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def failing(*arguments, **options):
        raise Own(1, 2)

    failures = []
    monkeypatch.setattr(engine, "run_trial", failing)
    run_all([HEAD], seeds=[0], failures=failures)
    assert str(failures[0]) == "head only, seed 0: RuntimeError: Own: 1 and 2"


def test_training_may_go_on_with_another_task_and_the_first_is_tested_again(
    backbone, task, tmp_path
):
    other = write_task(tmp_path / "other.tsv")
    trial = replace(LORA, then=other)
    run = run_trial(trial, backbone, task, 0, progress=False)[1]
    alone = run_trial(LORA, backbone, task, 0, progress=False)[1]
    assert run.test_accuracy == alone.test_accuracy and run.validation == alone.validation
    assert set(run.afterwards) == {task, other} and alone.afterwards is None
    assert all(0 <= accuracy <= 1 for accuracy in run.afterwards.values())
    assert Run.from_json(json.loads(json.dumps(run.to_json()))).afterwards == run.afterwards
    assert run.same_setting(trial) and not run.same_setting(LORA)
    (tmp_path / "three.tsv").write_text(
        "text\tlabel\n" + "".join(f"text {i}\t{'abc'[i % 3]}\n" for i in range(30))
    )
    wrong = replace(LORA, then=str(tmp_path / "three.tsv"))
    with pytest.raises(ValueError, match=r"then=.*has the labels \('a', 'b', 'c'\)"):
        run_trial(wrong, backbone, task, 0, progress=False)


def test_only_a_language_model_reads_and_nothing_trains_before_that_is_said(
    backbone, task, monkeypatch
):
    monkeypatch.setattr("peftlab.runs.trial.train", None)
    with pytest.raises(ValueError, match="does not write, so it has no loss on text"):
        run_trial(replace(LORA, read=task), backbone, task, 0, progress=False)


@pytest.mark.parametrize("method", [LoRA(), PromptTuning(prompt_length=3), FullFineTuning()])
def test_what_is_read_before_is_what_the_disabled_method_reads(method):
    words = (("negative", "bad"), ("positive", "good"))
    few = {"examples": 8, "validated": 4, "tested": 4, "epochs": 1}
    reader = Trial(label="reader", method=method, learning_rate=1e-2, read="opinions",
                  wording="[X] It was [Y]", words=words, **few)  # fmt: skip
    attachment, run = run_trial(reader, "lab-gpt-nano", "opinions", 0, progress=False)
    tokenizer = load_backbone("lab-gpt-nano")[1]
    texts = [example.text for example in load_task("opinions").test[:4]]
    assert run.reading["after"] == pytest.approx(reading_loss(attachment.model, tokenizer, texts))
    assert run.reading["after"] != pytest.approx(run.reading["before"], rel=1e-4)
    with attachment.disabled():
        plain = reading_loss(attachment.model, tokenizer, texts)
    assert run.reading["before"] == pytest.approx(plain)
    assert Run.from_json(json.loads(json.dumps(run.to_json()))).reading == run.reading
