"""The server: one nginx with its own configuration, on loopback addresses only, ended by whoever started it.

One worker, keep-alive without a limit, files from the page cache, and no compression (so that nobody pays for a decoder that others lack), but
for one site that sends gzip, made beforehand, to whoever takes it. `stub_status` on a port of its own, which counts the requests that all other figures are divided by. While anything is timed there is no
access log; for a check of completeness there is one for each site.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

from driver import corpus

SITE_PORTS = {"status": 0, "manual": 1, "jdk": 2, "files": 3, "zipped": 4}


class ServerError(Exception):
    """nginx could not be started, or did not answer."""


class Server:
    """A running nginx; `with Server(...) as server` ends it on every way out."""

    def __init__(self, name, first_port, access_log=False, core=None):
        self.access_log = access_log
        self.core = core
        self.base = _free_ports(first_port)
        # The port is in the name because two servers may run at once, and neither may write into the other's logs.
        self.directory = corpus.BENCH / "nginx" / f"{name}-{self.base}"
        self.process = None

    def port(self, site):
        return self.base + SITE_PORTS[site]

    def url(self, site):
        return f"http://127.0.0.1:{self.port(site)}{corpus.START}"

    def __enter__(self):
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.access_log:
            for site in SITE_PORTS:
                self.log_of(site).unlink(missing_ok=True)
        configuration = self.directory / "nginx.conf"
        configuration.write_text(self._configuration())
        command = [nginx, "-p", str(self.directory), "-c", str(configuration), "-e", str(self.directory / "error.log")]
        if self.core is not None:
            command = ["taskset", "-c", str(self.core), *command]
        # A session of its own: Ctrl-C on the terminal must reach the clients' driver first, which then ends nginx.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        for _ in range(100):
            if self.process.poll() is not None:
                break
            try:
                self.requests()
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        log = self.directory / "error.log"
        last = log.read_text().splitlines()[-3:] if log.exists() else []
        raise ServerError("nginx did not start: " + " / ".join(last))

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def requests(self):
        """Requests that nginx has counted so far, the one that asks included."""
        # Without the environment's proxies, which are never meant for this.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port('status')}/status", timeout=5) as answer:
            return int(answer.read().split(b"requests\n")[1].split()[2])

    def log_of(self, site):
        return self.directory / f"access-{site}.log"

    def _configuration(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = min(65_536, hard if hard != resource.RLIM_INFINITY else 65_536)
        user = "user root;" if os.geteuid() == 0 else ""
        addresses = ["127.0.0.1", *corpus.host_addresses()]
        roots = {name: root for name, (_, root) in corpus.SITES.items()} | {"files": corpus.FILES, "zipped": corpus.FILES}
        servers = []
        for site, root in roots.items():
            hosts = addresses if site == "files" else addresses[:1]
            # One line for each address: a wildcard would open the port to every network the machine is on.
            listen = "\n".join(f"        listen {host}:{self.port(site)} backlog=4096;" for host in hosts)
            log = f"{self.log_of(site)} check" if self.access_log else "off"
            zipped = "on" if site == "zipped" else "off"
            servers.append(f"    server {{\n{listen}\n        root {root};\n        gzip_static {zipped};\n        access_log {log};\n    }}")
        return CONFIGURATION.format(
            user=user, files=files, connections=files // 2, directory=self.directory, status=self.port("status"), servers="\n".join(servers)
        )


CONFIGURATION = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{
    worker_connections {connections};
}}
http {{
    types {{
        text/html html;
        text/css css;
        application/javascript js;
        image/svg+xml svg;
        image/png png;
        image/gif gif;
        image/jpeg jpg;
    }}
    default_type application/octet-stream;
    log_format check '$msec $request_uri $status';
    access_log off;
    log_not_found off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{status};
        location = /status {{ stub_status; }}
        location / {{ return 404; }}
    }}
{servers}
}}
"""


def _free_ports(first):
    """The first of five ports in a row that nobody listens on, from `first` upwards: other work goes on on the machine."""
    for base in range(first, first + 200, 10):
        try:
            for offset in SITE_PORTS.values():
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
    raise ServerError(f"no free ports from {first} to {first + 200}")
