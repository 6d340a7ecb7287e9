"""What a benchmark measures, and how often."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.errors import RequestError


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of one repetition, and the number of repetitions.

    Attributes:
        prompt: tokens of the prompt. decode: tokens generated after it.
        repetitions: of everything; medians are over them.

    Raises:
        RequestError: a count is below 1.
    """

    prompt: int = 512
    decode: int = 128
    repetitions: int = 5

    def __post_init__(self) -> None:
        for name in ("prompt", "decode", "repetitions"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def tokens(self) -> int:
        """Positions that a repetition fills."""
        return self.prompt + self.decode

    @property
    def kv_tokens(self) -> int:
        """Entries in the KV cache in the middle of decoding."""
        return self.prompt + self.decode // 2
