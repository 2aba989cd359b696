"""`resizer worker` where it cannot work; what it does where it can is tested in engine/test_celery_engine."""

from pathlib import Path

import pytest

from process import Process
from resizer.errors import ConfigError
from resizer.implementations import check_available
from service import settings_for

CELERY = {"RESIZER_ENGINE__KIND": "celery"}


@pytest.mark.parametrize(
    "variables, told",
    [
        ({}, "engine.kind: a worker has nothing to do where it is 'local'; set it to 'celery'"),
        (
            {**CELERY, "RESIZER_STORAGE__KIND": "s3"},
            "storage.bucket: storage.kind is 's3' and no bucket is named",
        ),
        ({**CELERY, "RESIZER_ENGINE__BROKER_URL": "amqp://127.0.0.1"}, "engine.broker_url: "),
        ({**CELERY, "RESIZER_STORAGE__PATH": "/dev/null/images"}, "storage.path: the folder"),
    ],
)
async def test_configuration_that_leaves_nothing_to_do_is_refused(
    variables: dict[str, str], told: str, tmp_path: Path
) -> None:
    async with Process("worker", "--data-dir", tmp_path, variables=variables) as process:
        assert (await process.ended())[0] == 2
        assert any(told in line for line in process.log), process.log


def test_engine_that_is_not_installed_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "resizer.implementations.find_spec", lambda name: None if name == "celery" else object()
    )
    with pytest.raises(ConfigError, match=r"pip install 'resizer\[celery\]'"):
        check_available(settings_for(tmp_path, engine={"kind": "celery"}))
    check_available(settings_for(tmp_path))
