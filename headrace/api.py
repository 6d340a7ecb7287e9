"""headrace from Python: load a model, generate text or tokens, ask for logits."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from headrace.build import Artifact, Isa, Kv, Options, Weights, build, default_workers
from headrace.engine.batch import BatchGeneration
from headrace.engine.engine import Engine
from headrace.engine.generation import Generation
from headrace.engine.request import DEFAULT_MAX_TOKENS, Request, is_integer
from headrace.errors import RequestError
from headrace.machine import probe_host
from headrace.runtime.program import Program

if TYPE_CHECKING:
    import torch

    from headrace.checkpoint.progress import Progress
    from headrace.text import Message, TextStream, Tokenizer


def load(
    source: str | Path,
    weights: Weights = "auto",
    threads: int | None = None,
    context: int | None = None,
    *,
    kv: Kv = "auto",
    kv_tokens: int | None = None,
    isa: Isa | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load a model, compiled for this machine; the first time takes long, then a second or less.

    Args:
        source: an alias ("smollm2"), a GGUF file, a Hugging Face directory, a hub id "owner/name",
            or "random:SHAPE@FORMAT".
        weights: "auto" keeps the stored formats; "f32", "bf16", "q8" and "q4" convert matrices,
            the last two to 8 and 4 bits with a scale for 32 values.
        threads: None takes one for each physical core allowed.
        context: tokens that prompt and answer may have together; None takes what the model
            was made for, up to 8192.
        kv: how keys and values are kept: "auto" is f16 (f32 where all weights are); "f32", "f16",
            "bf16", or "q8": 8 bits with a scale for each head's key or value.
        kv_tokens: tokens whose keys and values are kept together, of all answers of a batch; None
            keeps four contexts.
        isa: code for no more than this instruction set, to compare; None takes all there is.
        progress: is told of downloads, compilation and packing.

    Raises:
        HeadraceError: its subclasses say what is wrong, where, and what to do about it.
    """
    options = Options(default_workers() if threads is None else threads, weights, kv=kv, isa=isa)
    return Model(build(source, options, progress), context=context, kv_tokens=kv_tokens)


def compile(
    module: torch.nn.Module,
    tokenizer: Tokenizer | str | Path | None = None,
    *,
    weights: Weights = "auto",
    threads: int | None = None,
    context: int | None = None,
    kv: Kv = "auto",
    progress: Progress | None = None,
) -> Model:
    """Compile a decoder of your own, with the weights it holds now.

    Args:
        module: in float32; `forward(input_ids[, position_ids])` takes `[1, T]` ids and gives
            `[1, T, vocabulary]` logits, a tuple that begins with them, or a transformers output.
        tokenizer: a Hugging Face directory that has one; without, give and take token ids.
        context: the largest number of positions; None takes the module's configuration.
        kv: as `load`.

    Raises:
        UnsupportedModelError: the module cannot be captured; `where` is the part concerned.
        HeadraceError: as `load`.
    """
    from headrace.build.module import build_module
    from headrace.text import Tokenizer

    if isinstance(tokenizer, str | Path):
        tokenizer = Tokenizer.from_directory(Path(tokenizer))
    options = Options(default_workers() if threads is None else threads, weights, kv=kv)
    return Model(build_module(module, tokenizer, options, context, progress))


