"""The sites and the lists: what is there to be fetched.

Two real sites (the unpacked documentation packages) and one made set of files for the batch tables. The pages of a real site are found by a
plain walk over its files with the standard library's HTML parser, started where a crawl starts; it shares no code with any client, so it can
say what a crawl has to find. The walk takes most of a minute on the larger site, and its answer is kept until `setup` unpacks a
site anew.

Everything made here is made from a fixed seed: two machines measure the same bytes in the same order.
"""

import gzip
import html.parser
import os
import pathlib
import random
import urllib.parse

BENCH = pathlib.Path(os.environ.get("LYCOSA_BENCH_DIR", "/tmp/lycosa-bench")).absolute()
DOCS = BENCH / "docs/usr/share/doc"
SITES = {
    "manual": ("PostgreSQL 15 manual", DOCS / "postgresql-doc-15/html"),
    "jdk": ("JDK 17 API documentation", DOCS / "openjdk-17-jre-headless/api"),
}
START = "/"
FILES = BENCH / "files"
FILE_COUNT = 2_000
FILE_MEAN_BYTES = 7_000
HOST_COUNT = 500


def host_addresses():
    """The loopback addresses of the table with many hosts."""
    return [f"127.0.{1 + place // 250}.{1 + place % 250}" for place in range(HOST_COUNT)]


def make_files():
    """Makes the files of the batch tables, unless they are there."""
    finished = FILES / "finished"
    if finished.exists():
        return
    FILES.mkdir(parents=True, exist_ok=True)
    chance = random.Random(15)
    sizes = [chance.lognormvariate(0, 0.8) for _ in range(FILE_COUNT)]
    scale = FILE_MEAN_BYTES * FILE_COUNT / sum(sizes)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(500)]
    for number, share in enumerate(sizes):
        size = max(200, round(share * scale))
        head = f"<!doctype html>\n<html><head><title>Page {number}</title></head>\n<body>\n"
        tail = "</body></html>\n"
        lines, length = [], len(head) + len(tail)
        while True:
            line = f'<p><a href="{chance.randrange(FILE_COUNT):04}.html">{chance.choice(words)}</a> '
            line += " ".join(chance.choices(words, k=40)) + "</p>\n"
            if length + len(line) > size:
                break
            lines.append(line)
            length += len(line)
        # To the byte, or the mean would be that of the sizes plus half a line.
        lines.append(" " * (size - length))
        (FILES / f"{number:04}.html").write_text(head + "".join(lines) + tail)
    finished.touch()


def make_zipped():
    """Makes a gzip file beside each file of the batch tables, as nginx would make it, unless they are there."""
    finished = FILES / "zipped"
    if finished.exists():
        return
    for path in FILES.glob("*.html"):
        # Without a time, so that two machines send the same bytes.
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), compresslevel=6, mtime=0))
    finished.touch()


def mean_zipped_bytes():
    """The mean size of those files, in bytes."""
    sizes = [path.stat().st_size for path in FILES.glob("*.html.gz")]
    return sum(sizes) / len(sizes)


def mean_file_bytes():
    """The mean size of the files of the batch tables, in bytes."""
    sizes = [path.stat().st_size for path in FILES.glob("*.html")]
    return sum(sizes) / len(sizes)


def batch_urls(count, port, hosts):
    """`count` different URLs, spread evenly over the files and over `hosts`, in a shuffled order that is always the same.

    Different by their query: some clients ask a URL that is listed twice only once. Shuffled because a list sorted by host punishes every client
    that has no scheduler, and a list in turns over the hosts would flatter those that keep few connections.
    """
    urls = [f"http://{hosts[n % len(hosts)]}:{port}/{n % FILE_COUNT:04}.html?n={n}" for n in range(count)]
    random.Random(500).shuffle(urls)
    return urls


def write_list(path, urls):
    """Writes one URL a line and returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(url + "\n" for url in urls))
    return path


def site_pages(name):
    """The paths (as linked, with `/` first) of all HTML pages of a site that a crawl from `/` has to find."""
    root = SITES[name][1]
    kept = BENCH / f"pages-{name}.txt"
    if kept.exists():
        return kept.read_text().splitlines()
    pages = _walk(root)
    BENCH.mkdir(parents=True, exist_ok=True)
    kept.write_text("".join(page + "\n" for page in pages))
    return pages


def path_of(url):
    """The decoded path of a URL, which is what pages are compared by: clients differ in what they escape."""
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path) or "/"


def _walk(root):
    host = "http://site.invalid"
    seen, waiting, pages = {START}, [START], []
    while waiting:
        path = waiting.pop(0)
        file = root / path_of(path).lstrip("/")
        if path.endswith("/"):
            file = file / "index.html"
        if file.suffix != ".html" or not file.is_file():
            continue
        pages.append(path)
        reader = _Links()
        reader.feed(file.read_text(encoding="utf-8", errors="replace"))
        for link in reader.links:
            try:
                url = urllib.parse.urldefrag(urllib.parse.urljoin(host + path, link.strip())).url
            except ValueError:
                continue
            if not url.startswith(host + "/"):
                continue
            linked = url[len(host):]
            if linked not in seen:
                seen.add(linked)
                waiting.append(linked)
    return pages


class _Links(html.parser.HTMLParser):
    """Collects the links that lead to pages."""

    def __init__(self):
        super().__init__()
        self.links = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        source = {"a": "href", "area": "href", "frame": "src", "iframe": "src"}.get(tag)
        if source and values.get(source) is not None:
            self.links.append(values[source])
