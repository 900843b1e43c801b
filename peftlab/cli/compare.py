"""`peftlab compare`: every method on your data, at one budget of trained parameters."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

from peftlab.cli.main import Refused, make_output
from peftlab.files import write_text_whole, write_whole
from peftlab.text import text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from peftlab.runs.compare import Contender, Plan, Result
    from peftlab.tasks import Task


@click.command(short_help="Compare the methods on your data, at one budget.")
@click.option("--task", required=True, metavar="TASK", help="A task, or a file of your own.")
@click.option(
    "--backbone",
    default="minilm",
    show_default=True,
    metavar="NAME",
    help="A backbone, a local folder or a hub id.",
)
@click.option(
    "--budget",
    default=100_000,
    show_default=True,
    type=click.IntRange(min=0),
    metavar="N",
    help="Trained parameters of each method, as near as its sizes come, without the head.",
)
@click.option(
    "--methods",
    default="all",
    show_default=True,
    metavar="A,B",
    help="Which methods; full fine-tuning and the head alone are in anyhow.",
)
@click.option(
    "--seeds",
    default=3,
    show_default=True,
    type=click.IntRange(min=1, max=100),
    metavar="N",
    help="Runs of each method that are reported.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="M",
    help="Take as many training examples as fit into this time; all of them without it.",
)
@click.option(
    "--examples", type=click.IntRange(min=1), metavar="N", help="Training examples at most."
)
@click.option(
    "--epochs",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Passes over the training examples.",
)
@click.option(
    "--jobs",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs side by side; a cluster has its own number.",
)
@click.option(
    "--engine",
    default="processes",
    show_default=True,
    type=click.Choice(["processes", "dask"]),
    help="Where the runs are made: here, or on the workers of a Dask cluster.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Of the cluster, such as tcp://10.0.0.5:8786.")
@click.option(
    "--output",
    default="comparison",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keeps the runs, and gets the record, the table and the chart.",
)
def compare(
    task: str,
    backbone: str,
    budget: int,
    methods: str,
    seeds: int,
    minutes: float | None,
    examples: int | None,
    epochs: int,
    jobs: int,
    engine: str,
    scheduler: str | None,
    output: Path,
) -> None:
    """Train every method on one backbone and task, at one budget, and say what to take.

    Learning rates are chosen on the validation split, by the same rule for each method. Stopped at
    any moment, the same command goes on where it was.

    \b
    Example: peftlab compare --task mine.tsv --budget 100000 --minutes 30
    """
    if (engine == "dask") != (scheduler is not None):
        raise Refused("--engine dask and --scheduler ADDRESS belong together; give both")
    if minutes is not None and not math.isfinite(minutes):
        raise Refused(f"--minutes must be a number of minutes, got {minutes}")
    asked = {
        "task": task,
        "backbone": backbone,
        "budget": budget,
        "methods": methods,
        "seeds": seeds,
        "minutes": minutes,
        "examples": examples,
        "epochs": epochs,
    }
    try:
        if scheduler is not None:
            from peftlab.runs.engine import cluster_cores

            jobs = cluster_cores(scheduler)
        _compare(asked, output, {"jobs": jobs, "scheduler": scheduler})
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        raise Refused(" ".join(str(error).split())) from error
    except BrokenExecutor as error:
        raise click.ClickException(
            "a worker was killed, probably for want of memory; finished runs are kept: try the "
            "same command with --jobs 1"
        ) from error
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on", err=True)
        raise SystemExit(130) from None


def _compare(asked: dict[str, Any], output: Path, engine: dict[str, Any]) -> None:
    """Plan, run, and tell."""
    from peftlab.anatomy import head_of
    from peftlab.backbones import load_backbone
    from peftlab.runs import compare as runs
    from peftlab.tasks import load_task
    from peftlab.tasks.scores import headline
    from peftlab.tasks.word_counting import majority

    backbone, task = asked["backbone"], asked["task"]
    data = load_task(task)
    model, _ = load_backbone(backbone, data)
    methods = asked["methods"]
    names = [*runs.USUAL] if methods == "all" else [name.strip() for name in methods.split(",")]
    offer = runs.contenders(model.config, head_of(model), asked["budget"], names)
    make_output(output)
    there = len(data.train)
    most = min(asked["examples"] or there, there)
    setting = runs.Setting(epochs=asked["epochs"])
    # what was computed for other data or another model must not pass for these
    key = _digest(backbone, str(model.config), _weights(model), task, repr(data))
    path = output / f"plan-{_digest(key, json.dumps(asked))}.json"
    if not (plan := _remembered(path)):
        plan = runs.plan(
            offer,
            backbone,
            task,
            setting,
            asked["seeds"],
            most,
            asked["minutes"],
            engine["jobs"],
        )
        write_text_whole(path, json.dumps({"asked": asked, "plan": plan._asdict()}, indent=1))
    contenders = [one for one in offer.contenders if one.name in plan.names]
    _announce(plan, contenders, asked, data)
    setting = replace(setting, examples=plan.examples if plan.examples < there else None)
    seeds, folder = range(asked["seeds"]), output / f"runs-{key}"
    results = runs.compare(
        contenders, backbone, task, setting, seeds, folder, plan.seconds, **engine
    )
    failed = [text for result in results for text in result.failures]
    for text in failed:
        click.echo(f"failed: {text}", err=True)
    if not any(result.runs for result in results):
        raise click.ClickException("every run failed; the first one says why")
    _keep(output, asked, results)
    results = [
        runs.measure_latency(result, backbone, task) if result.runs else result
        for result in results
    ]
    score = headline(data)
    guess = majority(data) * (1 if score in runs.OF_A_HUNDRED else 100)
    units = (len(data.validation), len(data.test)) if _of_examples(data) else (None, None)
    said = runs.advice(results, *units, score, guess)
    said = [text_table(_rows(results, score), right={"trained", "rate", "stored MiB"}), "", *said]
    write_text_whole(output / "compare.txt", "\n".join(said) + "\n")
    _keep(output, asked, results)
    _draw(output, results, score, len(data.test))
    click.echo("\n".join(["", *said, "", f"{output}: compare.json, compare.png, compare.txt"]))
    if failed:
        raise SystemExit(1)


def _announce(
    plan: Plan, contenders: Sequence[Contender], asked: dict[str, Any], data: Task
) -> None:
    """Say beforehand what will be run, and what to know of it."""
    from peftlab.methods import METHODS
    from peftlab.runs.compare import BASELINES, MOST_RATES

    there, validated, tested = len(data.train), len(data.validation), len(data.test)
    click.echo(f"examples: {there:,} training, {validated:,} validation, {tested:,} test")
    for name, reason in plan.refused.items():
        click.echo(f"left out: {name}: {reason.removeprefix(f'{METHODS[name].title}: ')}")
    for one in contenders:
        if one.name not in BASELINES and abs(one.trained / asked["budget"] - 1) > 0.2:
            click.echo(f"far from the budget: {one.name} trains {one.trained:,}, its nearest size")
    if validated < 100:
        step = f": one of them is {100 / validated:.1f} points" if _of_examples(data) else ""
        click.echo(f"{validated} validation examples are few to choose by{step}")
    passes = f"{asked['epochs']} pass{'es' if asked['epochs'] > 1 else ''}"
    click.echo(
        f"{len(plan.names)} methods, three to seven learning rates each and {asked['seeds']} "
        f"seed{'s' if asked['seeds'] > 1 else ''}, {plan.examples:,} of {there:,} training "
        f"examples, {passes}: about {plan.minutes:.1f} minutes, or {plan.longest:.1f} if every "
        f"method tries {MOST_RATES} rates"
    )
    slowest = max(plan.seconds, key=lambda name: plan.seconds[name])
    share = plan.seconds[slowest] / sum(plan.seconds.values())
    others = [name for name in plan.names if name not in (slowest, *BASELINES)]
    if share > 0.5 and slowest not in BASELINES and others:
        click.echo(
            f"{slowest} takes {100 * share:.0f} % of the time; without it: "
            f"--methods {','.join(others)}"
        )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _of_examples(data: Task) -> bool:
    """Whether accuracy is a share of the examples, and not of their words."""
    return data.kind in ("label", "cloze")


def _weights(model: torch.nn.Module) -> str:
    """A digest of a model's numbers: another model may come under the same name."""
    import torch

    found = hashlib.sha256()
    for tensor in model.state_dict().values():
        found.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def _remembered(path: Path) -> Plan | None:
    """The plan of a comparison that was stopped; another time would be measured otherwise."""
    from peftlab.runs.compare import Plan

    try:
        return Plan(**json.loads(path.read_text())["plan"])
    except (OSError, ValueError, TypeError, KeyError):  # none, or no plan of today's form
        return None


