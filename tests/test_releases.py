"""Releases of torch and transformers that peftlab is not tested with are named before they fail."""

import subprocess
import sys
import warnings
from importlib import metadata

import pytest

from peftlab import releases

ASKED = [
    "torch<2.14,>=2.6",
    "transformers<5.25,>=5.5",
    "click<9",
    'transformers<4; extra == "old"',
]


@pytest.fixture
def installed(monkeypatch):
    """Pretend versions; a package that has none is not installed."""

    def pretend(torch="2.13.0+cpu", transformers="5.24.0", asked=ASKED):
        versions = {"torch": torch, "transformers": transformers}

        def version(name):
            if versions[name] is None:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        def requires(name):
            if asked is None:
                raise metadata.PackageNotFoundError(name)
            return asked

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(metadata, "requires", requires)
        releases.warn_if_untested.cache_clear()

    yield pretend
    releases.warn_if_untested.cache_clear()


@pytest.mark.parametrize("version", ["5.25.0", "5.25.0.dev0", "6.0", "5.4.1"])
def test_another_release_is_named_with_the_tested_ones_and_the_fix(installed, version):
    installed(transformers=version)
    (sentence,) = releases.untested()
    assert f"transformers {version} is installed" in sentence
    assert 'pip install "transformers<5.25,>=5.5"' in sentence


@pytest.mark.parametrize("version", ["5.5.0", "5.24.9", "5.24.0.dev0"])
def test_nothing_is_said_of_tested_releases(installed, version):
    installed(transformers=version)
    assert releases.untested() == []


def test_torch_is_compared_without_the_name_of_its_build(installed):
    installed(torch="2.13.1+cu130")
    assert releases.untested() == []
    installed(torch="2.14.0+cu130")
    assert "torch 2.14.0+cu130" in releases.untested()[0]


@pytest.mark.parametrize("unknown", [{"asked": None}, {"asked": []}, {"transformers": None}])
def test_nothing_is_said_where_versions_are_not_known(installed, unknown):
    installed(**unknown)
    assert releases.untested() == []


def test_the_warning_comes_once(installed):
    installed(transformers="5.25.0")
    with pytest.warns(UserWarning, match="transformers 5.25.0 is installed"):
        releases.warn_if_untested()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        releases.warn_if_untested()


@pytest.mark.parametrize(
    "first", ["from peftlab import train", "peftlab.load_backbone('minilm', head=3)"]
)
def test_whoever_enters_the_side_of_torch_is_warned(first):
    script = f"""
import peftlab, warnings
from peftlab import releases
releases.untested = lambda: ["transformers 5.25.0 is installed"]
with warnings.catch_warnings(record=True) as seen:
    try:
        {first}
    except ValueError:
        pass
    import peftlab.attach
print(*[w.message for w in seen if "is installed" in str(w.message)], sep="|")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "transformers 5.25.0 is installed", done.stderr
