"""The sweeps, small: what they run, compute from the checkpoints, and write."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_task import write_backbone, write_task

from peftlab import (
    Adapter,
    BitFit,
    FullFineTuning,
    HeadOnly,
    LoRA,
    PrefixTuning,
    PromptTuning,
    PTuningV2,
    insight,
    load_backbone,
    load_task,
    paths,
)
from peftlab.insight import amplification, mean_overlap, stored_updates, weights
from peftlab.lessons import (
    adapter,
    bitfit,
    lora,
    p_tuning,
    p_tuning_v2,
    prefix_tuning,
    prompt_tuning,
)
from peftlab.lessons.adapter import sweep as adapter_sweep
from peftlab.lessons.bitfit import sweep as bitfit_sweep
from peftlab.lessons.lesson import Group, Place, Plan, sweep
from peftlab.lessons.lora import sweep as lora_sweep
from peftlab.lessons.p_tuning import sweep as p_tuning_sweep
from peftlab.lessons.p_tuning_v2 import sweep as deep_sweep
from peftlab.lessons.prefix_tuning import sweep as prefix_sweep
from peftlab.lessons.prompt_tuning import sweep as prompt_sweep
from peftlab.runs import engine
from peftlab.runs.records import find_runs, stored
from peftlab.runs.trial import Trial, distinct, run_trial

SEEDS = (0, 1)
SMALL, LARGE = (
    Trial(label=f"LoRA r={r}", method=LoRA(rank=r), learning_rate=1e-2, epochs=1) for r in (8, 16)
)
HEAD = Trial(label="head only", method=HeadOnly(), learning_rate=1e-2, epochs=1)
FULL = Trial(label="full fine-tuning", method=FullFineTuning(), learning_rate=1e-3, epochs=1)
PLAN = Plan(
    trials={"LoRA": SMALL, "full": FULL, "head": HEAD},
    series={"rank": {8: SMALL, 16: LARGE}},
    groups={
        "controls": Group(trials=[HEAD], seeds=(0, 1, 2)),
        "sweeps": Group(trials=[SMALL, FULL, LARGE], seeds=SEEDS),
    },
)
PARAMETERS = {
    lora: {"rank": 8, "alpha": 16.0, "learning_rate": 3e-3, "epochs": 3, "examples": 1000},
    adapter: {
        "bottleneck": 64,
        "init_std": 1e-2,
        "learning_rate": 1e-3,
        "epochs": 3,
        "examples": 1000,
    },
    prompt_tuning: {
        "prompt_length": 5,
        "learning_rate": 1e-2,
        "epochs": 15,
        "language_model": "smollm2",
    },
    prefix_tuning: {
        "prefix_length": 10,
        "reparametrization_width": 0,
        "learning_rate": 3e-1,
        "epochs": 4,
        "examples": 500,
    },
    p_tuning_v2: {"prefix_length": 20, "learning_rate": 1e-1, "epochs": 5},
    p_tuning: {
        "template": "[P*3] [X] [P*3] [Y]",
        "learning_rate": 3e-3,
        "epochs": 10,
        "language_model": "smollm2",
    },
    bitfit: {"sentences": 500, "learning_rate": 3e-3, "epochs": 6},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The sweep of lab 01: its record, backbone and task, and its working directory."""
    place = tmp_path_factory.mktemp("sweep")
    where = (write_backbone(place / "bert"), write_task(place / "toy.tsv"))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        study = sweep(lora.LESSON, PLAN, *where)
    return study, where, place


def updates(done, trial, seed):
    _, where, place = done
    return stored_updates(Place(*where, place / "01_lora_runs").run(trial, seed))


def test_a_sweep_runs_every_group_with_its_own_seeds(done):
    runs = done[0]["runs"]
    assert [(run.label, run.seed) for run in runs] == [
        *((HEAD.label, seed) for seed in (0, 1, 2)),
        *((trial.label, seed) for trial in (SMALL, FULL, LARGE) for seed in SEEDS),
    ]
    stored = json.loads((done[2] / "01_lora_sweep.json").read_text())["runs"]
    assert all(run["validation"] and not {"history", "spectra"} & run.keys() for run in stored)


