"""Values of a GGUF header's key-value pairs."""

from __future__ import annotations

from struct import Struct

import numpy as np

from headrace.checkpoint.cursor import Cursor

BOOL, STRING, ARRAY = 7, 8, 9
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}
_STRUCTS = {code: Struct("<" + letter) for code, letter in NUMBERS.items()}


def read_value(cursor: Cursor, code: int, key: str) -> object:
    """The value at the cursor, of the type numbered `code`; `key` is for messages."""
    what = f"the value of '{key}'"
    if code in _STRUCTS:
        return cursor.number(_STRUCTS[code], what)
    if code == STRING:
        return cursor.string(what)
    if code == BOOL:
        at = cursor.need(1, what)
        return _bool(cursor, at, cursor.data[at], what)
    if code == ARRAY:
        return _read_array(cursor, what)
    raise cursor.malformed(
        f"{what} has type {code}, which GGUF does not define", cursor.position - 4
    )


def _bool(cursor: Cursor, at: int, byte: int, what: str) -> bool:
    if byte > 1:
        raise cursor.malformed(f"{what} is a bool of value {byte}", at)
    return byte == 1


def _read_array(cursor: Cursor, what: str) -> object:
    at = cursor.position
    code = cursor.u32(f"the element type of {what}")
    if code == STRING:
        return cursor.strings(cursor.count(f"the length of {what}", 8), what)
    if code == BOOL:
        flags = cursor.array(np.uint8, cursor.count(f"the length of {what}", 1), what)
        if flags.size and int(flags.max()) > 1:  # pyright: ignore[reportArgumentType]
            raise cursor.malformed(f"{what} holds a bool that is neither 0 nor 1", at)
        return flags.view(np.bool_)
    if code in NUMBERS:
        count = cursor.count(f"the length of {what}", _STRUCTS[code].size)
        return cursor.array("<" + NUMBERS[code], count, what)
    if code == ARRAY:
        raise cursor.malformed(f"{what} is an array of arrays, which no model uses", at)
    raise cursor.malformed(f"{what} has elements of type {code}, which GGUF does not define", at)
