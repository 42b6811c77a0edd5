"""The main job under a real Prometheus: every metric moves, every panel and rule has data, pages pass promtool."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from k2core.telemetry.catalogue import CATALOGUE
from observability.more_alerts import ALERTS, RECORDED
from observability.more_boards import BOARDS, rows_of
from tests.e2e.capture import capture, tape, wait_until
from tests.observability.faults import FAULTS
from tests.observability.scraped import KEY, SETTINGS, Scraped, fetch, targets_of
from tests.services.process import UnavailableError
from tests.services.prometheus import Prometheus, tool

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "k2core" / "telemetry" / "assets" / "k2.rules.yml"
pytestmark = pytest.mark.xdist_group("scraped")
CALM = {name for name in CATALOGUE if name not in FAULTS and not name.startswith("k2_kafka_")}
"""Metrics that the main job moves, without any fault."""
ANYTHING = {'job=~"$job"': 'job=~".+"', 'instance=~"$instance"': 'instance=~".+"', "$__rate_interval": "10s"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    try:
        tool("prometheus")
    except UnavailableError as error:
        pytest.skip(str(error))
    (folder / "prometheus").mkdir()
    with (
        capture(folder, tape(trades=3000, seconds=10), SETTINGS) as world,
        Prometheus(folder / "prometheus", targets_of(folder), RULES) as prometheus,
    ):
        found = Scraped(world, prometheus)
        up = world.start("up", K2_API_KEY=KEY, NO_COLOR="1")
        wait_until("four processes tell where they are", lambda: len(found.targets) == 4, alive=up)
        api = f"http://127.0.0.1:{world.port}"
        wait_until("the API is ready", lambda: "serve" in found.targets and _ready(api), alive=up)
        playing, threads = world.exchange.play(), found.busy()
        found.until_moved(CALM)
        wait_until("the tape is played", playing.done, alive=up)
        found.end()
        for thread in threads:
            thread.join(120)
        found.look()
        yield found


def _ready(api: str) -> bool:
    try:
        return fetch(f"{api}/readyz")[0] == 200
    except OSError:
        return False


def test_every_metric_that_needs_no_fault_moved(run: Scraped) -> None:
    assert run.moved >= CALM
    assert len(CALM) >= 83


def test_promtool_passes_every_process(run: Scraped) -> None:
    assert set(run.pages) == {"ingest", "write", "serve", "up"}
    for name, page in run.pages.items():
        checked = subprocess.run(
            [tool("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, timeout=240, check=False
        )
        assert checked.returncode == 0, f"{name}: {checked.stdout}{checked.stderr}"


def test_each_process_tells_its_health(run: Scraped) -> None:
    for name, address in run.targets.items():
        assert fetch(f"http://{address}/livez") == (200, "ok\n")
        assert fetch(f"http://{address}/readyz") == (200, "ok\n"), name
        said = json.loads(fetch(f"http://{address}/health")[1])
        assert (said["status"], said["process"]) == ("ok", name)


def test_the_api_shows_its_own_process_alone(run: Scraped) -> None:
    page = fetch(f"http://127.0.0.1:{run.world.port}/metrics")[1]
    assert "k2_serve_queries_total" in page
    assert "k2_writer_commits_total" not in page


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_panel_has_data(run: Scraped, board: object) -> None:
    def empty() -> list[str]:
        found = []
        for _, panels in rows_of(board):  # type: ignore[arg-type]
            for panel in panels:
                if all(name.startswith("k2_kafka_") for name in panel.metrics):
                    continue
                found += [q.expr for q in panel.queries() if not run.prometheus.query(_asked(q.expr))]
        return found

    last: list[str] = []

    def full() -> bool:
        last[:] = empty()
        return not last

    try:
        wait_until("data", full)
    except AssertionError:
        pytest.fail(f"no data: {last}")
    assert not last


def test_every_rule_is_evaluated_and_has_series_to_look_at(run: Scraped) -> None:
    def fine() -> bool:
        groups = run.prometheus.ask("rules")["groups"]
        every = [rule for group in groups for rule in group["rules"]]
        return bool(every) and all(rule["health"] == "ok" for rule in every)

    wait_until("all rules are evaluated", fine)
    for name in RECORDED:
        wait_until(f"{name} has data", lambda n=name: bool(run.prometheus.query(n)))
    groups = run.prometheus.ask("rules")["groups"]
    names = {rule["name"] for group in groups for rule in group["rules"]}
    assert names == {*RECORDED, *(alert.name for alerts in ALERTS.values() for alert in alerts)}
    firing = {
        alert["labels"]["alertname"] for alert in run.prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"
    }
    assert not firing & {"K2ProcessDown", "K2Absent", "K2MainLoopSilent", "K2TableStopped", "K2ChildDies"}


def _asked(expr: str) -> str:
    for variable, value in ANYTHING.items():
        expr = expr.replace(variable, value)
    return expr