def test_a_sweep_leaves_what_another_record_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = (write_backbone(tmp_path / "bert"), write_task(tmp_path / "toy.tsv"))
    own = Group(trials=[HEAD], seeds=(0,))
    borrowed = Group(trials=[SMALL], seeds=(0,), record="01_lora_sweep")
    few = replace(PLAN, groups={"own": own, "borrowed": borrowed})
    study = sweep(replace(lora.LESSON, findings=None), few, *where)
    assert [run.label for run in study["runs"]] == [HEAD.label]


def test_full_spectra_are_those_of_the_first_full_fine_tuning(done):
    study, where, _ = done
    found = study["full_spectra"]
    assert found["seed"] == SEEDS[0]
    attachment, _ = run_trial(FULL, *where, seed=SEEDS[0], progress=False)
    wanted = {name: insight.spectrum(d) for name, d in insight.updates(attachment).items()}
    assert found["spectra"].keys() == wanted.keys()
    for name, values in wanted.items():
        assert found["spectra"][name] == pytest.approx(values, rel=1e-3, abs=1e-6)


def test_runs_side_by_side_are_the_runs_alone(done):
    study, where, _ = done
    alone = run_trial(LARGE, *where, seed=1, progress=False)[1]
    found = find_runs(study["runs"], LARGE, *where)[1]
    assert found.seed == 1
    wanted = [look["loss"] for look in alone.validation]
    assert [look["loss"] for look in found.validation] == pytest.approx(wanted, rel=1e-6)
    assert found.test_accuracy == alone.test_accuracy


def test_overlaps_are_maps_of_ranks_seeds_and_chance(done):
    overlaps = done[0]["overlaps"]
    assert list(overlaps) == ["r=8 and r=16", "r=16, two seeds", "random directions"]
    for found in overlaps.values():
        values = torch.tensor(found)
        assert values.shape == (8, 16)
        assert values.min() >= 0 and values.max() <= 1 + 1e-5


def test_overlaps_are_those_of_the_checkpoints(done):
    overlaps = done[0]["overlaps"]
    across = [
        mean_overlap(updates(done, SMALL, seed), updates(done, LARGE, seed), 8, 16)
        for seed in SEEDS
    ]
    wanted = torch.tensor(across).mean(0)
    torch.testing.assert_close(torch.tensor(overlaps["r=8 and r=16"]), wanted)
    between = mean_overlap(*(updates(done, LARGE, seed) for seed in SEEDS), 8, 16)
    torch.testing.assert_close(torch.tensor(overlaps["r=16, two seeds"]), torch.tensor(between))


def test_overlap_of_random_directions_grows_as_chance_does(done):
    found = done[0]["overlaps"]["random directions"]
    assert found[7][15] == pytest.approx(16 / 32, abs=0.1)  # max(i, j) / d
    assert found[0][0] < 0.3


def test_top_directions_are_those_of_every_matrix(done):
    found = done[0]["top_directions"]
    assert [len(own) for own in found.values()] == [len(SEEDS), len(SEEDS) - 1]
    one, other = updates(done, SMALL, 1), updates(done, LARGE, 1)
    each = [mean_overlap({n: one[n]}, {n: other[n]}, 1, 1)[0][0] for n in one]
    assert found["r=8 and r=16"][1] == pytest.approx(each)


def test_full_fine_tuning_is_cut_from_nothing_to_all_of_its_update(done):
    study, where, _ = done
    found = study["full_cut"]
    assert list(found) == list(lora_sweep.CUTS)
    run = find_runs(study["runs"], FULL, *where)[0]
    assert found[64] == run.test_accuracy  # the toy's matrices have no more than 64 directions


