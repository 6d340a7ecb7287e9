"""Failures of the hub library in headrace's words."""

from __future__ import annotations

from headrace import cache
from headrace.checkpoint.hub_name import HubModel
from headrace.errors import HeadraceError, SourceError

LOGIN = "set HF_TOKEN, or log in: hf auth login"


def hub_error(model: HubModel, error: Exception) -> Exception:
    """The error to raise instead; a full disk and headrace's own errors stay as they are.

    The hub library raises its own errors, those of its HTTP client, and `OSError`.
    """
    if isinstance(error, HeadraceError):
        return error
    if isinstance(error, OSError) and error.errno in cache.FULL:
        return error
    what, hint = _told(model, error)
    return SourceError(what, where=f"hub repository {model.repo}", hint=hint)


def _told(model: HubModel, error: Exception) -> tuple[str, str]:
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return (
            "this model is not in the cache, and the hub may not be asked: offline mode is on",
            "unset HF_HUB_OFFLINE, or pass the path of a local model",
        )
    if isinstance(error, errors.GatedRepoError):
        return "this model is gated", f"accept the model's terms on its page; then {LOGIN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub knows no such model", f"check owner and name; for a private model {LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"the repository has no revision '{model.revision}'",
            "name a branch, a tag or a commit",
        )
    status = http_status(error)
    if status in (401, 403):
        return f"the hub refuses access (HTTP {status})", f"check the token: {LOGIN}"
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if status is not None and status >= 500:
        return f"the hub has a failure of its own: {reason}", "try again later; what came is kept"
    return (
        f"the hub cannot be reached: {reason}",
        "check the network and try again, what came is kept; or pass the path of a local model",
    )


def http_status(error: Exception) -> int | None:
    """The status of the answer that an error of the hub library is about."""
    response: object = getattr(error, "response", None)
    status: object = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None
