"""What Prometheus and Grafana are told to watch: they can read it, and it is what the service tells."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import DEPLOY, output_of, program

from resizer.metrics import IMAGE_OUTCOMES, REUSES, WEBHOOK_OUTCOMES, Metrics, QueueStats
from resizer.models import BatchStatus
from scrape import OPENMETRICS, families

RULES = DEPLOY / "alerts.yml"
NAME = re.compile(r"\b(?:resizer|process|python)_[a-z_]+\b")
LABEL = re.compile(r'(\w+)=~?"([^"$]*)"')
OUTCOMES = {*map(str, (*IMAGE_OUTCOMES, *WEBHOOK_OUTCOMES, *REUSES))}
#: what Grafana puts in when it asks
FILLED_IN = {"$__rate_interval": "5m", "$__range": "3h", "$job": "resizer", "$instance": ".*"}


@pytest.fixture(scope="module")
def promtool() -> str:
    return program("promtool", package="prometheus")


@pytest.fixture(scope="module")
def told() -> set[str]:
    """Every series that the service has, by name."""
    metrics = Metrics()
    metrics.http_answered("/readyz", "GET", 200, 0.01)
    standing = QueueStats(requests={BatchStatus.PENDING: 1}, waiting=0, in_flight=0)
    found = set()
    # the two formats name what they hold alike
    for accept in ("", OPENMETRICS):
        body, content_type = metrics.expose(standing, accept=accept)
        found |= {
            sample.name for family in families(body.decode(), content_type) for sample in family.samples
        }
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Each panel's title and what it asks, as Grafana asks it."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in FILLED_IN.items():
                text = text.replace(name, value)
            yield panel["title"], text


def test_prometheus_takes_its_configuration(promtool: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret", encoding="utf-8")
    text = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    assert "/etc/prometheus/resizer.token" in text
    copy = tmp_path / "prometheus.yml"
    copy.write_text(text.replace("/etc/prometheus/resizer.token", str(token)), encoding="utf-8")
    (tmp_path / RULES.name).write_bytes(RULES.read_bytes())
    assert "SUCCESS" in output_of(promtool, "check", "config", copy)


def test_prometheus_takes_the_alerts(promtool: str) -> None:
    assert f"{len(alerts())} rules found" in output_of(promtool, "check", "rules", RULES)


def test_each_alert_fires_where_it_should_and_nothing_else(promtool: str, tmp_path: Path) -> None:
    cases = Path(__file__).with_name("alerts.test.yml").read_text(encoding="utf-8")
    written = tmp_path / "alerts.test.yml"
    written.write_text(cases.replace("- ALERTS\n", f"- {RULES}\n"), encoding="utf-8")
    assert "SUCCESS" in output_of(promtool, "test", "rules", written)
    assert all(f'alertname="{rule["alert"]}"' in cases for rule in alerts())


def test_alerts_say_how_urgent_they_are_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert {*rule["annotations"]} == {"summary", "description"}, rule["alert"]
        assert "$labels.instance" in rule["annotations"]["summary"], rule["alert"]


def test_prometheus_takes_what_the_dashboard_asks(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, (_, text) in enumerate(expressions(), 1)]
    assert len(rules) > 20
    written = tmp_path / "dashboard.yml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in output_of(promtool, "check", "rules", written)


def test_what_is_watched_is_what_the_service_tells(told: set[str]) -> None:
    asked = [(rule["alert"], rule["expr"]) for rule in alerts()] + [*expressions()]
    for title, text in asked:
        bare = re.sub(r'"[^"]*"', '""', text)
        names = NAME.findall(bare)
        assert names or "up{" in bare, title
        assert {*names} <= told, title
        for label, value in LABEL.findall(text):
            if label == "outcome":
                assert value in OUTCOMES, (title, value)


def test_the_dashboard_holds_together() -> None:
    board = dashboard()
    names = [each["name"] for each in board["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert all(source["uid"] == "${datasource}" for source in sources), panel["title"]


def test_scrape_and_alerts_know_the_service_by_one_name() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["resizer"]
    named = {value for rule in alerts() for label, value in LABEL.findall(rule["expr"]) if label == "job"}
    assert named == {"resizer"}
