"""Scrapy, 64 requests at once, without robots.txt, delay or throttle, with its own feed export of JSON lines.

Usage: scrapy_crawl.py list LIST OUTPUT    (no links are followed)
       scrapy_crawl.py site URL OUTPUT     (links of the default link extractor, on the host of the URL)
"""

import sys
from urllib.parse import urlsplit

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.http import TextResponse
from scrapy.linkextractors import LinkExtractor


def record(response):
    title = response.css("title::text").get() if isinstance(response, TextResponse) else None
    return {"url": response.url, "status": response.status, "size": len(response.body), "title": title}


class ListSpider(scrapy.Spider):
    name = "list"

    async def start(self):
        with open(self.target) as lines:
            for line in lines:
                yield scrapy.Request(line.strip())

    def parse(self, response):
        yield {"url": response.url, "status": response.status, "size": len(response.body)}


class SiteSpider(scrapy.Spider):
    name = "site"
    links = LinkExtractor()

    async def start(self):
        self.allowed_domains = [urlsplit(self.target).hostname]
        yield scrapy.Request(self.target)

    def parse(self, response):
        yield record(response)
        if isinstance(response, TextResponse):
            for link in self.links.extract_links(response):
                yield scrapy.Request(link.url)


kind, target, output = sys.argv[1:]
process = CrawlerProcess(
    {
        "CONCURRENT_REQUESTS": 64,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 64,
        "DOWNLOAD_DELAY": 0,
        "ROBOTSTXT_OBEY": False,
        "AUTOTHROTTLE_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "WARNING",
        "FEEDS": {output: {"format": "jsonlines", "overwrite": True}},
    }
)
process.crawl({"list": ListSpider, "site": SiteSpider}[kind], target=target)
process.start()
