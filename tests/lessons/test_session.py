"""The session: what a lab trains and finds stored, and what it notes in its record."""

import json
from dataclasses import replace
from statistics import fmean

import pytest
from tiny_task import write_backbone, write_task

from peftlab import FullFineTuning, HeadOnly, LoRA
from peftlab.ledger.verdicts import Claim
from peftlab.lessons import bitfit, lora
from peftlab.lessons import session as sessions
from peftlab.lessons import stored as stored_runs
from peftlab.lessons.lesson import Group, Lesson, Plan
from peftlab.lessons.session import session
from peftlab.runs.trial import Run, Trial, run_trial

HEAD = Trial(label="head only", method=HeadOnly(), learning_rate=1e-2, epochs=1)
FULL = Trial(label="full fine-tuning", method=FullFineTuning(), learning_rate=1e-3, epochs=1)


def plan(*, rank, **_):
    one, two, four = (
        Trial(label=f"r={r}", method=LoRA(rank=r), learning_rate=1e-2, epochs=1) for r in (1, 2, 4)
    )
    main = Trial(label="mine", method=LoRA(rank=rank), learning_rate=1e-2, epochs=1)
    return Plan(
        trials={"LoRA": main, "head": HEAD, "full": FULL},
        series={"rank": {1: one, 2: two, 4: four}},
        groups={
            "controls": Group(trials=[HEAD, FULL], seeds=(0, 1)),
            "elsewhere": Group(trials=[HEAD], seeds=(5,), task="other"),
            "not noted": Group(trials=[one], seeds=(0, 1), noted=False),
            "sweeps": Group(trials=[two, HEAD], seeds=(0, 1)),
            "grid": Group(trials=[two], seeds=(100,), noted=False, shown=False),
        },
    )


LESSON = Lesson(
    lab="09_toy",
    title="A title",
    question="A question?",
    settings=("backbone", "task", "seed", "rank"),
    claims={"a": Claim("It holds", "1.0", "table 1")},
    plan=plan,
)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    place = tmp_path_factory.mktemp("session")
    return {
        "backbone": write_backbone(place / "bert"),
        "task": write_task(place / "toy.tsv"),
        "seed": 0,
        "rank": 2,
    }


def runs_of(trial, where, *accuracies):
    place = {k: where[k] for k in ("backbone", "task")}
    measured = {"counts": {}, "validation_accuracy": 0.5, "test_loss": 1.0, "by_kind": {}}
    return [
        Run.from_json(
            {"label": "as stored", "seed": seed, "test_accuracy": accuracy, "seconds": 1.0}
            | trial.settings()
            | place
            | measured
        )
        for seed, accuracy in enumerate(accuracies)
    ]


@pytest.fixture
def lab(where, monkeypatch):
    """A session with stored runs of the head alone, and of ranks 1 and 2."""
    ranks = plan(rank=2).series["rank"]
    runs = runs_of(HEAD, where, 0.5, 0.6) + runs_of(ranks[1], where, 0.7, 0.8)
    runs += runs_of(ranks[2], where, 0.8, 0.9)
    runs += [replace(run, task="other", test_accuracy=0.1) for run in runs_of(HEAD, where, 0.0)]
    runs += [replace(run, seed=100) for run in runs_of(ranks[2], where, 0.2)]  # shown nowhere
    study = {"runs": runs, "command": "make it"}
    monkeypatch.setattr(stored_runs, "stored", lambda name: {"09_toy_sweep": study}[name])
    return session(LESSON, where | {"other": "left alone"})


def test_a_session_keeps_the_parameters_that_its_lesson_names(lab, where):
    assert lab.record.data["settings"] == where
    assert (lab.backbone, lab.task, lab.seed) == (where["backbone"], where["task"], 0)


def test_a_missing_parameter_is_named_with_the_cell_that_sets_it(where):
    given = {name: value for name, value in where.items() if name != "rank"}
    with pytest.raises(ValueError, match="'rank' of 09_toy is missing; run the parameters cell"):
        session(LESSON, given)


