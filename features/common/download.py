"""Download official files: resumed after a break, verified, and named only when whole."""

import errno
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from features.common.checksum import sha256_of
from features.common.console import log, progress
from features.common.errors import TagbartError
from features.common.locks import locked
from features.common.publish import write_json

# Some hosts answer 403 to Python's own name.
USER_AGENT = "tagbart/0.1 (research software; Python urllib)"
BLOCK_BYTES = 1 << 16
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(TagbartError):
    """A file could not be fetched, or is not the one that was expected."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that others publish. What is not known of it is None.

    Attributes:
        name: what it is called when fetched.
        urls: where it is; a later one is tried if those before it cannot give it.
        size: in bytes.
        md5: hexadecimal.
        sha256: hexadecimal.
        most_bytes: of a file whose size is not known; a server that sends more is left.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    most_bytes: int = 4 << 30


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to put up with a bad line.

    Attributes:
        timeout_s: a connection that brings nothing for so long is given up.
        attempts: in a row, without a single new byte.
        pause_s: between attempts.
        least_bytes_s: a connection that was slower over `rate_s` is given up, too: a byte now and
            then would never end.
        rate_s: see `least_bytes_s`.
    """

    timeout_s: float = 30.0
    attempts: int = 4
    pause_s: float = 2.0
    least_bytes_s: float = 1024.0
    rate_s: float = 60.0


def download(
    file: RemoteFile, path: Path, *, patience: Patience | None = None, record: Path | None = None
) -> None:
    """Fetch a file to `path`. What has come stays in a hidden draft beside it, to go on from.

    Args:
        file: what to fetch.
        path: its final name, given only to a file of the expected size and checksums.
        patience: with the line.
        record: see `hold_to_record`; the checksum's name there is the file's.

    Raises:
        DownloadError: if no address gives the file, the disk has no room, or what came is not the
            expected file (which is then deleted).
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(draft) as out:
            if file.size is None or out.tell() != file.size:  # else it was killed at the last step
                _from_any(file, out, patience or Patience())
            os.fsync(out.fileno())
            if problem := difference(file, draft):
                draft.unlink()
                raise DownloadError(f"{path}: what was fetched {problem}; deleted, fetch it again")
            if record is not None:
                hold_to_record(record, {file.name: sha256_of(draft)})
            draft.replace(path)
    except OSError as error:
        raise _no_room(path, error) from error


def difference(file: RemoteFile, path: Path) -> str | None:
    """In which way a file is not the expected one, or None if it is as far as known."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"has {size:,} bytes, expected {file.size:,}"
    for kind, expected in (("md5", file.md5), ("sha256", file.sha256)):
        if expected is not None:
            with path.open("rb") as opened:
                found = hashlib.file_digest(opened, kind).hexdigest()
            if found != expected:
                return f"has {kind} {found}, expected {expected}"
    return None


def hold_to_record(record: Path, digests: Mapping[str, str]) -> None:
    """Compare checksums with those seen when first fetched; note those seen for the first time.

    Args:
        record: a JSON file, made when absent.
        digests: checksum by name.

    Raises:
        DownloadError: if one differs from its record, or the record cannot be read.
    """
    try:
        known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        recorded = {name: known.get(name) for name in digests}
    except (OSError, ValueError, AttributeError) as error:
        raise DownloadError(
            f"{record}: not a record of checksums ({error}); mend or delete it"
        ) from error
    for name, digest in digests.items():
        if recorded[name] not in (None, digest):
            raise DownloadError(
                f"{name} has checksum {digest}, but {record} says {recorded[name]} was fetched "
                f"before: it was changed where it is published, or on the way; to accept the new "
                f"one, take {name} out of the record"
            )
    if any(value is None for value in recorded.values()):
        write_json(record, known | dict(digests))


class _Refused(Exception):
    """An address does not give the file, in words."""


@contextmanager
def _alone(draft: Path) -> Iterator[BinaryIO]:
    """The draft, opened at its end; by no two processes at once."""
    with draft.open("ab") as out:
        if not locked(out, draft):
            raise DownloadError(f"{draft}: another process is fetching it; wait for it")
        yield out


