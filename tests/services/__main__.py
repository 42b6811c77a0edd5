"""`nox -s services`: install and start every real service, print where they are, run until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from tests.services.fixtures import KAFKA, REDIS, REGISTRY
from tests.services.kafka import Kafka
from tests.services.process import Service, UnavailableError
from tests.services.redis import Redis
from tests.services.registry import Registry


def main() -> int:
    """Start what can be started; 1 where something cannot."""
    missing = 0
    with tempfile.TemporaryDirectory(prefix="k2-services-") as folder, contextlib.ExitStack() as stack:
        wanted: list[tuple[str, Service]] = [
            (REDIS, Redis(Path(folder) / "redis")),
            (KAFKA, Kafka(Path(folder) / "kafka")),
            (REGISTRY, Registry(Path(folder) / "registry")),
        ]
        for variable, service in wanted:
            try:
                stack.enter_context(service)
            except UnavailableError as error:
                missing += 1
                print(f"# {service.name} could not be started: {error}", file=sys.stderr)
                continue
            address = service.bootstrap_servers if isinstance(service, Kafka) else service.url
            print(f"export {variable}={address}", flush=True)
        print("# running until Ctrl-C; tests use them where these variables are set", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
