"""The clients: how each is called, and what it has to show for it.

Each does what it does by default as output, with 64 requests at once and without politeness. A client that writes records is checked by them:
each page once, with status 200. A client that writes none is checked by what the server counted.
"""

import collections
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess

from driver import corpus

HERE = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent.parent
PYTHON = corpus.BENCH / "venv/bin/python"
BATCH, CRAWL = "batch", "crawl"
CONCURRENCY = 64


@dataclasses.dataclass
class Job:
    """What a table asks of every client.

    `pages` are the URLs that have to be fetched (of a crawl: that have to be found), `list_file` holds the same, one a line; `url` is where a
    crawl starts; `rounds` is how often the floor asks the list in one process; `scratch` is empty before each run, and `output` lies in it.
    `zipped`: the server sends gzip to whoever takes it, and clients have to.
    """

    kind: str
    pages: list
    list_file: pathlib.Path
    url: str
    rounds: int
    scratch: pathlib.Path
    zipped: bool = False

    @property
    def output(self):
        return self.scratch / "records.jsonl"


@dataclasses.dataclass
class Verdict:
    """What a run delivered: number of records (`None` if the client writes none) and what is wrong with them (`None` if nothing is)."""

    records: int | None
    complaint: str | None = None


class Client:
    """A client; `strict` ones fail the whole run when they are incomplete, of the others it is reported."""

    name = ""
    kinds = (BATCH, CRAWL)
    strict = False
    slow = False
    unpacks = False

    def takes(self, job):
        """Whether it can do this job."""
        return job.kind in self.kinds and (self.unpacks or not job.zipped)

    def program(self):
        """The file to run, or `None` if it is not there."""
        found = shutil.which(self.name)
        return pathlib.Path(found) if found else None

    def missing(self):
        return "not available"

    def version(self):
        answer = subprocess.run([self.program(), "--version"], capture_output=True, text=True, timeout=30, check=False)
        number = re.search(r"\d+(\.\d+)+", answer.stdout)
        return f"{self.name} {number[0] if number else 'of unknown version'}"

    def prepare(self, job):
        """Writes what the client needs besides the list, before the clock starts."""

    def command(self, job):
        raise NotImplementedError

    def verdict(self, job, requests):
        """Judges by the server's count: all that is known of a client that writes no records."""
        lacking = len(job.pages) - requests
        return Verdict(None, f"{requests:,} requests for {len(job.pages):,} pages" if lacking > 0 else None)


class Lycosa(Client):
    name = "lycosa"
    strict = True
    unpacks = True

    def program(self):
        path = pathlib.Path(os.environ.get("LYCOSA", REPOSITORY / "target/release/lycosa")).absolute()
        return path if path.is_file() else None

    def missing(self):
        return "not built (cargo build --release, or LYCOSA=path)"

    def command(self, job):
        what = ["fetch", "-i", job.list_file] if job.kind == BATCH else ["crawl", job.url]
        limits = ["-j", CONCURRENCY, "--host-concurrency", CONCURRENCY, "--robots", "ignore"]
        return [self.program(), *what, *limits, "-q", "-o", job.output]

    def verdict(self, job, requests):
        records, complaint = _read_records(job.output)
        verdict = _judge(job, records, complaint)
        if verdict.complaint:
            return verdict
        if [record.get("seq") for record in records] != list(range(len(records))):
            return Verdict(len(records), "seq has a gap")
        told = sum(len(record.get("requests") or []) for record in records)
        if told != requests:
            return Verdict(len(records), f"records tell of {told:,} requests, the server counted {requests:,}")
        if job.zipped and any(record["wire_size"] >= record["size"] for record in records):
            return Verdict(len(records), "not all bodies came as gzip")
        return verdict


class Hyper(Client):
    name = "hyper"
    strict = True
    # It asks for no coding, and gets the plain files: so what unpacking costs stands in the figures of the others.
    unpacks = True

    def program(self):
        path = corpus.BENCH / "target/hyper-client/release/hyper-client"
        return path if path.is_file() else None

    def version(self):
        return "hyper " + _locked("hyper-client", "hyper")

    def command(self, job):
        return [self.program(), job.list_file, job.rounds, CONCURRENCY]

    def verdict(self, job, requests):
        expected = len(job.pages) * job.rounds
        if requests != expected:
            return Verdict(None, f"{requests:,} requests instead of {expected:,}")
        return Verdict(None)


class Wget2(Client):
    name = "wget2"
    unpacks = True

    def command(self, job):
        what = ["-i", job.list_file] if job.kind == BATCH else ["-r", "-l", "inf", "--no-robots", job.url]
        coding = ["--compression=gzip"] if job.zipped else []
        return [self.program(), "-q", f"--max-threads={CONCURRENCY}", "--no-hsts", *coding, "-O", "/dev/null", *what]


