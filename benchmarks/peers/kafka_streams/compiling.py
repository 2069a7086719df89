"""From Java source to classes, once for each state of source and lock: by javac, or by Eclipse's without one."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from app.embedded.fetch import cache_dir
from app.embedded.java import OLDEST, Java, major_version
from app.errors import EmbeddedKafkaError
from benchmarks.peers.kafka_streams.jars import COMPILER, lock_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.embedded.lock import Lock

SOURCE = Path(__file__).with_name("java")
COMPILE_S = 300


def compiled(java: Java, lock: Lock, jars: Path, *, cache: Path | None = None) -> Path:
    """The folder with the classes of the peer, compiled if its source or its jars are others than before.

    EmbeddedKafkaError has the compiler's own words.
    """
    sources = sorted(SOURCE.rglob("*.java"))
    folder = (cache or cache_dir()) / f"kafka-streams-classes-{key(sources, lock)}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
        try:
            _run([*_compiler(java, lock, jars), "-cp", classpath(lock, jars), "-d", staging, *sources])
            _into_place(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return folder


def key(sources: Sequence[Path], lock: Lock) -> str:
    """What the classes depend on, as a short digest: names and bytes of the *sources*, and the jars."""
    digest = hashlib.sha256(lock_text(lock).encode())
    for source in sources:
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def classpath(lock: Lock, jars: Path) -> str:
    """The locked jars in the folder *jars*, but for the compiler."""
    return ":".join(str(jars / jar.file) for jar in lock.jars if not _is_compiler(jar.coordinate))


def find_javac(java: Java) -> Path | None:
    """The javac that belongs to *java*, else one on the PATH that is not too old; None without."""
    beside = java.path.with_name("javac")
    if beside.exists():
        return beside
    on_path = shutil.which("javac")
    if on_path is None:
        return None
    its_java = Path(on_path).resolve().with_name("java")
    return Path(on_path) if its_java.exists() and major_version(its_java) >= OLDEST else None


def _compiler(java: Java, lock: Lock, jars: Path) -> list[str | Path]:
    javac = find_javac(java)
    if javac is not None:
        return [javac, "--release", str(OLDEST), "-proc:none"]
    ecj = next(jars / jar.file for jar in lock.jars if _is_compiler(jar.coordinate))
    # --release asks for a file that a Java without its own compiler does not have.
    return [java.path, "-jar", ecj, "-source", str(OLDEST), "-target", str(OLDEST), "-proc:none", "-warn:none"]


def _is_compiler(coordinate: str) -> bool:
    return coordinate.startswith(f"{COMPILER}:")


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S, check=False)
    if done.returncode:
        raise EmbeddedKafkaError(f"{command[0]} could not compile {SOURCE}:\n{done.stdout}{done.stderr}")


def _into_place(staging: Path, folder: Path) -> None:
    """Rename, so that classes appear whole or not at all; another process may have been faster with the same."""
    try:
        staging.rename(folder)
    except OSError:
        if not folder.exists():
            raise
