"""`nox -s services`: install and start every real service, print where they are, run until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.services.fixtures import KAFKA, REDIS, REGISTRY
from tests.services.kafka import Kafka
from tests.services.process import Service, UnavailableError
from tests.services.redis import Redis
from tests.services.registry import Registry

LOOK_S = 0.5


def main() -> int:
    """Start what can be started; 1 where something cannot."""
    missing, running = 0, list[Service]()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="k2-services-") as folder,
        contextlib.ExitStack() as stack,
    ):
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
            running.append(service)
            address = service.bootstrap_servers if isinstance(service, Kafka) else service.url
            print(f"export {variable}={address}", flush=True)
        print("# running until Ctrl-C; tests use them where these variables are set", flush=True)
        while True:
            time.sleep(LOOK_S)
            for ended in [one for one in running if not one.running]:
                print(
                    f"# {ended.name} ended; Ctrl-C and this command again start all of them anew, and empty", flush=True
                )
                running.remove(ended)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
