"""`peftlab distill`: a smaller student of an encoder, from plain text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from peftlab.cli.count import hyperparameters
from peftlab.cli.main import Refused
from peftlab.methods.distillation.method import Distillation


@click.command(short_help="Distil an encoder into a smaller student, on plain text.")
@click.argument("teacher")
@click.argument("text", type=click.Path(path_type=Path))
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The student's folder, which is made.",
)
@click.option(
    "--steps",
    default=1000,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="Of the whole run.",
)
@click.option(
    "--batch-size",
    default=32,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="Pieces of text in a step.",
)
@click.option(
    "--max-length", default=128, show_default=True, metavar="N", help="Tokens of a piece of text."
)
@click.option(
    "--learning-rate", default=5e-4, show_default=True, metavar="X", help="The highest one."
)
@click.option(
    "--masked",
    default=0.15,
    show_default=True,
    metavar="X",
    help="Share of the tokens that are hidden.",
)
@click.option(
    "--interval",
    default=100,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="Steps between two checkpoints.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=0),
    help="Of all that is drawn.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="A GPU when there is one.")
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(min=1),
    help="CPU threads; torch decides without this. Another number gives other roundings.",
)
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a hyperparameter of distillation; repeat it for more.",
)
def distill(
    teacher: str,
    text: Path,
    output: Path,
    steps: int,
    batch_size: int,
    max_length: int,
    learning_rate: float,
    masked: float,
    interval: int,
    seed: int,
    device: str | None,
    threads: int | None,
    options: tuple[str, ...],
) -> None:
    """Train a student of TEACHER on TEXT and leave it in DIR, in Hugging Face format.

    TEACHER is a BERT or RoBERTa with its language-model head: a bundled backbone such as lab-bert,
    a local folder or a hub id. TEXT is a file in UTF-8 with a text on each line. If a run was
    stopped, the same command goes on from its last checkpoint, which is in DIR.partial.

    \b
    Example: peftlab distill lab-bert my.txt --output my-student -o layers=3
    """
    import torch

    from peftlab.anatomy.catalog import folder_config
    from peftlab.backbones.find import folder_of
    from peftlab.pretraining import distill as pretraining

    if device == "cuda" and not torch.cuda.is_available():
        raise Refused("--device cuda: torch finds no GPU here; leave --device out")
    if threads:
        torch.set_num_threads(threads)
    try:
        method = Distillation(**hyperparameters(Distillation, options))
        count = method.parameter_count(folder_config(folder_of(teacher)), "masked_lm")
        click.echo(
            f"student {count.trained:,} parameters, teacher {count.backbone:,}: {count.share:.1%}"
        )
        pretraining.distill(
            method,
            teacher,
            text,
            output,
            steps=steps,
            learning_rate=learning_rate,
            batch_size=batch_size,
            max_length=max_length,
            masked=masked,
            interval=interval,
            seed=seed,
            device=device,
        )
    except (ValueError, TypeError, OSError) as error:
        raise Refused(" ".join(str(error).split())) from error
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on from the last checkpoint, if there is one")
        sys.exit(130)
    made = json.loads((output / "distillation.json").read_text())
    if "teacher_held_out" in made:
        student = made["curve"][-1]["held_out"]
        click.echo(f"held-out loss: teacher {made['teacher_held_out']:.4f}, student {student:.4f}")
    else:
        click.echo("no held-out loss: that takes a text of 50 pieces or more")
    click.echo(output)
