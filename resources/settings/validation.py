"""What is wrong with a value that a model refuses, in our words: every refusal of pydantic's is reported through here."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

SHOWN = 60
OURS = "ours"
"""The kind of error whose message says by itself what is wrong."""
KINDS = {"float", "int", "bool", "str", "none"}
# What a value must be, by pydantic's kind of error; {} are the limits that come with it.
MUST_BE: Mapping[str, str] = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "string_unicode": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "too_short": "at least {min_length} entries long",
    "too_long": "at most {max_length} entries long",
    "string_pattern_mismatch": "of the form {pattern}",
}


def wrong(error: ErrorDetails, keys: Iterable[str] = ()) -> str:
    """Return what is wrong with a value, what was given, and the nearest right one.

    Parameters
    ----------
    error : ErrorDetails
        One of a ``ValidationError``.
    keys : iterable of str
        Keys that may stand where ``error`` is.
    """
    if error["type"] == "extra_forbidden":
        return f"unknown key{nearest(str(error['loc'][-1]), keys)}"
    if error["type"] == "missing":
        return "is missing"
    given = repr(error["input"])
    shown = given if len(given) <= SHOWN else f"{given[:SHOWN]}..."
    if error["type"] == OURS:
        return error["msg"] if isinstance(error["input"], Mapping) else f"{error['msg']}, got {shown}"
    context = error.get("ctx", {})
    choices = _choices(str(context.get("expected", "")))
    return f"must be {_must_be(error, context)}, got {shown}{nearest(str(error['input']), choices)}"


def where(error: ErrorDetails) -> str:
    """Return the dotted key of the value that an error is about."""
    return ".".join(str(part) for part in error["loc"] if not _names_a_kind(part))


def _names_a_kind(part: int | str) -> bool:
    """Return whether a part of a place names one of the kinds that a value may be of, and no key."""
    return isinstance(part, str) and (part in KINDS or "-" in part or "[" in part)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known word, or nothing."""
    found = difflib.get_close_matches(word, sorted(known), 1, 0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def _must_be(error: ErrorDetails, context: Mapping[str, Any]) -> str:
    if error["type"] in MUST_BE:
        return MUST_BE[error["type"]].format_map(context)
    # A kind that nobody met yet; the library says what the input should be.
    return error["msg"].replace("Input should be ", "").replace("String should ", "text that would ")


def _choices(expected: str) -> set[str]:
    return {choice.strip(" '\"") for choice in expected.replace(" or ", ",").split(",")} if expected else set()
