from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from simulator.component import Component, Record, problems, temporary_choices
from simulator.dispatch import Balancer, Picker, RoundRobin, View
from simulator.quantities import Duration
from simulator.scenario import Pool


class Fruit(Component):
    """Something to eat."""

    family: ClassVar[str] = "fruit"


class Apple(Fruit):
    """Round and crisp.

    Keeps for weeks.
    """

    kind: Literal["apple"] = "apple"
    grams: int = Field(100, ge=1)
    ripens: Duration = 0


class Bowl(Record):
    fruit: Fruit = Apple()
    more: dict[str, Fruit] = Field(default_factory=dict)


def complaint(data: object) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Bowl.model_validate(data)
    return problems(caught.value)


def test_a_choice_is_made_by_name_or_by_fields() -> None:
    assert Bowl.model_validate({"fruit": "apple"}).fruit == Apple()
    assert Bowl.model_validate({"fruit": {"kind": "apple", "grams": 7}}).fruit == Apple(grams=7)


def test_it_is_written_back_as_it_is_read() -> None:
    bowl = Bowl.model_validate({"fruit": {"kind": "apple", "ripens": "5s"}})
    written = bowl.model_dump(mode="json")
    assert written["fruit"] == {"kind": "apple", "grams": 100, "ripens": "5s"}
    assert Bowl.model_validate(written) == bowl


def test_what_was_left_to_its_default_can_stay_out_and_the_kind_cannot() -> None:
    bowl = Bowl(fruit=Apple(grams=7))
    assert bowl.model_dump(mode="json", exclude_unset=True) == {"fruit": {"kind": "apple", "grams": 7}}
    assert Bowl().model_dump(exclude_unset=True) == {}


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        ({"fruit": "aple"}, "fruit.kind", "did you mean 'apple'"),
        ({"fruit": {"grams": 1}}, "fruit.kind", "no kind is given; known: apple"),
        ({"fruit": {"kind": None}}, "fruit.kind", "no kind is given; known: apple"),
        ({"fruit": {"kind": "apple", "gramms": 1}}, "fruit.gramms", "unknown field; did you mean 'grams'"),
        ({"fruit": {"kind": "apple", "grams": 0}}, "fruit.grams", "0: input should be greater than or equal to 1"),
        ({"fruit": {"kind": "apple", "grams": "2"}}, "fruit.grams", "'2': input should be a valid integer"),
        ({"more": {"left": {"kind": "apple", "ripens": 5}}}, "more.left.ripens", "5 has no unit"),
        ({"fruit": 3}, "fruit", "3 is not a kind of fruit"),
        ({"frut": "apple"}, "frut", "unknown field; did you mean 'fruit'"),
    ],
)
def test_errors_name_the_path_the_value_and_the_fix(data: object, path: str, words: str) -> None:
    found = complaint(data)
    assert found[0][0] == path
    assert words in found[0][1]


def test_the_meaning_is_the_first_line() -> None:
    assert Apple.meaning() == "Round and crisp."


def test_one_class_adds_one_choice_and_the_fixture_forgets_it() -> None:
    with temporary_choices():

        class Last(Balancer):
            """Always the last."""

            kind: Literal["last"] = "last"

            def start(self, view: View) -> Picker:
                return Picker(view)

        pool = Pool.model_validate({"instance": "x", "balancer": "last"})
        assert isinstance(pool.balancer, Last)
        assert "last" in str(Pool.model_json_schema())
    with pytest.raises(ValidationError):
        Pool.model_validate({"instance": "x", "balancer": "last"})
    assert Pool.model_validate({"instance": "x", "balancer": "round_robin"}).balancer == RoundRobin()
