"""Reads outputs of one run with readers that are not lycosa's, and holds them against its JSON Lines, row by row.

read.py JSONL OUTPUT...   says how many rows each output has, or what differs and exits 1.
"""

import csv
import gzip
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


def same(path, rows, found):
    if len(found) != len(rows):
        sys.exit(f"{path}: {len(found)} rows, not {len(rows)}")
    for row, record in zip(rows, found):
        if row != record:
            differ(path, row["seq"], "all of it", row, record)
    return len(found)


READERS = {"jsonl": read_jsonl, "json": read_json, "csv": read_csv, "sqlite": read_sqlite}


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
