"""Metrics, logging and the status files through which processes see each other."""
