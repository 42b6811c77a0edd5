"""Iceberg for k2: sink and query source."""
