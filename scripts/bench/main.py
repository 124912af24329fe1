"""Measures Dory beside its peers and prints tables in Markdown. scripts/bench.sh starts it."""

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asked
from cloning_engine import cloning_engine
from meter import measure
from tools import ALL, PASSWORD, docker, empty, volume_folder

IMAGE = "dory-demo-postgres"
NAME = "dory-bench"
ROUNDS = 5


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    """What the measurements share; everything that is named after it goes at the end."""

    def __init__(self):
        self.work = Path(tempfile.mkdtemp(prefix="dory-bench."))

    def __enter__(self):
        self.clean()
        return self

    def __exit__(self, *_):
        self.clean()
        shutil.rmtree(self.work)

    def clean(self):
        for container in docker("ps", "-aq", "--filter", f"name={NAME}").split():
            docker("rm", "-fv", container)
        for volume in docker("volume", "ls", "-q", "--filter", f"name={NAME}").split():
            docker("volume", "rm", volume)

    def idle(self, name, volume):
        """A container that has `volume` at /data and does not run."""
        docker("create", "--name", name, "-v", f"{volume}:/data", "--entrypoint", "sleep", IMAGE, "infinity")

    def postgres(self, scale):
        """A running PostgreSQL with pgbench's tables in it: 15 MB for each step of the scale."""
        name = f"{NAME}-postgres"
        docker("run", "-d", "--name", name, "-v", f"{name}:/var/lib/postgresql/data", IMAGE)
        self.wait_healthy(name)
        say(f"filling a PostgreSQL, pgbench scale {scale}")
        self.pgbench(name, "-i", "-q", "-s", str(scale))
        psql(name, "checkpoint")
        return name

    @staticmethod
    def pgbench(name, *arguments):
        command = ["docker", "exec", name, "sh", "-c", 'exec $(echo /usr/lib/postgresql/*/bin)/pgbench -h /tmp -U postgres "$@"', "sh"]
        subprocess.run([*command, *arguments], check=True, capture_output=True)

    @staticmethod
    def wait_healthy(name):
        while docker("inspect", "-f", "{{.State.Health.Status}}", name) != "healthy":
            time.sleep(0.2)


def psql(name, command):
    docker("exec", name, "psql", "-X", "-q", "-U", "postgres", "-h", "/tmp", "-c", command)


def grow_tree(folder, files=50_000):
    """Files as a source tree has them: mostly small, half of them compressible."""
    dice = random.Random(1)
    words = [dice.randbytes(6).hex() for _ in range(2000)]
    for number in range(files):
        place = Path(folder, f"{number % 40}", f"{number % 1600}")
        place.mkdir(parents=True, exist_ok=True)
        write_file(place / str(number), dice, words)