def _rows(results: Sequence[Result], score: str) -> list[dict[str, Any]]:
    """The table: a line for each method, the best on validation first."""
    from peftlab.seeds import interval

    rows = []
    for result in sorted(results, key=lambda result: -result.validation):
        one, row = result.contender, {"method": result.contender.name}
        row |= {"with": one.size, "trained": f"{one.trained:,}"}
        row |= {"rate": "-" if math.isnan(result.rate) else f"{result.rate:g}"}
        if result.runs:
            found = interval([*result.points(score).values()])
            ends = f"{max(found.low, 0):.1f} to {min(found.high, 100):.1f}"
            times = {"unmerged": "forward x", "merged": "merged x"}
            row |= {
                "validation": f"{100 * result.validation:.1f}",
                f"test {score}": f"{found.mean:.1f}",
                "95 % interval": ends if len(result.runs) > 1 else "-",
                "train s": f"{fmean(run.seconds for run in result.runs):.3g}",
                "stored MiB": f"{one.stored:.3g}",
            }
            row |= {
                name: f"{result.latency[when]:.2f}" if when in (result.latency or {}) else "-"
                for when, name in times.items()
            }
        rows.append(row | ({"failed": len(result.failures)} if result.failures else {}))
    return rows


def _keep(output: Path, asked: dict[str, Any], results: Sequence[Result]) -> None:
    """The record."""
    from peftlab.runs.records import store

    options = {f"--{name}": value for name, value in asked.items() if value is not None}
    command = shlex.join(["peftlab", "compare", *(str(x) for o in options.items() for x in o)])
    store(
        "compare",
        [run for result in results for run in result.runs],
        command,
        output,
        tried={result.contender.name: dict(result.tried) for result in results},
        latency={result.contender.name: dict(result.latency or {}) for result in results},
        failures=[text for result in results for text in result.failures],
    )


def _draw(output: Path, results: Sequence[Result], score: str, tested: int) -> None:
    """The chart."""
    from peftlab import figures

    most = 1 - 0.5 / tested  # no error at all has no place on a logarithmic axis
    shares = {
        result.contender: [min(value / 100, most) for value in result.points(score).values()]
        for result in results
        if result.runs
    }
    curves = {one.method.title: {one.trained: own} for one, own in shares.items() if one.trained}
    lines = {one.method.title: fmean(own) for one, own in shares.items() if not one.trained}
    picture = figures.fronts(curves, "Test error by trained parameters", lines)
    with write_whole(output / "compare.png") as beside:
        beside.write_bytes(picture.png)
