"""Jobs that are not ready, or that fail by themselves, are nobody else's trouble."""

from __future__ import annotations

import logging
import threading

import pytest

from headrace.api import Model
from headrace.engine.choice.choice import Choice, Grammar
from headrace.engine.choice.grammars import Grammars
from headrace.engine.job import Job
from headrace.engine.preparers import Preparers
from tests.engine.choice.test_grammars import HOSTILE
from tests.engine.serving import job, serving
from tests.engine.test_service import PROMPT, alone


def constrained(id: str, kind: str, text: str, client: str = "", seconds: float = 60) -> Job:
    assert kind in ("regex", "lark")
    grammar = Grammar("regex" if kind == "regex" else "lark", text)
    choice = Choice(grammar=grammar)
    return Job(id=id, tokens=PROMPT, max_tokens=50, choice=choice, client=client, seconds=seconds)


def test_one_clients_grammars_do_not_hold_up_others(model: Model) -> None:
    """Five that take seconds to refuse; others, new ones too, need not wait for one of them."""
    grammars = Grammars(model.tokenizer, model.vocabulary)
    with serving(model, grammars=grammars) as (service, answers):
        hostile = [f"hostile {index}" for index in range(5)]
        for index, id in enumerate(hostile):
            seconds = 0.2 if index == 4 else 60
            service.submit(constrained(id, "lark", HOSTILE + f"\n// {index}", "them", seconds))
        service.cancel(hostile[3])
        service.submit(constrained("new", "regex", "[a-c]{5}", "us"))
        service.submit(Job(id="told", tokens=PROMPT, max_tokens=5, choice=Choice(logprobs=1)))
        assert len(model.tokenizer.decode(answers.answer("new"))) == 5
        assert len(answers.answer("told")) == 5
        assert answers.ended(hostile[3]).reason == "cancelled"
        assert answers.ended(hostile[4]).reason == "deadline"
        assert not any(id in answers.events for id in hostile[:3])
        assert service.stats().waiting == 3
        for id in hostile[:3]:
            assert "too much time or memory" in answers.refused(id).message


def test_a_failure_to_choose_ends_one_sequence(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    """Grammars of another vocabulary: their masks do not fit the logits."""
    foreign = Grammars(model.tokenizer, model.vocabulary - 8)
    expected = alone(model, job("", PROMPT, 60))
    with serving(model, grammars=foreign) as (service, answers):
        with caplog.at_level(logging.ERROR, "headrace.engine"):
            service.submit(job("beside", PROMPT, 60))
            service.submit(constrained("fails", "regex", "(.|\\n)*"))
            ended = answers.ended("fails")
        assert (ended.reason, ended.usage.generated_tokens) == ("error", 0)
        assert ended.message == "the engine failed to choose the next token"
        assert answers.answer("beside") == expected
        service.submit(job("after", PROMPT, 60))
        assert answers.answer("after") == expected
    assert "fails" in caplog.text
    assert "Traceback" in caplog.text


def test_a_failure_to_prepare_ends_one_job(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    with serving(model) as (service, answers):
        with caplog.at_level(logging.ERROR, "headrace.engine"):
            choice = Choice(logprobs="3")  # pyright: ignore[reportArgumentType]
            service.submit(Job(id="typed wrongly", tokens=PROMPT, max_tokens=5, choice=choice))
            assert answers.ended("typed wrongly").reason == "error"
        service.submit(job("after", PROMPT, 5))
        assert len(answers.answer("after")) == 5
    assert "typed wrongly" in caplog.text


def test_one_client_never_has_all_threads() -> None:
    preparers, gate, done = Preparers(3, "test"), threading.Event(), list[str]()
    for index in range(4):
        preparers.submit("many", lambda index=index: (gate.wait(10), done.append(f"{index}"))[1])
    other = threading.Event()
    preparers.submit("one", other.set)
    assert other.wait(10)
    assert not done
    gate.set()
    preparers.close()
    assert sorted(done) == ["0", "1", "2", "3"]