def test_stored_runs_are_found_by_trial_and_by_series(lab):
    assert lab.scores("head") == [0.5, 0.6]
    assert [run.test_accuracy for run in lab.runs("head", task="other")] == [0.1]
    assert lab.all_scores() == {"LoRA": [0.8, 0.9], "head": [0.5, 0.6], "full": []}
    assert lab.series("rank") == {1: [0.7, 0.8], 2: [0.8, 0.9]}
    assert lab.named("head") == ("head only", [0.5, 0.6])
    assert lab.means("head", "full") == {"head": pytest.approx(0.55)}
    assert lab.seeds("controls") == [0, 1]
    with pytest.raises(ValueError, match="no trial 'bitfit'; it has: LoRA, head, full"):
        lab.scores("bitfit")


def test_runs_of_another_lab_are_found_in_its_record_and_each_run_once(where, lab, monkeypatch):
    four = plan(rank=2).series["rank"][4]
    theirs = runs_of(four, where, 0.3, 0.4) + runs_of(HEAD, where, 0.5, 0.6)
    records = {"09_toy_sweep": lab.study, "01_lora_sweep": {"runs": theirs, "command": "x"}}
    monkeypatch.setattr(stored_runs, "stored", lambda name: records[name])

    def borrowing(**settings):
        own = plan(**settings)
        borrowed = Group(trials=[four], seeds=(0, 1), record="01_lora_sweep")
        return replace(own, groups=own.groups | {"borrowed": borrowed})

    other = session(replace(LESSON, plan=borrowing), where)
    assert other.series("rank")[4] == [0.3, 0.4]
    assert other.scores("head") == [0.5, 0.6]  # those of the own record, and not twice
    assert lab.series("rank").keys() == {1, 2}


def test_a_lesson_may_be_about_another_score_than_accuracy(lab, where, monkeypatch):
    for i, run in enumerate(lab.study["runs"]):
        object.__setattr__(run, "test_scores", {"f1": 0.01 * i})
    assert lab.scores("head", "f1") == [0.0, 0.01]
    assert lab.series("rank", "f1") == {1: [0.02, 0.03], 2: [0.04, 0.05]}
    with pytest.raises(ValueError, match="have no score 'bleu'; they have: accuracy, f1"):
        lab.scores("head", "bleu")
    other = session(replace(LESSON, score="f1"), where)
    assert other.score == "accuracy" == other.record.data["score"]  # this task has no F1
    monkeypatch.setattr(stored_runs, "headline", lambda task: "f1")
    other = session(replace(LESSON, score="f1"), where)
    assert other.score == "f1" and other.scores("head") == [0.0, 0.01]
    assert other.measured() == {"mine": [0.04, 0.05], "head only": [0.0, 0.01]}


def test_a_series_is_marked_only_where_the_live_run_is_of_it(where, lab):
    lab.train("LoRA")
    assert lab.point("rank", 2, "LoRA") == (2, lab.live["LoRA"].run.test_accuracy)
    assert lab.point("rank", 1, "LoRA") is None  # another rank
    assert lab.point("rank", 4, "LoRA") is None  # nothing stored
    assert lab.point("rank", 64, "LoRA") is None  # not in the series


def test_what_is_measured_is_stored_or_else_live(lab, monkeypatch):
    lab.train("LoRA")
    now = lab.live["LoRA"].run.test_accuracy
    assert lab.measured() == {"mine": [0.8, 0.9], "head only": [0.5, 0.6]}
    assert [run.label for run in lab.examples("head", "LoRA", "full")] == ["mine", "as stored"]
    assert (lab.accuracy("LoRA"), lab.accuracy("head")) == (now, fmean([0.5, 0.6]))
    lab.study["runs"] = lab.runs("head")  # as with a rank that nobody stored
    assert lab.measured() == {"mine": [now], "head only": [0.5, 0.6]}
    lab.study["runs"].clear()
    assert lab.measured() == {"mine": [now]}


