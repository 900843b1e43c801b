"""Files are read with their checksum and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REINSTALL = "install peftlab again"


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it over `path` when the body succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)  # mkstemp makes files private
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str, remedy: str) -> None:
    """Refuse a file that is missing or whose content differs from what was published.

    Raises:
        ValueError: naming the file, both checksums and the remedy.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; {remedy}")
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path} is truncated or altered: its SHA-256 is {found[:12]}..., "
            f"expected {expected[:12]}...; {remedy}"
        )


def checksums(folder: Path) -> dict[str, str]:
    """The files that a bundled folder's SHA256SUMS names, with their checksums.

    Raises:
        ValueError: the folder has no SHA256SUMS, or it is empty or has a line of another form.
    """
    file = folder / "SHA256SUMS"
    if not file.is_file():
        raise ValueError(f"{file} is missing; {REINSTALL}")
    lines = [line.split() for line in file.read_text().splitlines()]
    if not lines or any(len(line) != 2 for line in lines):
        raise ValueError(f"{file} is truncated or altered; {REINSTALL}")
    return {name: digest for digest, name in lines}


def check_listed(folder: Path, name: str) -> Path:
    """The path of a bundled file, once its checksum has been compared.

    Raises:
        ValueError: SHA256SUMS does not name the file, or its content is another.
    """
    listed = checksums(folder)
    if name not in listed:
        raise ValueError(f"{folder / 'SHA256SUMS'} does not name {name}; {REINSTALL}")
    check_sha256(folder / name, listed[name], REINSTALL)
    return folder / name
