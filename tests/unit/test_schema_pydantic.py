"""Field types of pydantic: what a model may write for each, its class takes, but for those whose schema says less."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import ipaddress
import json
import pathlib
import typing
import uuid
import warnings
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field

from gpt4all.grammars.json_schema import schema_grammar
from gpt4all.grammars.pydantic_models import described
from tests.support.gbnf import Texts
from tests.support.schemas import check_instance

DRAWS = 15

Item = TypeVar("Item")


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class BlackCat(BaseModel):
    pet: Literal["cat"]
    colour: Literal["black"]
    a: str


class WhiteCat(BaseModel):
    pet: Literal["cat"]
    colour: Literal["white"]
    b: str


class Hound(BaseModel):
    pet: Literal["dog"]
    name: str


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Chain(BaseModel):
    value: int
    following: Chain | None = None


class Pair(NamedTuple):
    a: int
    b: str


@dataclass
class Data:
    a: int
    b: str = "x"


class Box(BaseModel, Generic[Item]):
    item: Item


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


AnyCat = Annotated[BlackCat | WhiteCat, Field(discriminator="colour")]

#: What is written the class takes.
SAME: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "None": None,
    "datetime": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
    "timedelta": datetime.timedelta,
    "UUID": uuid.UUID,
    "UUID4": pydantic.UUID4,
    "Path": pathlib.Path,
    "IPv4Address": ipaddress.IPv4Address,
    "IPv6Address": ipaddress.IPv6Address,
    "IPvAnyAddress": pydantic.IPvAnyAddress,
    "IPvAnyInterface": pydantic.IPvAnyInterface,
    "EmailStr": pydantic.EmailStr,
    "AnyUrl": pydantic.AnyUrl,
    "HttpUrl": pydantic.HttpUrl,
    "HttpUrl, shorter": Annotated[pydantic.HttpUrl, Field(max_length=100)],
    "AnyHttpUrl": pydantic.AnyHttpUrl,
    "Pattern": typing.Pattern,
    "Base64Bytes": pydantic.Base64Bytes,
    "Literal": Literal["a", "b", 3],
    "Enum": Colour,
    "IntEnum": Number,
    "Optional": int | None,
    "Union": int | str | None,
    "list | dict": list[int] | dict[str, int],
    "discriminated": Annotated[Cat | Dog, Field(discriminator="kind")],
    "discriminated, nested": Annotated[AnyCat | Hound, Field(discriminator="pet")],
    "union of models": list[Cat | Dog],
    "list": list[int],
    "list of anything": list,
    "list of optional models": list[Cat | None],
    "set": set[str],
    "set of Enum": set[Colour],
    "frozenset": frozenset[int],
    "tuple": tuple[int, str],
    "tuple of any length": tuple[int, ...],
    "dict": dict[str, int],
    "dict of anything": dict,
    "dict of Enum": dict[Colour, int],
    "Mapping": collections.abc.Mapping[str, int],
    "Sequence": collections.abc.Sequence[int],
    "deque": collections.deque[int],
    "Counter": typing.Counter[str],
    "model": Cat,
    "recursive model": Tree,
    "linked list": Chain,
    "NamedTuple": Pair,
    "dataclass": Data,
    "generic model": Box[int],
    "extra forbidden": Closed,
    "extra allowed": Open,
    "Any": Any,
    "str with lengths": Annotated[str, Field(min_length=2, max_length=5)],
    "str with pattern": Annotated[str, Field(pattern="^[a-z]+$")],
    "int with bounds": Annotated[int, Field(ge=1, le=5)],
    "float with bounds": Annotated[float, Field(gt=0, lt=1)],
    "list with lengths": Annotated[list[int], Field(min_length=1, max_length=3)],
    "set with lengths": Annotated[set[int], Field(min_length=1, max_length=3)],
    "PositiveInt": pydantic.PositiveInt,
    "NegativeFloat": pydantic.NegativeFloat,
    "NonNegativeInt": pydantic.NonNegativeInt,
    "FiniteFloat": pydantic.FiniteFloat,
    "StrictStr": pydantic.StrictStr,
    "SecretStr": pydantic.SecretStr,
    "bytes": bytes,
    "AwareDatetime": pydantic.AwareDatetime,
    "with default": Annotated[int, Field(default=3)],
}
#: The class asks for more than its schema says.
WEAKER: dict[str, Any] = {
    "Decimal": decimal.Decimal,
    "Decimal with digits": Annotated[decimal.Decimal, Field(max_digits=5, decimal_places=2)],
    "dict of int": dict[int, str],
    "IPv4Network": ipaddress.IPv4Network,
    "Json": pydantic.Json[int],
    "Base64Str": pydantic.Base64Str,
    "PastDate": pydantic.PastDate,
    "FutureDatetime": pydantic.FutureDatetime,
    "NaiveDatetime": pydantic.NaiveDatetime,
    "ByteSize": pydantic.ByteSize,
    "PostgresDsn": pydantic.PostgresDsn,
    "complex": complex,
}
#: A grammar cannot compare items, so there is one.
NARROWED = {"set", "frozenset", "set with lengths"}


def model_of(kind: Any) -> type[BaseModel]:
    return pydantic.create_model("Model", field=(kind, ...))


def drawn(name: str, model: type[BaseModel]) -> list[str]:
    schema = described(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts = Texts(schema_grammar({**schema, "title": name}))
    assert bool(caught) == (name in NARROWED), [str(warning.message) for warning in caught]
    found = [texts.draw(seed) for seed in range(DRAWS)]
    for text in found:
        check_instance(json.loads(text), schema)
    return found


@pytest.mark.parametrize("name", SAME)
def test_the_class_takes_what_is_written(name: str) -> None:
    model = model_of(SAME[name])
    for text in drawn(name, model):
        model.model_validate_json(text)


@pytest.mark.parametrize("name", WEAKER)
def test_a_class_may_ask_for_more_than_its_schema(name: str) -> None:
    """README names them. What is written fits the schema; should the class take it all some day, this says so."""
    model = model_of(WEAKER[name])

    def taken(text: str) -> bool:
        try:
            model.model_validate_json(text)
        except pydantic.ValidationError:
            return False
        return True

    assert not all(map(taken, drawn(name, model)))


def test_a_class_that_describes_itself_is_asked_as_it_expects() -> None:
    class Own(BaseModel):
        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:  # type: ignore[override]
            return {"const": 3}

    class Other:
        @staticmethod
        def model_json_schema() -> dict[str, Any]:
            return {"const": 4}

    assert described(Own) == {"const": 3}
    assert described(Other) == {"const": 4}