def _from_any(file: RemoteFile, out: BinaryIO, patience: Patience) -> None:
    refusals: list[str] = []
    for url in file.urls:
        if refusals:
            _empty(out)  # another address may have packed the same content otherwise
        try:
            return _receive(url, file, out, patience)
        except _Refused as refusal:
            refusals.append(f"{urlsplit(url).hostname} {refusal}")
    raise DownloadError(f"{file.name} could not be fetched: {'; '.join(refusals)}")


def _receive(url: str, file: RemoteFile, out: BinaryIO, patience: Patience) -> None:
    """Fetch from one address, going on where a broken connection left off."""
    barren = 0
    while True:
        before = out.tell()
        try:
            return _one_connection(url, file, out, patience)
        except HTTPError as error:
            if error.code == 416:  # the draft is longer than the file
                _empty(out)
            elif error.code not in _WORTH_ANOTHER_TRY:
                raise _Refused(f"answered {error.code} {error.reason}") from error
            reason = f"answered {error.code} {error.reason}"
        except URLError as error:
            if not isinstance(error.reason, TimeoutError | ConnectionResetError):
                raise _Refused(f"cannot be reached ({_words(error.reason)})") from error
            reason = f"cannot be reached ({_words(error.reason)})"
        except (OSError, HTTPException) as error:
            reason = f"broke off ({_words(error)})"
        barren = 0 if out.tell() > before else barren + 1
        if barren >= patience.attempts:
            raise _Refused(f"{reason}, {barren} times in a row")
        log(f"{file.name}: {reason} after {out.tell():,} bytes; going on from there")
        time.sleep(patience.pause_s)


def _one_connection(url: str, file: RemoteFile, out: BinaryIO, patience: Patience) -> None:
    have = out.tell()
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with urlopen(Request(url, headers=headers), timeout=patience.timeout_s) as response:
        if have and not _goes_on_at(response, have):
            _empty(out)
            have = 0
        length = response.headers.get("Content-Length")
        if length and not length.isdecimal():
            raise _Refused(f"says that its length is {length[:40]!r}, which is no number")
        total = have + int(length) if length else None
        most = file.size or file.most_bytes
        if total and not file.size and total > most:
            raise _Refused(f"offers {total:,} bytes, more than the {most:,} it may have")
        if total and file.size and total != file.size:
            raise _Refused(f"offers {total:,} bytes, expected {file.size:,}")
        megabytes = total // 10**6 if total else None
        with progress(total=megabytes, what=file.name, unit="MB") as bar:
            since, seen = time.monotonic(), out.tell()
            while block := response.read1(BLOCK_BYTES):
                _write(out, block)
                bar.update(out.tell() // 10**6 - bar.n)
                if out.tell() > most:
                    _empty(out)
                    raise _Refused(f"sends more than the {most:,} bytes it may have")
                took = time.monotonic() - since
                if took >= patience.rate_s:
                    if out.tell() - seen < patience.least_bytes_s * took:
                        raise _Refused(f"sends less than {patience.least_bytes_s:g} bytes a second")
                    since, seen = time.monotonic(), out.tell()
    if total and out.tell() < total:
        raise ConnectionResetError(f"{total - out.tell():,} bytes are missing")


def _write(out: BinaryIO, block: bytes) -> None:
    try:
        out.write(block)
        out.flush()
    except OSError as error:
        raise _no_room(Path(out.name), error) from error


def _empty(out: BinaryIO) -> None:
    out.seek(0)
    out.truncate()


def _goes_on_at(response: HTTPResponse, have: int) -> bool:
    told = response.headers.get("Content-Range", "")
    return response.status == 206 and told.startswith(f"bytes {have}-")


def _words(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no byte within the time allowed"
    if isinstance(error, socket.gaierror):
        return "its name is not known; is there a network?"
    return str(error) or type(error).__name__


def _no_room(path: Path, error: OSError) -> DownloadError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "make room and fetch again, it goes on from there" if full else "choose another folder"
    return DownloadError(f"{path}: cannot be written ({error.strerror}); {what}")