def test_amplification_is_that_of_the_small_rank_by_seed_and_number_of_directions(done):
    study, where, _ = done
    rows = study["amplification"]
    assert [(row["seed"], row["directions"]) for row in rows] == [
        (seed, k) for seed in SEEDS for k in (1, 2, 4)
    ]
    assert {row["backbone"] for row in rows} == {where[0]}
    frozen = weights(load_backbone(where[0], load_task(where[1]))[0])
    each = [
        amplification(frozen[name], delta, 4) for name, delta in updates(done, SMALL, 1).items()
    ]
    for key in each[0]:
        assert rows[-1][key] == pytest.approx(sum(row[key] for row in each) / len(each), rel=1e-5)


def test_rates_are_the_best_of_the_stored_grid():
    """On validation, with seeds that no figure shows."""
    plan = lora.LESSON.plan(**PARAMETERS[lora])
    grid = stored("01_lora_sweep")["grid"]
    assert list(grid) == list(plan.series["grid"])
    best = {}
    for name in grid:
        setting, rate = name.rsplit(", ", 1)
        if grid[name] > best.get(setting, (0, 0))[0]:
            best[setting] = grid[name], float(rate)
    scaled = {r: lora_sweep.SCALED_RATES[r] for r in lora_sweep.SCALED_GRID}
    chosen = lora_sweep.RATES | {f"r={r}, alpha={2 * r}": rate for r, rate in scaled.items()}
    chosen |= dict.fromkeys(lora_sweep.BUDGET, lora_sweep.RATES["LoRA"]) | lora_sweep.BUDGET_RATES
    assert {setting: rate for setting, (_, rate) in best.items()} == chosen
    shown = [seed for name, group in plan.groups.items() if name != "grid" for seed in group.seeds]
    assert not set(plan.groups["grid"].seeds) & set(shown)


ADAPTER_RATES = {
    "adapters m=2": "small",
    "adapters m=8": "small",
    "adapters m=64": "large",
    "adapters m=256": "large",
    "LayerNorms only": "norms",
    "top layer": "top",
}
BITFIT_RATES = {label: name for name, (label, _) in bitfit_sweep.METHODS.items() if name != "head"}


@pytest.mark.parametrize(
    ("lesson", "rates", "names"),
    [
        (adapter, adapter_sweep.RATES, ADAPTER_RATES),
        (bitfit, bitfit_sweep.RATES, BITFIT_RATES),
    ],
)
def test_the_rates_of_labs_02_and_07_are_the_best_of_their_stored_grids(lesson, rates, names):
    """On validation, with seeds that no figure shows."""
    plan = lesson.LESSON.plan(**PARAMETERS[lesson])
    grid = stored(f"{lesson.LESSON.lab}_sweep")["grid"]
    assert list(grid) == list(plan.series["grid"])
    best = {}
    for name, accuracy in grid.items():
        setting, rate = name.rsplit(", ", 1)
        if rate.endswith(" epochs") or setting.endswith(" sentences"):
            continue
        best[setting] = max(best.get(setting, (0, 0)), (accuracy, float(rate)))
    assert {setting: rate for setting, (_, rate) in best.items()} == {
        setting: rates[name] for setting, name in names.items()
    }
    shown, hidden = (
        {seed for group in plan.groups.values() if group.shown is so for seed in group.seeds}
        for so in (True, False)
    )
    assert hidden and not hidden & shown


def test_a_sweep_writes_its_record_to_the_working_directory(done):
    study, _, place = done
    record = json.loads((place / "01_lora_sweep.json").read_text())
    assert record["name"] == "01_lora_sweep"
    assert record["command"].startswith("peftlab run 01_lora -p rerun_sweep true -p backbone ")
    assert "torch" in record["versions"]
    assert record.keys() == study.keys()
    for label, found in study["overlaps"].items():
        torch.testing.assert_close(
            torch.tensor(record["overlaps"][label]), torch.tensor(found), rtol=1e-4, atol=1e-9
        )


def test_a_sweep_goes_on_from_its_finished_runs(done, monkeypatch):
    study, where, place = done
    monkeypatch.chdir(place)
    monkeypatch.setattr(engine, "run_trial", None)
    assert sweep(lora.LESSON, PLAN, *where) == study


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_a_group_needs_seeds_that_differ(seeds):
    with pytest.raises(ValueError, match="seeds must be at least one, each of them once; got"):
        Group(trials=[HEAD], seeds=seeds)


