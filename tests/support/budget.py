"""`--budget SECONDS`: bound the time of a run on a slow machine, and list the tests left out."""

import time

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="skip tests not started within this time",
    )


def pytest_configure(config: pytest.Config) -> None:
    # xdist passes the options to its workers after this; the monotonic clock is shared by all processes
    if config.option.budget is not None and not hasattr(config.option, "spent_at"):
        config.option.spent_at = time.monotonic() + config.option.budget


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    spent_at = getattr(item.config.option, "spent_at", None)
    if spent_at is not None and time.monotonic() > spent_at:
        # with its name, since pytest merges equal reasons
        pytest.skip(f"not started within {item.config.option.budget:g} s: {item.nodeid}")
