"""vLLM's CPU back end, its engine stepped in this process, on the dequantised file.

It reads no GGUF files on a CPU (its plugin for them needs CUDA), so transformers writes what it
dequantises into a directory first.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from itertools import count
from tempfile import TemporaryDirectory
from typing import Any

BATCH = 512
CACHE_GB = "2"


class Engine:
    """One engine for some sequences; each decode reads its prompts anew."""

    def __init__(self, path: str, threads: int, context: int, sequences: int) -> None:
        cpus = sorted(os.sched_getaffinity(0))[:threads]
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cpus))
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = CACHE_GB
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        vllm: Any = import_module("vllm")
        self._vllm = vllm
        if not import_module("vllm.platforms").current_platform.is_cpu():
            raise RuntimeError(f"vLLM {vllm.__version__} is not built for the CPU")
        self.version: str = vllm.__version__
        self.options = ["bfloat16"]
        self._numbers = count()
        with TemporaryDirectory(prefix="headrace-vllm-") as directory:
            _dequantise(path, directory)
            self._engine: Any = vllm.LLM(
                model=directory,
                dtype="bfloat16",
                skip_tokenizer_init=True,
                max_model_len=context + 1,
                max_num_seqs=sequences,
                max_num_batched_tokens=max(BATCH, context + 1),
                enable_prefix_caching=False,
            ).llm_engine

    def choose(self, option: int) -> float:
        """There is one setting."""
        return 0.0

    def prefill(self, tokens: list[int]) -> float:
        """Seconds from a prompt to the first token."""
        begin = time.perf_counter()
        self._begin([tokens], 1)
        return time.perf_counter() - begin

    def decode(self, prompts: list[list[int]], steps: int) -> float:
        """Seconds for `steps` steps after all prompts have given their first token."""
        self._begin(prompts, steps + 1)
        begin, done = time.perf_counter(), 0
        while self._engine.has_unfinished_requests():
            self._engine.step()
            done += 1
        return (time.perf_counter() - begin) / done * steps

    def _begin(self, prompts: list[list[int]], most: int) -> None:
        params = self._vllm.SamplingParams(
            temperature=0.0, max_tokens=most, ignore_eos=True, detokenize=False
        )
        waiting: set[str] = set()
        for prompt in prompts:
            number = str(next(self._numbers))
            self._engine.add_request(number, {"prompt_token_ids": prompt}, params)
            waiting.add(number)
        while waiting:
            waiting -= {found.request_id for found in self._engine.step()}


def _dequantise(path: str, directory: str) -> None:
    """Write a GGUF file's model as a Hugging Face directory in bfloat16."""
    torch, transformers = import_module("torch"), import_module("transformers")
    source, name = os.path.split(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=name,
        quantization_config=transformers.GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(directory)