class Model:
    """A loaded model: its workers sleep until there is a request, and it takes one at a time.

    Close it, or use it as a context manager, to give its threads and memory back.
    """

    def __init__(
        self, artifact: Artifact, *, context: int | None = None, kv_tokens: int | None = None
    ) -> None:
        self.artifact = artifact
        _check_context(context, artifact.manifest.context)
        manifest = artifact.manifest
        cpus = probe_host().worker_cpus(manifest.workers)
        self.program = Program(
            manifest,
            artifact.code,
            artifact.packed,
            context=context,
            kv_tokens=kv_tokens,
            cpus=cpus,
        )
        self._engine = Engine(self.program, artifact.about.stop_tokens)

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.program.context

    @property
    def vocabulary(self) -> int:
        """Logits a token; a tokenizer may know fewer tokens."""
        return self.program.manifest.vocabulary

    @property
    def threads(self) -> int:
        return self.program.workers

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer.

        Raises:
            TokenizerError: it has none, or one that cannot be read.
        """
        return self.artifact.tokenizer()

    @overload
    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = ...,
        temperature: float = ...,
        top_p: float = ...,
        top_k: int = ...,
        min_p: float = ...,
        seed: int | None = ...,
        raw: bool = ...,
    ) -> Generation[str]: ...

    @overload
    def generate(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int = ...,
        temperature: float = ...,
        top_p: float = ...,
        top_k: int = ...,
        min_p: float = ...,
        seed: int | None = ...,
    ) -> Generation[int]: ...

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        seed: int | None = None,
        raw: bool = True,
    ) -> Generation[str] | Generation[int]:
        """Continue a prompt: pieces of text for a text, tokens for tokens, as they are made.

        The answer ends at a stop token, which is left out, after `max_tokens`, or where the
        context ends; `Generation.finish_reason` tells which.

        Args:
            temperature: 0 takes the likeliest token each time; else draw from the softmax of
                logits / temperature.
            top_p, top_k, min_p, seed: see `headrace.engine.request.Request`.
            raw: False puts a text into the model's chat template, as one message of the user.

        Raises:
            RequestError: a value is out of its range, or another generation is not finished.
            ContextLengthError: the prompt is longer than the context.
            TokenizerError, TemplateError: the model has no tokenizer or no chat template.
        """
        request = Request(max_tokens, temperature, top_k, top_p, min_p, seed)
        if not isinstance(prompt, str):
            return self._engine.generate(prompt, request)
        return self._text(self._prompt(prompt, raw=raw), request)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        seed: int | None = None,
        **variables: object,
    ) -> Generation[str]:
        """The assistant's next message, in pieces; arguments and errors as `generate`.

        Args:
            messages: {"role": "system" | "user" | "assistant", "content": text}, oldest first.
            variables: what else the chat template may use, such as `enable_thinking`.
        """
        request = Request(max_tokens, temperature, top_k, top_p, min_p, seed)
        return self._text(self._chat_tokens(messages, **variables), request)

    @overload
    def generate_batch(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int = ...,
        temperature: float = ...,
        top_p: float = ...,
        top_k: int = ...,
        min_p: float = ...,
        seed: int | None = ...,
        raw: bool = ...,
    ) -> BatchGeneration[str]: ...

    @overload
    def generate_batch(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int = ...,
        temperature: float = ...,
        top_p: float = ...,
        top_k: int = ...,
        min_p: float = ...,
        seed: int | None = ...,
    ) -> BatchGeneration[int]: ...

    def generate_batch(
        self,
        prompts: Sequence[str] | Sequence[Sequence[int]],
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        seed: int | None = None,
        raw: bool = True,
    ) -> BatchGeneration[str] | BatchGeneration[int]:
        """Continue many prompts together: pairs of a prompt's number and a piece, as they are made.

        Each answer is what `generate` gives for its prompt, whatever else is in the batch; many
        together take little longer than one. `BatchGeneration.collect` gives all of them at once.
        Arguments and errors as `generate`.
        """
        request = Request(max_tokens, temperature, top_k, top_p, min_p, seed)
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        if not texts:
            ids = [prompt for prompt in prompts if not isinstance(prompt, str)]
            return self._engine.generate_batch(ids, request)
        if len(texts) != len(prompts):
            raise RequestError("prompts are all texts or all tokens", where="prompts")
        tokens = self._engine.generate_batch(
            [self._prompt(text, raw=raw) for text in texts], request
        )
        streams = [self.tokenizer.stream() for _ in texts]
        return tokens.through(_batch_pieces(tokens, streams))

    def _prompt(self, text: str, *, raw: bool) -> list[int]:
        if raw:
            return self.tokenizer.encode(text, special=True)
        return self._chat_tokens([{"role": "user", "content": text}])

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after each of the tokens, `[T, vocabulary]`.

        Raises:
            RequestError: a token is not in the vocabulary, or a generation is not finished.
            ContextLengthError: there are more tokens than the context holds.
        """
        return self._engine.logits(ids)

    def close(self) -> None:
        """End the workers and free the memory."""
        self.program.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _chat_tokens(self, messages: Sequence[Message], **variables: Any) -> list[int]:
        return self.tokenizer.encode_chat(messages, **variables)

    def _text(self, prompt: Sequence[int], request: Request) -> Generation[str]:
        tokens = self._engine.generate(prompt, request)
        return tokens.through(_pieces(tokens, self.tokenizer.stream()))


def _pieces(tokens: Generation[int], stream: TextStream) -> Generator[str, None, None]:
    with tokens:
        for token in tokens:
            if text := stream.push(token):
                yield text
    if text := stream.flush():
        yield text


def _batch_pieces(
    tokens: BatchGeneration[int], streams: Sequence[TextStream]
) -> Generator[tuple[int, str], None, None]:
    with tokens:
        for index, token in tokens:
            if text := streams[index].push(token):
                yield index, text
    for index, stream in enumerate(streams):
        if text := stream.flush():
            yield index, text


def _check_context(context: int | None, most: int) -> None:
    if context is None:
        return
    if not is_integer(context) or not 1 <= context <= most:
        raise RequestError(
            f"context is {context!r}; it must be an integer from 1 to {most}, the model's own",
            where="context",
        )
