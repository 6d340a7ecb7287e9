"""llama.cpp through llama-cpp-python's low-level binding: no sampling, no logits copied."""

from __future__ import annotations

import ctypes
import time
from importlib import import_module
from typing import Any

BATCH = 512  # llama.cpp's own micro-batch: tokens of a prompt that one call takes
ROUND = 256  # llama.cpp rounds a context up to this


class Engine:
    """A loaded model, and a context for some sequences."""

    def __init__(self, path: str, threads: int, context: int, sequences: int) -> None:
        self._api: Any = import_module("llama_cpp.llama_cpp")
        self.version: str = import_module("llama_cpp").__version__
        self.options = ["flash attention", "no flash attention"]
        if sequences > 1:
            self.options += [f"{option}, unified KV" for option in self.options]
        self._threads, self._sequences = threads, sequences
        self._length = -(-context // ROUND) * ROUND
        self._context: Any = None
        self._filled: list[list[int]] = []
        self._model = self._load(path)
        vocabulary = self._api.llama_model_get_vocab(self._model)
        self._vocabulary: int = self._api.llama_vocab_n_tokens(vocabulary)
        self._batch = self._api.llama_batch_init(max(BATCH, sequences), 0, 1)

    def choose(self, option: int) -> float:
        """A new context with other settings."""
        if self._context is not None:
            self._api.llama_free(self._context)
        self._filled = []
        self._context = self._api.llama_init_from_model(self._model, self._params(option))
        if not self._context:
            raise RuntimeError(f"llama.cpp cannot make a context with {self.options[option]}")
        return 0.0

    def prefill(self, tokens: list[int]) -> float:
        """Seconds for a prompt from an empty cache, to the last token's logits."""
        self._clear()
        begin = time.perf_counter()
        self._prompt(0, tokens)
        seconds = time.perf_counter() - begin
        self._filled = [tokens]
        return seconds

    def decode(self, prompts: list[list[int]], steps: int) -> float:
        """Seconds for `steps` steps of one token for each prompt, which was read before."""
        if not (self._filled == prompts and self._roll_back()):
            self._clear()
            for sequence, prompt in enumerate(prompts):
                self._prompt(sequence, prompt)
            self._filled = prompts
        begin = time.perf_counter()
        for step in range(steps):
            token = (step * 7919 + 13) % self._vocabulary
            self._run([(token, len(each) + step, n, True) for n, each in enumerate(prompts)])
        return time.perf_counter() - begin

    def _load(self, path: str) -> Any:
        api = self._api
        self._quiet = api.llama_log_callback(_say_nothing)
        api.llama_log_set(self._quiet, None)
        api.llama_backend_init()
        params = api.llama_model_default_params()
        params.n_gpu_layers = 0
        model = api.llama_model_load_from_file(path.encode(), params)
        if not model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        return model

    def _params(self, option: int) -> Any:
        api = self._api
        params = api.llama_context_default_params()
        params.n_ctx = self._sequences * self._length
        params.n_seq_max = self._sequences
        params.n_batch = params.n_ubatch = max(BATCH, self._sequences)
        params.n_threads = params.n_threads_batch = self._threads
        params.kv_unified = option >= 2
        on, off = api.LLAMA_FLASH_ATTN_TYPE_ENABLED, api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.flash_attn_type = off if option % 2 else on
        return params

    def _clear(self) -> None:
        self._filled = []
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)

    def _roll_back(self) -> bool:
        memory = self._api.llama_get_memory(self._context)
        remove = self._api.llama_memory_seq_rm
        return all(remove(memory, n, len(each), -1) for n, each in enumerate(self._filled))

    def _prompt(self, sequence: int, tokens: list[int]) -> None:
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            last = len(tokens) - 1 - start
            self._run([(t, start + k, sequence, k == last) for k, t in enumerate(part)])

    def _run(self, entries: list[tuple[int, int, int, bool]]) -> None:
        """One call; entries are token, position, sequence, and whether logits are wanted."""
        batch = self._batch
        batch.n_tokens = len(entries)
        for index, (token, position, sequence, output) in enumerate(entries):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = output
        status = self._api.llama_decode(self._context, batch)
        if status:
            raise RuntimeError(f"llama_decode gives {status}")
        self._api.llama_synchronize(self._context)


def _say_nothing(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """llama.cpp's log goes nowhere."""
