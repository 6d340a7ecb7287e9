"""Figures for Prometheus: vLLM's names where they mean the same, `headrace:` where not.

What happens to requests is observed here, when it comes from the engines; what an engine counts
itself is asked of it when somebody looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from headrace.engine.job import Ended, Job, ServiceStats
from headrace.errors import HeadraceError
from headrace.server.link.client import EngineClient
from headrace.server.link.models import Models
from headrace.server.notes import CURRENT, Note

STATS_SECONDS = 1.0
SHORT = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LONG = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
LENGTHS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
LABEL = "model_name"

#: Of `ServiceStats`: (field, name, what it is), and whether it only grows.
COUNTED: tuple[tuple[str, str, str], ...] = (
    ("preemptions", "vllm:num_preemptions", "Sequences that gave way to others"),
    ("prefix_queries", "vllm:prefix_cache_queries", "Tokens of prompts"),
    ("prefix_hits", "vllm:prefix_cache_hits", "Tokens of prompts that were in the cache"),
    ("prompt_tokens", "vllm:prompt_tokens", "Tokens of prompts that were read"),
    ("generated_tokens", "vllm:generation_tokens", "Tokens that were generated"),
    ("steps", "headrace:steps", "Steps of the native program"),
    ("schedules", "headrace:schedules", "Schedules given to the native program"),
)
MEASURED: tuple[tuple[str, str, str], ...] = (
    ("running", "vllm:num_requests_running", "Sequences that are computed"),
    ("waiting", "vllm:num_requests_waiting", "Sequences that wait"),
    ("blocks_total", "headrace:kv_blocks", "KV blocks"),
    ("blocks_used", "headrace:kv_blocks_used", "KV blocks of sequences under way"),
    ("blocks_cached", "headrace:kv_blocks_cached", "KV blocks kept for prompts to come"),
)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, text, [LABEL], registry=registry, buckets=buckets)

        self.first = histogram("vllm:time_to_first_token_seconds", "To the first token", LONG)
        self.between = histogram("vllm:inter_token_latency_seconds", "Between two tokens", SHORT)
        self.whole = histogram("vllm:e2e_request_latency_seconds", "To the last token", LONG)
        self.queue = histogram("vllm:request_queue_time_seconds", "Waiting for a slot", LONG)
        self.prefill = histogram("vllm:request_prefill_time_seconds", "Reading the prompt", LONG)
        self.decode = histogram("vllm:request_decode_time_seconds", "First to last token", LONG)
        self.prompts = histogram("vllm:request_prompt_tokens", "Tokens of a prompt", LENGTHS)
        self.answers = histogram("vllm:request_generation_tokens", "Tokens of an answer", LENGTHS)
        self.roofline = Histogram(
            "headrace:roofline_share",
            "Of an answer: seconds to only read all weights / seconds a token",
            [LABEL],
            registry=registry,
            buckets=[each / 10 for each in range(1, 11)],
        )
        self.ended = Counter(
            "vllm:request_success",
            "Sequences that have ended",
            [LABEL, "finished_reason"],
            registry=registry,
        )

    async def render(self, models: Models) -> bytes:
        """All figures as text; an engine that does not answer is left out."""
        clients = [client for client in models if client.state == "ready"]
        stats = await asyncio.gather(*[_stats(client) for client in clients])
        found = [
            (client, each) for client, each in zip(clients, stats, strict=True) if each is not None
        ]
        asked = CollectorRegistry()
        asked.register(_Engines(found))
        return generate_latest(self._registry) + generate_latest(asked)

    def watch(self, client: EngineClient, job: Job) -> Watched:
        """What observes a job, for these figures and for the note of its request."""
        return Watched(self, client, job, CURRENT.get())


class Watched:
    """A job as it goes on; see `headrace.server.link.inbox.Watch`."""

    def __init__(self, metrics: Metrics, client: EngineClient, job: Job, note: Note | None) -> None:
        self._metrics, self._client, self._note = metrics, client, note
        self._name = client.name
        self._between = metrics.between.labels(client.name)
        self._began = time.perf_counter()
        self._last: float | None = None
        if note is not None:
            note.model = client.name

    def tokens(self, count: int) -> None:
        now = time.perf_counter()
        if self._last is None:
            self._first(now - self._began)
            count -= 1
        elif count:
            each = (now - self._last) / count
            for _ in range(count):
                self._between.observe(each)
        self._last = now

    def _first(self, seconds: float) -> None:
        self._metrics.first.labels(self._name).observe(seconds)
        if self._note is not None and self._note.first_seconds is None:
            self._note.first_seconds = self._note.seconds

    def ended(self, ended: Ended) -> None:
        metrics, usage, name = self._metrics, ended.usage, self._name
        metrics.ended.labels(name, ended.reason).inc()
        metrics.whole.labels(name).observe(time.perf_counter() - self._began)
        metrics.queue.labels(name).observe(usage.queue_seconds)
        metrics.prefill.labels(name).observe(usage.prefill_seconds)
        metrics.decode.labels(name).observe(usage.decode_seconds)
        metrics.prompts.labels(name).observe(usage.prompt_tokens)
        metrics.answers.labels(name).observe(usage.generated_tokens)
        if usage.generated_tokens > 1 and usage.decode_seconds > 0:
            each = usage.decode_seconds / (usage.generated_tokens - 1)
            metrics.roofline.labels(name).observe(self._client.opened.read_seconds / each)
        if self._note is not None:
            self._note.prompt_tokens += usage.prompt_tokens
            self._note.cached_tokens += usage.cached_tokens
            self._note.generated_tokens += usage.generated_tokens
            self._note.queue_seconds += usage.queue_seconds
            self._note.reasons.append(ended.reason)

    def left(self) -> None:
        self._metrics.ended.labels(self._name, "abort").inc()
        if self._note is not None:
            self._note.reasons.append("abort")


class _Engines:
    """What engines count themselves."""

    def __init__(self, found: Sequence[tuple[EngineClient, ServiceStats]]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        for field, name, text in COUNTED:
            counter = CounterMetricFamily(name, text, labels=[LABEL])
            for client, stats in self._found:
                counter.add_metric([client.name], getattr(stats, field))
            yield counter
        for field, name, text in MEASURED:
            gauge = GaugeMetricFamily(name, text, labels=[LABEL])
            for client, stats in self._found:
                gauge.add_metric([client.name], getattr(stats, field))
            yield gauge
        usage = GaugeMetricFamily("vllm:kv_cache_usage_perc", "1: full", labels=[LABEL])
        read = GaugeMetricFamily(
            "headrace:weight_read_seconds", "To only read all weights once", labels=[LABEL]
        )
        for client, stats in self._found:
            usage.add_metric([client.name], stats.blocks_used / max(1, stats.blocks_total))
            read.add_metric([client.name], client.opened.read_seconds)
        yield from (usage, read)


async def _stats(client: EngineClient) -> ServiceStats | None:
    try:
        async with asyncio.timeout(STATS_SECONDS):
            return await client.stats()
    except (TimeoutError, HeadraceError):
        return None
