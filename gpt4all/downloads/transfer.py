"""Download a file: resumed where it broke off, verified, and only then given its name."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gpt4all.downloads import http
from gpt4all.downloads.checksums import Expected, check_file
from gpt4all.downloads.partfile import PartFile, exclusive
from gpt4all.downloads.progress import DownloadCallback, Reporter
from gpt4all.downloads.resume import Plan, plan_answer
from gpt4all.errors import ChecksumError, DownloadError

if TYPE_CHECKING:
    import requests

__all__ = ["Download", "fetch"]

logger = logging.getLogger("gpt4all.download")


@dataclass(frozen=True)
class Download:
    """One file to fetch. ``token`` is a bearer token for the origin of ``url``."""

    url: str
    final: Path
    expected: Expected = field(default_factory=Expected)
    token: str | None = field(default=None, repr=False)
    verbose: bool = False
    progress: DownloadCallback | None = None


def fetch(download: Download) -> Path:
    """Carry out ``download``; one process at a time per file, the others wait and use the result."""
    final = download.final
    if _already_there(download):
        return final
    with exclusive(final):
        if not _already_there(download):
            with PartFile(final, download.url, download.expected) as part:
                part.load()
                _Transfer(download, part).run()
                part.publish(verbose=download.verbose, progress=download.progress)
            logger.info("downloaded %s", final)
    return final


def _already_there(download: Download) -> bool:
    if not os.path.isfile(download.final):
        return False
    try:
        check_file(download.final, download.expected, verbose=download.verbose, progress=download.progress)
    except ChecksumError as failure:
        logger.info("%s; downloading it again", failure)
        return False
    return True


class _Transfer:
    """Brings the bytes that ``part`` lacks, in as many requests as it takes."""

    def __init__(self, download: Download, part: PartFile) -> None:
        self._download, self._part = download, part
        self._shown = http.shown(download.url)
        self._finished = part.size > 0 and part.size == part.total
        self._answered = False
        # How far it got with which version, tries since then, and how often the server changed the version.
        self._furthest, self._version = part.size, part.version
        self._failures = self._changes = 0

    def run(self) -> None:
        if self._finished:
            return
        self._part.require_space()
        with (
            http.connect() as connection,
            Reporter(
                self._download.final.name,
                "downloading",
                verbose=self._download.verbose,
                progress=self._download.progress,
                done=self._part.size,
                total=self._part.total,
            ) as reporter,
        ):
            while not self._finished:
                self._try(connection, reporter)

    def _try(self, connection: requests.Session, reporter: Reporter) -> None:
        import requests

        try:
            wait, reason = self._request(connection, reporter)
        except (requests.exceptions.SSLError, requests.exceptions.ProxyError):
            raise  # neither heals by itself
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as failure:
            if not self._answered and http.never_connected(failure):
                raise  # offline, or a wrong address: say so at once
            self._pause_or_give_up(failure, None)
        else:
            if not self._finished:
                self._pause_or_give_up(DownloadError(f"{self._shown}: {reason}"), wait)

    def _pause_or_give_up(self, problem: Exception, wait: float | None) -> None:
        if self._part.size >= self._furthest + http.POLICY.min_progress:
            self._furthest, self._failures = self._part.size, 0
        else:
            self._failures += 1
        if self._failures >= http.POLICY.attempts:
            logger.info("giving up on %s with %d bytes in its part file", self._shown, self._part.size)
            raise problem
        pause = http.POLICY.pause(max(1, self._failures)) if wait is None else wait
        logger.info("%s; trying again in %g s", problem, pause)
        http.POLICY.sleep(pause)

    def _request(self, connection: requests.Session, reporter: Reporter) -> tuple[float | None, str]:
        """One request. Returns the pause before the next, None for the usual one, and why there may have to be one."""
        part, download = self._part, self._download
        if not part.resumable:
            part.clear()
        headers = {"Accept-Encoding": "identity"}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
            if part.validator is not None:
                headers["If-Range"] = part.validator
        with http.get(connection, download.url, headers, error=DownloadError, token=download.token) as response:
            self._answered = True
            plan = plan_answer(
                response.status_code,
                http.printable(response.reason),
                response.headers,
                offset=part.size,
                total=part.total,
                etag=part.etag,
            )
            if plan.action == "fail":
                raise DownloadError(f"{self._shown}: {plan.reason}")
            if plan.action == "later":
                return self._asked_pause(response, plan), plan.reason
            if plan.action == "discard":
                part.clear()
                return 0.0, plan.reason
            if plan.action == "complete":
                self._finished = True
                return None, ""
            self._prepare(response, plan)
            reporter.restart(part.size, part.total)
            self._receive(response, reporter)
        return None, "the answer ended before the file did"

    def _asked_pause(self, response: requests.Response, plan: Plan) -> float | None:
        seconds = http.retry_after_seconds(response.headers.get("Retry-After"), time.time())
        if seconds is not None and seconds > http.POLICY.max_retry_after:
            raise DownloadError(f"{self._shown}: {plan.reason}; the server asks to come back in {seconds:.0f} s")
        return seconds

    def _prepare(self, response: requests.Response, plan: Plan) -> None:
        """Make the part file ready for the body."""
        part, expected = self._part, self._download.expected
        if plan.action == "append":
            part.learn_total(plan.total)
            return
        if plan.total is not None and expected.size not in (None, plan.total):
            part.discard()
            raise ChecksumError(f"{self._shown} has {plan.total} bytes; {expected.size} were expected")
        if not plan.delimited and expected.size is None and not expected.hashes():
            raise DownloadError(
                f"{self._shown}: the server does not say where the file ends, so half of it could pass for the whole; "
                "give an expected size or hash"
            )
        headers = response.headers
        part.restart(
            etag=headers.get("ETag"),
            last_modified=headers.get("Last-Modified"),
            total=plan.total,
            encoded=plan.encoded,
        )
        part.require_space()
        if part.version != self._version and self._furthest:
            # What had been got of the other version is no measure any more, but this must not go on for ever.
            self._furthest, self._changes = 0, self._changes + 1
            if self._changes > http.POLICY.attempts:
                raise DownloadError(f"{self._shown}: the file changes on the server again and again")
        self._version = part.version

    def _receive(self, response: requests.Response, reporter: Reporter) -> None:
        part = self._part
        for block in http.body(response):
            if part.total is not None and part.size + len(block) > part.total:
                part.discard()
                raise ChecksumError(f"{self._shown} sends more than the {part.total} bytes the file should have")
            part.append(block)
            reporter.advance(len(block))
        if part.size == 0 and not part.total:
            raise DownloadError(f"{self._shown}: the file is empty")
        self._finished = part.total in (None, part.size)
