"""The sweeps, small: what they run, compute from the checkpoints, and write."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_task import write_backbone, write_task

from peftlab import (
    BitFit,
    FullFineTuning,
    HeadOnly,
    LoRA,
    PromptTuning,
    PTuning,
    analysis,
    compare,
    load_backbone,
    load_task,
    studies,
)
from peftlab.analysis import amplification, mean_overlap, stored_updates, weights
from peftlab.compare import Trial

SEEDS = (0, 1)
SMALL, LARGE = (
    Trial(label=f"LoRA r={r}", method=LoRA(rank=r), learning_rate=1e-2, epochs=1) for r in (1, 4)
)
HEAD = Trial(label="head only", method=HeadOnly(), learning_rate=1e-2, epochs=1)
FULL = Trial(label="full fine-tuning", method=FullFineTuning(), learning_rate=1e-3, epochs=1)
TRIALS = [SMALL, HEAD, FULL, LARGE]
CONTROLS = {"controls": [HEAD], "control_seeds": (0, 1, 2)}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep that runs side by side: its result, its arguments and its working directory."""
    place = tmp_path_factory.mktemp("sweep")
    where = (write_backbone(place / "bert"), write_task(place / "toy.tsv"))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        study = studies.lora_sweep(TRIALS, SMALL, LARGE, *where, SEEDS, **CONTROLS)
    return study, where, place


def updates(sweep, trial, seed):
    _, where, place = sweep
    return stored_updates(compare.run_folder(place / "01_lora_runs", trial, *where, seed))


def test_sweep_runs_every_trial_with_every_seed_and_controls_with_more(sweep):
    runs = sweep[0]["runs"]
    assert [(run["label"], run["seed"]) for run in runs] == [
        *((HEAD.label, seed) for seed in (0, 1, 2)),
        *((trial.label, seed) for trial in (SMALL, FULL, LARGE) for seed in SEEDS),
    ]
    assert all(run["validation"] and "history" not in run for run in runs)


