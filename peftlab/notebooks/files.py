"""The labs as files: which there are, what parameters they take, and a copy for the learner.

This file imports neither torch nor Jupyter, so that a wrong name or value is refused at once.
"""

from __future__ import annotations

import ast
import difflib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftlab import files, paths

MANIFEST = ".peftlab.json"


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


def _literal(text: str, *kinds: type) -> Any:
    if not isinstance(value := ast.literal_eval(text), kinds):
        raise ValueError(text)
    return value


_PARSERS = {
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int": int,
    "float": _finite,
    "str": str,
    "list": lambda text: list(_literal(text, list, tuple)),
    "tuple": lambda text: tuple(_literal(text, list, tuple)),
    "dict": lambda text: _literal(text, dict),
}


_ANNOTATED = re.compile(rf"(?:Optional\[)?({'|'.join(_PARSERS)})\b")


@dataclass(frozen=True)
class Parameter:
    """One line of a lab's cell tagged `parameters`.

    Args:
        name: the variable.
        kind: the name of the type that a value must have; empty where the cell does not say.
        default: the value as written.
        help: the comment after it.
        optional: whether None is a value too.
    """

    name: str
    kind: str
    default: str
    help: str
    optional: bool

    def __str__(self) -> str:
        kind = f": {self.kind}" if self.kind else ""
        return f"{self.name}{kind} = {self.default}" + (f"  # {self.help}" if self.help else "")

    def parse(self, text: str) -> Any:
        """The value that `text` stands for.

        Args:
            text: as written on the command line.

        Returns:
            The value, of the parameter's type.

        Raises:
            ValueError: it is not of the parameter's type.
        """
        if self.optional and text.lower() == "none":
            return None
        if not self.kind:
            return literal_or_text(text)
        try:
            return _PARSERS[self.kind](text)
        except (ValueError, SyntaxError, KeyError):
            raise ValueError(
                f"{self.name} must be {self.kind}, got {text!r}; "
                f"the lab's own value is {self.default}"
            ) from None


def literal_or_text(text: str) -> Any:
    """A Python literal where `text` is one, else `text` itself.

    Args:
        text: such as "3", "[1, 2]" or "reviews".

    Returns:
        Such as 3, [1, 2] or "reviews".
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def all_labs() -> dict[str, Path]:
    """The labs by name, in their order."""
    return {path.stem: path for path in sorted(paths.LABS.glob("*.ipynb"))}


def find_labs(names: Iterable[str]) -> list[Path]:
    """The labs of these names, in the order of the labs.

    Args:
        names: names, or beginnings of names that only one lab has; all labs are meant without any.

    Returns:
        The notebooks, at least one.

    Raises:
        ValueError: a name that no lab has, or a beginning that several share.
    """
    labs = all_labs()
    if not labs:
        raise ValueError(f"no labs in {paths.LABS}")
    chosen = set()
    for name in names:
        matches = [name] if name in labs else [lab for lab in labs if name and lab.startswith(name)]
        if len(matches) > 1:
            raise ValueError(f"{name!r} could be any of: {', '.join(matches)}")
        if not matches:
            closest = difflib.get_close_matches(name, labs, n=len(labs), cutoff=0)
            raise ValueError(f"no lab {name!r}; the labs are, closest first: {', '.join(closest)}")
        chosen.update(matches)
    return [path for name, path in labs.items() if name in chosen or not chosen]


def lab_parameters(lab: Path) -> dict[str, Parameter]:
    """What the cell tagged `parameters` declares, by name.

    Args:
        lab: a notebook.

    Returns:
        Its parameters in their order; none where it has no such cell.
    """
    for cell in json.loads(lab.read_text(encoding="utf-8"))["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            return {p.name: p for p in _declared("".join(cell["source"]))}
    return {}


def _declared(source: str) -> Iterable[Parameter]:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        if not isinstance(target, ast.Name) or node.value is None:
            continue
        annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
        default = literal_or_text(written := ast.unparse(node.value))
        kind = "" if default is None or default == written else type(default).__name__
        if match := _ANNOTATED.match(annotation):
            kind = match[1]
        yield Parameter(
            name=target.id,
            kind=kind if kind in _PARSERS else "",
            default=written,
            help=lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode().strip(" #"),
            optional=default is None or "None" in annotation or "Optional" in annotation,
        )


def parse_values(
    labs: Iterable[Path], given: Iterable[tuple[str, str]]
) -> dict[Path, dict[str, Any]]:
    """The values of `-p NAME VALUE` pairs, for each of the labs.

    Args:
        labs: each of them must have all the parameters that are given.
        given: pairs of a name and the value as written.

    Returns:
        For each lab the values by name.

    Raises:
        ValueError: a lab has no such parameter, or the value is not of its type.
    """
    given = dict(given)
    values = {}
    for lab in labs:
        parameters = lab_parameters(lab)
        for name in given:
            if name not in parameters:
                has = "".join(f"\n  {p}" for p in parameters.values()) or " none"
                raise ValueError(f"{lab.stem} has no parameter {name!r}; its parameters are:{has}")
        values[lab] = {
            name: parameters[name].parse(_absolute(text)) for name, text in given.items()
        }
    return values


def _absolute(text: str) -> str:
    """The caller's path as an absolute one, since labs run in another folder; else `text`."""
    path = Path(text)
    looks_like_one = path.suffix or "/" in text or os.sep in text
    return str(path.resolve()) if looks_like_one and path.exists() else text


@dataclass(frozen=True)
class Copied:
    """What `copy_labs` did.

    Args:
        new: the files that were not there.
        updated: the files that were brought up to date.
        kept: the files that the learner has changed, and that stayed as they were.
    """

    new: tuple[str, ...]
    updated: tuple[str, ...]
    kept: tuple[str, ...]


def copy_labs(folder: Path) -> Copied:
    """Copy the labs into `folder`, never over a file that was changed there.

    A manifest in the folder holds the SHA-256 of every file as it was copied. A file that still
    has it is brought up to date; a file that does not is the learner's own and stays.

    Args:
        folder: is made where it is not there yet.

    Returns:
        The names of the files that are new, updated and kept.
    """
    manifest = folder / MANIFEST
    try:
        copied = dict(json.loads(manifest.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        copied = {}  # nothing is known of the folder: whatever differs is the learner's
    new, updated, kept = [], [], []
    for lab in all_labs().values():
        target, ours = folder / lab.name, files.sha256(lab)
        theirs = files.sha256(target) if target.exists() else None
        if theirs not in (None, ours, copied.get(lab.name)):
            kept.append(lab.name)
            continue
        if theirs != ours:
            with files.write_whole(target) as beside:
                shutil.copyfile(lab, beside)
            (new if theirs is None else updated).append(lab.name)
        copied[lab.name] = ours
    with files.write_whole(manifest) as beside:
        beside.write_text(json.dumps({"sha256": copied}, indent=1) + "\n", encoding="utf-8")
    return Copied(tuple(new), tuple(updated), tuple(kept))
