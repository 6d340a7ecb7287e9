"""transformers on the dequantised file, in bfloat16: PyTorch as it comes, or with torch.compile."""

from __future__ import annotations

import os
import time
from importlib import import_module
from importlib.metadata import version
from typing import Any


class Engine:
    """The model, and the KV cache of the prompts that were read last."""

    def __init__(
        self, path: str, threads: int, context: int, sequences: int, compiled: bool
    ) -> None:
        torch: Any = import_module("torch")
        self._torch = torch
        self._transformers: Any = import_module("transformers")
        self.version = f"{version('transformers')}, torch {torch.__version__}"
        self.options = ["bfloat16"]
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        directory, name = os.path.split(path)
        self._model: Any = self._transformers.AutoModelForCausalLM.from_pretrained(
            directory,
            gguf_file=name,
            quantization_config=self._transformers.GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
            attn_implementation="sdpa",
        ).eval()
        self._compiled, self._length = compiled, context + 1
        forward = self._model.forward
        self._forward: Any = torch.compile(forward, dynamic=False) if compiled else forward
        self._cache: Any = None
        self._filled: list[list[int]] = []
        self._extra = 0

    def choose(self, option: int) -> float:
        """There is one setting."""
        return 0.0

    def prefill(self, tokens: list[int]) -> float:
        """Seconds for a prompt, to the last token's logits."""
        begin = time.perf_counter()
        if self._compiled:
            ids = self._torch.tensor([tokens])
            self._forward(input_ids=ids, use_cache=False, logits_to_keep=1)
        else:
            self._prompt([tokens])
            self._filled = [tokens]
        return time.perf_counter() - begin

    def decode(self, prompts: list[list[int]], steps: int) -> float:
        """Seconds for `steps` greedy steps of one token for each prompt, which was read before."""
        if self._filled != prompts:
            self._prompt(prompts)
            self._filled = prompts
        elif self._extra:
            self._cache.crop(-self._extra)
        token = self._torch.tensor([[prompt[-1]] for prompt in prompts])
        begin = time.perf_counter()
        for _ in range(steps):
            token = self._step(token)
        self._extra = steps
        return time.perf_counter() - begin

    def _new_cache(self) -> Any:
        config = self._model.config
        if self._compiled:
            return self._transformers.StaticCache(config=config, max_cache_len=self._length)
        return self._transformers.DynamicCache(config=config)

    def _prompt(self, prompts: list[list[int]]) -> None:
        """Read prompts of one length into a new cache; transformers does not compile this step."""
        self._cache, self._extra, self._filled = self._new_cache(), 0, []
        ids = self._torch.tensor(prompts)
        self._model.forward(input_ids=ids, past_key_values=self._cache, logits_to_keep=1)

    def _step(self, token: Any) -> Any:
        found = self._forward(input_ids=token, past_key_values=self._cache, logits_to_keep=1)
        return found.logits[:, -1].argmax(-1, keepdim=True)