def test_sweep_without_controls_runs_all_trials_with_its_seeds(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []

    def asks(trials, *, seeds, **where):
        asked.append((trials, seeds))
        raise RuntimeError("enough")

    monkeypatch.setattr(compare, "run_trials", asks)
    with pytest.raises(RuntimeError, match="enough"):
        studies.lora_sweep(TRIALS, SMALL, LARGE, *sweep[1], SEEDS)
    assert asked == [(TRIALS, SEEDS)]


def test_full_spectra_are_those_of_the_first_full_fine_tuning(sweep):
    study, where, _ = sweep
    found = study["full_spectra"]
    assert found["seed"] == SEEDS[0]
    attachment, _ = compare.run_trial(FULL, *where, seed=SEEDS[0], progress=False)
    wanted = {name: analysis.spectrum(d) for name, d in analysis.updates(attachment).items()}
    assert found["spectra"].keys() == wanted.keys()
    for name, values in wanted.items():
        assert found["spectra"][name] == pytest.approx(values, rel=1e-3, abs=1e-6)
    assert not any("spectra" in run for run in study["runs"])


def test_runs_side_by_side_are_the_runs_alone(sweep):
    study, where, _ = sweep
    alone = compare.run_trial(LARGE, *where, seed=1, progress=False)[1]
    found = compare.find_runs(study["runs"], LARGE, *where)[1]
    assert found["seed"] == 1
    wanted = [look["loss"] for look in alone["history"]["validation"]]
    assert [look["loss"] for look in found["validation"]] == pytest.approx(wanted, rel=1e-6)
    assert found["test_accuracy"] == alone["test_accuracy"]


def test_overlaps_are_maps_of_ranks_seeds_and_chance(sweep):
    overlaps = sweep[0]["overlaps"]
    assert list(overlaps) == ["r=1 and r=4", "r=4, two seeds", "random directions"]
    for found in overlaps.values():
        values = torch.tensor(found)
        assert values.shape == (8, 16)
        assert values.min() >= 0 and values.max() <= 1 + 1e-5


def test_overlaps_are_those_of_the_checkpoints(sweep):
    overlaps = sweep[0]["overlaps"]
    across = [
        mean_overlap(updates(sweep, SMALL, seed), updates(sweep, LARGE, seed), 8, 16)
        for seed in SEEDS
    ]
    wanted = torch.tensor(across).mean(0)
    torch.testing.assert_close(torch.tensor(overlaps["r=1 and r=4"]), wanted)
    between = mean_overlap(*(updates(sweep, LARGE, seed) for seed in SEEDS), 8, 16)
    torch.testing.assert_close(torch.tensor(overlaps["r=4, two seeds"]), torch.tensor(between))


def test_overlap_of_random_directions_grows_as_chance_does(sweep):
    found = sweep[0]["overlaps"]["random directions"]
    assert found[7][15] == pytest.approx(16 / 32, abs=0.1)  # max(i, j) / d
    assert found[0][0] < 0.3


def test_amplification_is_that_of_the_small_rank_one_record_a_seed(sweep):
    study, where, _ = sweep
    rows = study["amplification"]
    assert [(row["seed"], row["rank"]) for row in rows] == [(0, 1), (1, 1)]
    frozen = weights(load_backbone(where[0], load_task(where[1]))[0])
    each = [
        amplification(frozen[name], delta, 1) for name, delta in updates(sweep, SMALL, 1).items()
    ]
    for key in each[0]:
        assert rows[1][key] == pytest.approx(sum(row[key] for row in each) / len(each), rel=1e-5)


def test_sweep_writes_its_record_to_the_working_directory(sweep):
    study, _, place = sweep
    record = json.loads((place / "01_lora_sweep.json").read_text())
    assert record["name"] == "01_lora_sweep"
    assert record["command"].startswith("peftlab run 01_lora -p rerun_sweep true -p backbone ")
    assert "torch" in record["versions"]
    for key in ("runs", "full_spectra", "overlaps", "amplification"):
        assert len(record[key]) == len(study[key])
    for label, found in study["overlaps"].items():
        torch.testing.assert_close(
            torch.tensor(record["overlaps"][label]), torch.tensor(found), rtol=1e-4, atol=1e-9
        )


def test_sweep_goes_on_from_its_finished_runs(sweep, monkeypatch):
    study, where, place = sweep
    monkeypatch.chdir(place)
    monkeypatch.setattr(compare, "run_trial", None)
    again = studies.lora_sweep(TRIALS, SMALL, LARGE, *where, SEEDS, **CONTROLS)
    assert again == study


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seeds": (0,)}, r"seeds must be at least two.*got \(0,\)"),
        ({"seeds": (1, 1)}, "seeds must be at least two"),
        ({"trials": [LARGE, FULL]}, "small and large must be two of the trials"),
        ({"trials": [SMALL, FULL]}, "small and large must be two of the trials"),
        ({"small": LARGE, "large": SMALL}, "small with the smaller rank"),
        ({"large": SMALL}, "small with the smaller rank"),
        ({"trials": [SMALL, LARGE, HEAD]}, "one of the trials must be full fine-tuning"),
        (
            {"controls": [HEAD], "control_seeds": (0, 2)},
            r"must hold the seeds \(0, 1\), got \(0, 2\)",
        ),
    ],
    ids=str,
)
def test_a_sweep_that_cannot_be_compared_is_refused_before_it_runs(
    change, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings = {"trials": TRIALS, "small": SMALL, "large": LARGE, "seeds": SEEDS} | change
    with pytest.raises(ValueError, match=message):
        studies.lora_sweep(backbone="bert", task="toy.tsv", **settings)
    assert not list(tmp_path.iterdir())


def arguments(place):
    return write_backbone(place / "bert"), write_task(place / "toy.tsv")


def test_bitfit_sweep_runs_trials_and_curves_and_tells_what_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    every = Trial(label="BitFit", method=BitFit(), learning_rate=1e-2, epochs=1)
    few = replace(every, label="few", examples=16)
    study = studies.bitfit_sweep(
        [every, HEAD], every, *arguments(tmp_path), SEEDS, curves=[few], curve_seeds=(2,)
    )
    assert [(r["label"], r["seed"]) for r in study["runs"]] == [
        *((trial.label, seed) for trial in (every, HEAD) for seed in SEEDS),
        ("few", 2),
    ]
    assert len(study["moves"]) == 2 and all(sum(m["query"]) > 0 for m in study["moves"])
    assert json.loads((tmp_path / "07_bitfit_sweep.json").read_text())["moves"]
    with pytest.raises(ValueError, match="main must be one of the trials"):
        studies.bitfit_sweep([HEAD], every, "bert", "toy.tsv", SEEDS)


def test_prompt_sweep_measures_attention_by_length_and_lets_prompts_vote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backbone, task = arguments(tmp_path)
    asked = []

    def counted(attachment, tokenizer, examples, rows):
        asked.append(len(rows))
        return 0.5

    monkeypatch.setattr(studies, "vote_accuracy", counted)
    monkeypatch.setattr(studies, "PROMPTED", backbone)
    monkeypatch.setattr(studies, "VOTED", task)
    short, long = (
        Trial(label=f"P={P}", method=PromptTuning(prompt_length=P), learning_rate=1e-2, epochs=1)
        for P in (1, 3)
    )
    voter = replace(short, label="voter", examples=16)
    lengths = {1: short, 3: long}
    study = studies.prompt_sweep(
        [short, long, HEAD], lengths, {backbone: [FULL]}, voter, backbone, task, SEEDS
    )
    labels = [short.label, long.label, HEAD.label, FULL.label]
    assert [r["label"] for r in study["runs"]] == [
        *(label for label in labels for _ in SEEDS),
        *["voter"] * 15,
    ]
    assert set(study["mass"]) == {"1", "3"}
    assert all(0 < share < 1 for own in study["mass"].values() for share in own)
    assert study["mass"]["1"][0] < study["mass"]["3"][0]
    assert [group["seeds"] for group in study["ensembles"]] == [
        [*range(n, n + 5)] for n in (0, 5, 10)
    ]
    assert asked == [5, 1, 1, 1, 1, 1] * 3
    with pytest.raises(ValueError, match="must be among the trials"):
        studies.prompt_sweep([HEAD], lengths, {}, voter, backbone, task, SEEDS)
    with pytest.raises(ValueError, match="at least two"):
        studies.prompt_sweep([short, long], lengths, {}, voter, backbone, task, (0,))


def test_p_tuning_sweep_runs_some_trials_everywhere_and_some_on_one_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backbone, task = arguments(tmp_path)
    other = write_task(tmp_path / "other.tsv")
    slots = PTuning(template="[P] [X]", prompt_encoder="mlp")
    learnt = Trial(label="P-Tuning", method=slots, learning_rate=1e-2, epochs=1)
    study = studies.p_tuning_sweep([HEAD], [learnt], [other], backbone, task, SEEDS)
    assert [(r["label"], r["task"], r["seed"]) for r in study["runs"]] == [
        *((HEAD.label, task, seed) for seed in SEEDS),
        *((learnt.label, other, seed) for seed in SEEDS),
    ]
    stored = json.loads((tmp_path / "05_p_tuning_sweep.json").read_text())
    assert stored["command"].startswith("peftlab run 05_p_tuning -p rerun_sweep true")