def test_live_runs_are_held_against_stored_ones(lab):
    lab.train("head", "full")
    table = lab.agreement(0.03)
    assert [row["run"] for row in table.rows] == ["head only", "full fine-tuning"]
    assert table.rows[0]["stored"] == "50.0 to 60.0 %"
    assert table.rows[1]["agrees"] == "–"
    assert lab.record.data["agreement"] == table.rows and "3 points" in table.caption
    trials = lab.trials_table()
    assert [row["stored runs"] for row in trials.rows] == [2, 2, 0]
    assert trials.caption == "Stored by: make it"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rank": 0}, "rank must be at least 1, got 0; write for example rank=8"),
        ({"epochs": -1}, "epochs must be at least 1, got -1; write for example epochs=3"),
        ({"examples": 0}, "examples must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be from 1e-12 to 1000, got 0.0; write"),
    ],
)
def test_a_value_out_of_range_is_refused_when_the_session_opens(where, wrong, said):
    """The cell after the parameters stops, and not one in the middle of the lab."""
    parameters = {"alpha": 16.0, "learning_rate": 1e-3, "epochs": 1, "examples": 100}
    with pytest.raises(ValueError, match=said):
        session(lora.LESSON, where | parameters | wrong)


def test_a_number_of_sentences_is_refused_by_the_name_that_the_lab_gives_it(where):
    with pytest.raises(ValueError, match="sentences must be at least 1, got 0; write for example"):
        session(bitfit.LESSON, where | {"sentences": 0, "learning_rate": 1e-3, "epochs": 1})


def test_a_count_is_shown_as_got_in_three_ways(lab):
    lab.train("LoRA")
    attachment = lab.live["LoRA"].attachment
    rows = lab.three_counts(attachment).rows
    assert [row.pop("") for row in rows] == ["closed form", "meta device", "live model"]
    assert rows == [{key: getattr(attachment.report(), key) for key in rows[0]}] * 3
    assert rows[0].keys() == {"trained", "stored", "head", "backbone", "share"}


def test_the_record_holds_counts_results_seeds_and_times(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab.train("LoRA")
    lab.record.claim("a", "0.9", "holds", [0])
    record = json.loads(lab.write().read_text())
    assert record["counts"].keys() == record["times"].keys() == {"mine"}
    assert record["counts"]["mine"] == lab.live["LoRA"].attachment.report().to_dict()
    found = [(r["source"], r["label"], r["seed"]) for r in record["results"]]
    assert found == [("live", "mine", 0)] + [("stored", "as stored", seed) for seed in (0, 1)] * 2
    assert record["curves"].keys() == {"mine, seed 0, live"}
    assert record["seeds"] == {"live": [0], "controls": [0, 1], "sweeps": [0, 1]}


def test_a_lab_that_trains_nothing_writes_what_it_noted(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bare = session(Lesson(lab="00_toy", title="A title", question="A question?"), where)
    record = json.loads(bare.write().read_text())
    assert record["results"] == [] and "seeds" not in record


def test_a_rerun_sweeps_instead_of_reading(where, monkeypatch):
    asked = []

    def swept(lesson, plan, backbone, task):
        asked.append((lesson, plan.trials["LoRA"].method.rank, backbone, task))
        return {"runs": [], "command": "now"}

    monkeypatch.setattr(stored_runs, "sweep", swept)
    lab = session(LESSON, where | {"rerun_sweep": True})
    assert lab.scores("head") == [] and lab.study["command"] == "now"
    assert asked == [(LESSON, 2, where["backbone"], where["task"])]


def test_what_goes_wrong_in_training_stops_the_cell(lab, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(sessions, "run_trial", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        lab.train("LoRA")
    assert not lab.live and not lab.record.data["results"]


def test_half_a_run_does_not_pass_for_a_whole_one(lab, monkeypatch):
    def stopped(*arguments):
        attachment, run = run_trial(*arguments)
        return attachment, replace(run, history=run.history | {"interrupted": True})

    monkeypatch.setattr(sessions, "run_trial", stopped)
    with pytest.raises(KeyboardInterrupt, match="head only is half trained; run the cell again"):
        lab.train("head")
    assert not lab.live and not lab.record.data["results"]


def test_a_task_of_another_kind_is_refused_when_the_session_opens(where):
    lesson = replace(LESSON, kinds=("tag",))
    with pytest.raises(ValueError, match="09_toy takes tasks of kind tag, and task="):
        session(lesson, where)


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True, 2**70, None])
def test_a_seed_that_is_none_stops_the_cell_after_the_parameters(where, seed):
    with pytest.raises(
        (TypeError, ValueError), match=r"seed must be .*(whole number|to 4294967295).* seed=0"
    ):
        session(LESSON, where | {"seed": seed})
