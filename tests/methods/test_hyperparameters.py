"""Hyperparameters: one declaration refuses, reads the command line, and offers values."""

import dataclasses
from collections.abc import Mapping
from math import inf, nan

import pytest

from peftlab.anatomy.catalog import catalog_config
from peftlab.methods import METHODS
from peftlab.methods.base import Method
from peftlab.methods.hyperparameters import choice, declared, flag, names, number, own, whole
from peftlab.methods.kinds import Number

every_hyperparameter = pytest.mark.parametrize(
    ("method", "name"),
    [(kind, name) for kind in METHODS.values() for name in declared(kind)],
    ids=lambda value: getattr(value, "name", value),
)


def twice(value):
    return 2 * value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example(Method):
    name = "example"

    size: int = whole(8, low=1, usual=(2, 20))
    sizes: int | Mapping[str, int] = whole(8, low=1, each=True)
    seed: int = whole(0, low=0, high=9)
    scale: float = number(1.0, low=0)
    share: float = number(0.5, low=0, high=1, below=True)
    rate: float | None = number(None, low=1e-6, high=1.0, example=1e-3)
    kind: str | None = choice("one", "two", None)
    on: bool = flag(True)
    places: tuple = names("query", what="roles")
    among: tuple = names("a", what="letters", options=("a", "b"))
    doubled: int = own(3, twice)


def test_the_defaults_are_those_declared_and_each_is_kept_in_its_usual_form():
    method = Example()
    assert method.hyperparameters() == {
        "size": 8,
        "sizes": 8,
        "seed": 0,
        "scale": 1.0,
        "share": 0.5,
        "rate": None,
        "kind": "one",
        "on": True,
        "places": ("query",),
        "among": ("a",),
        "doubled": 6,
    }
    assert Example(places="key").places == ("key",)
    assert Example(places=["key", "value"]).places == ("key", "value")
    assert Example.size == 8


def test_equal_values_make_equal_methods_with_one_hash_and_a_repr_that_makes_them_again():
    for kind in METHODS.values():
        method = kind()
        assert method == kind() and hash(method) == hash(kind())
        assert eval(repr(method), {kind.__name__: kind}) == method
        assert kind(**method.hyperparameters()) == method


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be at least 1, got 0; write for example size=8"),
        (
            {"size": 1.5},
            TypeError,
            "size must be a whole number, got 1.5; write for example size=8",
        ),
        ({"size": True}, TypeError, "size must be a whole number, got True"),
        ({"sizes": {"query": 2, "key": 0}}, ValueError, "sizes must be at least 1, got 0"),
        ({"size": {"query": 2}}, TypeError, "size must be a whole number"),
        ({"seed": 10}, ValueError, "seed must be from 0 to 9, got 10; write for example seed=0"),
        ({"scale": inf}, ValueError, "scale must be at least 0 and finite, got inf"),
        ({"scale": nan}, ValueError, "scale must be at least 0 and finite, got nan"),
        ({"scale": None}, TypeError, "scale must be a number, got None"),
        ({"share": 1}, ValueError, "share must be from 0 to below 1, got 1; .* share=0.5"),
        ({"rate": 2}, ValueError, "rate must be from 1e-06 to 1, got 2; .* rate=0.001"),
        ({"rate": "a"}, TypeError, "rate must be a number, got 'a'; .* rate=0.001"),
        ({"kind": "three"}, ValueError, "one of one, two, None, got 'three'; .* kind='one'"),
        ({"on": 1}, TypeError, "on must be True or False, got 1; write for example on=False"),
        (
            {"places": 3},
            TypeError,
            r"places must be roles in a tuple, got 3; .* places=\('query',\)",
        ),
        ({"places": ()}, ValueError, r"places must be roles, at least one, got \(\)"),
        ({"places": ("query", 3)}, ValueError, "places must be roles, at least one"),
        ({"among": ("a", "c")}, ValueError, "among: there is no 'c'; choose from: a, b"),
        ({"doubled": None}, TypeError, "NoneType"),
    ],
    ids=str,
)
def test_a_value_that_the_declaration_does_not_allow_is_refused(values, error, message):
    with pytest.raises(error, match=message):
        Example(**values)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("size", "4", 4),
        ("sizes", "{'query': 1}", {"query": 1}),
        ("rate", "None", None),
        ("rate", "1e-4", 1e-4),
        ("kind", "two", "two"),
        ("kind", "None", None),
        ("on", "false", False),
        ("on", "True", True),
        ("places", "query, key", ("query", "key")),
        ("places", "('query',)", ("query",)),
        ("doubled", "4", 8),
    ],
)
def test_text_of_the_command_line_is_read_as_the_declaration_means_it(name, text, value):
    read = declared(Example)[name].read(text)
    assert getattr(Example(**{name: read}), name) == value


def test_an_option_that_reads_like_something_else_stays_an_option():
    encoder = declared(METHODS["p_tuning"])["prompt_encoder"]
    assert encoder.read("none") == "none"  # a name here, not None
    assert declared(METHODS["bitfit"])["control"].read("None") is None


def test_a_whole_number_offers_the_powers_of_two_that_are_usual_and_its_default():
    assert declared(Example)["size"].offers == (2, 4, 8, 16)
    assert declared(METHODS["prompt_tuning"])["prompt_length"].offers == (
        *(1, 2, 4, 8, 16, 20, 32, 64, 128),
    )


@every_hyperparameter
def test_what_is_offered_is_allowed_and_has_the_default_in_it(method, name):
    declaration = declared(method)[name]
    assert declaration.default in declaration.offers
    for value in declaration.offers:
        kept = declaration.check(name, value)
        assert declaration.check(name, kept) == kept


@every_hyperparameter
def test_the_count_depends_on_exactly_what_says_so(method, name):
    """On a backbone that is wide enough for everything that is offered."""
    config = catalog_config("bert-base")
    declaration, found = declared(method)[name], set()
    for value in declaration.offers:
        try:
            method_with = method(**{name: value})
        except ValueError:
            continue  # it needs another hyperparameter beside it
        found.add(method_with.parameter_count(config, "sequence_classification").trained)
    assert (len(found) > 1) == declaration.counts


def test_a_number_knows_its_range():
    share = declared(METHODS["lora"])["dropout"]
    assert isinstance(share, Number)
    assert (share.low, share.high, share.default) == (0, 1, 0.0)


def test_a_field_that_is_not_declared_is_refused_with_the_line_to_write():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Plain(Method):
        size: int = 3

    with pytest.raises(TypeError, match=r"size is no declared .* size: int = whole\(8, low=1\)"):
        Plain()
