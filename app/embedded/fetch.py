"""Kafka's jars, brought into the user's cache once and verified against the lock each time."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.embedded.lock import Jar, Lock, read_lock
from app.embedded.progress import fetch_progress
from app.errors import EmbeddedKafkaError

PARALLEL = 12
ATTEMPTS = 3
TIMEOUT_S = 30


def cache_dir() -> Path:
    """Where this program keeps what can be fetched again: `$XDG_CACHE_HOME/faust-onnx`, else under ~/.cache."""
    configured = os.environ.get("XDG_CACHE_HOME", "")  # noqa: TID251 - the system's convention, no setting of ours
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    return base / "faust-onnx"


def ensure_kafka(*, cache: Path | None = None, lock: Lock | None = None) -> Path:
    """The folder with all jars of the lock, fetched if need be; safe when several processes ask at once.

    A jar that does not have the locked bytes is fetched again. EmbeddedKafkaError says which jar could not be had, and
    why.
    """
    lock = lock or read_lock()
    cache = cache or cache_dir()
    folder = cache / f"kafka-{lock.version}"
    if all(jar.matches(folder / jar.file) for jar in lock.jars):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"kafka-{lock.version}.lock"):
        missing = [jar for jar in lock.jars if not jar.matches(folder / jar.file)]
        if missing:
            _fetch(missing, folder, lock.version)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(jars: list[Jar], folder: Path, version: str) -> None:
    """Bring *jars* into *folder*, each appearing there whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    # A fetch that was killed left its folder behind; we hold the lock, so none of them is in use.
    for abandoned in folder.parent.glob(f"{folder.name}.part-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        with fetch_progress(f"Apache Kafka {version}", jars, stream=sys.stderr) as progress:
            source = _Source(staging, progress.advance)
            with ThreadPoolExecutor(PARALLEL) as pool:
                futures = [pool.submit(source.get, jar) for jar in sorted(jars, key=lambda jar: -jar.size)]
                try:
                    for future in futures:
                        jar, path = future.result()
                        path.replace(folder / jar.file)
                        progress.done(jar)
                finally:
                    pool.shutdown(cancel_futures=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Source:
    """Gets single jars: from the user's own Maven repository if they are there, else over the network by jgo."""

    def __init__(self, staging: Path, advance: Callable[[int], None]) -> None:
        try:
            from jgo.config import GlobalSettings  # noqa: PLC0415 - only needed when something is to be fetched
            from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - the same
        except ImportError as error:
            raise EmbeddedKafkaError(
                "fetching Apache Kafka needs the package `jgo`: `pip install jgo[cli]` or `make setup`"
            ) from error
        settings = GlobalSettings.load()
        self._local = MavenContext(repo_cache=settings.repo_cache, offline=True)
        remote = dict(self._local.remote_repos) | settings.repositories
        self._remote = MavenContext(
            PythonResolver(progress_callback=_reporting(advance)),
            repo_cache=staging,
            remote_repos=remote,
            timeout=TIMEOUT_S,
        )
        self._staging = staging
        self._advance = advance

    def get(self, jar: Jar) -> tuple[Jar, Path]:
        """The jar and a file of ours that holds its locked bytes."""
        local = _artifact(self._local, jar).cached_path
        if local is not None and jar.matches(local):
            self._advance(jar.size)
            return jar, Path(shutil.copyfile(local, self._staging / jar.file))
        problem = ""
        for _ in range(ATTEMPTS):
            artifact = _artifact(self._remote, jar)
            artifact.cached_path.unlink(missing_ok=True)
            try:
                path = Path(artifact.resolve())
            except Exception as error:  # noqa: BLE001 - jgo raises requests' errors, RuntimeError and AssertionError
                problem = f"{type(error).__name__}: {error}"
                continue
            if jar.matches(path):
                return jar, path
            problem = f"got {path.stat().st_size} bytes that are not the {jar.size} bytes with SHA-256 {jar.sha256}"
        raise EmbeddedKafkaError(
            f"could not fetch {jar.coordinate} in {ATTEMPTS} attempts ({problem}); check the network, a proxy in "
            "HTTPS_PROXY, or a mirror as `central` under [repositories] in ~/.config/jgo.conf, and run it again"
        )


def _artifact(context: Any, jar: Jar) -> Any:
    return context.create_dependency(jar.coordinate).artifact


def _reporting(advance: Callable[[int], None]) -> Callable[[str, int], Any]:
    @contextmanager
    def report(_file: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield advance

    return report
