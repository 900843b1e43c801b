"""All methods on one backbone, one task and one budget of trained parameters.

    offer = contenders(model.config, head_of(model), 100_000, USUAL)
    found = compare(offer.contenders, "minilm", "reviews", setting, (0, 1, 2), "runs")

The learning rate of each method is chosen on the validation split with a seed that is reported
nowhere, by one rule: three rates around `USUAL`, and on by one as long as the best stands at an end
of what was tried, up to seven rates. The best has the highest accuracy, and of equals the lowest
loss. Test examples are looked at once, with the rate that was chosen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from scipy.stats import binomtest

from peftlab import anatomy
from peftlab.attach import Attachment
from peftlab.backbones import load_backbone
from peftlab.insight import latency, time_ratio
from peftlab.methods import METHODS
from peftlab.methods.base import Method
from peftlab.methods.baselines import FullFineTuning, HeadOnly
from peftlab.methods.budget import closest, size_of
from peftlab.methods.p_tuning.method import PTuning
from peftlab.runs.engine import Failure, keep_the_run_alone, run_trials
from peftlab.runs.trial import Run, Trial
from peftlab.seeds import interval
from peftlab.training import NonFiniteLossError, evaluate, train
from peftlab.training.batches import collator, encode
from peftlab.training.evaluate import fitting_length

LADDER = tuple(float(f"{m}e{e}") for e in range(-7, 1) for m in (1, 3))  # learning rates
USUAL = {  # where the search for a rate begins
    "lora": 3e-3,
    "adapter": 1e-3,
    "prompt_tuning": 3e-2,
    "prefix_tuning": 1e-2,
    "p_tuning": 3e-3,
    "p_tuning_v2": 1e-2,
    "bitfit": 3e-3,
    "full": 1e-4,
    "head": 1e-2,
}
OF_A_HUNDRED = ("bleu", "chrf")  # scores that sacrebleu gives from 0 to 100
READING_HEADS = ("sequence_classification", "token_classification")  # no word is filled in
BASELINES = (FullFineTuning.name, HeadOnly.name)
FIRST_RATES, MOST_RATES = 3, 7  # tried for one method
TUNING_SEED = 100  # chooses learning rates, and is reported nowhere
FAILED = (-1.0, -math.inf)  # below everything that was tried
TOLD_APART = 6  # test examples; a sign test needs so many, all on one side
LEAST_EXAMPLES = 64  # with less time than these need, nothing is compared
NEAR = 0.01  # so far below the best on validation a cheaper method is taken


@dataclass(frozen=True)
class Contender:
    """A method of the size that was asked for.

    Args:
        name: of the method.
        method: with its size.
        trained: parameters, without the head.
        stored: MiB that are kept after training, without the head.
    """

    name: str
    method: Method
    trained: int
    stored: float

    @property
    def size(self) -> str:
        """The size as it is written on the command line, such as "rank=8"."""
        return size_of(self.method)


class Offer(NamedTuple):
    """What can be compared.

    Args:
        contenders: the methods that fit, and the baselines, full fine-tuning and head only.
        refused: why the others do not, by method.
    """

    contenders: list[Contender]
    refused: dict[str, str]


@dataclass(frozen=True)
class Setting:
    """How every run trains, its learning rate apart.

    Args:
        epochs: passes over the training split.
        batch_size: examples of a step.
        examples: training examples that are taken, drawn by the seed of a run; None takes all.
    """

    epochs: int = 5
    batch_size: int = 16
    examples: int | None = None


@dataclass(frozen=True)
class Result:
    """What became of a contender.

    Args:
        contender: the method.
        rate: the learning rate that was chosen.
        tried: validation accuracy from 0 to 1 by learning rate; a rate that diverged is left out.
        runs: one for each seed that did not fail.
        failures: what failed, of these and while the rate was chosen.
        latency: forward time divided by that of the backbone with the same head, one text at a
            time: "unmerged", and "merged" where the method can be merged; empty if not measured.
    """

    contender: Contender
    rate: float
    tried: Mapping[float, float]
    runs: Sequence[Run]
    failures: Sequence[str] = ()
    latency: Mapping[str, float] | None = None

    def points(self, score: str = "accuracy") -> dict[int, float]:
        """Test scores from 0 to 100 by seed; see `Run.score`."""
        scale = 1 if score in OF_A_HUNDRED else 100
        return {run.seed: scale * run.score(score) for run in self.runs}

    @property
    def validation(self) -> float:
        """Mean validation accuracy over the seeds, from 0 to 1; nothing is below no run at all."""
        return fmean(run.validation_accuracy for run in self.runs) if self.runs else -math.inf


def contenders(config: Any, head: str | None, budget: int, names: Iterable[str]) -> Offer:
    """Give each method the size that is closest to a budget.

    Args:
        config: of the backbone.
        head: the task head, see `anatomy.HEADS`.
        budget: trained parameters without the head, at least 0.
        names: of `USUAL`; baselines are in anyhow.

    Returns:
        What can be compared.

    Raises:
        ValueError: a name is no method, or none of the methods has a size for the budget.
    """
    names = list(names)
    if unknown := [name for name in names if name not in USUAL]:
        raise ValueError(f"no method {unknown[0]!r} to compare; there are: {', '.join(USUAL)}")
    whole = anatomy.backbone_parameters(config, head)
    if budget > whole:
        raise ValueError(
            f"a budget of {budget:,} is more than the backbone has; give {whole} or less"
        )
    found, refused = [], {}
    for name in USUAL:
        if name not in names and name not in BASELINES:
            continue
        own = METHODS[name]()
        if isinstance(own, PTuning) and head in READING_HEADS:
            own = replace(own, template=own.template.removesuffix(" [Y]"))
        try:
            if name not in BASELINES:
                own = closest(own, config, head, budget).method
            count = own.parameter_count(config, head)
        except ValueError as error:
            refused[name] = str(error)
            continue
        stored = replace(count, head=0).checkpoint_mib()
        found.append(Contender(name, own, count.trained, stored))
    if refused and len(found) == len(BASELINES):
        raise ValueError("; ".join(refused.values()))
    return Offer(found, refused)


class Plan(NamedTuple):
    """What will be run.

    Args:
        names: of the methods, baselines among them.
        refused: why others do not fit, by method.
        examples: training examples of each run.
        seconds: about how long one run takes on one core, by method.
        minutes: about how long all runs take here.
        longest: the same where every method tries `MOST_RATES` rates.
    """

    names: list[str]
    refused: dict[str, str]
    examples: int
    seconds: dict[str, float]
    minutes: float
    longest: float


def plan(
    offer: Offer,
    backbone: str,
    task: str,
    setting: Setting,
    seeds: int,
    examples: int,
    minutes: float | None,
    jobs: int,
) -> Plan:
    """Let each method take a few steps, to know the times, and to leave out what does not fit.

    Args:
        offer: see `contenders`.
        backbone: see `load_backbone`.
        task: see `load_task`.
        setting: of the runs.
        seeds: how many.
        examples: training examples at most.
        minutes: that there are; None takes all the examples.
        jobs: runs side by side.

    Returns:
        The plan.

    Raises:
        ValueError: a baseline does not fit the backbone or the task, or the time is too short.
    """
    names, refused, each = [], dict(offer.refused), []
    for one in offer.contenders:
        try:
            takes = seconds_a_run(one, backbone, task, setting)
        except ValueError as error:
            if one.name in BASELINES:
                raise
            refused[one.name] = str(error)
            continue
        names.append(one.name)
        each.append(takes)
    usually = FIRST_RATES + 1 + seeds  # most methods try three rates or four
    if minutes is not None:
        examples = fitting_examples(each * usually, examples, 60 * minutes, jobs)
    seconds = {name: takes(examples) for name, takes in zip(names, each, strict=True)}
    once = sum(seconds.values()) / jobs / 60
    return Plan(names, refused, examples, seconds, once * usually, once * (MOST_RATES + seeds))


def seconds_a_run(
    contender: Contender, backbone: str, task: str, setting: Setting
) -> Callable[[int], float]:
    """Measure a few steps, to say how long whole runs take.

    Args:
        contender: what is to be run.
        backbone: see `load_backbone`.
        task: see `load_task`.
        setting: of the runs.

    Returns:
        Takes a number of training examples, and says the seconds of a run on one core.

    Raises:
        ValueError: the method does not fit the backbone or the task.
        KeyboardInterrupt: Ctrl-C.
    """
    trial = _trial(contender, USUAL[contender.name], setting)
    data = trial.task(task)
    few = replace(data, train=data.train[: 3 * setting.batch_size])
    with _one_thread():
        started = time.perf_counter()
        model, tokenizer = load_backbone(backbone, data, seed=TUNING_SEED)
        attachment = trial.method.attach(model)
        loading = time.perf_counter() - started
        history = train(
            attachment,
            tokenizer,
            few,
            learning_rate=1e-6,
            epochs=1,
            batch_size=setting.batch_size,
            validate=0,
            progress=False,
        )
        if history.interrupted:
            raise KeyboardInterrupt
        step = history.seconds / len(history.losses)
        started = time.perf_counter()
        asked = data.validation[:32]
        evaluate(model, tokenizer, asked)
        look = (time.perf_counter() - started) / len(asked)
    looks = len(data.validation) + len(data.test)
    return lambda examples: (
        loading + setting.epochs * math.ceil(examples / setting.batch_size) * step + looks * look
    )


def fitting_examples(
    runs: Sequence[Callable[[int], float]], most: int, seconds: float, jobs: int
) -> int:
    """Find how many training examples fit into a time.

    Args:
        runs: what each of the planned runs takes, see `seconds_a_run`.
        most: examples that there are.
        seconds: that there are.
        jobs: runs side by side.

    Returns:
        At most `most`.

    Raises:
        ValueError: even `LEAST_EXAMPLES` take longer; says how long.
    """

    def needs(examples: int) -> float:
        return sum(run(examples) for run in runs) / jobs

    least = min(LEAST_EXAMPLES, most)
    if needs(least) > seconds:
        raise ValueError(
            f"{len(runs)} runs on {least} examples take {needs(least) / 60:.2g} minutes here; give "
            "more minutes, or compare fewer methods, seeds or epochs"
        )
    low, high = least, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needs(middle) <= seconds else (low, middle)
    return low


def compare(
    offered: Sequence[Contender],
    backbone: str,
    task: str,
    setting: Setting,
    seeds: Sequence[int],
    folder: str | Path,
    seconds: Mapping[str, float] | None = None,
    **engine: Any,
) -> list[Result]:
    """Choose a learning rate for each method, and train it with every seed.

    Args:
        offered: what to compare, see `contenders`.
        backbone: see `load_backbone`.
        task: see `load_task`.
        setting: of all runs.
        seeds: at least one; not `TUNING_SEED`.
        folder: keeps the finished runs, so that an interrupted comparison goes on.
        seconds: what a run takes, by method, for the bar; see `Plan`.
        **engine: options of `run_trials`, such as `jobs` and `scheduler`.

    Returns:
        A result for each method, in the order given.

    Raises:
        ValueError: a seed is the one that chooses rates, or the task or backbone does not fit.
    """
    if TUNING_SEED in seeds:
        raise ValueError(f"seed {TUNING_SEED} chooses the learning rates; take other seeds")
    engine |= {"backbone": backbone, "task": task, "folder": folder, "keep": keep_the_run_alone}
    tried, failed = _try_rates(offered, setting, seconds, engine)
    rates = {name: _best(own) for name, own in tried.items() if _best(own) is not None}
    failures: list[Failure] = []
    trials = [_trial(one, rates[one.name], setting) for one in offered if one.name in rates]
    runs = (
        run_trials(trials, seeds=seeds, failures=failures, takes=seconds, title="seeds", **engine)
        if trials
        else []
    )
    return [
        Result(
            one,
            rates.get(one.name, math.nan),
            {r: found[0] for r, found in sorted(tried[one.name].items()) if found != FAILED},
            [run for run in runs if run.label == one.name],
            [*failed[one.name], *(str(f) for f in failures if f.label == one.name)],
        )
        for one in offered
    ]


Tried = Mapping[float, tuple[float, float]]  # by rate: validation accuracy, and minus the loss


def _try_rates(
    offered: Sequence[Contender],
    setting: Setting,
    seconds: Mapping[str, float] | None,
    engine: dict[str, Any],
) -> tuple[dict[str, dict[float, tuple[float, float]]], dict[str, list[str]]]:
    """What was tried by method; and the errors, but for rates that diverged: they are just bad."""
    tried: dict[str, dict[float, tuple[float, float]]] = {one.name: {} for one in offered}
    failed: dict[str, list[str]] = {one.name: [] for one in offered}
    while wanted := [
        (one, rate) for one in offered for rate in next_rates(tried[one.name], USUAL[one.name])
    ]:
        labelled = {f"{one.name}, rate {rate:g}": (one, rate) for one, rate in wanted}
        trials = [
            replace(_trial(one, rate, setting), label=label)
            for label, (one, rate) in labelled.items()
        ]
        takes = seconds and {label: seconds[one.name] for label, (one, _) in labelled.items()}
        failures: list[Failure] = []
        title = "more rates" if any(tried.values()) else "learning rates"
        found = run_trials(
            trials, seeds=[TUNING_SEED], failures=failures, takes=takes, title=title, **engine
        )
        looks = {run.label: run.validation[-1] for run in found}
        for label, (one, rate) in labelled.items():
            look = looks.get(label)
            tried[one.name][rate] = (look["accuracy"], -look["loss"]) if look else FAILED
        for failure in failures:
            if not isinstance(failure.error, NonFiniteLossError):
                failed[labelled[failure.label][0].name].append(str(failure))
    return tried, failed


def _best(tried: Tried) -> float | None:
    """The best rate; None where every run failed."""
    best = max(tried, key=lambda rate: tried[rate])
    return None if tried[best] == FAILED else best


def next_rates(tried: Tried, usual: float) -> list[float]:
    """Say which learning rates to try next.

    Args:
        tried: validation accuracy and minus the loss by rate, `FAILED` where there is none.
        usual: where to begin; one of `LADDER`.

    Returns:
        At first the usual rate and its neighbours; then the neighbour beyond the best rate where
        that stands at an end; none where it does not, where all failed, where the ladder ends or
        `MOST_RATES` are tried.
    """
    if not tried:
        middle = LADDER.index(usual)
        return list(LADDER[middle - 1 : middle + 2])
    best = _best(tried)
    if best is None or len(tried) >= MOST_RATES:
        return []
    places = sorted(LADDER.index(rate) for rate in tried)
    place = LADDER.index(best)
    beyond = {places[0]: place - 1, places[-1]: place + 1}.get(place, -1)
    return [LADDER[beyond]] if 0 <= beyond < len(LADDER) else []


def _trial(one: Contender, rate: float, setting: Setting) -> Trial:
    return Trial(
        label=one.name,
        method=one.method,
        learning_rate=rate,
        epochs=setting.epochs,
        batch_size=setting.batch_size,
        examples=setting.examples,
        drawn=setting.examples is not None,  # a file may be sorted by its labels
        look_every=setting.epochs,  # only the last look decides
    )


def measure_latency(result: Result, backbone: str, task: str) -> Result:
    """Time one text at a time, as ratios to the backbone; what was trained does not matter to it.

    Args:
        result: of a method.
        backbone: see `load_backbone`.
        task: see `load_task`.

    Returns:
        The result with its latency; a baseline has nothing to merge.
    """
    trial = _trial(result.contender, result.rate, Setting())
    data = trial.task(task)
    plain, tokenizer = load_backbone(backbone, data)
    model, _ = load_backbone(backbone, data)
    attachment: Attachment = trial.method.attach(model)
    length = fitting_length(model, 128)
    batch = collator(tokenizer, "right")(encode(tokenizer, data.test[:1], length))
    for one in (plain, model):
        one.eval()

    def ratio() -> float:
        return time_ratio(lambda: plain(**batch), lambda: model(**batch), repeats=51)[0]

    with torch.no_grad(), _one_thread():
        found = latency(attachment, ratio)
    if result.contender.name in BASELINES:
        found = {"unmerged": found["unmerged"]}
    return replace(result, latency=found)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def take(results: Sequence[Result], validated: int | None) -> tuple[Result, list[Result]]:
    """Choose what to take: of those near the best on validation, what stores least.

    Full fine-tuning keeps to no budget, so it is what the others are held against, and is taken
    only where nothing else ran to its end.

    Args:
        results: at least one of them with runs.
        validated: validation examples; None where accuracy is no share of them, but of words.

    Returns:
        The one to take; and all that are near the best, their mean validation accuracy at most
        `NEAR`, or one example, below it. A method that lost a seed is among them only where all
        did.
    """
    most = max(len(result.runs) for result in results)
    whole = [result for result in results if len(result.runs) == most]
    kept = [r for r in whole if r.contender.name != FullFineTuning.name] or whole
    best = max(result.validation for result in kept)
    margin = max(NEAR, 1 / validated) if validated else NEAR
    near = [r for r in kept if r.validation >= best - margin - 1e-9]
    return min(near, key=lambda result: (result.contender.stored, -result.validation)), near


def advice(
    results: Sequence[Result],
    validated: int | None,
    tested: int | None,
    score: str = "accuracy",
    guess: float | None = None,
) -> list[str]:
    """Say in three sentences what to take, how sure that is, and what it costs.

    Args:
        results: at least one of them with runs.
        validated: see `take`.
        tested: test examples; None where the score is no share of them.
        score: which test score is told, see `Run.score`.
        guess: that score from 0 to 100 where every answer is the commonest one of training, see
            `peftlab.tasks.word_counting.majority`; None does not tell it.

    Returns:
        The sentences.
    """
    results = [result for result in results if result.runs]
    chosen, near = take(results, validated)
    one, own = chosen.contender, chosen.points(score)
    found = interval([*own.values()])
    unit = "" if score in OF_A_HUNDRED else " %"
    spread = f"{max(found.low, 0):.1f} to {min(found.high, 100):.1f} over {len(own)} seeds"
    size = f" with {one.size}" if one.size else ""
    least = f"which stores least of the {len(near)} near " if len(near) > 1 else ""
    what = (
        f"Take {one.method.title}{size}, {least}the best on validation at this budget: "
        f"test {score.replace('_', ' ')} {found.mean:.1f}{unit} "
        f"({spread if len(own) > 1 else 'one seed'}), at a learning rate of {chosen.rate:g}, with "
        f"{one.trained:,} trained parameters beside the head."
    )
    groups = _against(chosen, results, score, tested)
    parts = [f"{said}: {', '.join(names)}" for said, names in groups.items() if names]
    how = "The others, in test points against it: " + ("; ".join(parts) or "none")
    if tested:
        right = round(found.mean / 100 * tested)
        sure = binomtest(right, tested).proportion_ci(method="wilson")
        how += (
            f"; from {_counted(tested, 'test example')} alone, its own is known to "
            f"{100 * sure.low:.1f} to {100 * sure.high:.1f} %"
        )
    if guess is not None:
        how += f"; always the commonest answer gives {guess:.1f}{unit}"
        few = tested and (found.mean - guess) * tested / 100 < TOLD_APART
        if few or not found.low > guess:
            how += ", which it does not surely beat"
    speed = {"unmerged": "", "merged": " once merged"}
    times = [f"{ratio:.2f} times{speed[when]}" for when, ratio in (chosen.latency or {}).items()]
    cost = (
        f"A run of it trained in {fmean(run.seconds for run in chosen.runs):.3g} s, and "
        f"{one.stored:.3g} MiB are stored beside the head"
        + (f"; a text takes {' and '.join(times)} as long as in the backbone." if times else ".")
    )
    return [what, how + ".", cost]


def _against(
    chosen: Result, results: Sequence[Result], score: str, tested: int | None
) -> dict[str, list[str]]:
    """Who is better, worse or neither, paired by seed."""
    groups: dict[str, list[str]] = {"better": [], "worse": [], "not to be told apart": []}
    groups["not compared, since runs failed"] = []
    own = chosen.points(score)
    for other in results:
        if other is chosen:
            continue
        theirs = other.points(score)
        if theirs.keys() != own.keys():
            groups["not compared, since runs failed"].append(other.contender.method.title)
            continue
        gap = interval([theirs[seed] - own[seed] for seed in own])
        few = tested and abs(gap.mean) * tested / 100 < TOLD_APART
        told = "better" if gap.low > 0 else "worse" if gap.high < 0 else "not to be told apart"
        beyond = " (at no budget)" if other.contender.name == FullFineTuning.name else ""
        label = f"{other.contender.method.title}{beyond} {gap.mean:+z.1f}"
        groups["not to be told apart" if few else told].append(label)
    return groups


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
