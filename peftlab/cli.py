"""The command line: `peftlab lab`, `run`, `count`, `pretrain`, `probe` and `separation`.

Nothing here imports torch, transformers or Jupyter before a command needs it, so that counting
answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from peftlab import __version__, anatomy, counting, notebooks, paths
from peftlab.methods import METHODS, Method
from peftlab.methods.hyperparameters import declared
from peftlab.text import text_table


class Refused(click.ClickException):
    """Wrong input. The message is one line, and the exit code is that of a usage error."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="peftlab")
def main() -> None:
    """Parameter-efficient fine-tuning: eight papers from scratch, with a lab for each.

    \b
    Example: peftlab count --backbone llama-3-8b
    """


@main.command()
@click.argument(
    "folder",
    default="peftlab-labs",
    metavar="[DIR]",
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option("--copy-only", is_flag=True, help="Copy the labs, open nothing.")
@click.option("--no-browser", is_flag=True, help="Start JupyterLab without opening a browser.")
def lab(folder: Path, copy_only: bool, no_browser: bool) -> None:
    """Copy the labs into DIR (./peftlab-labs) and open JupyterLab there.

    A lab that you changed is never overwritten. A lab that you did not change is brought up to
    date.

    \b
    Example: peftlab lab my-course
    """
    copied = notebooks.copy_labs(folder)
    for name in copied.new:
        click.echo(f"copied   {name}")
    for name in copied.updated:
        click.echo(f"updated  {name}")
    for name in copied.kept:
        click.echo(f"kept     {name}: you changed it")
    if copy_only:
        click.echo(f"The labs are in {folder}")
        return
    command = [sys.executable, "-m", "jupyterlab", "--notebook-dir", str(folder)]
    if no_browser:
        command.append("--no-browser")
    sys.stdout.flush()
    os.execv(command[0], command)


@main.command(short_help="Execute labs and leave a gallery.")
@click.argument("labs", nargs=-1, metavar="[LAB]...")
@click.option(
    "-p",
    "given",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter of the labs; repeat it for more.",
)
@click.option(
    "--output",
    default="gallery",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the gallery goes.",
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="How many labs run side by side.",
)
def run(labs: tuple[str, ...], given: tuple[tuple[str, str], ...], output: Path, jobs: int) -> None:
    """Execute labs and leave a gallery: index.html and a page for each lab, readable offline.

    LAB is the name of a lab or how it begins, such as 01. Without LAB all labs run. The exit code
    is 1 when a lab failed.

    \b
    Example: peftlab run 01 -p rank 4 --output my-gallery
    """
    if output.resolve() == paths.LABS.resolve():
        raise Refused(f"--output {output} is where the labs are; choose another folder")
    try:
        chosen = notebooks.parse_values(notebooks.find_labs(labs), given)
    except ValueError as error:
        raise Refused(str(error)) from error
    from tqdm import tqdm

    from peftlab import gallery, runner

    ended: list[runner.Outcome] = []
    stopped = False
    try:
        for outcome in runner.run(chosen, output, jobs):
            ended.append(outcome)
            for failure in outcome.failures:
                tqdm.write(f"{outcome.lab} failed: {failure}", file=sys.stderr)
    except KeyboardInterrupt:
        stopped = True
    index = gallery.render(output)
    for outcome in sorted(ended, key=lambda outcome: outcome.lab):
        verdict = "failed" if outcome.failures else "passed"
        click.echo(f"{verdict}  {outcome.lab}  {outcome.seconds:.0f} s")
    for path in chosen:
        if path.stem not in {outcome.lab for outcome in ended}:
            click.echo(f"stopped  {path.stem}")
    click.echo(index)
    if stopped:
        sys.exit(130)
    sys.exit(any(outcome.failures for outcome in ended))


@main.command(short_help="Count what a method trains, without a model.")
@click.option(
    "--backbone",
    default="minilm",
    show_default=True,
    metavar="NAME",
    help="A name of the catalog, or a local folder with a config.json.",
)
@click.option("--method", type=click.Choice(list(METHODS)), help="All of them without this.")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a hyperparameter of the method; repeat it for more.",
)
@click.option(
    "--head",
    type=click.Choice([*anatomy.HEADS, "none"]),
    help="The task head; by default what suits a name of the catalog, none for a folder.",
)
@click.option(
    "--labels",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Labels of a classification head.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def count(
    backbone: str,
    method: str | None,
    options: tuple[str, ...],
    head: str | None,
    labels: int,
    as_json: bool,
) -> None:
    """Count what a method trains and stores, in closed form: no model is loaded.

    \b
    Example: peftlab count --backbone gpt3-175b --method lora -o rank=4 -o targets=query,value
    """
    try:
        if options and method is None:
            raise ValueError("-o sets a hyperparameter of one method: say which with --method")
        config, head = _architecture(backbone, head, labels)
        rows = [
            {"method": name, "backbone_name": backbone, "head_name": head}
            | _counted(METHODS[name], options, config, head)
            for name in ([method] if method else METHODS)
        ]
        if all("refused" in row for row in rows):
            raise ValueError(rows[0]["refused"])
    except (ValueError, TypeError, OSError) as error:
        raise Refused(" ".join(str(error).split())) from error
    if as_json:
        click.echo(json.dumps(rows[0] if method else rows, indent=1))
    else:
        labelled = f", {labels} labels" if head and head.endswith("classification") else ""
        click.echo(f"{backbone}, {head or 'no head'}{labelled}\n")
        click.echo(_table(rows))


def _architecture(backbone: str, head: str | None, labels: int) -> tuple[Any, str | None]:
    """The config of a backbone and the head it gets."""
    if backbone in counting.CATALOG:
        config, usual = counting.catalog_config(backbone, labels), counting.CATALOG[backbone][0]
    elif Path(backbone).is_dir():
        if not Path(backbone, "config.json").is_file():
            raise ValueError(f"the folder {backbone} has no config.json")
        config, usual = counting.folder_config(backbone, labels), None
    else:
        config, usual = counting.catalog_config(backbone), None
    return config, (None if head == "none" else head or usual)


def _counted(
    kind: type[Method], options: tuple[str, ...], config: Any, head: str | None
) -> dict[str, Any]:
    """The settings of one method and its count, or the reason why there is none."""
    method = kind(**_hyperparameters(kind, options))
    try:
        found = method.parameter_count(config, head).to_dict()
    except ValueError as error:
        found = {"refused": str(error)}
    return {"hyperparameters": method.hyperparameters()} | found


def _hyperparameters(kind: type[Method], options: tuple[str, ...]) -> dict[str, Any]:
    """The values of `-o KEY=VALUE`, each read by its declaration."""
    known = declared(kind)
    values = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise ValueError(f"-o takes KEY=VALUE, such as rank=4; got {option!r}")
        if key not in known:
            raise ValueError(
                f"{kind.name} has no hyperparameter {key!r}; it has: {', '.join(known) or 'none'}"
            )
        values[key] = known[key].read(text)
    return values


_COLUMNS = {
    "trained": "{:,}",
    "stored": "{:,}",
    "head": "{:,}",
    "backbone": "{:,}",
    "share": "{:.3%}",
    "gradient_mib": "{:,.1f}",
    "optimizer_mib": "{:,.1f}",
    "checkpoint_mib": "{:,.1f}",
}


def _table(rows: list[dict[str, Any]]) -> str:
    """Counts as aligned text. Each method has its own line; refusals stand below them."""
    lines = [
        {"method": row["method"]}
        | {
            name.replace("_mib", " MiB"): "-" if "refused" in row else form.format(row[name])
            for name, form in _COLUMNS.items()
        }
        for row in rows
    ]
    refusals = [f"{row['method']}: {row['refused']}" for row in rows if "refused" in row]
    return "\n".join([text_table(lines, right=set(lines[0]) - {"method"}), *refusals])


@main.command(short_help="Pretrain a bundled backbone again, from nothing.")
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

    from peftlab import backbones, cards, pretraining, probes, recipes

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
        folder = pretraining.pretrain(recipe, output, device=device)
    except (ValueError, OSError) as error:
        raise Refused(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on from the last checkpoint, if there is one")
        sys.exit(130)
    click.echo("probing")
    results = probes.probe(*backbones.load_language_model(folder), probes.GATES[name])
    click.echo(probes.table(results))
    click.echo(cards.write_card(folder, results))
    sys.exit(not all(result.passed for result in results))


@main.command(short_help="Ask a backbone what it knows.")
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
    from peftlab import backbones, probes

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


@main.command(short_help="Measure how far apart the tasks hold the methods.")
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
