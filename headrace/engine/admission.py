"""A job is checked, and becomes a sequence."""

from __future__ import annotations

from headrace.engine.job import Job
from headrace.engine.prompt import check_tokens
from headrace.engine.request import Request, is_integer
from headrace.engine.sequence import SequenceState
from headrace.engine.work import Work
from headrace.errors import RequestError
from headrace.runtime.program import Program
from headrace.runtime.schedule import MAX_STOPS


def admit(job: Job, stops: tuple[int, ...], program: Program) -> Work:
    """A job that can be done.

    Args:
        stops: the model's stop tokens.

    Raises:
        RequestError: a value is out of its range, or a token is not in the vocabulary.
        ContextLengthError: the prompt is longer than the context.
    """
    vocabulary = program.manifest.vocabulary
    tokens = check_tokens(job.tokens, vocabulary, program.context, "tokens")
    request = Request(job.max_tokens, job.temperature, job.top_k, job.top_p, job.min_p, job.seed)
    if job.seconds is not None and not job.seconds > 0:
        raise RequestError(f"seconds is {job.seconds!r}; it must be above 0", where="seconds")
    _require_tokens(job.stop_tokens, vocabulary)
    own = (*job.stop_tokens, *(() if job.ignore_stops else stops))
    if len(own) > MAX_STOPS:
        raise RequestError(
            f"{len(own)} stop tokens, the model's included; there may be {MAX_STOPS}",
            where="stop_tokens",
        )
    limit = min(request.max_tokens, program.context - len(tokens) + 1)
    sampling = request.sampling(vocabulary)
    hosted = job.choice is not None
    return Work(job, SequenceState(tokens, limit, sampling, own, job.client, hosted))


def _require_tokens(stops: tuple[int, ...], vocabulary: int) -> None:
    for at, token in enumerate(stops):
        if not is_integer(token) or not 0 <= token < vocabulary:
            raise RequestError(
                f"{token!r} is not a token: they are integers from 0 to {vocabulary - 1}",
                where=f"stop_tokens[{at}]",
            )
