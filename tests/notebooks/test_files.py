import json
import re

import executed
import pytest

from peftlab import paths
from peftlab.notebooks.files import (
    MANIFEST,
    Copied,
    _absolute,
    copy_labs,
    find_labs,
    lab_parameters,
    parse_values,
)

PARAMETERS = """# what the lab can be asked
rank: int = 8  # of the update
alpha: float = 16  # é, scaling # twice
backbone: str = "minilm"
verbose = False
seeds: tuple[int, ...] = (0, 1)
names = [
    "a",  # not help
    "b",
]  # the help
ranks: dict[str, int] = {"query": 4}
steps: int | None = None  # all of them
limit = 2 * 3
"""


@pytest.fixture
def labs(tmp_path, monkeypatch):
    folder = tmp_path / "labs"
    folder.mkdir()
    monkeypatch.setattr(paths, "LABS", folder)
    tagged = executed.code(PARAMETERS, tags=("parameters",))
    executed.save(folder, "01_lora", "# LoRA", tagged)
    executed.save(folder, "00_start", "# Start", executed.code("x = 1"))
    executed.save(folder, "01_more", executed.code("rank: float = 1", tags=("parameters",)))
    return folder


def stems(names):
    return [path.stem for path in find_labs(names)]


def test_labs_are_found_by_name_and_unique_beginning_in_their_order(labs):
    assert stems([]) == ["00_start", "01_lora", "01_more"]
    assert stems(["01_lora", "00"]) == ["00_start", "01_lora"]
    assert stems(["01_l", "01_lora"]) == ["01_lora"]


def test_a_name_that_is_also_a_beginning_of_another_is_that_lab(labs):
    executed.save(labs, "01_lora_plus", "# More")
    assert stems(["01_lora"]) == ["01_lora"]


def test_a_beginning_that_several_labs_share_is_refused(labs):
    with pytest.raises(ValueError, match="'01' could be any of: 01_lora, 01_more"):
        find_labs(["01"])


@pytest.mark.parametrize(("name", "closest"), [("01_loar", "01_lora"), ("start", "00_start")])
def test_an_unknown_lab_is_refused_with_the_closest_first(labs, name, closest):
    with pytest.raises(ValueError, match=f"no lab {name!r}.*closest first: {closest}, "):
        find_labs(["00", name])


def test_an_empty_name_is_no_beginning(labs):
    with pytest.raises(ValueError, match="no lab ''"):
        find_labs([""])


def test_parameters_are_read_with_type_default_and_help(labs):
    declared = lab_parameters(labs / "01_lora.ipynb")
    assert {p.name: p.kind for p in declared.values()} == {
        "rank": "int",
        "alpha": "float",
        "backbone": "str",
        "verbose": "bool",
        "seeds": "tuple",
        "names": "list",
        "ranks": "dict",
        "steps": "int",
        "limit": "",
    }
    assert str(declared["rank"]) == "rank: int = 8  # of the update"
    assert declared["alpha"].help == "é, scaling # twice"
    assert declared["names"].help == "the help"
    assert declared["limit"].default == "2 * 3"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rank", "4", 4),
        ("rank", "-4", -4),
        ("alpha", "4", 4.0),
        ("alpha", "1e-3", 1e-3),
        ("backbone", "4", "4"),
        ("backbone", "a/b c", "a/b c"),
        ("verbose", "true", True),
        ("verbose", "False", False),
        ("seeds", "3,4", (3, 4)),
        ("seeds", "[3]", (3,)),
        ("names", "['x']", ["x"]),
        ("ranks", "{'key': 2}", {"key": 2}),
        ("steps", "none", None),
        ("steps", "7", 7),
        ("limit", "7", 7),
        ("limit", "seven", "seven"),
    ],
)
def test_a_value_takes_the_type_of_its_parameter(labs, name, text, value):
    lab = labs / "01_lora.ipynb"
    found = parse_values([lab], [(name, text)])[lab][name]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rank", "abc"),
        ("rank", "4.0"),
        ("rank", "true"),
        ("rank", "none"),
        ("alpha", "high"),
        ("alpha", "nan"),
        ("verbose", "1"),
        ("seeds", "3"),
        ("seeds", "a,b"),
        ("names", "x"),
        ("ranks", "[1]"),
        ("steps", "1.5"),
    ],
)
def test_a_value_of_another_type_is_refused_naming_type_and_value(labs, name, text):
    lab = labs / "01_lora.ipynb"
    kind = lab_parameters(lab)[name].kind
    with pytest.raises(ValueError, match=re.escape(f"{name} must be {kind}, got '{text}'; ")):
        parse_values([lab], [(name, text)])


def test_each_lab_gets_the_value_in_its_own_type(labs):
    lora, more = labs / "01_lora.ipynb", labs / "01_more.ipynb"
    values = parse_values([lora, more], [("rank", "4")])
    assert type(values[lora]["rank"]) is int and type(values[more]["rank"]) is float


def test_a_parameter_that_one_of_the_labs_lacks_is_refused_listing_what_it_has(labs):
    with pytest.raises(ValueError, match=r"00_start has no parameter 'rank'.*: none"):
        parse_values(find_labs([]), [("rank", "4")])
    with pytest.raises(ValueError, match=r"(?s)no parameter 'rnk'.*\n  rank: int = 8  # of the up"):
        parse_values([labs / "01_lora.ipynb"], [("rnk", "4")])


def test_copies_are_new_then_untouched(labs, tmp_path):
    folder = tmp_path / "mine"
    assert copy_labs(folder).new == ("00_start.ipynb", "01_lora.ipynb", "01_more.ipynb")
    assert (folder / "01_lora.ipynb").read_bytes() == (labs / "01_lora.ipynb").read_bytes()
    assert copy_labs(folder) == Copied((), (), ())


def test_an_unchanged_copy_is_brought_up_to_date_and_a_changed_one_is_kept(labs, tmp_path):
    folder = tmp_path / "mine"
    copy_labs(folder)
    (folder / "01_more.ipynb").write_text("my work")
    for name in ("01_lora", "01_more"):
        executed.save(labs, name, "# A newer lab")
    copied = copy_labs(folder)
    assert copied == Copied((), ("01_lora.ipynb",), ("01_more.ipynb",))
    assert (folder / "01_more.ipynb").read_text() == "my work"
    assert copy_labs(folder).kept == ("01_more.ipynb",)


def test_a_deleted_copy_comes_back(labs, tmp_path):
    copy_labs(tmp_path)
    (tmp_path / "01_lora.ipynb").unlink()
    assert copy_labs(tmp_path).new == ("01_lora.ipynb",)


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", '{"sha256": 3}', '{"sha256": []}'])
def test_without_a_readable_manifest_files_that_differ_are_the_learners(labs, tmp_path, manifest):
    if manifest is not None:
        (tmp_path / MANIFEST).write_text(manifest)
    (tmp_path / "01_lora.ipynb").write_text("mine")
    copied = copy_labs(tmp_path)
    assert copied.kept == ("01_lora.ipynb",)
    assert "01_lora.ipynb" not in json.loads((tmp_path / MANIFEST).read_text())["sha256"]


def test_a_path_of_the_caller_is_made_absolute_and_other_text_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "mine.tsv").touch()
    (tmp_path / "reviews").mkdir()
    assert _absolute("./model") == str(tmp_path / "model")
    assert _absolute("mine.tsv") == str(tmp_path / "mine.tsv")
    for text in ("reviews", "minilm", "no/such", "3e-4"):
        assert _absolute(text) == text
