"""Who can reach the API by its address: an API without keys answers this machine alone."""

from __future__ import annotations

import ipaddress

from k2core.errors import ConfigError


def is_loopback(host: str) -> bool:
    """Whether an address is the machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open(host: str, *, auth: bool) -> None:
    """Refuse an API that others can reach without a key.

    Raises:
        ConfigError: It is one.
    """
    if not auth and not is_loopback(host):
        raise ConfigError(
            f"[api] auth = false may not be combined with host {host}, which others can reach: remove auth = false,"
            " or listen on 127.0.0.1"
        )
