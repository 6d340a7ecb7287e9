"""Which tokens end an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# The end of a document: a model that writes one of these has nothing more to say.
DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>", "<｜end▁of▁sentence｜>")

# The end of a turn, where the model's own chat template writes it after a turn.
TURN_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<turn|>",
    "<end_of_utterance>",
    "<|endofturn|>",
    "<|END_OF_TURN_TOKEN|>",
)


def stop_ids(
    declared: Iterable[int | None], specials: Mapping[str, int], chat_template: str | None
) -> tuple[int, ...]:
    """Ids of the tokens that end an answer, sorted.

    Checkpoints often declare the end of a document only and leave out the end of a turn (or the
    reverse), so the well-known ones count too, if they are special tokens of this vocabulary.

    Args:
        declared: what the checkpoint says.
        specials: id of each special token of the vocabulary by its text.
    """
    found = {identifier for identifier in declared if identifier is not None}
    found.update(specials[text] for text in DOCUMENT_ENDS if text in specials)
    template = chat_template or ""
    found.update(specials[text] for text in TURN_ENDS if text in specials and text in template)
    return tuple(sorted(found))
