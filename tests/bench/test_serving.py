"""Servers under load: prompts of so many tokens, records of answers, servers that start or fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bench.serving.generator import Generator
from headrace.bench.serving.prompts import TextPrompts
from headrace.bench.serving.records import percentile, read_records
from headrace.bench.serving.servers import complete, free_port, serving
from headrace.errors import MachineError, RequestError
from headrace.text import Tokenizer

WORDS = ["river", "stone", "cloud", "green", "seven", "table", "music", "window", "paper"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([f" {word}" for word in WORDS], trainer)
    directory = tmp_path_factory.mktemp("words")
    backend.save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return Tokenizer.from_directory(directory)


def test_prompts_have_so_many_tokens_and_differ(tokenizer: Tokenizer) -> None:
    prompts = TextPrompts(tokenizer, 7)
    texts = [prompts.text(number) for number in range(9)]
    assert len(set(texts)) == len(texts)
    assert {len(prompts.encoded(each)) for each in texts} == {7}
    assert all(set(each.split()) <= set(WORDS) for each in texts)


def test_a_tokenizer_without_words(tokenizer: Tokenizer) -> None:
    with pytest.raises(RequestError, match="too few words"):
        TextPrompts(tokenizer, 1000)


def record(phase: str, start: float, first: float, gaps: list[float], **more: object) -> str:
    end = start + first + sum(gaps)
    metadata = {"benchmark_phase": phase, "request_start_ns": start * 1e9}
    metrics = {
        "time_to_first_token": {"value": first * 1e3, "unit": "ms"},
        "inter_chunk_latency": {"value": [gap * 1e3 for gap in gaps], "unit": "ms"},
    }
    own = {**metadata, "request_end_ns": end * 1e9}
    return json.dumps({"metadata": own, "metrics": metrics, **more})


def test_records_become_a_load(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    warming, first = record("warmup", 0, 9, [9]), record("profiling", 10, 0.5, [0.25, 0.5])
    path.write_text("\n".join([warming, first, record("profiling", 11, 0.25, [1])]))
    load = read_records(path, 2)
    assert load.seconds == pytest.approx(2.25)
    assert load.firsts == pytest.approx([0.25, 0.5])
    assert load.gaps == pytest.approx([0.25, 0.5, 1])
    assert load.tokens == 3 + 2  # pieces, as the server told no usage


def test_answers_that_failed_are_no_load(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(record("profiling", 0, 1, [1], error={"message": "refused"}))
    with pytest.raises(MachineError, match=r"0 of 1 requests were answered.*refused"):
        read_records(path, 1)
    with pytest.raises(MachineError, match="no records"):
        read_records(tmp_path / "nothing", 1)


@given(st.lists(st.floats(0, 1e3), min_size=1), st.floats(0.01, 1))
def test_percentiles(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found == np.percentile(ordered, 100 * share, method="inverted_cdf")


def test_without_a_load_generator_the_suite_says_so() -> None:
    with pytest.raises(RequestError, match="aiperf, which is not installed"):
        Generator({sys.executable: frozenset({"numpy"})})


def test_a_server_is_ready_when_it_answers(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--directory", str(tmp_path)]
    with serving(command, port, "/") as url:
        assert url.endswith(f":{port}")
        with pytest.raises(MachineError, match="does not answer"):
            complete(url, "anything")


def test_a_server_that_ends_says_why() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no model')"]
    with (
        pytest.raises(MachineError, match="did not start: no model"),
        serving(command, free_port(), "/"),
    ):
        pass
