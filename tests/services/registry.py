"""A real schema registry: Apicurio, through its Confluent-compatible API."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Sequence

from tests.services.install import program, registry_jar
from tests.services.process import Service


class Registry(Service):
    """One registry; its subjects outlive a restart."""

    @property
    def url(self) -> str:
        """What `schema_registry_url` takes."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def command(self) -> Sequence[str]:
        """The registry."""
        quick = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return [program("java", "default-jre-headless"), *quick, "-jar", str(registry_jar())]

    def environment(self) -> dict[str, str]:
        """Its settings; unasked, H2 writes half a second late, and a killed registry forgets what it had answered for."""
        return {
            "QUARKUS_HTTP_PORT": str(self.port),
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
            "APICURIO_RULES_GLOBAL_COMPATIBILITY": "BACKWARD",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{self.folder}/registry;WRITE_DELAY=0",
        }

    def answers(self) -> bool:
        """Whether it lists its subjects."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/subjects", timeout=10) as found:
            return bool(found.status == 200)
        return False