@pytest.mark.parametrize("lesson", PARAMETERS, ids=lambda lesson: lesson.LESSON.lab)
def test_a_plan_has_a_group_for_every_trial_and_takes_the_parameters_of_the_lab(lesson):
    where = {
        "backbone": "lab-gpt-micro",
        "task": "facts/capital" if lesson is p_tuning else "opinions",
    }
    plan = lesson.LESSON.plan(**where, seed=0, **PARAMETERS[lesson])
    grouped = [trial for group in plan.groups.values() for trial in group.trials]
    series = [trial for own in plan.series.values() for trial in own.values()]
    for trial in (*plan.trials.values(), *series):
        assert trial.settings() in [other.settings() for other in grouped]
    main = next(iter(plan.trials.values()))
    changed = PARAMETERS[lesson] | {"learning_rate": 0.5, "epochs": 1}
    (other, *_) = lesson.LESSON.plan(**where, seed=0, **changed).trials.values()
    assert other == replace(main, learning_rate=0.5, epochs=1)
    for group in plan.groups.values():
        labels = [trial.label for trial in distinct(group.trials)]
        assert len(set(labels)) == len(labels)  # or the sweep would be refused


def test_the_rates_of_lab_03_are_the_best_of_their_stored_grid():
    """On validation, with seeds that no figure shows."""
    plan = prompt_tuning.LESSON.plan(
        backbone="lab-gpt-micro", task="opinions", seed=0, **PARAMETERS[prompt_tuning]
    )
    grid = stored("03_prompt_tuning_sweep")["grid"]
    assert list(grid) == list(plan.series["grid"])
    best = {}
    for name, accuracy in grid.items():
        setting, rate = name.rsplit(", rate ", 1)
        best[setting] = max(best.get(setting, (0, 0)), (accuracy, -float(rate)))
    chosen = {
        f"{kind} on {size}": rate
        for size, own in prompt_sweep.SIZE_RATES.items()
        for kind, rate in own.items()
    }
    chosen |= {f"P={P}": rate for P, rate in prompt_sweep.LENGTH_RATES.items()}
    kinds = {"prompt": "prompt", "full": "full", "LoRA": "lora"}
    chosen |= {f"{name} on smollm2": prompt_sweep.LM_RATES[kind] for name, kind in kinds.items()}
    assert {setting: -rate for setting, (_, rate) in best.items()} == chosen


def arguments(place):
    return write_backbone(place / "bert"), write_task(place / "toy.tsv")


def test_the_adapter_sweep_takes_layers_away_once_a_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"SEEDS": SEEDS, "MORE_SEEDS": SEEDS, "TESTED": 20}.items():
        monkeypatch.setattr(adapter_sweep, name, value)
    own = Trial(label="adapters", method=Adapter(bottleneck=2), learning_rate=1e-2, epochs=1)
    plan = Plan(
        trials={"adapters": own, "head": HEAD},
        series={"size": {64: own}, "grid": {"adapters, 0.01": own}},
        groups={
            "controls": Group(trials=[own, HEAD], seeds=SEEDS),
            "grid": Group(trials=[own], seeds=(7,), shown=False),
        },
    )
    study = sweep(adapter.LESSON, plan, *arguments(tmp_path))
    layers = len(study["spans"][0])
    assert len(study["spans"]) == len(study["wholes"]) == len(SEEDS) and layers > 1
    assert all(0 <= spans[0][layers - 1]["accuracy"] <= 1 for spans in study["spans"])
    alone = study["switches"]["scores"]["0"]
    assert study["spans"][0][0][0]["loss"] == pytest.approx(alone["loss"])
    assert study["switches"]["scores"][""]["loss"] == pytest.approx(study["wholes"][0]["loss"])
    chosen = [run for run in study["runs"] if run.seed == 7]
    assert study["grid"] == {"adapters, 0.01": chosen[0].validation_accuracy}


