"""llama.cpp in a process of its own: commands on stdin, figures on stdout, one JSON a line.

It runs in whatever Python has llama-cpp-python, so it imports nothing of headrace. The low-level
binding is driven directly: no sampling, no logits copied, so that the engine is what is measured.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from importlib import import_module
from typing import Any


class Llama:
    """A loaded model and one context."""

    def __init__(self, api: Any, path: str, threads: int, context: int) -> None:
        self.api = api
        self._quiet = api.llama_log_callback(_say_nothing)
        api.llama_log_set(self._quiet, None)
        api.llama_backend_init()
        model_params = api.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self.model = api.llama_model_load_from_file(path.encode(), model_params)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        self.context = api.llama_init_from_model(self.model, self._params(threads, context))
        if not self.context:
            raise RuntimeError("llama.cpp cannot make a context")
        self.vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))

    def _params(self, threads: int, context: int) -> Any:
        params = self.api.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = context
        params.n_threads = threads
        params.n_threads_batch = threads
        return params

    def prefill(self, tokens: list[int]) -> float:
        """Seconds for a prompt from an empty cache, to the last token's logits."""
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        begin = time.perf_counter()
        self._decode(tokens)
        return time.perf_counter() - begin

    def decode(self, count: int) -> float:
        """Seconds for `count` steps of one token."""
        begin = time.perf_counter()
        for index in range(count):
            self._decode([(index * 7919 + 13) % self.vocabulary])
        return time.perf_counter() - begin

    def _decode(self, tokens: list[int]) -> None:
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        batch = self.api.llama_batch_get_one(array, len(tokens))
        status = self.api.llama_decode(self.context, batch)
        if status:
            raise RuntimeError(f"llama_decode gives {status}")
        self.api.llama_synchronize(self.context)


def _say_nothing(level: int, text: bytes, data: object) -> None:
    """llama.cpp's log goes nowhere."""


def _answer(llama: Llama, command: dict[str, Any]) -> dict[str, Any]:
    return {
        "prefill": llama.prefill(command["tokens"]),
        "decode": llama.decode(command["decode"]),
    }


def _load(command: dict[str, Any]) -> tuple[Llama, dict[str, Any]]:
    api = import_module("llama_cpp.llama_cpp")
    llama = Llama(api, command["path"], command["threads"], command["context"])
    return llama, {"version": import_module("llama_cpp").__version__}


def main() -> None:
    """Load on the first command, run on each further one, end with the input."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the replies
    llama: Llama | None = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if llama is None:
                llama, reply = _load(command)
            else:
                reply = _answer(llama, command)
        except Exception as error:
            reply = {"error": str(error), "missing": isinstance(error, ImportError)}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
