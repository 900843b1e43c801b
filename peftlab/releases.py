"""Whether the installed torch and transformers are releases that peftlab is tested with.

Transformers changes what its models hand on between minor releases. A warning with the names of
both versions is easier to act on than an error deep inside a model.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib import metadata

WATCHED = ("torch", "transformers")


def untested() -> list[str]:
    """One sentence for each package of `WATCHED` whose release peftlab is not tested with.

    The tested releases are those that the installed peftlab asks for. Where peftlab runs without
    being installed, they are not known, and nothing is said.

    Returns:
        The sentences, each with the installed version, the tested ones and the fix.
    """
    from packaging.requirements import Requirement  # takes a while, and counting does without

    try:
        asked = map(Requirement, metadata.requires("peftlab") or ())
        bounds = {r.name: r.specifier for r in asked if r.marker is None and r.name in WATCHED}
    except metadata.PackageNotFoundError:
        return []
    found = []
    for name, bound in bounds.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:  # its import says so
            continue
        if not bound.contains(version, prereleases=True):
            found.append(
                f"{name} {version} is installed, but peftlab is tested with {name}{bound}, so "
                f'results may differ and models may fail; to change it: pip install "{name}{bound}"'
            )
    return found


@cache
def warn_if_untested() -> None:
    """Warn of the releases that peftlab is not tested with, once in a process."""
    for sentence in untested():
        warnings.warn(sentence, stacklevel=3)