def test_the_bitfit_sweep_runs_trials_and_curves_and_tells_what_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    every = Trial(label="BitFit", method=BitFit(), learning_rate=1e-2, epochs=1)
    few = replace(every, label="few", examples=16)
    plan = Plan(
        trials={"all": every, "head": HEAD},
        groups={
            "controls": Group(trials=[every, HEAD], seeds=SEEDS),
            "16 sentences": Group(trials=[few], seeds=(2,)),
        },
    )
    study = sweep(bitfit.LESSON, plan, *arguments(tmp_path))
    assert [(run.label, run.seed) for run in study["runs"]] == [
        *((trial.label, seed) for trial in (every, HEAD) for seed in SEEDS),
        ("few", 2),
    ]
    assert len(study["moves"]) == 2 and all(sum(m["query"]) > 0 for m in study["moves"])
    assert len(study["effects"]) == 2 and all(e["key"] < 1e-3 for e in study["effects"])
    assert json.loads((tmp_path / "07_bitfit_sweep.json").read_text())["moves"]


def test_the_prompt_sweep_measures_attention_by_length_and_lets_prompts_vote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backbone, task = arguments(tmp_path)
    other = write_backbone(tmp_path / "other")
    asked = []

    def counted(attachment, tokenizer, examples, rows):
        asked.append(len(rows))
        return 0.5

    own = {"vote_accuracy": counted, "PROMPTED": backbone, "VOTED": task, "FEW_SEEDS": SEEDS}
    for name, value in own.items():
        monkeypatch.setattr(prompt_sweep, name, value)
    short, long = (
        Trial(label=f"P={P}", method=PromptTuning(prompt_length=P), learning_rate=1e-2, epochs=1)
        for P in (1, 3)
    )
    voter = replace(short, label="voter", examples=16)
    plan = Plan(
        trials={"prompt": short, "head": HEAD},
        series={"length": {1: short, 3: long}},
        groups={
            "stored": Group(trials=[short, long, HEAD], seeds=SEEDS),
            "other": Group(trials=[FULL], seeds=SEEDS, backbone=other),
            "voter": Group(trials=[voter], seeds=range(10), backbone=backbone, task=task),
        },
    )
    study = sweep(prompt_tuning.LESSON, plan, backbone, task)
    labels = [short.label, long.label, HEAD.label, FULL.label]
    assert [run.label for run in study["runs"]] == [
        *(label for label in labels for _ in SEEDS),
        *["voter"] * 10,
    ]
    assert {run.backbone for run in study["runs"] if run.label == FULL.label} == {other}
    assert set(study["mass"]) == {"1", "3"}
    assert all(0 < share < 1 for own in study["mass"].values() for share in own)
    assert study["mass"]["1"][0] < study["mass"]["3"][0]
    assert [group["seeds"] for group in study["ensembles"]] == [[*range(5)], [*range(5, 10)]]
    assert asked == [1, 1, 1, 1, 1, 5] * 2


def test_the_prefix_sweep_measures_attention_and_keeps_what_the_models_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = (paths.DATASETS / "restaurants" / "train.jsonl").read_text().splitlines()[:60]
    (tmp_path / "tables.jsonl").write_text("\n".join(rows))
    where = ("lab-gpt-nano", str(tmp_path / "tables.jsonl"))
    short, long = (
        Trial(
            label=f"P={P}",
            method=PrefixTuning(prefix_length=P, reparametrization_width=0),
            learning_rate=1e-1,
            epochs=1,
        )
        for P in (1, 8)
    )
    prompt = replace(short, label="prompt", method=PromptTuning(prompt_length=2))
    plan = Plan(
        trials={"prefix": short, "full": FULL, "prompt": prompt},
        series={"length": {1: short, 8: long}, "grid": {"direct, 0.1": short}},
        groups={
            "lengths": Group(trials=[short, long, prompt], seeds=SEEDS),
            "grid": Group(trials=[short], seeds=prefix_sweep.GRID_SEEDS, shown=False),
        },
    )
    study = sweep(prefix_tuning.LESSON, plan, *where)
    assert study["mass"].keys() == {"1", "8"}
    assert all(0 < share < 1 for own in study["mass"].values() for share in own)
    assert study["mass"]["1"][0] < study["mass"]["8"][0]
    (grid,) = (run for run in study["runs"] if run.seed == 100)
    assert study["grid"] == {"direct, 0.1": grid.validation_accuracy}
    shown = [example.text for example in prefix_sweep.chosen(load_task(where[1]))]
    assert [place["input"] for place in study["shown"]] == shown
    assert list(study["written"]) == ["P=1", "P=8", "prompt tuning", "full fine-tuning"]
    assert all(len(texts) == len(shown) for texts in study["written"].values())


