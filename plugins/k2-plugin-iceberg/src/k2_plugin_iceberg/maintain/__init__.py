"""Upkeep of a table beside ingestion: compaction, expiry, deleting what nobody can reach any more."""
