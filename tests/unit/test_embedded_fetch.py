"""Jars come into the cache whole, verified and once, or not at all; served here by a repository on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.embedded.fetch import cache_dir, ensure_kafka
from app.embedded.lock import Jar, Lock, read_lock, render_lock
from app.errors import EmbeddedKafkaError


class Repository:
    """A Maven repository with two artifacts, the requests that it got, and the lock that describes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.lock = Lock("9.9.9", (self._publish("one", b"the first" * 1000), self._publish("two", b"the second")))

    def path(self, jar: Jar) -> Path:
        """Where the repository keeps *jar*."""
        group, artifact, version = jar.coordinate.split(":")
        return self.folder / group.replace(".", "/") / artifact / version / jar.file

    def _publish(self, artifact: str, content: bytes) -> Jar:
        jar = Jar(
            f"org.example:{artifact}:1.0", f"{artifact}-1.0.jar", len(content), hashlib.sha256(content).hexdigest()
        )
        self.path(jar).parent.mkdir(parents=True)
        self.path(jar).write_bytes(content)
        return jar


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args, repository: Repository, **kwargs) -> None:
        self._repository = repository
        super().__init__(*args, directory=str(repository.folder), **kwargs)

    def do_GET(self) -> None:
        self._repository.asked[Path(self.path).name] += 1
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository on loopback that is configured as the user's mirror."""
    repository = Repository(tmp_path / "remote")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, repository=repository))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    config = tmp_path / "jgo.conf"
    config.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_address[1]}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield repository
    server.shutdown()
    server.server_close()


def test_cold_cache_is_filled_and_a_warm_one_asks_nobody(repository, tmp_path, capsys):
    """After one fetch the jars are there with their locked bytes, and no request is made again."""
    folder = ensure_kafka(cache=tmp_path / "cache", lock=repository.lock)
    assert folder == tmp_path / "cache" / "kafka-9.9.9"
    assert all(jar.matches(folder / jar.file) for jar in repository.lock.jars)
    said = capsys.readouterr()
    assert said.out == ""
    assert "fetching Apache Kafka 9.9.9: 2 jars, 0.0 MB" in said.err
    repository.asked.clear()
    assert ensure_kafka(cache=tmp_path / "cache", lock=repository.lock) == folder
    assert repository.asked == {}
    assert capsys.readouterr().err == ""


def test_corrupted_jar_is_fetched_again_and_only_that(repository, tmp_path):
    """A jar in the cache whose bytes changed, at equal size, is replaced; its neighbour is left alone."""
    folder = ensure_kafka(cache=tmp_path, lock=repository.lock)
    one, _ = repository.lock.jars
    (folder / one.file).write_bytes(b"x" * one.size)
    repository.asked.clear()
    ensure_kafka(cache=tmp_path, lock=repository.lock)
    assert one.matches(folder / one.file)
    assert set(repository.asked) == {"one-1.0.jar", "one-1.0.jar.sha1"}


def test_wrong_bytes_are_refused_and_never_reach_the_cache(repository, tmp_path):
    """A repository that serves other bytes is asked three times, then the jar is named with its digest."""
    two = repository.lock.jars[1]
    repository.path(two).write_bytes(b"something else")
    with pytest.raises(EmbeddedKafkaError, match=f"org.example:two:1.0 in 3 attempts .*{two.sha256}"):
        ensure_kafka(cache=tmp_path, lock=repository.lock)
    assert repository.asked["two-1.0.jar"] == 3
    assert not (tmp_path / "kafka-9.9.9" / two.file).exists()
    assert list(tmp_path.glob("*.part-*")) == []


def test_missing_jar_is_named(repository, tmp_path):
    """A jar that the repository does not have stops the fetch with its coordinate and what to check."""
    repository.path(repository.lock.jars[0]).unlink()
    with pytest.raises(EmbeddedKafkaError, match=r"org.example:one:1.0 .* check the network.*jgo.conf"):
        ensure_kafka(cache=tmp_path, lock=repository.lock)


