"""GPT-2's byte alphabet: one printable letter for each byte.

Source: `bytes_to_unicode` of https://github.com/openai/gpt-2/blob/master/src/encoder.py.
"""

from __future__ import annotations


def _letters() -> list[str]:
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


BYTE_OF_LETTER = {letter: byte for byte, letter in enumerate(_letters())}
