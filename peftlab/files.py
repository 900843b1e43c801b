"""Files are read with their checksum and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

REINSTALL = "install peftlab again"


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    The body of the `with` writes to a temporary file in the same folder. When the body succeeds,
    that file replaces `path`. When the body raises, `path` stays as it was.

    Args:
        path: the file. Its folder is made if there is none.

    Yields:
        The path of the temporary file.
    """
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


def write_text_whole(path: str | Path, text: str) -> None:
    """Write a text whole or not at all, see `write_whole`.

    Args:
        path: the file.
        text: what it shall hold; encoded as UTF-8.
    """
    with write_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file.

    Args:
        path: the file.

    Returns:
        64 hexadecimal digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str, remedy: str) -> None:
    """Refuse a file that is missing, or whose content is not what was published.

    Args:
        path: the file.
        expected: its SHA-256 as published, in hexadecimal.
        remedy: what the reader can do about it. The error ends with these words.

    Raises:
        ValueError: the file is missing or has another checksum. The error names the file, both
            checksums and the remedy.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; {remedy}")
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path} is truncated or altered: its SHA-256 is {found[:12]}..., "
            f"expected {expected[:12]}...; {remedy}"
        )


def checksums(folder: Path, remedy: str = REINSTALL) -> dict[str, str]:
    """Read the SHA256SUMS of a bundled or fetched folder.

    Args:
        folder: a folder with a file SHA256SUMS.
        remedy: what the reader can do about a damage. The error ends with these words.

    Returns:
        For each file name its checksum.

    Raises:
        ValueError: SHA256SUMS is missing or empty, or one of its lines is not a checksum and a
            name.
    """
    file = folder / "SHA256SUMS"
    if not file.is_file():
        raise ValueError(f"{file} is missing; {remedy}")
    lines = [line.split() for line in file.read_text().splitlines()]
    if not lines or any(len(line) != 2 for line in lines):
        raise ValueError(f"{file} is truncated or altered; {remedy}")
    return {name: digest for digest, name in lines}


def check_listed(folder: Path, name: str, remedy: str = REINSTALL) -> Path:
    """Find a bundled or fetched file and compare its checksum with that in SHA256SUMS.

    Args:
        folder: a folder with a file SHA256SUMS.
        name: of the file in it.
        remedy: what the reader can do about a damage. The error ends with these words.

    Returns:
        The path of the file.

    Raises:
        ValueError: SHA256SUMS does not name the file, or the file has another content.
    """
    listed = checksums(folder, remedy)
    if name not in listed:
        raise ValueError(f"{folder / 'SHA256SUMS'} does not name {name}; {remedy}")
    check_sha256(folder / name, listed[name], remedy)
    return folder / name


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    packages = ("peftlab", "torch", "transformers", "accelerate")
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in packages}
