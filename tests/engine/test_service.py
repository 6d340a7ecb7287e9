"""Jobs that come and go at any time: each gets what it would get alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from headrace.api import Model, load
from headrace.engine.embedding import embed
from headrace.engine.engine import Engine
from headrace.engine.job import Job, ServiceSettings
from headrace.engine.request import Request
from headrace.engine.service import Service
from headrace.errors import MachineError
from tests.engine.serving import Answers, job, serving

PROMPT = [5, 17, 200, 3, 44]


def alone(model: Model, each: Job) -> list[int]:
    request = Request(each.max_tokens, each.temperature, seed=each.seed)
    return list(Engine(model.program, each.stop_tokens).generate(each.tokens, request))


def some_jobs(count: int, seed: int, longest: int = 150) -> list[Job]:
    rng = np.random.default_rng(seed)
    return [
        job(
            f"{index}",
            rng.integers(0, 250, rng.integers(1, longest)).tolist(),
            int(rng.integers(1, 60)),
            seed=index if index % 2 else None,
        )
        for index in range(count)
    ]


def test_answers_are_those_of_jobs_alone(model: Model) -> None:
    jobs = some_jobs(12, seed=0)
    with serving(model) as (service, answers):
        for each in jobs:
            service.submit(each)
            time.sleep(0.002)
        found = [answers.answer(each.id) for each in jobs]
        usages = [answers.ended(each.id).usage for each in jobs]
    assert found == [alone(model, each) for each in jobs]
    assert [each.generated_tokens for each in usages] == [each.max_tokens for each in jobs]
    assert [each.prompt_tokens for each in usages] == [len(each.tokens) for each in jobs]


def test_how_a_job_ends(model: Model) -> None:
    whole = alone(model, job("", PROMPT, 40))
    stop = whole[20]
    with serving(model) as (service, answers):
        service.submit(Job(id="stop", tokens=PROMPT, max_tokens=40, stop_tokens=(stop,)))
        service.submit(job("length", PROMPT, 40))
        service.submit(job("context", PROMPT, 10**6))
        assert answers.answer("stop") == whole[: whole.index(stop)]
        assert answers.ended("stop").reason == "stop"
        assert answers.answer("length") == whole
        assert answers.ended("length").reason == "length"
        assert len(answers.answer("context")) == model.context - len(PROMPT) + 1


def test_what_cannot_be_done_is_refused(model: Model) -> None:
    with serving(model) as (service, answers):
        service.submit(job("long", [1] * (model.context + 1), 5))
        service.submit(Job(id="heat", tokens=PROMPT, max_tokens=5, temperature=-1.0))
        service.submit(job("token", [model.vocabulary], 5))
        service.submit(Job(id="stops", tokens=[1], max_tokens=1, stop_tokens=tuple(range(65))))
        assert answers.refused("long").kind == "context"
        assert f"{model.context + 1}" in answers.refused("long").message
        for id, stop in (("stop", model.vocabulary), ("negative", -1), ("huge", 1 << 40)):
            service.submit(Job(id=id, tokens=[1], max_tokens=1, stop_tokens=(stop,)))
            assert "stop_tokens[0]" in answers.refused(id).message
        for id in ("heat", "token", "stops", "stop", "negative", "huge"):
            assert answers.refused(id).kind == "invalid"
        service.submit(job("twice", PROMPT, 500))
        service.submit(job("twice", PROMPT, 500))
        assert answers.refused("twice").kind == "invalid"
        service.cancel("twice")


def test_a_cancelled_job_ends_after_its_step_and_its_neighbours_go_on(model: Model) -> None:
    expected = alone(model, job("", [9], 300))
    with serving(model) as (service, answers):
        answers.first_tokens = lambda id: service.cancel("long") if id == "long" else None
        service.submit(job("long", PROMPT, 4000))
        service.submit(job("neighbour", [9], 300))
        assert answers.ended("long").reason == "cancelled"
        assert answers.ended("long").usage.generated_tokens < 100
        assert answers.answer("neighbour") == expected
        service.cancel("long")
        service.cancel("never heard of")


def test_jobs_that_wait_are_cancelled_too(model: Model) -> None:
    with serving(model, slots=1) as (service, answers):

        def begun(id: str) -> None:
            service.submit(job("second", PROMPT, 200))
            service.cancel("second")

        answers.first_tokens = begun
        service.submit(job("first", PROMPT, 200))
        assert answers.ended("second").usage.generated_tokens == 0
        assert answers.ended("second").reason == "cancelled"
        assert len(answers.answer("first")) == 200


def test_a_deadline_ends_a_job_wherever_it_is(model: Model) -> None:
    with serving(model, slots=1) as (service, answers):
        answers.first_tokens = lambda _: time.sleep(0.1)
        for id in ("running", "waiting"):
            service.submit(Job(id=id, tokens=PROMPT, max_tokens=4000, seconds=0.08))
        for id in ("running", "waiting"):
            assert answers.ended(id).reason == "deadline"
        assert 0 < answers.ended("running").usage.generated_tokens < 100
        assert answers.ended("waiting").usage.generated_tokens == 0


def test_the_queue_is_bounded(model: Model) -> None:
    with serving(model, slots=2, queue=3) as (service, answers):

        def begun(id: str) -> None:
            if id == "0":
                for index in range(1, 8):
                    service.submit(job(f"{index}", PROMPT, 4000))

        answers.first_tokens = begun
        service.submit(job("0", PROMPT, 4000))
        refused = [answers.refused(f"{index}") for index in (5, 6, 7)]
        assert {each.kind for each in refused} == {"queue_full"}
        seconds = [each.retry_after_seconds or 0 for each in refused]
        assert 0 < seconds[0] < seconds[1] < seconds[2]  # they do not all come back at once
        service.cancel("0")
        answers.ended("0")
        service.submit(job("late", PROMPT, 3))
        for index in range(1, 5):
            service.cancel(f"{index}")
        assert len(answers.answer("late")) == 3


@pytest.mark.parametrize("drain_seconds", [0.0, 30.0])
def test_closing(model: Model, drain_seconds: float) -> None:
    with serving(model) as (service, answers):
        answers.first_tokens = lambda _: time.sleep(0.2)
        service.submit(job("under way", PROMPT, 400))
        answers.wait_for_tokens("under way")
        service.close(drain_seconds)
        reason = "length" if drain_seconds else "cancelled"
        assert answers.ended("under way").reason == reason
        service.submit(job("late", PROMPT, 3))
        assert answers.refused("late").kind == "closing"
    assert model.program.finished


def test_texts_are_embedded_between_the_steps_of_others(model: Model) -> None:
    texts = [PROMPT, [7] * 200, list(range(64)), [3]]
    expected = [embed(model.program, each) for each in texts]
    answer = alone(model, job("", PROMPT, 400))
    with serving(model, slots=2) as (service, answers):
        service.submit(job("beside", PROMPT, 400))
        for index, each in enumerate(texts):
            service.embed(f"{index}", each)
        service.embed("wrong", [])
        for index, each in enumerate(expected):
            assert np.array_equal(answers.vector(f"{index}"), each)
        assert answers.refused("wrong").kind == "invalid"
        assert answers.answer("beside") == answer
        service.embed("gone", [5] * 4000)
        service.cancel("gone")
        assert answers.ended("gone").reason == "cancelled"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failure_is_told_to_all(tiny: Path, cache_root: Path) -> None:
    answers = Answers()
    with load(tiny, threads=2) as own:
        service = Service(own.program, (), None, ServiceSettings(slots=1), answers.deliver)
        answers.first_tokens = lambda _: own.program.close()
        for id in ("running", "waiting"):
            service.submit(job(id, PROMPT, 4000))
        for id in ("running", "waiting"):
            assert answers.ended(id).reason == "error"
            assert "closed" in (answers.ended(id).message or "")
        service.submit(job("late", PROMPT, 3))
        assert answers.refused("late").kind == "closing"
        service.close()
        assert isinstance(service.failure, MachineError)
