"""A file of rows: what it is by its first bytes, unpacked if it is gzip, and words for what is wrong with it."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NamedTuple, cast

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Format = Literal["delimited", "json lines", "parquet"]
_GZIP, _ZIP, _PARQUET, _OLE = b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0"
_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 4_096


class Source(NamedTuple):
    """A file that can be read as a table."""

    path: Path
    format: Format
    is_gzip: bool
    encoding: str
    """Of texts: UTF-8, with or without a byte order mark, or the UTF-16 that Excel writes as "Unicode text"."""

    @contextmanager
    def open(self) -> Iterator[tuple[IO[bytes], Callable[[], float]]]:
        """Its bytes, unpacked, and a function that says how much of the file was read, from 0 to 1.

        Raises ConfigurationError, also while it is read, when the file cannot be read or unpacked.
        """
        with _explained(self.path), self.path.open("rb") as packed:
            n_bytes = max(1, self.path.stat().st_size)
            content = cast("IO[bytes]", gzip.GzipFile(fileobj=packed)) if self.is_gzip else packed
            yield content, lambda: min(1.0, packed.tell() / n_bytes)


def find_source(path: Path) -> Source:
    """What the file *path* is; ConfigurationError if it is not there or nothing that can be read as a table."""
    if not path.exists():
        siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, siblings, n=1)
        raise ConfigurationError(f"{path}: there is no such file" + (f"; did you mean {near[0]}?" if near else ""))
    with _explained(path), path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        is_gzip = head.startswith(_GZIP)
        if is_gzip:
            file.seek(0)
            head = gzip.GzipFile(fileobj=file).read(_HEAD_BYTES)
    if not head.strip():
        raise ConfigurationError(f"{path}: is empty; a table has a line for each row")
    if head.startswith((_ZIP, _OLE)):
        raise ConfigurationError(
            f"{path}: is a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV UTF-8"
        )
    if head.startswith(_PARQUET):
        if is_gzip:
            raise ConfigurationError(f"{path}: is Parquet inside gzip; unpack it first: gunzip {path}")
        return Source(path, "parquet", is_gzip=False, encoding="")
    if path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv")):
        first = b""  # whatever the first name is: "[id]" is one
    else:
        first = head.removeprefix(_BOM).lstrip()[:1]
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    if first == b"[":
        raise ConfigurationError(
            f"{path}: is one JSON list; JSON lines are read, an object on each, for example by: jq -c '.[]' {path}"
        )
    return Source(path, "json lines" if first == b"{" else "delimited", is_gzip, encoding)


@contextmanager
def text_of(content: IO[bytes], encoding: str) -> Iterator[io.TextIOWrapper]:
    """The text in *content*, its newlines as they are: those inside quotes belong to their cell."""
    text = io.TextIOWrapper(content, encoding=encoding, newline="")
    try:
        yield text
    finally:
        text.detach()  # the file is closed by whoever opened it


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: is not UTF-8 (byte 0x{error.object[error.start]:02x}); write it as UTF-8, for example by: "
            f"iconv -f WINDOWS-1252 -t UTF-8 {path}"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigurationError(f"{path}: is damaged: {error}; get it once more") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from None
