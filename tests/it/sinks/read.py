"""Reads outputs of one run with readers that are not lycosa's, and holds them against its JSON Lines, row by row.

read.py JSONL OUTPUT...   says how many rows each output has, or what differs and exits 1.
"""

import csv
import gzip
import hashlib
import io
import json
import sqlite3
import subprocess
import sys

csv.field_size_limit(1 << 30)


def text_of(path):
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".gz"):
        data = gzip.decompress(data)
    elif path.endswith(".zst"):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True)
        data = reader.read()
    return data.decode("utf-8")


def differ(path, seq, key, expected, found):
    sys.exit(f"{path}: record {seq}, {key}: expected {expected!r}, found {found!r}")


def cell_is(cell, value):
    if value is None:
        return cell == ""
    if isinstance(value, bool):
        return cell == str(value).lower()
    if isinstance(value, (int, float)):
        return float(cell) == value
    if isinstance(value, str):
        guard = "'" if value[:1] in tuple("=+-@\t\r\n") else ""
        return cell == guard + value
    return json.loads(cell) == value


def read_csv(path, rows):
    table = csv.reader(io.StringIO(text_of(path), newline=""), strict=True)
    header = next(table)
    found = list(table)
    if len(found) != len(rows):
        sys.exit(f"{path}: {len(found)} rows, not {len(rows)}")
    for row, cells in zip(rows, found):
        if len(cells) != len(header) or not set(row) <= set(header):
            sys.exit(f"{path}: {len(cells)} cells under {len(header)} names")
        for key, cell in zip(header, cells):
            if not cell_is(cell, row.get(key)):
                differ(path, row["seq"], key, row.get(key), cell)
    return len(found)


def read_sqlite(path, rows):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        sys.exit(f"{path}: not sound")
    database.row_factory = sqlite3.Row
    found = database.execute("SELECT * FROM records ORDER BY seq").fetchall()
    if len(found) != len(rows):
        sys.exit(f"{path}: {len(found)} rows, not {len(rows)}")
    for row, record in zip(rows, found):
        for key in record.keys():
            value = row.get(key)
            is_json = isinstance(value, (dict, list)) or key == "meta"
            cell = json.loads(record[key]) if is_json and record[key] is not None else record[key]
            if cell != value:
                differ(path, row["seq"], key, value, cell)
        links = database.execute(
            "SELECT url, fragment, text, rel, tag, attribute FROM links WHERE record = ? ORDER BY place", [row["seq"]]
        )
        links = [dict(link) for link in links]
        if links != (row.get("links") or []):
            differ(path, row["seq"], "links", row.get("links"), links)
    pages = database.execute("SELECT count(*) FROM pages").fetchone()[0]
    if pages != sum(row["outcome"] == "ok" for row in rows):
        sys.exit(f"{path}: {pages} in the view of pages")
    return len(found)


def read_jsonl(path, rows):
    found = [json.loads(line) for line in text_of(path).split("\n") if line]
    return same(path, rows, found)


def read_json(path, rows):
    if not path.endswith((".gz", ".zst")):
        subprocess.run([sys.executable, "-m", "json.tool", path], check=True, stdout=subprocess.DEVNULL)
        counted = subprocess.run(["jq", "length", path], check=True, stdout=subprocess.PIPE)
        if int(counted.stdout) != len(rows):
            sys.exit(f"{path}: jq counts {counted.stdout}")
    return same(path, rows, json.loads(text_of(path)))


