"""OpenVINO GenAI, which reads GGUF files of some architectures and formats by itself."""

from __future__ import annotations

import time
from importlib import import_module
from importlib.metadata import version
from typing import Any

BATCH = 512  # tokens of prompts in one step; its default of 256 would cut a prompt of 512 in two
LONG = 2048  # a prompt that is worth finding again in the cache
CACHE_GB = 1


class Engine:
    """Two pipelines: paged attention with continuous batching, or one stateful sequence."""

    def __init__(self, path: str, threads: int, context: int, sequences: int) -> None:
        self._genai: Any = import_module("openvino_genai")
        self._ov: Any = import_module("openvino")
        self._numpy: Any = import_module("numpy")
        self.version = version("openvino-genai")
        self.options = ["paged attention"]
        if sequences == 1 and context < LONG:
            self.options.append("stateful attention")
        self._path, self._threads, self._long = path, threads, context >= LONG
        self._pipeline: Any = None
        self._option = 0

    def choose(self, option: int) -> float:
        """A pipeline of that kind; the one before is dropped first."""
        self._pipeline = None
        self._option = option
        self._pipeline = self._stateful() if option else self._paged()
        return 0.0

    def prefill(self, tokens: list[int]) -> float:
        """Seconds from a prompt to the first token; another prompt each time, none is found."""
        begin = time.perf_counter()
        if self._option:
            self._generate(tokens, 1)
        else:
            self._begin([tokens], 1)
        return time.perf_counter() - begin

    def decode(self, prompts: list[list[int]], steps: int) -> float:
        """Seconds for `steps` steps after all prompts have given their first token."""
        if self._option:
            times = self._generate(prompts[0], steps + 1)
            return (times[-1] - times[0]) / 1000
        self._begin(prompts, steps + 1)
        begin, done = time.perf_counter(), 0
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            done += 1
        return (time.perf_counter() - begin) / done * steps

    def _paged(self) -> Any:
        config = self._genai.SchedulerConfig()
        config.max_num_batched_tokens = BATCH
        config.enable_prefix_caching = self._long
        config.cache_size = CACHE_GB
        threads = {"INFERENCE_NUM_THREADS": self._threads}
        return self._genai.ContinuousBatchingPipeline(self._path, config, "CPU", threads)

    def _stateful(self) -> Any:
        return self._genai.LLMPipeline(
            self._path, "CPU", ATTENTION_BACKEND="SDPA", INFERENCE_NUM_THREADS=self._threads
        )

    def _tensor(self, tokens: list[int]) -> Any:
        return self._ov.Tensor(self._numpy.array([tokens], self._numpy.int64))

    def _config(self, count: int) -> Any:
        config = self._genai.GenerationConfig()
        config.max_new_tokens = count
        config.ignore_eos = True
        config.do_sample = False
        return config

    def _generate(self, tokens: list[int], count: int) -> list[float]:
        """The moments of the new tokens, in milliseconds."""
        found = self._pipeline.generate(self._tensor(tokens), self._config(count))
        return list(found.perf_metrics.raw_metrics.m_new_token_times)

    def _begin(self, prompts: list[list[int]], count: int) -> None:
        """Step until each prompt has given its first token; the handles may not be dropped."""
        self._handles = [
            self._pipeline.add_request(number, self._tensor(prompt), self._config(count))
            for number, prompt in enumerate(prompts)
        ]
        waiting = list(self._handles)
        while waiting:
            self._pipeline.step()
            waiting = [handle for handle in waiting if not handle.can_read()]
