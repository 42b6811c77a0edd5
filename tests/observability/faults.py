"""Metrics that the main job does not move, and the test of each that does."""

from __future__ import annotations

_FEED, _WRITER = "tests/integration/feed", "tests/unit/writer"
_PRESSURE = f"{_FEED}/test_feed_backpressure.py::test_a_full_queue_blocks_the_server_and_nothing_is_lost"
_HERE = "tests/observability/test_faults_are_counted.py"

_KAFKA = "plugins/k2-plugin-kafka/tests/test_kafka_metrics.py"

FAULTS = {
    "k2_kafka_append_failures_total": f"{_KAFKA}::test_a_broker_that_is_frozen_shows",
    "k2_kafka_clients_discarded_total": f"{_KAFKA}::test_a_broker_that_is_frozen_shows",
    "k2_kafka_registry_cache_uses_total": f"{_KAFKA}::test_a_registry_that_is_away_shows",
    "k2_metrics_label_overflows_total": "tests/observability/test_catalogue.py::test_a_value_beyond_the_bound_is_other",
    "k2_up_child_deaths_total": (
        "tests/integration/cli/test_supervise.py::test_a_wedged_one_is_killed_and_started_again"
    ),
    "k2_ingest_connect_failures_total": (
        f"{_FEED}/test_feed_faults.py::test_an_exchange_that_is_away_at_the_start_is_waited_for"
    ),
    "k2_ingest_reconnects_total": (
        f"{_FEED}/test_feed_faults.py::test_a_dropped_connection_is_made_again_and_resubscribed"
    ),
    "k2_ingest_rollovers_total": (
        f"{_FEED}/test_feed_rollover.py::test_a_shutdown_notice_is_followed_by_a_new_connection_before_the_old_one_goes"
    ),
    "k2_ingest_subscriptions_left_out": (
        f"{_FEED}/test_feed_subscriptions.py::test_unknown_symbols_are_reported_and_left_out"
    ),
    "k2_ingest_queue_pauses_total": _PRESSURE,
    "k2_ingest_queue_frames": _PRESSURE,
    "k2_ingest_queue_bytes": _PRESSURE,
    "k2_ingest_queue_fill_ratio": _PRESSURE,
    "k2_ingest_log_stalls_total": (
        "tests/integration/ingest/test_ingest_pipeline.py::"
        "test_a_log_that_is_full_or_busy_is_waited_for_and_nothing_is_lost"
    ),
    "k2_ingest_normalizer_failures_total": (
        "tests/integration/ingest/test_ingest_pipeline.py::test_a_normalizer_that_raises_costs_only_the_frames_at_fault"
    ),
    "k2_writer_partitions_lost_total": (
        f"{_WRITER}/test_writer_pipeline.py::test_fenced_nothing_lands_and_nothing_is_owned"
    ),
    "k2_writer_retries_total": f"{_WRITER}/test_writer_runner.py::test_what_may_pass_is_tried_again",
    "k2_writer_missing_ids": (
        f"{_WRITER}/test_writer_pipeline.py::test_holes_are_named_once_and_known_after_a_restart"
    ),
    "k2_writer_holes": f"{_WRITER}/test_writer_pipeline.py::test_holes_are_named_once_and_known_after_a_restart",
    "k2_writer_gone_records": (
        f"{_WRITER}/test_writer_gone.py::test_a_new_table_that_begins_at_the_logs_start_says_what_it_lacks"
    ),
    "k2_writer_dead_letters_total": f"{_HERE}::test_a_record_that_cannot_be_stored_and_an_old_id",
    "k2_dedup_table_lookups_total": f"{_HERE}::test_a_record_that_cannot_be_stored_and_an_old_id",
    "k2_writer_dedup_errors_total": f"{_WRITER}/test_writer_pipeline.py::test_a_settle_that_fails_is_made_up_for",
    "k2_enricher_failures_total": (
        "tests/integration/cli/test_enrichers_end_to_end.py::"
        "test_one_that_raises_costs_its_rows_their_values_and_nothing_else"
    ),
    "k2_dedup_degraded": f"{_HERE}::test_a_shared_store_that_is_away",
    "k2_dedup_degradations_total": f"{_HERE}::test_a_shared_store_that_is_away",
    "k2_writer_degradation_level": f"{_HERE}::test_a_writer_that_degrades",
    "k2_writer_degradation_changes_total": f"{_HERE}::test_a_writer_that_degrades",
    "k2_degradation_level": f"{_HERE}::test_a_writer_that_degrades",
    "k2_writer_shed_records": f"{_HERE}::test_what_is_shed",
    "k2_maintenance_changes_total": f"{_HERE}::test_what_maintenance_did",
    "k2_log_removed_segments_total": (
        "tests/integration/broker/test_log_retention.py::test_what_is_removed_is_counted"
    ),
    "k2_serve_tail_rebuilds_total": (
        "tests/integration/query/test_hybrid_answers.py::test_a_tail_that_retention_passed_starts_anew_from_the_table"
    ),
    "k2_serve_tail_stalls_total": f"{_HERE}::test_a_tail_that_cannot_read",
    "k2_serve_slow_queries_total": f"{_HERE}::test_a_slow_query_and_an_incomplete_answer",
    "k2_serve_incomplete_answers_total": f"{_HERE}::test_a_slow_query_and_an_incomplete_answer",
    "k2_http_auth_refusals_total": (
        "tests/integration/api/test_http_refusals.py::test_without_a_valid_key_nothing_is_told"
    ),
    "k2_http_silent_connections_closed_total": (
        "tests/integration/api/test_serve_process.py::test_connections_on_which_nobody_asks_are_closed"
    ),
}
