"""Every field of every configuration says what it may hold, and a wrong value is one line."""

from __future__ import annotations

import dataclasses
import importlib
import math
import types
import typing
from typing import Annotated, Any, Literal

import jaxtyping
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Range
from repose_jax.experiments.ablations.weight import ABLATION
from repose_jax.studies.acceptance_limits import Thresholds
from repose_jax.studies.human.build import PageOptions
from repose_jax.studies.reid_augmentation import AugmentReid

KINDS = ("tiny", "painter-people", "estimator-people", "field-people", "reid-market1501")
PRESETS = {kind: importlib.import_module(
    f"repose_jax.experiments.presets.{kind.replace('-', '_')}").CONFIG for kind in KINDS}
NO_NUMBER = st.sampled_from(["x", "", (), {}, object])


def hints_of(config: Any) -> dict[str, Any]:
    return typing.get_type_hints(type(config), include_extras=True)


def configurations() -> dict[str, Any]:
    """One of each configuration, by its type's name."""
    todo = [*PRESETS.values(), ABLATION, Thresholds(), PageOptions(),
            AugmentReid(experiment=PRESETS["reid-market1501"])]
    found = {}
    while todo:
        config = todo.pop()
        found[type(config).__name__] = config
        todo += [value for field in dataclasses.fields(config)
                 if dataclasses.is_dataclass(value := getattr(config, field.name))]
    return found


ALL = configurations()
FIELDS = [(kind, field.name) for kind, config in ALL.items() for field in dataclasses.fields(config)
          # Free tables of settings, which are checked as the configurations that they change.
          if (kind, field.name) != ("Ablation", "cells")]


def wrong(hint: Any) -> st.SearchStrategy:
    """Values that an annotation does not allow; nothing of how the package finds them out."""
    kind, options = typing.get_origin(hint), typing.get_args(hint)
    if kind is Annotated:
        (bounds,) = [bound for bound in options[1:] if isinstance(bound, Range)]
        outside = [math.nan, math.inf, -math.inf, 10**400]
        if bounds.low > -math.inf:
            outside += [bounds.low - 1, -(10**30)] + [bounds.low] * bounds.open_low
        if bounds.high < math.inf:
            outside += [bounds.high * 2 + 1, 10**30] + [bounds.high] * bounds.open_high
        if options[0] is int:
            outside.append(bounds.low + 0.5)
        return NO_NUMBER | st.sampled_from(outside) | st.booleans()
    if kind in (typing.Union, types.UnionType):
        assert len(options) == 2 and options[1] is type(None)
        return wrong(options[0])
    if kind is Literal:
        return NO_NUMBER | st.integers() | st.text().filter(lambda word: word not in options)
    if kind is tuple:
        if options[-1] is Ellipsis:
            return st.sampled_from([5, "x", {}]) | wrong(options[0]).map(lambda item: (item,))
        good_length = st.tuples(*map(wrong, options))
        return st.sampled_from([5, "x", {}, ()]) | good_length | good_length.map(lambda all: all * 2)
    if hint is bool:
        return st.sampled_from([0, 1, "true", 0.5, ()])
    if hint is str:
        return st.sampled_from([0, 1.5, True, (), {}])
    assert dataclasses.is_dataclass(hint), hint
    return st.sampled_from([0, "x", (), {}, True])


@pytest.fixture(scope="module", autouse=True)
def as_users_have_it():
    """Without the tests' own check of arguments, which would come first."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.mark.parametrize("kind, name", FIELDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_wrong_value_is_one_line_that_names_its_field(kind, name, data):
    config = ALL[kind]
    hint = hints_of(config)[name]
    value = data.draw(wrong(hint))
    with pytest.raises(UserError) as told:
        dataclasses.replace(config, **{name: value})
    said = str(told.value)
    assert "\n" not in said and len(said) < 500 and told.value.mend.startswith("give ")
    assert name.replace("_", "-") in told.value.where


def numbers_without_bounds(hint: Any) -> bool:
    if typing.get_origin(hint) is Annotated:
        return not any(isinstance(bound, Range) for bound in hint.__metadata__)
    return hint in (int, float) or any(map(numbers_without_bounds, typing.get_args(hint)))


@pytest.mark.parametrize("kind", ALL)
def test_no_number_is_without_bounds(kind):
    assert not [name for name, hint in hints_of(ALL[kind]).items() if numbers_without_bounds(hint)]


def options_of(config: Any, before: str = "") -> list[tuple[str, str]]:
    """(option, wrong word) for each number, choice and list of numbers of a preset."""
    found = []
    for name, hint in hints_of(config).items():
        value, option = getattr(config, name), f"{before}{name.replace('_', '-')}"
        inner = typing.get_args(hint)[0] if typing.get_args(hint) else hint
        if dataclasses.is_dataclass(value):
            found += options_of(value, f"{option}.")
        elif typing.get_origin(hint) is tuple and inner is not str:
            found.append((option, " ".join(["-1"] * max(len(value), 1))))
        elif typing.get_origin(hint) is Literal:
            found.append((option, "octopus"))
        elif numbers_without_bounds(hint) or hint not in (bool, str) and inner is not str:
            found.append((option, "nan"))
    return found


CASES = [(kind, option, word) for kind in KINDS for option, word in options_of(PRESETS[kind])]
NEW = [case for case in CASES if case[0] != "tiny" and not case[1].startswith(
    ("model.", "data.", "train.", "sample."))]


@pytest.mark.parametrize("kind, option, word", [
    *NEW, *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES if case not in NEW)])
def test_a_wrong_word_on_the_command_line_is_one_line(kind, option, word, capsys):
    assert main(["show-config", kind, f"--{option}", *word.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("repose: error: ") and said.count("\n") == 1 and len(said) < 700, said
