"""`--budget SECONDS`: a run that ends in time on a machine of any speed, and says what it left out."""

import time

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="begin no test later than so many seconds after the start; what is not begun is skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    # xdist hands its workers the options as they are now, and the clock is the machine's
    if config.option.budget is not None and not hasattr(config.option, "spent_at"):
        config.option.spent_at = time.monotonic() + config.option.budget


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    spent_at = getattr(item.config.option, "spent_at", None)
    if spent_at is not None and time.monotonic() > spent_at:
        # with its name: reasons that are the same are told as one
        pytest.skip(f"not begun within {item.config.option.budget:g} s: {item.nodeid}")
