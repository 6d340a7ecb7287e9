"""Biases, penalties and log-probabilities against formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.choice.choice import Choice
from headrace.engine.choice.chooser import Chooser
from headrace.engine.choice.logprobs import likeliest, log_total
from headrace.engine.choice.penalties import Penalties
from headrace.errors import RequestError
from headrace.runtime.schedule import Sampling

V = 300
tokens = st.lists(st.integers(0, V - 1), max_size=150)


@given(
    prompt=tokens,
    answer=tokens,
    presence=st.sampled_from([0.0, 0.7, -2.0]),
    frequency=st.sampled_from([0.0, 0.1, -1.0]),
    repetition=st.sampled_from([1.0, 1.3, 0.5]),
    bias=st.dictionaries(st.integers(0, V - 1), st.floats(-100, 100), max_size=5),
)
def test_logits_change_as_written_out(
    prompt: list[int],
    answer: list[int],
    presence: float,
    frequency: float,
    repetition: float,
    bias: dict[int, float],
) -> None:
    choice = Choice(presence, frequency, repetition, bias)
    penalties = Penalties(choice, prompt)
    for token in answer:
        penalties.take(token)
    logits = np.random.default_rng(1).normal(0, 3, V).astype(np.float32)
    expected = logits.astype(np.float64)
    for token in range(V):
        value = expected[token] + bias.get(token, 0.0)
        if token in prompt or token in answer:
            value = value / repetition if value > 0 else value * repetition
        value -= frequency * answer.count(token) + presence * (token in answer)
        expected[token] = value
    penalties.apply(logits)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=2e-5)  # float32 of up to 200


def test_nothing_changes_unless_asked() -> None:
    assert not Penalties(Choice(), [1, 2]).active


@given(seed=st.integers(0, 2**32), count=st.integers(0, 20))
def test_log_probabilities(seed: int, count: int) -> None:
    logits = np.random.default_rng(seed).integers(-9, 9, V).astype(np.float32)
    exact = logits.astype(np.float64)
    exact -= np.log(np.exp(exact).sum())
    total = log_total(logits)
    order = sorted(range(V), key=lambda token: (-logits[token], token))[:count]
    found = likeliest(logits, count, total)
    assert [token for token, _ in found] == order
    np.testing.assert_allclose([value for _, value in found], exact[order], atol=1e-5)


def test_log_probabilities_are_those_of_the_model() -> None:
    logits = np.random.default_rng(0).normal(0, 2, V).astype(np.float32)
    before = logits.copy()
    choice = Choice(logit_bias={7: 100.0}, logprobs=2)
    chosen = Chooser(choice, Sampling(temperature=3.0), V, None, []).choose(logits, 4)
    assert chosen.token == 7
    assert chosen.logprob == pytest.approx(float(logits[7]) - log_total(logits))
    assert [token for token, _ in chosen.top] == np.argsort(-logits)[:2].tolist()
    assert (logits == before).all()


@pytest.mark.parametrize(
    ("choice", "where"),
    [
        (Choice(presence_penalty=2.1), "presence_penalty"),
        (Choice(frequency_penalty=float("nan")), "frequency_penalty"),
        (Choice(repetition_penalty=0.0), "repetition_penalty"),
        (Choice(repetition_penalty=5e-324), "repetition_penalty"),
        (Choice(logprobs=21), "logprobs"),
        (Choice(logit_bias={V: 1.0}), f"logit_bias[{V}]"),
        (Choice(logit_bias={3: float("inf")}), "logit_bias[3]"),
        (Choice(logit_bias=dict.fromkeys(range(301), 1.0)), "logit_bias"),
    ],
)
def test_values_out_of_range_are_named(choice: Choice, where: str) -> None:
    with pytest.raises(RequestError) as caught:
        Chooser(choice, Sampling(), V, None, [])
    assert caught.value.where == where