def test_the_rates_of_lab_04_are_the_best_of_the_stored_grid():
    """On validation, with a seed that no figure shows."""
    plan = prefix_tuning.LESSON.plan(
        backbone="lab-gpt-nano", task="restaurants", seed=0, **PARAMETERS[prefix_tuning]
    )
    grid = stored("04_prefix_tuning_sweep")["grid"]
    assert list(grid) == list(plan.series["grid"])
    best = {}
    for name, accuracy in grid.items():
        setting, rate = name.rsplit(", ", 1)
        if accuracy > best.get(setting, (0, 0))[0]:
            best[setting] = accuracy, float(rate)
    assert {setting: rate for setting, (_, rate) in best.items()} == prefix_sweep.RATES
    shown = [seed for name, group in plan.groups.items() if name != "grid" for seed in group.seeds]
    assert not set(plan.groups["grid"].seeds) & set(shown)
    main = plan.trials["prefix"]
    assert main.settings() == plan.series["length"][prefix_sweep.LENGTH].settings()


def test_an_encoder_gets_no_infix_since_it_reads_both_ways():
    plan = prefix_tuning.LESSON.plan(
        backbone="lab-bert", task="opinions", seed=0, **PARAMETERS[prefix_tuning]
    )
    assert "infix" not in plan.series["place"]


def test_the_deep_prompt_sweep_measures_attention_and_takes_rows_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    every, top = (
        Trial(label=label, method=PTuningV2(prefix_length=3, layers=span), learning_rate=1e-2)
        for label, span in (("all", None), ("top", (2, 2)))
    )
    tried = replace(every, label="tagging, deep, 0.1", learning_rate=0.1)
    plan = Plan(
        trials={"deep": every},
        series={
            "length, tagging": {20: every},
            "span, tagging": {"top": top},
            "grid": {tried.label: tried},
        },
        groups={
            "controls": Group(trials=[every, top], seeds=SEEDS),
            "grid, tagging": Group(trials=[tried], seeds=(100,), shown=False),
        },
    )
    study = sweep(p_tuning_v2.LESSON, plan, *arguments(tmp_path))
    assert list(study["mass"]) == ["20", "top"]
    assert all(0 < share < 1 for share in study["mass"]["20"])
    below, above = study["mass"]["top"]
    assert below == 0 < above < 1  # a layer without rows has no attention on them
    assert list(study["without"]) == ["none", "1", "2"]
    wanted = [run.test_accuracy for run in study["runs"] if run.label == "all"]
    assert study["without"]["none"] == wanted
    (grid,) = (run for run in study["runs"] if run.seed == 100)
    assert study["grid"] == {tried.label: grid.validation_accuracy}


def test_the_rates_of_lab_06_are_the_best_of_its_stored_grid():
    """On validation, with a seed that no figure shows."""
    grid = stored("06_p_tuning_v2_sweep")["grid"]
    found: dict[tuple[str, str], dict[float, float]] = {}
    for label, accuracy in grid.items():
        ground, method, rate = label.split(", ")
        found.setdefault((ground, method), {})[float(rate)] = accuracy
    for (ground, method), own in found.items():
        assert tuple(own) == deep_sweep.GRID[ground][method]
        assert own[deep_sweep.RATES[ground][method]] == max(own.values())
    assert not set(deep_sweep.GRID_SEEDS) & {*deep_sweep.SEEDS, *deep_sweep.FEW_SEEDS}


