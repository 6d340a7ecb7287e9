"""How byte-level vocabularies cut text into words before merging, by `tokenizer.ggml.pre`.

The expressions are those of the vocabularies' own tokenizer.json files, which llama.cpp's
`llama-vocab.cpp` lists by the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _REST
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _REST
_QWEN35 = (
    _CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"
    + _REST
)
_LOWER_END = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_UPPER_START = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|"
_TEKKEN = f"{_LOWER_END}|{_UPPER_START}|" + r"\p{N}|" + _SYMBOLS + _REST
_GPT4O = (
    f"{_LOWER_END}{_CONTRACTIONS}?|{_UPPER_START}{_CONTRACTIONS}?|"
    + r"\p{N}{1,3}|"
    + _SYMBOLS
    + _REST
)
_DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + _REST
)


@dataclass(frozen=True, slots=True)
class WordSplit:
    """One way of cutting.

    Attributes:
        splits: each expression's matches become words of their own, one expression after another.
        gpt2: then GPT-2's own expression.
        whole_words: a word that is a token is taken without merging.
        add_bos: prompts start with the BOS token unless the file says otherwise.
        nfc: text is put into Unicode's composed form first.
    """

    splits: tuple[str, ...] = ()
    gpt2: bool = False
    whole_words: bool = False
    add_bos: bool = False
    nfc: bool = False

    def to_json(self) -> dict[str, Any]:
        """The `pre_tokenizer` of a tokenizer.json."""
        steps: list[dict[str, Any]] = [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}
            for split in self.splits
        ]
        flags = {"add_prefix_space": False, "trim_offsets": True, "use_regex": self.gpt2}
        return {"type": "Sequence", "pretokenizers": [*steps, {"type": "ByteLevel", **flags}]}


_GPT2 = WordSplit(gpt2=True)
_DIGITS = WordSplit(splits=(r"\p{N}",), gpt2=True)
_LLAMA3_SPLIT = WordSplit(splits=(_LLAMA3,), whole_words=True, add_bos=True)
_QWEN2_SPLIT = WordSplit(splits=(_QWEN2,), nfc=True)

WORD_SPLITS = {
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "mpt": WordSplit(gpt2=True, nfc=True),
    "olmo": WordSplit(gpt2=True, nfc=True),
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "command-r": _DIGITS,
    "codeshell": _DIGITS,
    "llama-bpe": _LLAMA3_SPLIT,
    "llama3": _LLAMA3_SPLIT,
    "llama-v3": _LLAMA3_SPLIT,
    "falcon3": _LLAMA3_SPLIT,
    "lfm2": _LLAMA3_SPLIT,
    "dbrx": WordSplit(splits=(_LLAMA3,)),
    "smaug-bpe": WordSplit(splits=(_LLAMA3,)),
    "qwen2": _QWEN2_SPLIT,
    "deepseek-r1-qwen": _QWEN2_SPLIT,
    "qwen35": WordSplit(splits=(_QWEN35,), nfc=True),
    "tekken": WordSplit(splits=(_TEKKEN,), whole_words=True, add_bos=True),
    "gpt-4o": WordSplit(splits=(_GPT4O,)),
    "llama4": WordSplit(splits=(_GPT4O,)),
    "deepseek-coder": WordSplit(
        splits=(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}")
    ),
    "deepseek-v3": WordSplit(splits=(r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK3)),
    "default": WordSplit(
        splits=(r"[\p{P}\$\+<=>\^~\|]+", _GPT2_WORDS, r"\p{N}+", r"[0-9][0-9][0-9]")
    ),
}
