"""Finds plugins and keeps what they offer, with provenance."""
