"""A tokenizer out of a Hugging Face directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headrace.errors import TokenizerError
from headrace.text.backend import load_backend
from headrace.text.slow_files import only_sentencepiece, slow_definition
from headrace.text.spec import TokenizerSpec, parse_object
from headrace.text.stops import stop_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")


def spec_from_directory(path: Path) -> TokenizerSpec:
    """Build the tokenizer of a directory with tokenizer.json and its companions, or older files.

    Raises:
        TokenizerError: there is none, or it is malformed or decodes in an unsupported way.
    """
    config = _object(path / "tokenizer_config.json")
    definition = _read(path / "tokenizer.json")
    if definition is None:
        definition = slow_definition(path, config, _object(path / "added_tokens.json"))
    if definition is None:
        raise TokenizerError(
            "there is no tokenizer",
            where=str(path / "tokenizer.json"),
            hint="save one there: AutoTokenizer.from_pretrained(MODEL).save_pretrained(DIRECTORY)",
        )
    where = str(path / "tokenizer.json")
    backend = load_backend(definition, where=where)
    byte_level, strip = _decoding(parse_object(definition, where=where).get("decoder"), where)
    named = _special_tokens({**_object(path / "special_tokens_map.json"), **config})
    ids = {name: backend.token_to_id(text) for name, text in named.items()}
    prefix = _prefix(backend)
    bos_id = ids.get("bos_token", prefix[0] if prefix else None)
    template = _chat_template(path, config)
    return TokenizerSpec(
        definition=definition,
        byte_level=byte_level,
        strip_prefix_space=strip,
        bos_id=bos_id,
        eos_id=ids.get("eos_token"),
        add_bos=_add_bos(path, config, bos_id, prefix),
        stop_ids=stop_ids(
            [ids.get("eos_token"), *_declared_ends(path)], _specials(backend), template
        ),
        chat_template=template,
        special_tokens=named,
    )


def _decoding(decoder: object, where: str) -> tuple[bool, bool]:
    """How tokens become text: (GPT-2's byte alphabet, one leading space is dropped)."""
    steps = _steps(decoder)
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"]:
        return True, False
    if kinds == ["Metaspace"]:
        scheme = steps[0].get("prepend_scheme", "always")
        return False, scheme != "never" and steps[0].get("add_prefix_space") is not False
    if "Replace" in kinds and set(kinds) <= {"Replace", "ByteFallback", "Fuse", "Strip"}:
        return False, "Strip" in kinds
    raise TokenizerError(
        f"the tokenizer decodes by {kinds}, which is not supported",
        where=f"{where}, decoder",
        hint="headrace decodes byte-level and SentencePiece vocabularies",
    )


def _steps(decoder: object) -> list[dict[str, Any]]:
    if not isinstance(decoder, dict):
        return []
    fields = cast("dict[str, Any]", decoder)
    return fields["decoders"] if fields.get("type") == "Sequence" else [fields]


def _prefix(backend: Backend) -> list[int]:
    """Ids that the tokenizer's own post-processing puts in front of a text."""
    encoding = backend.encode("a", add_special_tokens=True)
    return encoding.ids[: [*encoding.special_tokens_mask, 0].index(0)]


def _add_bos(path: Path, config: Mapping[str, Any], bos_id: int | None, prefix: list[int]) -> bool:
    """What the configuration says, or tokenizer.json does; a bare tokenizer.model says nothing."""
    if bos_id is None:
        return False
    said = config.get("add_bos_token")
    if isinstance(said, bool):
        return said
    return prefix[:1] == [bos_id] or only_sentencepiece(path)


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Texts of the named special tokens, which are stored bare or as an object."""
    named: dict[str, str] = {}
    for name in SPECIAL_NAMES:
        value: object = config.get(name)
        if isinstance(value, dict):
            value = cast("dict[str, object]", value).get("content")
        if isinstance(value, str):
            named[name] = value
    return named


def _specials(backend: Backend) -> dict[str, int]:
    added = backend.get_added_tokens_decoder()
    return {token.content: at for at, token in added.items() if token.special}


def _declared_ends(path: Path) -> list[int]:
    for name in ("generation_config.json", "config.json"):
        value: object = _object(path / name).get("eos_token_id")
        ends = cast("list[object]", value) if isinstance(value, list) else [value]
        found = [end for end in ends if isinstance(end, int)]
        if found:
            return found
    return []


def _chat_template(path: Path, config: Mapping[str, Any]) -> str | None:
    separate = _read(path / "chat_template.jinja")
    if separate is not None:
        return separate
    value: object = _object(path / "chat_template.json").get("chat_template")
    if value is None:
        value = config.get("chat_template")
    if isinstance(value, list):
        value = _named_default(cast("list[object]", value))
    return value if isinstance(value, str) else None


def _named_default(templates: list[object]) -> object:
    """Of several templates, {"name": ..., "template": ...} each, the one called "default"."""
    for entry in templates:
        if isinstance(entry, dict):
            fields = cast("dict[str, object]", entry)
            if fields.get("name") == "default":
                return fields.get("template")
    return None


def _object(path: Path) -> dict[str, Any]:
    text = _read(path)
    return {} if text is None else parse_object(text, where=str(path))


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"cannot read a tokenizer's file: {error}", where=str(path)) from error
