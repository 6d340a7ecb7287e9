"""The `tokenizers` library, with its failures as typed errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.errors import TokenizerError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


def load_backend(definition: str, *, where: str) -> Backend:
    """Build the library's tokenizer from the text of a tokenizer.json.

    Raises:
        TokenizerError: the library refuses it.
    """
    from tokenizers import Tokenizer as Backend

    try:
        backend = Backend.from_str(definition)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"the tokenizer cannot be built: {error}", where=where) from error
    backend.no_truncation()
    backend.no_padding()
    return backend
