"""Sequences whose tokens the host chooses, beside others."""

from __future__ import annotations

import numpy as np

from headrace.api import Model
from headrace.engine.choice.choice import Choice, Grammar
from headrace.engine.choice.grammars import Grammars
from headrace.engine.job import Job, Tokens
from tests.engine.serving import job, serving
from tests.engine.test_service import PROMPT, alone


def test_the_host_chooses_what_the_native_program_would(model: Model) -> None:
    natives = [job("", PROMPT + [i] * 70, 40, None if i % 2 else i) for i in range(6)]
    expected = [alone(model, native) for native in natives]
    with serving(model) as (service, answers):
        for index in range(6):
            seed, warm = (None, 0.0) if index % 2 else (index, 1.0)
            service.submit(
                Job(
                    id=f"{index}",
                    tokens=PROMPT + [index] * 70,
                    max_tokens=40,
                    temperature=warm,
                    seed=seed,
                    choice=Choice(logprobs=0) if index % 3 else None,
                )
            )
        assert [answers.answer(f"{index}") for index in range(6)] == expected


def test_log_probabilities_are_those_of_the_logits(model: Model) -> None:
    with serving(model) as (service, answers):
        service.submit(Job(id="a", tokens=PROMPT, max_tokens=5, choice=Choice(logprobs=3)))
        tokens = answers.answer("a")
    logits = model.logits(PROMPT + tokens)[len(PROMPT) - 1 : -1].astype("float64")
    events = [event for event in answers.events["a"] if isinstance(event, Tokens)]
    found = [each for event in events for each in event.logprobs or []]
    assert [each.token for each in found] == tokens
    for each, row in zip(found, logits, strict=True):
        expected = row - np.log(np.exp(row - row.max()).sum()) - row.max()
        assert abs(each.logprob - expected[each.token]) < 1e-4
        assert len(each.top) == 3
        assert each.top[0] == (each.token, each.logprob)


def test_a_grammar_holds_and_a_wrong_one_is_refused(model: Model) -> None:
    grammars = Grammars(model.tokenizer, model.vocabulary)
    right, wrong = Grammar("regex", "[a-c]{5}"), Grammar("regex", "(")
    expected = alone(model, job("", PROMPT, 100))
    with serving(model, grammars=grammars) as (service, answers):
        for id, grammar in (("right", right), ("wrong", wrong)):
            choice = Choice(grammar=grammar)
            service.submit(Job(id=id, tokens=PROMPT, max_tokens=50, choice=choice))
        service.submit(job("native", PROMPT, 100))
        text = model.tokenizer.decode(answers.answer("right"))
        assert len(text) == 5
        assert set(text) <= set("abc")
        assert answers.ended("right").reason == "stop"
        assert answers.refused("wrong").kind == "invalid"
        assert answers.answer("native") == expected
