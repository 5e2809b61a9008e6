"""Functions, models and dicts as tools: schemas, checks, and arguments as their annotations have them."""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import sys
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional, TypedDict, Union

import jsonschema
import pydantic
import pytest

from gpt4all.tools.docstrings import read_docstring
from gpt4all.tools.toolbox import Tool, check_choice, read_tools


@pytest.fixture(params=["pydantic", "standard library"])
def types_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to read annotations."""
    if request.param != "pydantic":
        monkeypatch.setitem(sys.modules, "gpt4all.tools.pydantic_types", None)
    return str(request.param)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Place:
    city: str
    country: Optional[str] = None  # noqa: UP045


@dataclasses.dataclass
class Trip:
    stops: list[Place]
    back: Place = dataclasses.field(default_factory=lambda: Place("Rome"))


@dataclasses.dataclass
class Node:
    value: int
    next: Optional[Node] = None  # noqa: UP045


class Options(TypedDict, total=False):
    days: typing.Required[int] if sys.version_info >= (3, 11) else int  # type: ignore[valid-type]
    unit: Literal["C", "F"]


def tool_of(function: Any) -> Tool:
    return next(iter(read_tools([function])))


def returned(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """What a function gives for arguments that came as JSON, which its schema accepts."""
    tool = tool_of(function)
    jsonschema.validate(arguments, tool.parameters)
    assert tool.signature is not None
    return tool.signature.call_with(tool.check(json.loads(json.dumps(arguments))))()


ROUND_TRIPS: list[tuple[Any, Any, Any]] = [
    (str, "x", "x"),
    (int, 3, 3),
    (float, 3, 3.0),
    (bool, True, True),
    (None, None, None),
    (list[int], [1, 2], [1, 2]),
    (list, ["x", 1], ["x", 1]),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (tuple[int, str], [1, "x"], (1, "x")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (set[str], ["a"], {"a"}),
    (Optional[int], None, None),  # noqa: UP045
    (int | None, 5, 5),
    (Union[str, int], 5, 5),  # noqa: UP007
    (Literal["a", 1], "a", "a"),
    (Colour, "red", Colour.RED),
    (Level, 2, Level.HIGH),
    (Annotated[int, "how many"], 7, 7),
    (Place, {"city": "Paris"}, Place("Paris")),
    (Trip, {"stops": [{"city": "Paris", "country": "FR"}]}, Trip([Place("Paris", "FR")])),
    (list[Colour], ["blue"], [Colour.BLUE]),
    (Place | Colour, "blue", Colour.BLUE),
    (Any, {"x": [1]}, {"x": [1]}),
]


@pytest.mark.parametrize(("annotation", "sent", "expected"), ROUND_TRIPS, ids=lambda each: str(each)[:40])
def test_annotations(types_of: str, annotation: Any, sent: Any, expected: Any) -> None:
    def function(x: Any) -> Any:
        return x

    function.__annotations__["x"] = annotation
    found = returned(function, {"x": sent})
    assert found == expected
    assert type(found) is type(expected)


def test_typed_dicts(types_of: str) -> None:
    def function(options: Options) -> Any:
        return options

    function.__annotations__["options"] = Options
    assert returned(function, {"options": {"days": 3, "unit": "C"}}) == {"days": 3, "unit": "C"}
    with pytest.raises(ValueError, match="match"):
        tool_of(function).check({"options": {"days": 3, "unit": "K"}})


def test_classes_that_refer_to_themselves(types_of: str) -> None:
    def function(node: Node) -> Any:
        return node

    assert returned(function, {"node": {"value": 1, "next": {"value": 2}}}) == Node(1, Node(2))


def get_weather(city: Annotated[str, "its name"], unit: Literal["C", "F"] = "C", days: int = 1) -> str:
    """Tells the weather.

    More of it.

    Args:
        city: in which city.
        unit (str, optional): of the
            temperature.
        days: how many.

    Returns:
        A text.
    """
    return f"{city} {unit} {days}"


def test_a_function(types_of: str) -> None:
    tool = tool_of(get_weather)
    assert (tool.name, tool.description) == ("get_weather", "Tells the weather.\n\nMore of it.")
    assert list(tool.parameters["properties"]) == ["city", "unit", "days"]
    assert tool.parameters["required"] == ["city"]
    assert tool.parameters["additionalProperties"] is False
    described = {name: inner.get("description") for name, inner in tool.parameters["properties"].items()}
    assert described["unit"] == "of the temperature."
    assert described["days"] == "how many."
    assert described["city"] == ("its name" if types_of != "pydantic" else "in which city.")
    assert tool.parameters["properties"]["days"]["default"] == 1
    assert returned(get_weather, {"city": "Rome", "days": 2}) == "Rome C 2"


def test_kinds_of_functions(types_of: str) -> None:
    class Adder:
        """Adds."""

        def __init__(self, to: int) -> None:
            self.to = to

        def add(self, x: int) -> int:
            return self.to + x

        def __call__(self, x: int) -> int:
            return self.to + x

    def positional(x: int, /, *rest: int, y: int = 1, **more: int) -> int:
        """Takes."""
        return x + y + len(rest) + len(more)

    async def awaited(x: int) -> int:
        return x

    assert returned(Adder(1).add, {"x": 2}) == 3
    assert returned(Adder(1), {"x": 2}) == 3
    assert tool_of(Adder(1)).name == "Adder"
    assert tool_of(Adder(1)).description == "Adds."
    assert returned(positional, {"x": 2, "y": 3}) == 5
    assert returned(functools.partial(positional, 5), {"y": 3}) == 8
    assert tool_of(functools.partial(positional, 5)).name == "positional"
    assert tool_of(awaited).parameters["required"] == ["x"]


def test_a_pydantic_model() -> None:
    class Person(pydantic.BaseModel):
        """Somebody."""

        name: str
        age: int = pydantic.Field(ge=0)

    tool = tool_of(Person)
    assert (tool.name, tool.description, tool.signature) == ("Person", "Somebody.", None)
    assert tool.check({"name": "Anna", "age": 3})
    with pytest.raises(ValueError, match="do not match"):
        tool.check({"name": "Anna", "age": -3})


def test_pydantic_in_a_signature() -> None:
    class Person(pydantic.BaseModel):
        name: str

    def greet(person: Any, times: int = pydantic.Field(2, ge=1, description="how often")) -> Any:
        return person, times

    greet.__annotations__["person"] = Person
    tool = tool_of(greet)
    assert tool.parameters["properties"]["times"]["description"] == "how often"
    assert returned(greet, {"person": {"name": "Anna"}}) == (Person(name="Anna"), 2)
    with pytest.raises(ValueError, match="do not match"):
        tool.check({"person": {"name": "Anna"}, "times": 0})


def test_a_check_that_is_in_no_schema() -> None:
    def even(x: Any) -> Any:
        return x

    def check(x: int) -> int:
        if x % 2:
            raise ValueError("odd")
        return x

    even.__annotations__["x"] = Annotated[int, pydantic.AfterValidator(check)]
    tool = tool_of(even)
    assert tool.signature is not None
    with pytest.raises(ValueError, match=r"x: (.|\n)*odd"):
        tool.signature.call_with({"x": 3})


DICT = {
    "type": "function",
    "function": {
        "name": "math.add",
        "description": "Adds.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "string"}, "c": {"enum": ["x", "y"]}},
            "required": ["a", "b", "c"],
            "additionalProperties": False,
        },
    },
}


def test_openai_dicts() -> None:
    tool = tool_of(DICT)
    definition = tool.definition()
    assert definition["function"] == DICT["function"]
    assert "root ::=" in definition["grammar"]
    assert "properties" not in definition  # one may be a string, and not any
    assert tool_of({"type": "function", "function": {"name": "now"}}).check({}) == {}


def test_properties_that_stand_alone() -> None:
    def function(text: str, number: int, place: Optional[list[int]] = None) -> None: ...  # noqa: UP045

    found = tool_of(function).properties
    assert found is not None
    assert found["text"] == "text"
    assert "root ::=" in found["number"]
    assert set(found) == {"text", "number", "place"}


BAD_PARAMETERS = {"required": ["x"], "properties": {"x": {"type": "dict"}}}
BAD_SCHEMA = {"type": "function", "function": {"name": "f", "parameters": BAD_PARAMETERS}}


@pytest.mark.parametrize(
    ("tools", "error", "words"),
    [
        (5, TypeError, "tools must be a list"),
        (DICT, TypeError, "tools must be a list"),
        ([5], TypeError, r"tools\[0\] must be a function"),
        ([DICT, DICT], ValueError, r"tools\[1\] has the name 'math.add'"),
        ([{"type": "retrieval"}], ValueError, r"tools\[0\]"),
        ([{"type": "function", "function": {}}], ValueError, "no 'name'"),
        ([{"type": "function", "function": {"name": "a b"}}], ValueError, "'a b'"),
        ([{"type": "function", "function": {"name": "f", "parameters": 5}}], TypeError, r"tools\[0\] \('f'\)"),
        ([{"type": "function", "function": {"name": "f", "strict": 5}}], TypeError, "strict"),
        (
            [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}],
            ValueError,
            r"tools\[0\] \('f'\): parameters must be of type 'object'",
        ),
        (
            [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"required": ["x"], "properties": {"x": {"type": "dict"}}}},
                }
            ],
            ValueError,
            r"tools\[0\] \('f'\): parameters: .*dict",
        ),
        ([lambda x: x], ValueError, "lambda"),
    ],
)
def test_what_is_no_tool_is_named(tools: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_tools(tools)


def test_an_annotation_that_is_no_json(types_of: str) -> None:
    class Thing: ...

    def function(x: Any) -> None: ...

    function.__annotations__["x"] = Thing
    with pytest.raises(TypeError, match=r"tools\[0\] \('function'\): parameter 'x'"):
        read_tools([function])
    function.__annotations__["x"] = "Unknown"
    with pytest.raises(ValueError, match="Unknown"):
        read_tools([function])


def test_choices() -> None:
    box = read_tools([DICT])
    assert [check_choice(choice, box) for choice in ("auto", "none", "required")] == ["auto", "none", "required"]
    assert check_choice("math.add", box) == {"name": "math.add"}
    assert check_choice({"type": "function", "function": {"name": "math.add"}}, box) == {"name": "math.add"}
    for wrong in ("other", {"type": "function"}, {"name": "math.add"}):
        with pytest.raises(ValueError, match="tool_choice"):
            check_choice(wrong, box)
    with pytest.raises(TypeError, match="tool_choice"):
        check_choice(5, box)
    with pytest.raises(ValueError, match="no tools"):
        check_choice("required", read_tools([]))


GOOGLE = """Adds.

Args:
    x (int, optional): the first,
        of two.
    *y: the rest: all.

Raises:
    ValueError: no.
"""
NUMPY = """
    Adds.

    Parameters
    ----------
    x : int, optional
        the first,
        of two.
    *y
        the rest: all.

    Returns
    -------
    int
        the sum.
    """
SPHINX = """Adds.

:param x: the first,
    of two.
:type x: int
:param list y: the rest: all.
:returns: the sum.
"""


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX])
def test_docstrings(text: str) -> None:
    assert read_docstring(text) == ("Adds.", {"x": "the first, of two.", "y": "the rest: all."})


def test_docstrings_without_sections() -> None:
    assert read_docstring(None) == ("", {})
    text = "Note: this is text.\n\nWarning about it."
    assert read_docstring(text) == (text, {})
