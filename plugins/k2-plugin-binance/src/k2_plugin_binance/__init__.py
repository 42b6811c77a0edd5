"""Binance spot for k2."""
