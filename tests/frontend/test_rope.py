"""Rotary tables: found from the numbers alone, whatever the model does to make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.checkpoint.binding import bind
from headrace.checkpoint.source import open_checkpoint
from headrace.errors import MalformedFileError
from headrace.frontend.capture import capture_checkpoint, capture_module
from headrace.frontend.frequencies import fit_frequencies
from headrace.ir.interpreter import Interpreter
from headrace.ir.program_ops import FrequenciesOp
from tests.frontend.models import (
    CONTEXT,
    assert_close,
    capture,
    family,
    interpreted_logits,
    random_ids,
    random_model,
    reference_logits,
    save_directory,
    save_gguf,
)

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 8.0}


def table(
    positions: NDArray[np.int64], values: NDArray[np.float32], scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    angles = positions.astype(np.float32)[:, None] * values
    return np.cos(angles) * np.float32(scale), np.sin(angles) * np.float32(scale)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 64),
    st.floats(100, 1e7),
    st.integers(4, 17),
    st.floats(0.5, 2),
    st.booleans(),
)
def test_frequencies_are_found_again(
    pairs: int, base: float, bits: int, scale: float, turn_back: bool
) -> None:
    positions = np.unique(np.concatenate([[0], 2 ** np.arange(bits), np.arange(0, 2**bits, 97)]))
    values = (base ** (-np.arange(pairs) / pairs)).astype(np.float32)
    values = -values if turn_back else values
    cos, sin = table(positions, values, scale)
    found = fit_frequencies(positions, cos, sin)
    assert found is not None
    # A short table holds no more: angle, sine and scaled sine are each rounded to float32.
    np.testing.assert_allclose(found.values, values, rtol=4 * 2.0**-23)
    assert found.scale == pytest.approx(scale, rel=1e-6)


def test_frequencies_of_a_long_context_are_exact() -> None:
    positions = np.unique(np.concatenate([[0], 2 ** np.arange(17), np.arange(0, 2**17, 1031)]))
    values = (500000.0 ** (-np.arange(32) / 32)).astype(np.float32)
    found = fit_frequencies(positions, *table(positions, values, 1.0))
    assert found is not None
    assert found.values == tuple(values.tolist())


def test_what_is_no_table_is_refused() -> None:
    positions = np.arange(16)
    cos, sin = table(positions, np.float32([1.0, 0.1]), 1.0)
    assert fit_frequencies(positions, cos, sin) is not None
    assert fit_frequencies(positions, sin, cos) is None
    assert fit_frequencies(positions, cos[::-1], sin[::-1]) is None
    assert fit_frequencies(positions, cos * np.float32(1 + 1e-5 * positions)[:, None], sin) is None
    rounded = cos.astype(np.float16).astype(np.float32)
    assert fit_frequencies(positions, rounded, sin) is None


@pytest.mark.parametrize("parameters", [LLAMA3, YARN, LINEAR], ids=lambda each: each["rope_type"])
def test_scaled_tables(parameters: dict[str, Any], tmp_path: Path) -> None:
    model = random_model(family("llama", rope_parameters=parameters))
    captured, interpreter = capture(save_directory(model, tmp_path))
    ids = random_ids(CONTEXT)
    assert_close(interpreted_logits(interpreter, ids, CONTEXT), reference_logits(model, ids))
    (frequencies,) = (op for op in captured.module.walk() if isinstance(op, FrequenciesOp))
    assert (frequencies.scale.only == 1) == (parameters is not YARN)


@pytest.mark.parametrize("parameters", [YARN, LINEAR], ids=lambda each: each["rope_type"])
def test_scaled_tables_from_gguf(parameters: dict[str, Any], tmp_path: Path) -> None:
    model = random_model(family("qwen2", rope_parameters=parameters))
    kind, factor = parameters["rope_type"], parameters["factor"]
    keys = {"rope.scaling.type": kind, "rope.scaling.factor": factor}
    if parameters is YARN:
        keys["rope.scaling.original_context_length"] = 16
    _, interpreter = capture(save_gguf(model, tmp_path / "q.gguf", "qwen2", keys))
    ids = random_ids(CONTEXT)
    assert_close(interpreted_logits(interpreter, ids, CONTEXT), reference_logits(model, ids))


def test_factors_in_a_gguf_file(tmp_path: Path) -> None:
    scaled = random_model(family("llama", rope_parameters=LLAMA3))
    plain = 10000.0 ** (-np.arange(8) / 8)
    factors = (plain / scaled.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
    extra = {"rope_freqs.weight": factors}
    source = save_gguf(scaled, tmp_path / "l.gguf", "llama", extra_tensors=extra)
    _, interpreter = capture(source)
    ids = random_ids(CONTEXT)
    assert_close(interpreted_logits(interpreter, ids, CONTEXT), reference_logits(scaled, ids))


def test_wrong_number_of_factors(tmp_path: Path) -> None:
    extra = {"rope_freqs.weight": np.ones(5, np.float32)}
    model = random_model(family("llama"))
    source = save_gguf(model, tmp_path / "l.gguf", "llama", extra_tensors=extra)
    with pytest.raises(MalformedFileError, match=r"rope_freqs.weight.*\[5\].*\[8\]"):
        capture(source)


def test_dynamic_scaling_does_nothing_within_the_context(tmp_path: Path) -> None:
    dynamic = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    model = random_model(family("llama", rope_parameters=dynamic))
    _, interpreter = capture(save_directory(model, tmp_path))
    ids = random_ids(CONTEXT)
    assert_close(interpreted_logits(interpreter, ids, CONTEXT), reference_logits(model, ids))


SHORT, ORIGINAL = 16, 24
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0 + 0.1 * pair for pair in range(8)],
    "long_factor": [2.0 + 0.5 * pair for pair in range(8)],
    "original_max_position_embeddings": ORIGINAL,
}


def test_longrope_has_a_table_for_short_contexts_and_one_for_long_ones(tmp_path: Path) -> None:
    model = random_model(family("llama", rope_parameters=LONGROPE))
    assert model.config.max_position_embeddings == CONTEXT
    checkpoint = open_checkpoint(source := save_directory(model, tmp_path))
    captured = capture_checkpoint(source, checkpoint)
    (frequencies,) = (op for op in captured.module.walk() if isinstance(op, FrequenciesOp))
    assert frequencies.beyond is not None
    assert frequencies.beyond.data == (ORIGINAL,)

    def weights(name: str) -> NDArray[np.float32]:
        return bind(checkpoint, captured.bindings[name]).dequantise()

    for context in (SHORT, ORIGINAL, CONTEXT):
        ids = random_ids(context)
        interpreter = Interpreter(captured.module, weights, context=context)
        expected = reference_logits(model, ids)
        assert_close(interpreted_logits(interpreter, ids, context - 3), expected)


def test_a_module_in_memory_is_left_as_it_was() -> None:
    model = random_model(family("llama", rope_parameters=LONGROPE))
    rotary = model.model.rotary_emb
    captured = capture_module(model)
    assert "forward" not in vars(rotary)
    interpreter = Interpreter(captured.module, lambda name: captured.weights[name])
    ids = random_ids(CONTEXT)
    assert_close(interpreted_logits(interpreter, ids, CONTEXT), reference_logits(model, ids))
