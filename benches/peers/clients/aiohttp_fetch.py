"""A batch fetch with aiohttp the way it is commonly written: a semaphore of 64, a task for each URL, one line of JSON for each answer.

Usage: aiohttp_fetch.py LIST OUTPUT
"""

import asyncio
import json
import sys
import time

import aiohttp

CONCURRENCY = 64


async def fetch(session, semaphore, url, output):
    async with semaphore:
        started = time.perf_counter()
        record = {"url": url, "status": None, "size": None, "error": None}
        try:
            async with session.get(url) as answer:
                body = await answer.read()
                record |= {"status": answer.status, "size": len(body), "content_type": answer.content_type}
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            record["error"] = repr(error)
        record["total_ms"] = round((time.perf_counter() - started) * 1000, 3)
    output.write(json.dumps(record) + "\n")


async def main(list_path, output_path):
    with open(list_path) as lines:
        urls = lines.read().split()
    semaphore = asyncio.Semaphore(CONCURRENCY)
    with open(output_path, "w") as output:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(fetch(session, semaphore, url, output) for url in urls))


asyncio.run(main(*sys.argv[1:]))