def write_file(path, dice, words):
    size = min(int(dice.lognormvariate(8.3, 1.5)), 4 << 20)
    if dice.random() < 0.5:
        path.write_bytes(dice.randbytes(size))
    else:
        path.write_text(" ".join(dice.choices(words, k=size // 13 + 1)))


def change_tree(folder):
    """Writes one file of a hundred anew."""
    dice = random.Random(time.monotonic_ns())
    words = [dice.randbytes(6).hex() for _ in range(2000)]
    for path in Path(folder).rglob("*"):
        if path.is_file() and dice.random() < 0.01:
            write_file(path, dice, words)


def change_pages(folder):
    """Changes some bytes of one page of a hundred, as a database does."""
    dice = random.Random(time.monotonic_ns())
    for path in Path(folder).rglob("*"):
        if path.is_file() and path.stat().st_size >= 8192:
            with open(path, "r+b") as file:
                for page in range(path.stat().st_size // 8192):
                    if dice.random() < 0.01:
                        file.seek(page * 8192 + 100)
                        file.write(dice.randbytes(200))


def engines(bench):
    """First, unchanged, 1 % changed, restore, of every tool on two data sets."""
    postgres = bench.postgres(130)
    docker("stop", postgres)
    bench.idle(f"{NAME}-pages", postgres)
    compare(bench, "a PostgreSQL data folder", f"{NAME}-pages", postgres, change_pages)
    docker("rm", "-fv", postgres, f"{NAME}-pages")
    docker("volume", "rm", postgres)

    tree = f"{NAME}-tree"
    docker("volume", "create", tree)
    grow_tree(volume_folder(tree))
    bench.idle(tree, tree)
    compare(bench, "a tree of 50,000 files", tree, tree, change_tree)


def compare(bench, title, container, volume, change):
    source = volume_folder(volume)
    size = int(subprocess.check_output(["du", "-sb", source]).split()[0])
    place = Path(tempfile.mkdtemp(dir=bench.work))
    target = f"{NAME}-target"
    docker("volume", "create", target)
    rows = {tool.name: [] for tool in ALL}
    tools = [tool(place, source, container) for tool in ALL]
    for step in ["first", "unchanged", "1 % changed"]:
        if step.startswith("1"):
            change(source)
        for tool in tools:
            say(f"{title}: {tool.name}, {step}")
            # From memory, for all alike: what is measured is the program and not the disk.
            subprocess.run(["tar", "-C", source, "-cf", "/dev/null", "."], check=True)
            before = tool.stored()
            cost = tool.backup()
            rows[tool.name].append((step, cost, tool.stored() - (0 if "tar" in tool.name else before)))
    for tool in tools:
        say(f"{title}: {tool.name}, restore")
        empty(volume_folder(target))
        cost = tool.restore(target)
        subprocess.run(["diff", "-r", "--no-dereference", source, volume_folder(target)], check=True)
        rows[tool.name].append(("restore", cost, 0))
    docker("volume", "rm", target)
    shutil.rmtree(place)

    print(f"\n**{title}**, {size / 1e9:.2f} GB; ratios of wall time to restic's in the same step\n")
    print("| | " + " | ".join(["first", "unchanged", "1 % changed", "restore"]) + " |")
    print("| --- | --- | --- | --- | --- |")
    for tool in tools:
        cells = []
        for (step, cost, added), (_, beside, _) in zip(rows[tool.name], rows["restic"]):
            stored = f", +{added / 1e6:.0f} MB" if step != "restore" else ""
            cells.append(f"**{cost.wall / beside.wall:.2f}** {cost.wall:.1f} s, CPU {cost.cpu:.1f} s, {cost.peak / 1e6:.0f} MB{stored}")
        print(f"| {tool.name} | " + " | ".join(cells) + " |")


def requests(bench):
    """What every tool asks a store for."""
    tree = f"{NAME}-asked"
    docker("run", "-d", "--name", tree, "--no-healthcheck", "--stop-signal", "SIGKILL", "-v", f"{tree}:/data", "--entrypoint", "sleep", IMAGE, "infinity")
    grow_tree(volume_folder(tree), 5_000)
    with asked.stand_in() as url:
        asked.table(url, bench.work, volume_folder(tree), tree, lambda: change_tree(volume_folder(tree)))


def clones(bench):
    """The stop window where files can be cloned."""
    with cloning_engine(bench.work, [IMAGE]), Bench() as inside:
        window(inside, "on XFS, where files can be cloned: ")


def window(bench, where=""):
    """How long a PostgreSQL stands still, 1 % of its pages written just before."""
    name = bench.postgres(130)
    settings = {
        **os.environ, "DORY_STORE": f"file://{bench.work / 'store'}", "DORY_PASSPHRASE": PASSWORD, "DORY_SERVER": "bench",
        "RESTIC_REPOSITORY": str(bench.work / "restic"), "RESTIC_PASSWORD": PASSWORD, "HOME": str(bench.work),
    }
    (bench.work / "store").mkdir()
    subprocess.run(["restic", "init", "--quiet"], env=settings, check=True)
    folder = volume_folder(name)

    def write_pages():
        # Each transaction changes a page of the large table, anywhere in it: of 131,000 pages one of a hundred.
        bench.wait_healthy(name)
        bench.pgbench(name, "-n", "-c", "4", "-t", "600")

    def around(work):
        started = time.monotonic()
        docker("stop", name)
        if work:
            subprocess.run(work, env=settings, check=True, capture_output=True)
        docker("start", name)
        return time.monotonic() - started

    def dory():
        # Not `measure`: looking at all processes all the time takes part of a core away.
        command = [os.environ["DORY_BINARY"], "backup", name, "--json"]
        report = json.loads(subprocess.run(command, env=settings, check=True, capture_output=True).stdout)
        return seconds(report[0]["point"]["stop_window"])

    ways = {
        "bare stop and start": lambda: around(None),
        "dory": dory,
        "restic between stop and start": lambda: around(["restic", "backup", "--quiet", folder]),
        "tar + zstd between stop and start": lambda: around(["sh", "-c", f"tar -C {folder} -cf - . | zstd -q -T2 >/dev/null"]),
    }
    taken = {way: [] for way in ways}
    for number in range(-1, ROUNDS):
        for way, run in ways.items():
            write_pages()
            length = run()
            say(f"round {number}: {way}: {length:.2f} s")
            if number >= 0:  # the first of each fills its repository
                taken[way].append(length)
    bare = statistics.median(taken["bare stop and start"])
    print(f"\n**The stop window** of a PostgreSQL of 2 GB, {where}2,400 pages written just before; medians of {ROUNDS} rounds\n")
    print("| | median | of bare stop and start | least to most |")
    print("| --- | --- | --- | --- |")
    for way, lengths in taken.items():
        median = statistics.median(lengths)
        print(f"| {way} | {median:.2f} s | **{median / bare:.2f}** | {min(lengths):.2f} to {max(lengths):.2f} s |")


def overhead(bench):
    """A whole backup of a tiny volume, its container's own stop and start taken off."""
    name = f"{NAME}-tiny"
    docker("run", "-d", "--name", name, "--no-healthcheck", "--stop-signal", "SIGKILL", "-v", f"{name}:/data", "--entrypoint", "sleep", IMAGE, "infinity")
    Path(volume_folder(name), "file").write_text("a few words\n")
    (bench.work / "tiny").mkdir()
    settings = {**os.environ, "DORY_STORE": f"file://{bench.work / 'tiny'}", "DORY_ENCRYPTION": "none", "DORY_SERVER": "bench"}
    dory, run, bare = [], [], []
    for number in range(-1, 2 * ROUNDS):
        one = measure([os.environ["DORY_BINARY"], "backup", name, "--json"], elsewhere="dory", env=settings).wall
        two = measure(["docker", "run", "--rm", "--entrypoint", "true", IMAGE]).wall
        three = measure(["sh", "-c", f"docker stop {name} && docker start {name}"]).wall
        if number >= 0:
            dory.append(one)
            run.append(two)
            bare.append(three)
    own, plain, stopping = (statistics.median(times) for times in (dory, run, bare))
    print(f"\n**A whole backup of a tiny volume**; medians of {2 * ROUNDS} rounds\n")
    print("| | median |\n| --- | --- |")
    print(f"| `dory backup` | {own:.2f} s |\n| its container's own stop and start | {stopping:.2f} s |\n| `docker run --rm` | {plain:.2f} s |")
    print(f"| ratio, the stop and start taken off | **{(own - stopping) / plain:.2f}** |")


def seconds(text):
    """ISO 8601's `PT1M2.5S` in seconds."""
    total, number = 0.0, ""
    for letter in text.removeprefix("PT"):
        if letter.isdigit() or letter == ".":
            number += letter
        else:
            total += float(number) * {"H": 3600, "M": 60, "S": 1}[letter.upper()]
            number = ""
    return total


def main():
    parts = {"window": window, "clones": clones, "overhead": overhead, "requests": requests, "engines": engines}
    wanted = sys.argv[1:] or list(parts)
    for word in wanted:
        if word not in parts:
            raise SystemExit(f"unknown part '{word}': {', '.join(parts)} are allowed")
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {os.uname().machine}, Linux {os.uname().release}")
    for word in wanted:
        with Bench() as bench:
            parts[word](bench)


main()