def read_warc(path, rows):
    """Each record of the run is a metadata record; what was answered is a response, or a revisit of an earlier one."""
    from warcio.archiveiterator import ArchiveIterator

    check = [sys.executable, "-c", "from warcio.cli import main; main()", "check", path]
    checked = subprocess.run(check, stdout=subprocess.PIPE)
    if checked.returncode != 0:
        sys.exit(f"{path}: warcio check: {checked.stdout.decode()}")
    found, answers, digests, ids, kinds = [], {}, set(), set(), []
    with open(path, "rb") as file:
        for record in ArchiveIterator(file):
            kinds.append(record.rec_type)
            header = record.rec_headers.get_header
            ids.add(header("WARC-Record-ID"))
            content = record.content_stream().read()
            if record.rec_type == "metadata":
                found.append(json.loads(content))
                answer = header("WARC-Concurrent-To")
                if answer is not None:
                    read_answer(path, rows[len(found) - 1], *answers.pop(answer))
            elif record.rec_type in ("response", "revisit"):
                digest = header("WARC-Payload-Digest")
                if (record.rec_type == "revisit") != (digest in digests and digest != EMPTY):
                    # A process knows only what it has written itself.
                    if record.rec_type == "revisit":
                        sys.exit(f"{path}: a revisit of nothing")
                digests.add(digest)
                answers[header("WARC-Record-ID")] = (record, content)
            elif record.rec_type == "request":
                answer = answers[header("WARC-Concurrent-To")][0].rec_headers
                if answer.get_header("WARC-Target-URI") != header("WARC-Target-URI"):
                    sys.exit(f"{path}: a request for another URL")
    if answers or kinds.count("warcinfo") != 1 or kinds[0] != "warcinfo" or len(ids) != len(kinds):
        sys.exit(f"{path}: {kinds[:5]}, {len(ids)} ids for {len(kinds)} records, {len(answers)} answers alone")
    read_index(path, kinds.count("response") + kinds.count("revisit"))
    asked = sum(row["outcome"] in ("ok", "http_error") and not row["from_cache"] for row in rows)
    if kinds.count("request") < asked:
        sys.exit(f"{path}: {kinds.count('request')} requests for {asked} answers")
    return same(path, rows, found)


EMPTY = "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ"


def read_answer(path, row, record, content):
    header = record.rec_headers.get_header
    if (header("WARC-Target-URI"), record.http_headers.get_statuscode()) != (row["final_url"], str(row["status"])):
        differ(path, row["seq"], "answer", (row["final_url"], row["status"]), header("WARC-Target-URI"))
    if record.rec_type == "response" and len(content) != row["size"]:
        differ(path, row["seq"], "size", row["size"], len(content))
    if record.rec_type == "response" and row["digest"]:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if digest != row["digest"]:
            differ(path, row["seq"], "digest", row["digest"], digest)


def read_index(path, count):
    from warcio.archiveiterator import ArchiveIterator

    with open(path + ".cdxj", "rb") as file:
        lines = file.read().splitlines(keepends=True)
    if len(lines) != count or lines != sorted(lines):
        sys.exit(f"{path}.cdxj: {len(lines)} lines for {count} answers, or not sorted")
    with open(path, "rb") as file:
        data = file.read()
    for line in lines:
        entry = json.loads(line.split(b" ", 2)[2])
        member = data[int(entry["offset"]) :][: int(entry["length"])]
        [record] = ArchiveIterator(io.BytesIO(member))
        if record.rec_headers.get_header("WARC-Target-URI") != entry["url"]:
            sys.exit(f"{path}.cdxj: {entry} is another record")


def read_parquet(path, rows):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    types = {name: str(table.schema.field(name).type) for name in ("seq", "total_ms", "truncated", "title", "requests")}
    if list(types.values()) != ["int64", "double", "bool", "string", "string"]:
        sys.exit(f"{path}: types {types}")
    found = table.to_pylist()
    if len(found) != len(rows):
        sys.exit(f"{path}: {len(found)} rows, not {len(rows)}")
    for row, record in zip(rows, found):
        if not set(row) <= set(record):
            sys.exit(f"{path}: columns {list(record)}")
        for key, value in record.items():
            is_json = isinstance(row.get(key), (dict, list)) or key == "meta"
            cell = json.loads(value) if is_json and value is not None else value
            if cell != row.get(key):
                differ(path, row["seq"], key, row.get(key), cell)
    return len(found)


def same(path, rows, found):
    if len(found) != len(rows):
        sys.exit(f"{path}: {len(found)} rows, not {len(rows)}")
    for row, record in zip(rows, found):
        if row != record:
            differ(path, row["seq"], "all of it", row, record)
    return len(found)


READERS = {"jsonl": read_jsonl, "json": read_json, "csv": read_csv, "sqlite": read_sqlite, "warc": read_warc, "parquet": read_parquet}


def main():
    baseline, outputs = sys.argv[1], sys.argv[2:]
    # Not by splitlines(): texts may hold other ends of lines.
    rows = [json.loads(line) for line in text_of(baseline).split("\n") if line]
    if [row["seq"] for row in rows] != list(range(len(rows))):
        sys.exit(f"{baseline}: seq has a gap")
    for path in outputs:
        kind = next(part for part in reversed(path.split(".")) if part not in ("gz", "zst"))
        print(f"{READERS[kind](path, rows)} rows in {kind}")


main()
