"""Every error headrace raises on purpose: what is wrong, where, and what to do about it."""

from __future__ import annotations


class HeadraceError(Exception):
    """Base of all deliberate errors.

    Args:
        what: one sentence that says what is wrong.
        where: the file and offset, module path, option or field concerned.
        hint: what the user can do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where is not None:
            parts.append(f"  at: {self.where}")
        if self.hint is not None:
            parts.append(f"  try: {self.hint}")
        return "\n".join(parts)


class SourceError(HeadraceError):
    """A model could not be found, fetched or verified."""


class MalformedFileError(HeadraceError):
    """A model file contradicts its own format; `where` names the file and the byte offset."""


class UnsupportedFormatError(HeadraceError):
    """A tensor is stored in a format that headrace does not read."""


class UnsupportedModelError(HeadraceError):
    """The architecture or its configuration cannot be captured."""


class UnsupportedOperatorError(UnsupportedModelError):
    """An operator of the captured graph cannot be lowered; `where` is its module path."""


class TokenizerError(HeadraceError):
    """The tokenizer is missing or cannot be built."""


class TemplateError(HeadraceError):
    """The chat template is missing, malformed, or exceeded its budget."""


class ContextLengthError(HeadraceError):
    """A prompt does not fit the context."""


class RequestError(HeadraceError):
    """A request's value is out of its range."""


class CacheError(HeadraceError):
    """The cache on disk cannot be read or written."""


class ProgramError(HeadraceError):
    """A program breaks a rule of the `step` dialect or of a pass's contract."""


class MachineError(HeadraceError):
    """The machine cannot do what was asked: memory, workers, instruction set."""


class ConfigurationError(HeadraceError):
    """A setting is unknown, out of its range, or contradicts another; `where`: who gave it."""


class AuthenticationError(HeadraceError):
    """A request does not show a key that the server accepts."""


class ForbiddenError(HeadraceError):
    """A request comes from a web page that is not the server's own."""


class BodySizeError(HeadraceError):
    """A request's body has more bytes than the server takes."""


class BodyTimeoutError(HeadraceError):
    """A request's body does not come in time."""


class ModelNotFoundError(HeadraceError):
    """A request names a model that is not served."""


class UnavailableError(HeadraceError):
    """A request cannot be taken now.

    Attributes:
        retry_after: seconds after which to try again; None: this server will not answer again.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.retry_after = retry_after


class QueueFullError(UnavailableError):
    """As many requests wait as may."""


class DeadlineError(UnavailableError):
    """An answer took longer than a request may."""


class EngineDiedError(UnavailableError):
    """The process that computed an answer has ended."""
