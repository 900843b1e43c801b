"""`peftlab pretrain`, `probe`, `separation`: the bundled backbones and what tasks show there."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from peftlab.cli.main import Refused


@click.command(short_help="Pretrain a bundled backbone again, from nothing.")
@click.argument("name")
@click.option(
    "--output",
    default="backbones",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its folder goes.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="A GPU when there is one.")
@click.option(
    "--threads",
    default=1,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="CPU threads. Only 1 gives exactly the weights that the card names.",
)
@click.option(
    "--tokens",
    metavar="N",
    type=click.IntRange(min=1),
    help="How many tokens to train on, in intervals of 512,000; as in the recipe without this.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    help="Another corpus and another start than the recipe's.",
)
def pretrain(
    name: str,
    output: Path,
    device: str | None,
    threads: int,
    tokens: int | None,
    seed: int | None,
) -> None:
    """Pretrain the backbone NAME on the project's corpus, probe it and write its card.

    NAME is one of lab-gpt-nano, lab-gpt-micro, lab-gpt-small and lab-bert. If a run was stopped,
    the same command goes on from its last checkpoint.

    \b
    Example: peftlab pretrain lab-gpt-nano
    """
    import torch

    from peftlab import backbones
    from peftlab.pretraining import loop, probes, recipes
    from peftlab.pretraining.card import write_card

    if name not in recipes.RECIPES:
        raise Refused(f"no recipe {name!r}; there are: {', '.join(recipes.RECIPES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise Refused("--device cuda: torch finds no GPU here; leave --device out")
    torch.set_num_threads(threads)
    changes = {"tokens": tokens, "seed": seed}
    recipe = dataclasses.replace(
        recipes.RECIPES[name], **{k: v for k, v in changes.items() if v is not None}
    )
    try:
        folder = loop.pretrain(recipe, output, device=device)
    except (ValueError, OSError) as error:
        raise Refused(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on from the last checkpoint, if there is one")
        sys.exit(130)
    click.echo("probing")
    results = probes.probe(*backbones.load_language_model(folder), probes.GATES[name])
    click.echo(probes.table(results))
    click.echo(write_card(folder, results))
    sys.exit(not all(result.passed for result in results))


@click.command(short_help="Ask a backbone what it knows.")
@click.argument("name")
@click.option("--kinds", is_flag=True, help="Add a line for each relation and kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def probe(name: str, kinds: bool, as_json: bool) -> None:
    """Ask the backbone NAME for facts, words and names. NAME may be a local folder.

    A gate is the least share of right answers with which a bundled backbone is published. The exit
    code is 1 when a gate is missed.

    \b
    Example: peftlab probe lab-gpt-micro
    """
    from peftlab import backbones
    from peftlab.pretraining import probes

    try:
        model, tokenizer = backbones.load_language_model(name)
        results = probes.probe(model, tokenizer, probes.GATES.get(Path(name).name))
    except ValueError as error:
        raise Refused(" ".join(str(error).split())) from error
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(result) for result in results], indent=1))
    else:
        click.echo(probes.table(results, kinds))
    sys.exit(not all(result.passed for result in results))


@click.command(short_help="Measure how far apart the tasks hold the methods.")
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="How many seeds."
)
@click.option(
    "--output",
    default=".",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the record and the finished runs go; here by default.",
)
@click.option(
    "--jobs",
    default=2,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="How many runs go side by side, with one thread each.",
)
def separation(tasks: tuple[str, ...], seeds: int, output: Path, jobs: int) -> None:
    """Train in four ways on the bundled tasks: full, LoRA, head only and from random weights.

    Without TASK all tasks are run but reviews, whose backbone minilm is an extra. That takes about
    an hour on two cores. Finished runs are kept: if a call was stopped, the same call goes on. The
    exit code is 1 when a margin does not hold.

    \b
    Example: peftlab separation opinions --seeds 3
    """
    from peftlab.runs import records
    from peftlab.runs import separation as measured

    try:
        found = measured.separation(
            tasks, seeds=range(seeds), folder=output / "separation_runs", jobs=jobs
        )
    except ValueError as error:
        raise Refused(str(error)) from error
    command = " ".join(["peftlab separation", *tasks, f"--seeds {seeds}"])
    click.echo(measured.table(found))
    name = "_".join(["separation", *tasks])
    records.store(name, found.pop("runs"), command, output, **found)
    click.echo(output / f"{name}.json")
    sys.exit(any(row["holds"] is False for row in found["margins"]))