class Curl(Client):
    name = "curl"
    kinds = (BATCH,)
    unpacks = True

    def prepare(self, job):
        lines = "".join(f'url = "{url}"\noutput = "/dev/null"\n' for url in job.pages)
        (job.scratch / "curl.config").write_text(lines)

    def command(self, job):
        coding = ["--compressed"] if job.zipped else []
        return [self.program(), "-q", "-s", *coding, "--parallel", "--parallel-max", CONCURRENCY, "-K", job.scratch / "curl.config"]


class Aria2(Client):
    name = "aria2c"
    kinds = (BATCH,)
    slow = True

    def prepare(self, job):
        # It saves files and can do nothing else; the same name twice at once would be an error, so each URL has its own.
        lines = "".join(f"{url}\n  out={number}\n" for number, url in enumerate(job.pages))
        (job.scratch / "aria2.list").write_text(lines)

    def command(self, job):
        where = ["-d", job.scratch / "files", "--file-allocation=none", "--no-conf=true"]
        return [self.program(), "-q", f"-j{CONCURRENCY}", "-i", job.scratch / "aria2.list", *where]


class Aiohttp(Client):
    name = "aiohttp"
    kinds = (BATCH,)
    unpacks = True

    def program(self):
        return _python_with("aiohttp")

    def version(self):
        return "aiohttp " + _python_version("aiohttp")

    def command(self, job):
        return [PYTHON, HERE / "clients/aiohttp_fetch.py", job.list_file, job.output]

    def verdict(self, job, requests):
        return _judge(job, *_read_records(job.output))


class Scrapy(Aiohttp):
    name = "scrapy"
    kinds = (BATCH, CRAWL)
    slow = True
    unpacks = False

    def program(self):
        return _python_with("scrapy")

    def version(self):
        return "Scrapy " + _python_version("scrapy")

    def command(self, job):
        what = ["list", job.list_file] if job.kind == BATCH else ["site", job.url]
        return [PYTHON, HERE / "clients/scrapy_crawl.py", *what, job.output]


class Spider(Client):
    name = "spider"
    kinds = (CRAWL,)

    def program(self):
        path = corpus.BENCH / "target/spider-client/release/spider-client"
        return path if path.is_file() else None

    def version(self):
        return "spider " + _locked("spider-client", "spider")

    def command(self, job):
        return [self.program(), job.url, job.output]

    def verdict(self, job, requests):
        return _judge(job, *_read_records(job.output))


ALL = [Lycosa(), Hyper(), Wget2(), Curl(), Aiohttp(), Spider(), Aria2(), Scrapy()]


def _read_records(path):
    """The records of a file of JSON lines, and a complaint if one cannot be read."""
    records = []
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    records.append(json.loads(line))
                except ValueError as error:
                    return records, f"line {number} of the records is not JSON: {error}"
    except OSError as error:
        return records, f"no records: {error.strerror}"
    return records, None


def _judge(job, records, complaint=None):
    """Every page has exactly one record, with status 200; a list has no other record (a crawl also finds images, and dead links)."""
    if complaint:
        return Verdict(len(records), complaint)
    key = corpus.path_of if job.kind == CRAWL else str
    found = collections.Counter(key(record.get("url") or "") for record in records if record.get("status") == 200)
    wanted = {key(url) for url in job.pages}
    never = sum(1 for page in wanted if not found[page])
    twice = sum(1 for page in wanted if found[page] > 1)
    faults = []
    if never:
        faults.append(f"{never:,} of {len(wanted):,} pages have no record")
    if twice:
        faults.append(f"{twice:,} pages have more than one")
    if job.kind == BATCH and len(records) != len(wanted):
        faults.append(f"{len(records):,} records for {len(wanted):,} URLs")
    return Verdict(len(records), ", ".join(faults) or None)


def _python_with(package):
    if not PYTHON.exists():
        return None
    asked = subprocess.run([PYTHON, "-c", f"import {package}"], capture_output=True, timeout=60, check=False)
    return PYTHON if asked.returncode == 0 else None


def _python_version(package):
    code = f"import importlib.metadata as m; print(m.version('{package}'))"
    return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, timeout=60, check=False).stdout.strip()


def _locked(client, package):
    """The version of a dependency in a client's lock file."""
    lines = (HERE / "clients" / client / "Cargo.lock").read_text().splitlines()
    place = lines.index(f'name = "{package}"')
    return lines[place + 1].split('"')[1]
