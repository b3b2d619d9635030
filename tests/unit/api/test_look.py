from __future__ import annotations

from typing import Any

import pytest
from fastapi import Request

from runtime.api.look import LOOK_PARAMETERS, Look, read_look
from runtime.errors import InvalidRequest


def asked(query: str = "", **headers: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }
    return Request(scope)


@pytest.mark.parametrize(
    ("query", "look"),
    [
        ("", Look()),
        ("other=1", Look()),
        ("include_input=true", Look(include_input=True)),
        ("stream=1&last_event_id=7", Look(stream=True, last_event_id="7")),
        ("stream=True&include_input=no", Look(stream=True)),
        ("stream=false&stream=on", Look(stream=True)),
        ("last_event_id=", Look(last_event_id=None)),
    ],
)
def test_what_a_query_asks_for(query: str, look: Look) -> None:
    assert read_look(asked(query)) == look


def test_the_header_of_browsers_says_it_too_and_the_query_comes_first() -> None:
    assert read_look(asked(last_event_id="3")).last_event_id == "3"
    assert read_look(asked("stream=1", last_event_id="3")).last_event_id == "3"
    assert read_look(asked("last_event_id=5", last_event_id="3")).last_event_id == "5"


@pytest.mark.parametrize("name", ["stream", "include_input"])
@pytest.mark.parametrize("value", ["", "maybe", "2"])
def test_what_is_neither_yes_nor_no_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name}: input should be a valid boolean"):
        read_look(asked(f"{name}={value}"))


def test_the_document_names_all_that_is_read() -> None:
    names = {(one["name"], one["in"]) for one in LOOK_PARAMETERS["parameters"]}
    fields = {(name, "query") for name in Look.__slots__}
    assert names == {*fields, ("Last-Event-ID", "header")}