def test_two_at_once_fetch_once(repository, tmp_path):
    """Of several that start with an empty cache one fetches and the others wait for it."""
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: ensure_kafka(cache=tmp_path, lock=repository.lock), range(4)))
    assert len(folders) == 1
    assert repository.asked["one-1.0.jar"] == repository.asked["two-1.0.jar"] == 1


def test_what_an_interrupted_fetch_left_is_removed(repository, tmp_path):
    """The folder of a fetch that was killed goes with the next fetch."""
    abandoned = tmp_path / "kafka-9.9.9.part-abc"
    abandoned.mkdir()
    ensure_kafka(cache=tmp_path, lock=repository.lock)
    assert not abandoned.exists()


def test_own_maven_repository_is_used_first_if_its_bytes_are_right(repository, tmp_path):
    """A jar in ~/.m2 is copied when it has the locked bytes, and fetched when it has not."""
    for jar in repository.lock.jars:
        local = tmp_path / "m2" / repository.path(jar).relative_to(repository.folder)
        local.parent.mkdir(parents=True)
        local.write_bytes(repository.path(jar).read_bytes() if jar.file == "one-1.0.jar" else b"corrupt")
    folder = ensure_kafka(cache=tmp_path / "cache", lock=repository.lock)
    assert all(jar.matches(folder / jar.file) for jar in repository.lock.jars)
    assert repository.asked["one-1.0.jar"] == 0
    assert repository.asked["two-1.0.jar"] == 1


def test_cache_follows_the_system_convention(monkeypatch, tmp_path):
    """XDG_CACHE_HOME moves the cache, and is ignored unless it is absolute, as its specification says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "faust-onnx"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == Path.home() / ".cache" / "faust-onnx"


def test_locked_jars_make_a_broker():
    """The lock in the tree names Kafka 4, a logger, and for each jar a file of its coordinate with a digest."""
    lock = read_lock()
    assert lock.version.startswith("4.")
    artifacts = {jar.coordinate.split(":")[1]: jar for jar in lock.jars}
    assert len(artifacts) == len(lock.jars) == len({jar.file for jar in lock.jars})
    assert {"kafka_2.13", "kafka-clients", "slf4j-simple", "zstd-jni", "snappy-java", "lz4-java"} <= set(artifacts)
    for jar in lock.jars:
        _group, artifact, version = jar.coordinate.split(":")
        assert jar.file == f"{artifact}-{version}.jar"
        assert len(bytes.fromhex(jar.sha256)) == 32
        assert jar.size > 0
    for ours in ("kafka_2.13", "kafka-clients"):
        assert artifacts[ours].coordinate.endswith(f":{lock.version}")


def test_lock_reads_back_as_it_was_written(tmp_path):
    """What the lock command writes is what is read."""
    lock = read_lock()
    path = tmp_path / "kafka.lock"
    path.write_text(render_lock(lock), encoding="utf-8")
    assert read_lock(path) == lock


@pytest.mark.parametrize("text", ["version =", "version = '4'\n", "version = '4'\n[[jar]]\nfile = 'a.jar'\n"])
def test_broken_lock_is_named(tmp_path, text):
    """A lock file that is not one, or lacks a field, is named with how to have it again."""
    path = tmp_path / "kafka.lock"
    path.write_text(text)
    with pytest.raises(EmbeddedKafkaError, match=r"kafka.lock is not a list of jars .*python -m app.embedded lock"):
        read_lock(path)


def test_jar_matches_only_its_own_bytes(tmp_path):
    """Neither another size nor other bytes of the same size pass."""
    path = tmp_path / "a.jar"
    path.write_bytes(b"abc")
    jar = Jar("g:a:1", "a.jar", 3, hashlib.sha256(b"abc").hexdigest())
    assert jar.matches(path)
    assert not dataclasses.replace(jar, size=4).matches(path)
    assert not dataclasses.replace(jar, sha256="0" * 64).matches(path)
    assert not jar.matches(tmp_path / "none.jar")
