"""One run of one client: CPU time, wall time and peak memory of its whole process tree.

The client runs under `/usr/bin/time`, which does two things. It is the small parent that peak memory needs: a process that Python starts begins
its life as a copy of Python, and the kernel counts that copy's memory as the new program's peak. And its own children's CPU time, which the
kernel hands on with it, is exact to the microsecond where its own figure is rounded to hundredths of a second.
"""

import dataclasses
import os
import pathlib
import select
import signal
import subprocess
import time

TIME = "/usr/bin/time"


@dataclasses.dataclass
class Usage:
    """`cpu_s` is user + system of the client and everything it started; `exit_code` is `None` if it was ended for taking too long."""

    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    exit_code: int | None


def clean_environment(home):
    """The environment of a client: no proxy, no settings of the user's, nothing that only this machine has."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TMPDIR")}
    return kept | {"HOME": str(home), "XDG_CONFIG_HOME": str(home)}


def run(command, scratch, core, limit_s):
    """Runs `command` on one core (`None`: on any) in `scratch`, ends its process group after `limit_s`, and tells what it used."""
    told = pathlib.Path(scratch) / "time"
    line = [TIME, "-q", "-f", "%M", "-o", told, *command]
    if core is not None:
        line = ["taskset", "-c", core, *line]
    with open(scratch / "stdout", "wb") as output, open(scratch / "stderr", "wb") as errors:
        started = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in line],
            cwd=scratch,
            env=clean_environment(scratch),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            # Waiting on the descriptor and not on the id: until it is collected below, the id cannot be anybody else's.
            descriptor = os.pidfd_open(process.pid)
            ended, _, _ = select.select([descriptor], [], [], limit_s)
            os.close(descriptor)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - started
    # Popen must not wait for, or signal, an id that is no longer its own.
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = told.read_text().split() if told.exists() else []
    return Usage(
        cpu_s=used.ru_utime + used.ru_stime,
        wall_s=wall_s,
        peak_rss_bytes=int(peak[-1]) * 1024 if peak else 0,
        exit_code=process.returncode if ended else None,
    )
