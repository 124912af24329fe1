"""What a command costs: wall and CPU seconds, and the memory of all its processes at their peak."""

import os
import subprocess
import time
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Cost:
    """Seconds of wall clock, seconds of CPU, bytes resident at the peak."""

    wall: float
    cpu: float
    peak: int
    output: str


def processes():
    """All processes: pid -> (parent, name, CPU seconds, bytes resident)."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                before, after = file.read().rsplit(")", 1)
        except OSError:
            continue  # it ended meanwhile
        fields = after.split()
        cpu = (int(fields[11]) + int(fields[12])) / TICKS
        found[int(entry)] = (int(fields[1]), before.split("(", 1)[1], cpu, int(fields[21]) * PAGE)
    return found


def measure(command, elsewhere=None, **settings):
    """Runs a command; processes of the name `elsewhere` count too, for helpers that are no children of it."""
    before = set(processes()) if elsewhere else set()
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)
    peak, helpers = 0, {}
    # Small enough for a pipe: commands here print little.
    while child.poll() is None:
        now = processes()
        ours = {child.pid}
        grown = True
        while grown:
            more = {pid for pid, (parent, *_) in now.items() if parent in ours} - ours
            ours |= more
            grown = bool(more)
        others = {pid for pid, (_, name, *_) in now.items() if name == elsewhere and pid not in before} - ours
        peak = max(peak, sum(now[pid][3] for pid in ours | others if pid in now))
        helpers.update({pid: now[pid][2] for pid in others})
        time.sleep(0.02)
    wall = time.monotonic() - started
    output, error = child.communicate()
    if child.returncode != 0:
        raise SystemExit(f"{command} ended with {child.returncode}:\n{output}{error}")
    own = os.times()
    spent = own.children_user + own.children_system
    cpu = spent - measure.spent + sum(helpers.values())
    measure.spent = spent
    return Cost(wall, cpu, peak, output)


measure.spent = 0.0
