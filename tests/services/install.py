"""Gets the real services: Kafka's and the registry's archives through Maven, once per machine; Redis from the system.

Kept in `$K2_SERVICES`, else in `k2/services` of the user's cache folder. Several processes may ask at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.services.process import UnavailableError

KAFKA, REGISTRY, SLF4J = "4.4.0", "3.0.9", "2.25.5"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>k2</groupId><artifactId>services</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>{SLF4J}</version></dependency></dependencies></project>
"""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_GET = "org.apache.maven.plugins:maven-dependency-plugin:2.8:get"  # newer ones miss the archive's parent
_ARCHIVE = f"io.apicurio:apicurio-registry-app:{REGISTRY}:tar.gz:all"


def home() -> Path:
    """Where services are kept."""
    if named := os.environ.get("K2_SERVICES"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "k2" / "services"


def program(name: str, package: str) -> str:
    """A program of the system.

    Raises:
        UnavailableError: It is not installed.
    """
    if found := shutil.which(name):
        return found
    raise UnavailableError(f"{name} is not installed: apt-get install {package}")


def kafka_jars() -> Path:
    """The folder of Kafka's jars."""
    return _installed("kafka", KAFKA + SLF4J, _fetch_kafka)


def registry_jar() -> Path:
    """The registry's jar."""
    return next(_installed("registry", REGISTRY, _fetch_registry).rglob("*-runner.jar"))


def _installed(name: str, version: str, fetch: object) -> Path:
    assert callable(fetch)
    folder = home() / f"{name}-{hashlib.sha256(version.encode()).hexdigest()[:8]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fetch(folder)
            (folder / "complete").touch()
    return folder


def _fetch_kafka(folder: Path) -> None:
    (folder / "pom.xml").write_text(POM)
    _maven(_COPY, "-f", str(folder / "pom.xml"), f"-DoutputDirectory={folder}", "-DincludeScope=runtime")


def _fetch_registry(folder: Path) -> None:
    _maven(_GET, f"-Dartifact={_ARCHIVE}", "-Dtransitive=false", f"-Ddest={folder / 'registry.tar.gz'}")
    with tarfile.open(folder / "registry.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    (folder / "registry.tar.gz").unlink()


def _maven(*arguments: str) -> None:
    command = [program("mvn", "maven"), "-q", "-B", "-ntp", "-U", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise UnavailableError(f"Maven could not fetch it: {(done.stdout + done.stderr)[-2000:]}")
