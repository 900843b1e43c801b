"""Comparing methods: sizes, the rule for rates, what fits into a time, and what is advised."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import joblib
import pytest
from tiny import tiny_config
from tiny_task import write_backbone, write_task

from peftlab.methods import METHODS
from peftlab.methods.lora.method import LoRA
from peftlab.runs import compare as runs
from peftlab.runs.compare import Contender, Result, Setting
from peftlab.runs.trial import Run
from peftlab.training import History

HEAD = "sequence_classification"


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    place = tmp_path_factory.mktemp("compare")
    return write_backbone(place / "bert"), write_task(place / "toy.tsv")


def timeless(run):
    return replace(run, seconds=0.0, history=dict(run.history) | {"seconds": 0.0})


def made(name, scores, validation=0.8, stored=1.0, trained=1000, seeds=None, **more):
    """A result whose runs have these test accuracies."""
    found = [
        Run.from_json(
            {"label": name, "backbone": "b", "task": "t", "seed": seed, "counts": {},
             "validation_accuracy": validation, "test_accuracy": score, "test_loss": 1.0,
             "by_kind": {}, "seconds": 2.0} | more
        )
        for seed, score in zip(seeds or range(len(scores)), scores, strict=True)
    ]  # fmt: skip
    return Result(Contender(name, METHODS[name](), trained, stored), 1e-3, {}, found)


def test_contenders_have_the_budget_and_baselines_are_in_anyhow():
    config = tiny_config("bert")
    offer = runs.contenders(config, HEAD, 600, ["lora", "bitfit"])
    assert [one.name for one in offer.contenders] == ["lora", "bitfit", "full", "head"]
    lora, *_, full, head = offer.contenders
    assert lora.trained == lora.method.parameter_count(config, HEAD).trained
    assert lora.size == f"rank={lora.method.rank}" and abs(lora.trained - 600) <= 256
    assert head.trained == 0 and full.trained == full.method.parameter_count(config, HEAD).backbone


def test_a_prompt_that_a_head_reads_has_no_gap_to_fill_and_sizes_are_said():
    config = tiny_config("bert")
    (p_tuning, *_) = runs.contenders(config, HEAD, 20_000, ["p_tuning"]).contenders
    assert "[Y]" not in p_tuning.method.template
    (bitfit, *_) = runs.contenders(config, HEAD, 600, ["bitfit"]).contenders
    assert bitfit.size.startswith("biases=")


def test_a_budget_that_is_too_small_leaves_a_method_out_and_says_why():
    offer = runs.contenders(tiny_config("bert"), HEAD, 64, ["lora", "prompt_tuning"])
    assert [one.name for one in offer.contenders] == ["prompt_tuning", "full", "head"]
    assert "smallest size" in offer.refused["lora"]


@pytest.mark.parametrize(
    ("budget", "names", "message"),
    [
        (1, ["lora", "adapter"], "lora: the smallest size trains|LoRA: the smallest size trains"),
        (
            10**9,
            ["lora"],
            r"a budget of 1,000,000,000 is more than the backbone has; give \d+ or less",
        ),
        (600, ["LoRA"], "no method 'LoRA' to compare; there are: lora, adapter"),
        (600, ["top_layers"], "no method 'top_layers' to compare"),
    ],
)
def test_what_leaves_nothing_to_compare_is_refused(budget, names, message):
    with pytest.raises(ValueError, match=message):
        runs.contenders(tiny_config("bert"), HEAD, budget, names)


def test_every_method_that_can_be_compared_has_a_rate_to_begin_with():
    assert set(runs.USUAL) == set(METHODS) - {"top_layers"}
    assert set(runs.USUAL.values()) <= set(runs.LADDER)


def looks(*accuracies, rates=(3e-4, 1e-3, 3e-3, 1e-2), losses=(1.0,) * 4):
    """What was tried, by rate; None where the run failed."""
    return {
        rate: runs.FAILED if accuracy is None else (accuracy, -loss)
        for rate, accuracy, loss in zip(rates, accuracies, losses, strict=False)
    }


@pytest.mark.parametrize(
    ("tried", "wanted"),
    [
        ({}, [3e-4, 1e-3, 3e-3]),
        (looks(0.5, 0.7, 0.6), []),
        (looks(0.5, 0.6, 0.7), [1e-2]),
        (looks(0.7, 0.6, 0.5), [1e-4]),
        (looks(0.6, 0.6, 0.6, losses=(1.9, 1.5, 0.9)), [1e-2]),  # of equals the lowest loss
        (looks(0.6, 0.6, 0.6, losses=(0.9, 0.8, 0.9)), []),
        (looks(0.5, 0.6, 0.7, 0.65), []),
        (looks(*range(7), rates=runs.LADDER[:7], losses=(1,) * 7), []),  # seven are enough
        (looks(3, 2, 1, rates=runs.LADDER[:3]), []),  # the ladder ends
        (looks(None, 0.6, None), []),
        (looks(None, None, None), []),
    ],
)
def test_rates_go_on_while_the_best_stands_at_an_end(tried, wanted):
    assert runs.next_rates(tried, 1e-3) == wanted


def test_as_many_examples_are_taken_as_fit_into_the_time():
    planned = [lambda n: 2 + n / 100] * 4
    assert runs.fitting_examples(planned, 5000, 100, 1) == 2300
    assert runs.fitting_examples(planned, 5000, 50, 2) == 2300
    assert runs.fitting_examples(planned, 500, 100, 1) == 500
    assert runs.fitting_examples(planned, 30, 100, 1) == 30
    with pytest.raises(ValueError, match=r"4 runs on 64 examples take 0\.088 minutes here"):
        runs.fitting_examples(planned, 500, 5, 2)


def test_an_estimate_grows_with_the_examples(where):
    (one, *_) = runs.contenders(tiny_config("bert"), HEAD, 600, ["lora"]).contenders
    takes = runs.seconds_a_run(one, *where, Setting(epochs=2, batch_size=8))
    assert 0 < takes(8) < takes(800)


def test_a_method_that_does_not_fit_the_task_is_left_out_before_anything_runs(where):
    config = tiny_config("bert")
    offer = runs.contenders(config, HEAD, 600, ["lora", "prompt_tuning"])
    long = replace(offer.contenders[1], method=METHODS["prompt_tuning"](prompt_length=39))
    offer = offer._replace(contenders=[offer.contenders[0], long, *offer.contenders[2:]])
    found = runs.plan(offer, *where, Setting(epochs=1, batch_size=8), 2, 30, None, 1)
    assert found.names == ["lora", "full", "head"] and "prompt_tuning" in found.refused
    assert found.examples == 30 and 0 < found.minutes < found.longest


def test_an_interrupted_measurement_stops_the_plan(where, monkeypatch):
    offer = runs.contenders(tiny_config("bert"), HEAD, 600, ["lora"])
    monkeypatch.setattr(runs, "train", lambda *a, **k: History({}, interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        runs.plan(offer, *where, Setting(), 2, 30, None, 1)


def test_the_cheapest_of_those_near_the_best_is_taken():
    full = made("full", [0.99] * 3, validation=0.99, stored=80)
    adapter = made("adapter", [0.9] * 3, validation=0.905, stored=2)
    lora = made("lora", [0.89] * 3, validation=0.897, stored=1)
    head = made("head", [0.7] * 3, validation=0.7, stored=0)
    results = [full, adapter, lora, head]
    assert runs.take(results, 1000) == (lora, [adapter, lora])
    assert runs.take(results, 4)[0] is head  # one example of four is 25 points
    assert runs.take(results, None)[0] is lora  # words are no examples
    lucky = made("lora", [0.99], validation=0.99, stored=1)
    assert runs.take([adapter, lucky], 1000) == (adapter, [adapter])  # a lost seed is not whole


def test_full_fine_tuning_keeps_to_no_budget_and_is_taken_where_all_others_failed():
    full = made("full", [0.99] * 3, validation=0.99, stored=80)
    assert runs.take([full, made("head", [0.7] * 3, validation=0.7, stored=0)], 1000)[0] is not full
    assert runs.take([full, made("lora", [0.9], validation=0.9)], 1000) == (full, [full])


def test_the_advice_tells_who_is_better_worse_or_level():
    lora = replace(made("lora", [0.80, 0.81, 0.82], validation=0.9), latency={"unmerged": 1.2})
    others = [
        made("full", [0.85, 0.86, 0.87], validation=0.9, stored=50),
        made("head", [0.60, 0.61, 0.62], validation=0.6, stored=0),
        made("bitfit", [0.75, 0.858, 0.821], validation=0.9, stored=2),
        made("adapter", [0.85, 0.86], validation=0.9, stored=2, seeds=(0, 2)),
    ]
    what, how, cost = runs.advice([lora, *others], 500, 400)
    assert what.startswith(
        "Take LoRA with rank=8, which stores least of the 2 near the best on validation at this bud"
    )
    assert "test accuracy 81.0 % (78.5 to 83.5 over 3 seeds)" in what
    assert "better: full fine-tuning (at no budget) +5.0; worse: head only -20.0;" in how
    assert "not to be told apart: BitFit +0.0; not compared, since runs failed: adapters" in how
    assert "from 400 test examples alone, its own is known to 76.9 to 84.5 %" in how
    assert "trained in 2 s" in cost and "a text takes 1.20 times as long" in cost


@pytest.mark.parametrize(
    "guess, tested, said",
    [
        (None, 400, ""),
        (75.0, 400, "; always the commonest answer gives 75.0 %."),
        (79.0, 400, "; always the commonest answer gives 79.0 %, which it does not surely beat."),
        (75.0, 90, "; always the commonest answer gives 75.0 %, which it does not surely beat."),
    ],
)
def test_the_advice_holds_what_it_takes_against_the_commonest_answer(guess, tested, said):
    lora = made("lora", [0.80, 0.81, 0.82], validation=0.9)
    how = runs.advice([lora], 500, tested, guess=guess)[1]
    assert how.endswith(said) and ("commonest" in how) == bool(said)


@pytest.mark.parametrize(("tested", "said"), [(100, "not to be told apart"), (1000, "worse")])
def test_fewer_than_six_test_examples_tell_nobody_apart(tested, said):
    best, other = made("lora", [1.0] * 3), made("full", [0.99] * 3, stored=50)
    what, how, _ = runs.advice([best, other], 500, tested)
    assert what.startswith("Take LoRA with rank=8, the best on validation at this budget: test acc")
    assert f"{said}: full fine-tuning (at no budget) -1.0" in how
    assert "to 100.0 %" in how and "100.0 to 100.0" not in how


def test_one_seed_tells_nobody_apart():
    what, how, _ = runs.advice([made("lora", [0.9]), made("head", [0.6], validation=0.5)], 500, 400)
    assert "(one seed)" in what and "not to be told apart: head only -30.0" in how


def test_scores_of_a_hundred_are_points_already_and_have_no_sampling_error_here():
    lora = made("lora", [0.1, 0.2], test_scores={"bleu": 40.5, "f1": 0.5})
    assert lora.points("bleu") == {0: 40.5, 1: 40.5} and lora.points("f1") == {0: 50, 1: 50}
    what, how, _ = runs.advice([lora], 100, None, "bleu")
    assert "test bleu 40.5 (" in what and how == "The others, in test points against it: none."


def test_a_comparison_tunes_with_a_seed_of_its_own_and_reports_the_others(where, tmp_path):
    offer = runs.contenders(tiny_config("bert"), HEAD, 600, ["lora"])
    with joblib.parallel_config(backend="sequential"):
        results = runs.compare(
            offer.contenders, *where, Setting(epochs=1), (0, 1), tmp_path, progress=False
        )
    for result in results:
        assert [run.seed for run in result.runs] == [0, 1]
        assert result.rate in result.tried and len(result.tried) >= 3
        assert result.tried[result.rate] == max(result.tried.values())
        assert all(run.settings["learning_rate"] == result.rate for run in result.runs)
    with pytest.raises(ValueError, match="seed 100 chooses the learning rates"):
        runs.compare(offer.contenders, *where, Setting(), (100,), tmp_path)


def test_a_method_that_fails_is_told_and_the_others_go_on(where, tmp_path):
    offer = runs.contenders(tiny_config("bert"), HEAD, 600, ["lora"])
    broken = Contender("lora", LoRA(rank=8, targets=("query",), alpha=1e39), 1, 1.0)
    with joblib.parallel_config(backend="sequential"):
        found = runs.compare(
            [broken, *offer.contenders[1:]], *where, Setting(epochs=1), (0,), tmp_path,
            progress=False,
        )  # fmt: skip
    assert not found[0].runs and not found[0].tried  # to diverge is no error of a rate
    assert all(result.runs and not result.failures for result in found[1:])


def test_latency_is_measured_merged_where_that_is_possible(where):
    offer = runs.contenders(tiny_config("bert"), HEAD, 600, ["lora", "prompt_tuning"])
    found = {
        one.name: {*runs.measure_latency(Result(one, 1e-3, {}, []), *where).latency}
        for one in offer.contenders
    }
    assert found.pop("lora") == {"unmerged", "merged"}
    assert found == {name: {"unmerged"} for name in ("prompt_tuning", "full", "head")}


def test_what_is_stored_is_told_without_the_head():
    lora, full, head = runs.contenders(tiny_config("bert"), HEAD, 600, ["lora"]).contenders
    assert lora.stored == lora.trained * 4 / 2**20 and full.stored == full.trained * 4 / 2**20
    assert head.stored == 0


def test_some_examples_of_many_are_drawn_since_a_file_may_be_sorted(where, tmp_path):
    (lora, *_) = runs.contenders(tiny_config("bert"), HEAD, 600, ["lora"]).contenders
    with joblib.parallel_config(backend="sequential"):
        some, whole = (
            runs.compare(
                [lora], *where, Setting(epochs=1, examples=own), (0,), tmp_path, progress=False
            )[0]
            for own in (10, None)
        )
    assert some.runs[0].settings["drawn"] and "drawn" not in whole.runs[0].settings


def command(where, output, *more):
    backbone, task = where
    return [
        sys.executable, "-c", "from peftlab.cli import main; main()", "compare", "--task", task,
        "--backbone", backbone, "--budget", "600", "--methods", "lora,bitfit", "--seeds", "2",
        "--epochs", "1", "--output", str(output), *more,
    ]  # fmt: skip


def outcome(output):
    """What a finished comparison has found, without the seconds."""
    record = json.loads((output / "compare.json").read_text())
    found = [{k: v for k, v in run.items() if k != "seconds"} for run in record["runs"]]
    return record["tried"], found


def test_a_killed_comparison_goes_on_and_ends_the_same(where, tmp_path):
    subprocess.run(command(where, tmp_path / "whole"), check=True, capture_output=True)
    output = tmp_path / "killed"
    first = subprocess.Popen(
        command(where, output), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not list(output.glob("runs-*/*/run.json")):
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    kept = {path: path.stat().st_mtime_ns for path in output.glob("runs-*/*/run.json")}
    subprocess.run(command(where, output), check=True, capture_output=True)
    assert outcome(output) == outcome(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert sorted(path.name.split("-")[0] for path in output.iterdir()) == [
        "compare.json", "compare.png", "compare.txt", "plan", "runs",
    ]  # fmt: skip
