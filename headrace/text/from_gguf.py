"""A tokenizer out of the key-values of a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.text import definitions
from headrace.text.metadata import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, TokenizerMetadata
from headrace.text.pretokenize import WORD_SPLITS, WordSplit
from headrace.text.spec import TokenizerSpec
from headrace.text.stops import stop_ids

SPECIAL_NAMES = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}
#: Architectures whose SentencePiece vocabularies have control tokens that swallow the white space
#: behind them, which GGUF does not tell (llama.cpp has the same list), and those that do not.
RSTRIP = ("phi3",)
KEEPS_SPACE = ("<unk>", "<s>", "<|endoftext|>")
END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")


def spec_from_gguf(values: Mapping[str, object], where: str) -> TokenizerSpec:
    """Build the tokenizer that a GGUF file describes.

    Args:
        values: the file's key-values.
        where: names the file in errors.

    Raises:
        TokenizerError: the file has no tokenizer, a malformed one, or one of an unsupported kind.
    """
    metadata = TokenizerMetadata(values, where)
    model = metadata.text("ggml.model")
    if model == "gpt2":
        return _byte_level(metadata)
    if model == "llama":
        return _sentencepiece(metadata)
    if model is None:
        raise metadata.error(
            "the file holds no tokenizer (tokenizer.ggml.model is missing)",
            hint="convert the model again with its tokenizer files beside it",
        )
    raise metadata.error(
        f"tokenizers of kind {model!r} are not supported",
        hint="headrace reads byte-level BPE ('gpt2') and SentencePiece BPE ('llama')",
    )


def _byte_level(metadata: TokenizerMetadata) -> TokenizerSpec:
    split = _word_split(metadata)
    tokens = metadata.tokens()
    types = metadata.types(len(tokens))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    added = _added_tokens(tokens, types)
    definition = definitions.byte_level(vocabulary, metadata.merges(), split, added)
    return _spec(metadata, definition, tokens, types, byte_level=True, add_bos=split.add_bos)


def _word_split(metadata: TokenizerMetadata) -> WordSplit:
    name = metadata.text("ggml.pre")
    if name in WORD_SPLITS:
        return WORD_SPLITS[name]
    what = "does not say how it cuts text into words" if name is None else f"cuts by {name!r}"
    raise metadata.error(
        f"the tokenizer {what} (tokenizer.ggml.pre)",
        hint="convert the model with a current llama.cpp; known: " + ", ".join(WORD_SPLITS),
    )


def _sentencepiece(metadata: TokenizerMetadata) -> TokenizerSpec:
    prefix_space = metadata.flag("add_space_prefix", True)
    tokens = metadata.tokens()
    types = metadata.types(len(tokens))
    unknown = metadata.token_id("unknown_token_id", tokens)
    definition = definitions.sentencepiece_bpe(
        tokens,
        _ranks(metadata, tokens),
        whole=(token for token, kind in zip(tokens, types, strict=True) if kind != NORMAL),
        unknown=None if unknown is None else tokens[unknown],
        prefix="each" if prefix_space else "never",
        added=_added_tokens(tokens, types, rstrip=_architecture(metadata) in RSTRIP),
    )
    return _spec(
        metadata,
        definition,
        tokens,
        types,
        byte_level=False,
        add_bos=True,
        strip_prefix_space=prefix_space,
    )


def _ranks(metadata: TokenizerMetadata, tokens: Sequence[str]) -> dict[str, float]:
    """Preference of each token; Gemma's scores do not follow its merges, its ids do."""
    if _architecture(metadata).startswith("gemma"):
        return {token: -float(index) for index, token in enumerate(tokens)}
    return dict(zip(tokens, metadata.scores(len(tokens)), strict=True))


def _architecture(metadata: TokenizerMetadata) -> str:
    architecture = metadata.values.get("general.architecture")
    return architecture if isinstance(architecture, str) else ""


def _added_tokens(
    tokens: Sequence[str], types: Sequence[int], *, rstrip: bool = False
) -> list[definitions.AddedToken]:
    """Tokens that stand for themselves in text: control ones, and those the user defined."""
    return [
        definitions.AddedToken(
            index,
            token,
            special=kind != USER_DEFINED,
            rstrip=rstrip and kind == CONTROL and token not in KEEPS_SPACE,
        )
        for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (UNKNOWN, CONTROL, USER_DEFINED) and token
    ]


def _spec(
    metadata: TokenizerMetadata,
    definition: str,
    tokens: Sequence[str],
    types: Sequence[int],
    *,
    byte_level: bool,
    add_bos: bool,
    strip_prefix_space: bool = False,
) -> TokenizerSpec:
    named = {name: metadata.token_id(key, tokens) for name, key in SPECIAL_NAMES.items()}
    specials = {token: at for at, token in enumerate(tokens) if types[at] == CONTROL}
    declared = [metadata.token_id(key, tokens) for key in END_KEYS]
    template = metadata.text("chat_template")
    return TokenizerSpec(
        definition=definition,
        byte_level=byte_level,
        strip_prefix_space=strip_prefix_space,
        bos_id=named["bos_token"],
        eos_id=named["eos_token"],
        add_bos=metadata.flag("add_bos_token", add_bos),
        stop_ids=stop_ids(declared, specials, template),
        chat_template=template,
        special_tokens={name: tokens[at] for name, at in named.items() if at is not None},
    )