def test_the_rates_of_lab_05_are_the_best_of_its_stored_grids():
    """On validation, with a seed that no figure shows; of rates that tie, the middle one."""
    grid = stored("05_p_tuning_sweep")["grid"]
    labels = p_tuning_sweep.ENCODERS | {"full": "full fine-tuning"}
    ours = dict.fromkeys(labels, p_tuning_sweep.GRID) | {"full": p_tuning_sweep.FULL_GRID}
    for where, grids, rates in (
        ("", ours, p_tuning_sweep.RATES),
        (" on lab-bert", ours, p_tuning_sweep.BERT_RATES),
        (" on smollm2", p_tuning_sweep.LM_GRID, p_tuning_sweep.LM_RATES),
    ):
        for kind, chosen in rates.items():
            own = {rate: grid[f"{labels[kind]}{where}, rate {rate:g}"] for rate in grids[kind]}
            tied = [rate for rate, accuracy in own.items() if accuracy == max(own.values())]
            assert chosen == tied[(len(tied) - 1) // 2]
    best = max(p_tuning_sweep.ENCODERS, key=lambda kind: _best_of(grid, kind))
    assert best == p_tuning_sweep.BEST
    assert not set(p_tuning_sweep.GRID_SEEDS) & set(p_tuning_sweep.SEEDS)


def _best_of(grid, kind):
    label = p_tuning_sweep.ENCODERS[kind]
    return max(v for name, v in grid.items() if name.startswith(f"{label} on smollm2"))


def test_the_sweep_of_lab_05_asks_with_words_and_without_one_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(p_tuning_sweep, "accuracy_of", lambda model, tokenizer, examples: 0.5)
    tried = Trial(label="P-Tuning, rate 0.1", method=HeadOnly(), learning_rate=0.1)
    plan = Plan(
        trials={"p_tuning": HEAD},
        series={"grid": {tried.label: tried}},
        groups={
            "grid": Group(trials=[tried], seeds=(100,), shown=False),
            "grid, language model": Group(
                trials=[tried], seeds=(100,), shown=False, backbone="lab-gpt-micro"
            ),
        },
    )
    place = Place("lab-gpt-nano", "facts/capital", tmp_path)
    monkeypatch.setattr(Plan, "tried", lambda plan, runs, place: {"a": 0.25})
    found = p_tuning_sweep.findings(plan, [], place)
    relations = load_task("facts").prompts
    assert found["grid"] == {"a": 0.25}
    for backbone in ("lab-gpt-nano", "lab-gpt-micro"):
        assert found["worded"][backbone].keys() == relations.keys()
        asked = {prompt: {"train": 0.5, "test": 0.5} for prompt in relations["young"]}
        assert found["worded"][backbone]["young"] == asked
        assert set(found["edits"][backbone].values()) == {0.5}
        assert len(found["edits"][backbone]) == 8  # two prompts, and six that differ from them
        without = found["without"][backbone]["capital"]
        assert without["prompt"] == relations["capital"][0] and without["before"] == 0.5
        assert without["after"] == dict.fromkeys(("The", "capital", "of", "is"), 0.5)


def test_a_setting_in_two_groups_runs_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backbone, task = arguments(tmp_path)
    other = write_task(tmp_path / "other.tsv")
    again = replace(HEAD, label="the same")
    plan = Plan(
        trials={"p_tuning": HEAD},
        groups={
            "stored": Group(trials=[HEAD], seeds=SEEDS),
            "here": Group(trials=[again], seeds=SEEDS, task=task),
            "there": Group(trials=[again], seeds=SEEDS, task=other),
        },
    )
    study = sweep(replace(p_tuning.LESSON, findings=None), plan, backbone, task)
    assert [(run.label, run.task, run.seed) for run in study["runs"]] == [
        *((HEAD.label, task, seed) for seed in SEEDS),
        *(("the same", other, seed) for seed in SEEDS),
    ]
    stored = json.loads((tmp_path / "05_p_tuning_sweep.json").read_text())
    assert stored["command"].startswith("peftlab run 05_p_tuning -p rerun_sweep true")
