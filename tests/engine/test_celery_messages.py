import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import redis.exceptions

from outcomes import done
from resizer.engine.celery.broker import celery_app
from resizer.engine.celery.messages import (
    Heartbeat,
    Result,
    id_of,
    message_of,
    outcome_from,
    task_from,
)
from resizer.models import Effort, Fit, OutputFormat, Recipe, Task
from service import settings_for

TASK = Task(batch_id=1, seq=2, url="http://h/a.jpg?t=1", recipe=Recipe(quality=5, format=OutputFormat.PNG))


def test_task_and_outcome_come_as_they_went() -> None:
    assert task_from(json.loads(json.dumps(message_of(TASK)))) == TASK
    assert outcome_from(json.loads(json.dumps(message_of(done(1, 2))))) == done(1, 2)


def test_field_of_a_later_version_is_passed_over() -> None:
    assert task_from({**message_of(TASK), "priority": 3}) == TASK


def test_every_option_of_the_recipe_travels() -> None:
    recipe = Recipe(
        quality=5,
        format=OutputFormat.PNG,
        effort=Effort.SMALL,
        max_width=3,
        max_height=4,
        fit=Fit.PAD,
        background="#102030",
    )
    task = replace(TASK, recipe=recipe)
    message = json.loads(json.dumps(message_of(task)))
    assert task_from(message) == task
    assert set(message["recipe"]) == {each.name for each in fields(Recipe)}


def test_recipe_of_an_earlier_version_has_the_defaults() -> None:
    message = message_of(TASK)
    for name in ("effort", "fit", "background"):
        del message["recipe"][name]
    assert task_from(message) == TASK


def test_message_that_cannot_be_read_is_not_repeated() -> None:
    """Its URL may hold a password, and errors are logged."""
    message = {**message_of(TASK), "seq": "http://user:word@h/?token=hush"}
    with pytest.raises(ValueError, match="seq") as caught:
        task_from(message)
    shown = f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"
    assert "hush" not in shown
    assert "word" not in shown


@pytest.mark.parametrize(
    "raw", ["", "not json", "[]", "{}", '{"headers": {}}', '{"headers": {"id": 5}}', "null"]
)
def test_stranger_in_the_queue_has_no_id(raw: str) -> None:
    assert id_of(raw) is None
    assert id_of(f"[{raw or 0}]") is None
    assert Heartbeat.from_json(raw) is None
    assert Result.from_json(raw) is None


@pytest.mark.parametrize("raw", ['{"headers": {"id": "a"}}', '[{"headers": {"id": "a"}}, "", "resizer"]'])
def test_task_in_the_queue_or_unacknowledged_has_its_id(raw: str) -> None:
    assert id_of(raw) == "a"


def test_heartbeat_comes_as_it_went() -> None:
    beat = Heartbeat(slots=4, held=("a", "b"))
    assert Heartbeat.from_json(beat.to_json()) == beat


def test_result_of_a_task_that_goes_on_is_none() -> None:
    told = {"task_id": "a", "status": "STARTED", "result": None}
    assert Result.from_json(json.dumps(told)) is None
    assert Result.from_json(json.dumps({**told, "status": "SUCCESS"})) is not None


@pytest.mark.parametrize(
    "error, cut_off",
    [
        (redis.exceptions.ConnectionError("refused"), True),
        (redis.exceptions.TimeoutError("late"), True),
        (redis.exceptions.ResponseError("out of memory"), False),
        (ConnectionError("an origin's"), False),
    ],
)
def test_failure_of_the_broker_is_told_from_that_of_the_task(
    error: Exception, *, cut_off: bool, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, engine={"kind": "celery", "broker_url": "redis://127.0.0.1:1/0"})
    backend = celery_app(settings, keeps_results=True).backend
    told = {"task_id": "a", "status": "FAILURE", "result": backend.prepare_exception(error)}
    result = Result.from_json(json.dumps(told))
    assert result is not None
    assert result.was_cut_off is cut_off
