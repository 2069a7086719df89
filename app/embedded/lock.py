"""The locked list of jars: what is fetched is exactly what was written down here, byte for byte.

`python -m app.embedded lock [VERSION]` resolves the list anew and writes it; run it to move to another Kafka.
"""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from app.errors import EmbeddedKafkaError

LOCK_FILE = Path(__file__).with_name("kafka.lock")
ROOTS = ("org.apache.kafka:kafka_2.13:{version}", "org.slf4j:slf4j-simple:1.7.36")
"""What the list is resolved from; slf4j-simple must be of the line of slf4j-api that Kafka depends on."""
LEFT_OUT = {
    "org.scala-lang:scala-reflect": "only the macros of scala-logging use it, at compile time",
    "commons-beanutils:commons-beanutils": "commons-validator's XML rules, of which Kafka uses none",
    "commons-digester:commons-digester": "the same",
    "commons-collections:commons-collections": "the same",
    "commons-logging:commons-logging": "the same",
}
"""Dependencies that a broker never loads, and why."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the list: where it comes from, what it is called, and what it must contain."""

    coordinate: str
    """`group:artifact:version`."""
    file: str
    size: int
    sha256: str

    def matches(self, path: Path) -> bool:
        """True if *path* is a file with exactly the locked bytes."""
        return path.is_file() and path.stat().st_size == self.size and sha256_of(path) == self.sha256


@dataclass(frozen=True, slots=True)
class Lock:
    """A version of Kafka and all the jars that it takes to run it."""

    version: str
    jars: tuple[Jar, ...]

    @property
    def size(self) -> int:
        """Bytes of all jars together."""
        return sum(jar.size for jar in self.jars)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lock(path: Path = LOCK_FILE) -> Lock:
    """The lock in *path*; EmbeddedKafkaError names the file if it is not one."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Lock(version=data["version"], jars=tuple(Jar(**jar) for jar in data["jar"]))
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise EmbeddedKafkaError(
            f"{path} is not a list of jars ({error!r}); restore it, or write it anew with `python -m app.embedded lock`"
        ) from error


def render_lock(lock: Lock) -> str:
    """The text of a lock file that reads back as *lock*."""
    head = f'# Written by `python -m app.embedded lock`; not for editing.\nversion = "{lock.version}"\n'
    return head + "".join(
        f'\n[[jar]]\ncoordinate = "{jar.coordinate}"\nfile = "{jar.file}"\nsize = {jar.size}\nsha256 = "{jar.sha256}"\n'
        for jar in lock.jars
    )


def resolve_lock(version: str, roots: Sequence[str] = ROOTS, left_out: Container[str] = tuple(LEFT_OUT)) -> Lock:
    """The lock of Kafka *version*, resolved over the network into a folder that is thrown away.

    roots: what is asked for, `group:artifact:version` with `{version}` for Kafka's.
    left_out: `group:artifact` of what is not taken.
    """
    from jgo.maven import MavenContext  # noqa: PLC0415 - only development needs it, a worker does not have it

    with tempfile.TemporaryDirectory(prefix="faust-onnx-lock-") as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=60)
        asked = [context.create_dependency(root.format(version=version)) for root in roots]
        inputs, transitive = context.resolver.resolve(asked)
        wanted = [*inputs, *(dependency for dependency in transitive if dependency.scope in {"compile", "runtime"})]
        artifacts = [d.artifact for d in wanted if f"{d.groupId}:{d.artifactId}" not in left_out]
        with ThreadPoolExecutor(8) as pool:
            paths = list(pool.map(lambda artifact: artifact.resolve(), artifacts))
        jars = [
            Jar(f"{a.groupId}:{a.artifactId}:{a.version}", path.name, path.stat().st_size, sha256_of(path))
            for a, path in zip(artifacts, paths, strict=True)
        ]
    return Lock(version, tuple(sorted(jars, key=lambda jar: jar.coordinate)))


def write_lock(version: str) -> str:
    """Resolve Kafka *version*, write the lock file, and say what it holds."""
    lock = resolve_lock(version)
    LOCK_FILE.write_text(render_lock(lock), encoding="utf-8")
    return f"{LOCK_FILE}: Apache Kafka {version}, {len(lock.jars)} jars, {lock.size / 1e6:.1f} MB"
