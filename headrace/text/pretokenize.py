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
_QWEN2_PLAIN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _REST
_SEED = (
    _CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BAILING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_JAIS2 = (
    _CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    + "".join(rf"\s{{{count}}}(?!\S)|" for count in (512, 256, 128, 64, 32, 16, 8, 4))
    + r"\s{1,2}(?!\S)|\s{1}"
)
_EXAONE_MOE = (
    _CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
    + r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
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
_HAN_HANGUL = r"[一-龥ࠀ-一가-퟿]+"
# Letters of scripts with upper and lower case, as DeepSeek lists them.
_CASED_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿ"
    "ᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffcℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿ"
    "ⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ"
    "𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
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
        prefix_space: a text gets a space in front.
    """

    splits: tuple[str, ...] = ()
    gpt2: bool = False
    whole_words: bool = False
    add_bos: bool = False
    nfc: bool = False
    prefix_space: bool = False

    def to_json(self) -> dict[str, Any]:
        """The `pre_tokenizer` of a tokenizer.json."""
        steps: list[dict[str, Any]] = [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}
            for split in self.splits
        ]
        flags = {
            "add_prefix_space": self.prefix_space,
            "trim_offsets": True,
            "use_regex": self.gpt2,
        }
        return {"type": "Sequence", "pretokenizers": [*steps, {"type": "ByteLevel", **flags}]}


_GPT2 = WordSplit(gpt2=True)
_DIGITS = WordSplit(splits=(r"\p{N}",), gpt2=True)
_LLAMA3_SPLIT = WordSplit(splits=(_LLAMA3,))
_LLAMA3_WHOLE = WordSplit(splits=(_LLAMA3,), whole_words=True, add_bos=True)
_QWEN2_SPLIT = WordSplit(splits=(_QWEN2,))
_QWEN2_COMPOSED = WordSplit(splits=(_QWEN2,), nfc=True)
_GPT4O_SPLIT = WordSplit(splits=(_GPT4O,))
_DEEPSEEK3_SPLIT = WordSplit(splits=(r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK3))
_BLOOM_SPLIT = WordSplit(splits=(_BLOOM,))

_NAMES: tuple[tuple[WordSplit, str], ...] = (
    (
        _GPT2,
        "gpt-2 phi-2 jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert",
    ),
    (WordSplit(gpt2=True, nfc=True), "mpt olmo"),
    (_DIGITS, "smollm starcoder refact codeshell exaone minerva-7b mellum2"),
    (WordSplit(splits=(r"\p{N}",), gpt2=True, nfc=True), "command-r"),
    (_LLAMA3_WHOLE, "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2"),
    (_LLAMA3_SPLIT, "dbrx smaug-bpe chatglm-bpe glm4"),
    (_QWEN2_COMPOSED, "qwen2 deepseek-r1-qwen stablelm2"),
    (_QWEN2_SPLIT, "hunyuan megrez kormo f2llmv2 grok-2 solar-open"),
    (WordSplit(splits=(_QWEN35,), nfc=True), "qwen35"),
    (WordSplit(splits=(_QWEN2_PLAIN,)), "ufakzeka"),
    (WordSplit(splits=(_TEKKEN,), whole_words=True, add_bos=True), "tekken"),
    (_GPT4O_SPLIT, "gpt-4o llama4 kanana2 talkie minimax-m2"),
    (
        WordSplit(splits=(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN_HANGUL, r"\p{N}")),
        "deepseek-coder",
    ),
    (
        WordSplit(
            splits=(
                r"[\r\n]",
                r"\s?[" + _CASED_LETTERS + "]+",
                r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
                r"\s+$",
                _HAN_HANGUL,
                r"\p{N}+",
            )
        ),
        "deepseek-llm",
    ),
    (_DEEPSEEK3_SPLIT, "deepseek-v3 hunyuan-dense joyai-llm"),
    (
        WordSplit(splits=(r"[\p{P}\$\+<=>\^~\|`]+", _GPT2_WORDS, r"[0-9][0-9][0-9]")),
        "falcon",
    ),
    (WordSplit(splits=(_SEED,)), "seed-coder"),
    (WordSplit(splits=(_BAILING,)), "bailingmoe bailingmoe2 llada-moe"),
    (WordSplit(splits=(_JAIS2,)), "jais-2"),
    (WordSplit(splits=(_EXAONE_MOE,)), "exaone-moe"),
    (_BLOOM_SPLIT, "bloom gpt3-finnish poro-chat"),
    (WordSplit(splits=(_BLOOM, r"\p{N}")), "viking"),
    (WordSplit(splits=(r"\p{N}+", r"(?=(\d{3})+(?!\d))")), "superbpe"),
    (WordSplit(splits=(r"\d{1,3}(?=(?:\d{3})*\b)", _GPT4O)), "tiny_aya cohere2moe"),
    (
        WordSplit(splits=(r"[\p{P}\$\+<=>\^~\|]+", _GPT2_WORDS, r"\p{N}+", r"[0-9][0-9][0-9]")),
        "default",
    ),
)

WORD_SPLITS = {name: split for split, names in _NAMES for name in names.split()}
