"""`peftlab count`: what a method trains and stores, without a model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from peftlab import anatomy
from peftlab.anatomy.catalog import CATALOG, catalog_config, folder_config
from peftlab.cli.main import Refused
from peftlab.methods import COUNTED
from peftlab.methods.base import Described, Method
from peftlab.methods.budget import closest
from peftlab.methods.hyperparameters import declared
from peftlab.text import text_table


@click.command(short_help="Count what a method trains, without a model.")
@click.option(
    "--backbone",
    default="minilm",
    show_default=True,
    metavar="NAME",
    help="A name of the catalog, a backbone of peftlab, a folder with a config.json, or a hub id.",
)
@click.option("--method", type=click.Choice(list(COUNTED)), help="All of them without this.")
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
@click.option(
    "--budget",
    type=click.IntRange(min=0),
    metavar="N",
    help="Give each method the size that trains about N parameters, without the head.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def count(
    backbone: str,
    method: str | None,
    options: tuple[str, ...],
    head: str | None,
    labels: int,
    budget: int | None,
    as_json: bool,
) -> None:
    """Count what a method trains and stores, in closed form: no model is loaded.

    \b
    Example: peftlab count --backbone gpt3-175b --method lora -o rank=4 -o targets=query,value
    Example: peftlab count --backbone minilm --budget 100000
    """
    try:
        if options and method is None:
            raise ValueError("-o sets a hyperparameter of one method: say which with --method")
        config, head = _architecture(backbone, head, labels)
        rows = [
            {"method": name, "backbone_name": backbone, "head_name": head}
            | _counted(COUNTED[name], options, config, head, budget)
            for name in ([method] if method else COUNTED)
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
        click.echo(_table(rows, budget))


def _architecture(backbone: str, head: str | None, labels: int) -> tuple[Any, str | None]:
    """The config of a backbone and the head it gets."""
    if backbone in CATALOG:
        config, usual = catalog_config(backbone, labels), CATALOG[backbone][0]
    elif Path(backbone).is_dir() or backbone.count("/") == 1 or backbone in _named():
        if Path(backbone).is_dir() and not Path(backbone, "config.json").is_file():
            raise ValueError(f"the folder {backbone} has no config.json")
        from peftlab.backbones.find import folder_of

        config = folder_config(folder_of(backbone), labels)
        usual = _head_of(getattr(config, "architectures", None) or [""])
    else:
        config, usual = catalog_config(backbone), None
    return config, (None if head == "none" else head or usual)


def _head_of(architectures: list[str]) -> str | None:
    """The head that a saved model had."""
    from peftlab.backbones import AUTO_CLASSES

    ends = {name.removeprefix("AutoModel"): head for head, name in AUTO_CLASSES.items() if head}
    ends |= {"LMHeadModel": "causal_lm", "ForConditionalGeneration": "seq2seq_lm"}
    return next((head for end, head in ends.items() if architectures[0].endswith(end)), None)


def _named() -> list[str]:
    """The backbones that are bundled or fetched; their configs are in their folders."""
    from peftlab.backbones.find import FETCHED, available

    return [*available(), *FETCHED]


def _counted(
    kind: type[Described],
    options: tuple[str, ...],
    config: Any,
    head: str | None,
    budget: int | None,
) -> dict[str, Any]:
    """The settings of one method and its count, or the reason why there is none."""
    given = hyperparameters(kind, options)
    method = kind(**given)
    if budget is not None and (size := _size_name(kind)) in given:
        raise ValueError(f"-o {size} and --budget both say how large {kind.name} is; give one")
    try:
        if budget is not None:
            if not isinstance(method, Method):
                raise ValueError("a student trains all of itself; leave --budget out")
            method = closest(method, config, head, budget).method
        found = method.parameter_count(config, head).to_dict()
    except ValueError as error:
        found = {"refused": str(error)}
    return {"hyperparameters": method.hyperparameters()} | found


def hyperparameters(kind: type[Described], options: tuple[str, ...]) -> dict[str, Any]:
    """Read the values of `-o KEY=VALUE`, each by its declaration.

    Args:
        kind: what has the hyperparameters.
        options: as given.

    Returns:
        Values by name.

    Raises:
        ValueError: an option is no KEY=VALUE, or there is no such hyperparameter.
    """
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
    "share": "{:.4g} %",
    "gradient_mib": "{:,.1f}",
    "optimizer_mib": "{:,.1f}",
    "checkpoint_mib": "{:,.1f}",
}


def _table(rows: list[dict[str, Any]], budget: int | None) -> str:
    """Counts as aligned text. Each method has its own line; remarks stand below them."""
    lines = [
        {"method": row["method"], "with": _size(row)}
        | {
            name.replace("_mib", " MiB"): "-"
            if "refused" in row
            else form.format(row[name] * (100 if name == "share" else 1))
            for name, form in _COLUMNS.items()
        }
        for row in rows
    ]
    remarks = [f"{row['method']}: {row['refused']}" for row in rows if "refused" in row]
    remarks += [
        f"{row['method']}: even its largest size trains {row['trained']:,}"
        for row in rows
        if budget is not None and row.get("trained", budget) < 0.9 * budget
    ]
    return "\n".join([text_table(lines, right=set(lines[0]) - {"method", "with"}), *remarks])


def _size_name(kind: type[Described]) -> str | None:
    """The hyperparameter that a budget chooses: a size, or whatever counts."""
    name = kind().size_name if issubclass(kind, Method) else None
    return name or next((key for key, own in declared(kind).items() if own.counts), None)


def _size(row: dict[str, Any]) -> str:
    """What was chosen to meet a budget, as it is written on the command line."""
    name = _size_name(COUNTED[row["method"]])
    if "refused" in row or name is None:
        return "-"
    value = row["hyperparameters"][name]
    if name == "template":
        value = re.sub(r"\[P\]( \[P\])+", lambda m: f"[P*{m[0].count('P')}]", value)
    return f"{name}={','.join(value) if isinstance(value, tuple) else value}"
