"""Reads settings from file, environment and command line, and builds components from them."""
