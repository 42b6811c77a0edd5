"""How long units of tests take, roughly, on two quiet cores: those that take ten seconds or more begin first."""

from __future__ import annotations

E2E, CLI, WRITER = "tests/e2e", "tests/integration/cli", "tests/integration/writer"
SECONDS = {
    "faults-over-kafka": 150,
    "kafka": 100,
    "kafka-faults": 80,
    "tests/packaging/test_scaffold.py": 70,
    "docs-connector-tutorial.md": 60,
    f"{E2E}/test_many_writers.py::test_writers_come_and_go_on_kafka": 60,
    f"{E2E}/test_demo_degradation.py::test_the_demo_enters_all_levels_and_proves_the_table_whole": 60,
    f"{E2E}/test_kill_everything.py::test_nothing_accepted_is_missing_or_twice_whatever_is_killed": 50,
    "tests/simulation/test_worlds.py::test_every_world_holds": 45,
    f"{E2E}/test_overload.py::test_twice_the_load_is_shed_by_name_and_comes_back": 35,
    f"{E2E}/test_kill_storm.py::test_everything_is_stored_once_however_often_the_writer_is_killed": 35,
    "docs-tutorial.md": 35,
    "kafka-leaders": 45,
    "kafka-end-to-end": 30,
    "kafka-security": 30,
    "cli-over-services": 30,
    f"{E2E}/test_kill_storm.py::test_a_crash_at_each_named_point_costs_and_doubles_nothing": 25,
    f"{WRITER}/test_writer_sharing_lake.py::test_writers_join_leave_die_and_freeze": 25,
    f"{WRITER}/test_writer_sharing_lake.py::test_writers_are_killed_again_and_again": 20,
    "scraped": 20,
    "tests/simulation/test_worlds.py::test_every_world_of_several_writers_holds": 20,
    "tests/simulation/test_worlds.py::test_every_world_of_files_holds": 20,
    f"{E2E}/test_demo.py::test_the_demo_ends_with_one_json_line_that_holds": 15,
    "docs-recording.md": 15,
    "tests/integration/query/test_hybrid_property.py::test_answers_mean_what_they_say": 12,
    "tests/observability/test_rules.py::test_every_alert_fires_and_is_silent": 10,
    "docs-importing.md": 10,
    f"{CLI}/test_import_files.py::test_killed_anywhere_and_started_again_nothing_is_lost_or_doubled": 10,
    f"{CLI}/test_cli_processes.py::test_questions_of_an_empty_installation": 10,
    "two-exchanges": 10,
}
"""By the unit's name: that of an `xdist_group`, a module's path, or a test's node id, without its parameters."""


def seconds_of(unit: str) -> int:
    """Of a unit; 0 for one that takes little."""
    return SECONDS.get(unit, 0) or SECONDS.get(unit.partition("[")[0], 0)
