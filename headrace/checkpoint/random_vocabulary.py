"""A small byte-level BPE vocabulary for models of random weights.

Any text encodes (all 256 bytes are tokens) and any id decodes; a few merges make the merging real.
Llama.cpp and the tokenizers library read it alike.
"""

from __future__ import annotations

from dataclasses import dataclass

BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
BEGIN_ID, END_ID = 0, 1
NORMAL, CONTROL = 1, 3  # `tokenizer.ggml.token_type`
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
MERGES = (
    *("Ġ t", "h e", "i n", "e r", "a n", "Ġt he", "o n", "r e", "a t", "e n", "Ġ a", "o r"),
    *("e s", "i s", "Ġ s", "i t", "o u", "n d", "Ġ w", "Ġ o", "Ġ c", "in g", "a r", "l l"),
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    tokens: list[str]
    types: list[int]
    merges: list[str]


def random_vocabulary(size: int) -> Vocabulary:
    """A vocabulary of exactly `size` tokens; those no merge reaches are the words " w0", " w1"…"""
    tokens = [BEGIN, END, *_byte_letters(), *(merge.replace(" ", "") for merge in MERGES)]
    tokens += [f"Ġw{number}" for number in range(size - len(tokens))]
    types = [CONTROL, CONTROL] + [NORMAL] * (size - 2)
    return Vocabulary(tokens, types, list(MERGES))


def _byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte (`bytes_to_unicode` of its published encoder)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
