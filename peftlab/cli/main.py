"""The command line: `lab`, `run`, `fetch`, `count`, `compare`, `pretrain`, `distill` and more.

Nothing here imports torch, transformers or Jupyter before a command needs it, so that counting
answers at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import click

from peftlab import __version__, paths
from peftlab.notebooks.files import copy_labs, find_labs, parse_values


class Refused(click.ClickException):
    """Wrong input. The message is one line, and the exit code is that of a usage error."""

    exit_code = 2


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Refuse a folder that cannot be made or written."""
    try:
        yield
    except OSError as error:
        raise Refused(
            f"cannot write to {folder}: {error.strerror}; choose a folder of your own"
        ) from error


def make_output(folder: Path) -> None:
    """Make a folder for results, and see that it can be written: before hours of work.

    Args:
        folder: may be there already.

    Raises:
        Refused: it cannot be made or written.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()


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
    with writable(folder):
        copied = copy_labs(folder)
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
        chosen = parse_values(find_labs(labs), given)
    except ValueError as error:
        raise Refused(str(error)) from error
    from tqdm import tqdm

    from peftlab.notebooks import execute, gallery

    make_output(output)
    ended: list[execute.Outcome] = []
    started, stopped = time.time(), False
    try:
        for outcome in execute.run(chosen, output, jobs):
            ended.append(outcome)
            for failure in outcome.failures:
                tqdm.write(f"{outcome.lab} failed: {failure}", file=sys.stderr)
    except KeyboardInterrupt:
        stopped = True
        heard = {outcome.lab for outcome in ended}  # a lab may have ended a moment ago
        ended += [o for o in execute.finished(chosen, output, started) if o.lab not in heard]
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
