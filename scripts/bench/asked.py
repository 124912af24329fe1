"""What the store is asked for: every tool's requests to the testkit's Google Cloud Storage stand-in."""

import json
import os
import subprocess
import urllib.request
from contextlib import contextmanager

from meter import measure
from tools import PASSWORD

KEY, SECRET, BUCKET = "GOOGTEST", "s3cret", "bench"


@contextmanager
def stand_in():
    """Its address, while it serves."""
    command = [os.environ["DORY_GCS_SERVER"], "--bucket", BUCKET, "--access-key", KEY, "--secret", SECRET]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def counted(url, run):
    """Requests that cost as writes and lists, and as reads, while `run` ran."""
    counts = f"{url}/_gcs/counts"
    urllib.request.urlopen(urllib.request.Request(counts, method="DELETE"))
    run()
    asked = json.load(urllib.request.urlopen(counts))
    return asked["class_a"], asked["class_b"]


def tools(url, work, source, container):
    """Of each tool that knows such stores: its name, how it begins, a backup, a restore."""
    home = {**os.environ, "HOME": str(work), "XDG_CACHE_HOME": str(work / "cache")}
    aws = {**home, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    target = work / "target"

    def runner(command, settings):
        return lambda *words: measure([str(word) for word in [*command, *words]], env=settings)

    dory = runner([os.environ["DORY_BINARY"]], {
        **home, "DORY_STORE": f"gs://{BUCKET}/dory", "DORY_STORE_ENDPOINT": url, "GS_ACCESS_KEY": KEY,
        "GS_SECRET_ACCESS_KEY": SECRET, "DORY_PASSPHRASE": PASSWORD, "DORY_SERVER": "bench",
    })
    restic = runner(["restic", "--quiet"], {
        **aws, "RESTIC_REPOSITORY": f"s3:{url}/{BUCKET}/restic", "RESTIC_PASSWORD": PASSWORD,
    })
    duplicity = runner([f"{os.environ.get('DORY_TOOLS', '/opt/dory-tools')}/venv/bin/duplicity", "-v0", "--name", "asked"], {
        **aws, "PASSPHRASE": PASSWORD,
    })
    place = [f"s3:///{BUCKET}/duplicity", "--s3-endpoint-url", url]
    return [
        ("dory", lambda: None, lambda: dory("backup", container), lambda: dory("restore", container, "--no-safety", "--yes")),
        ("restic", lambda: restic("init"), lambda: restic("backup", source), lambda: restic("restore", "latest", "--target", target)),
        ("duplicity", lambda: None, lambda: duplicity("backup", source, *place), lambda: duplicity("restore", *place, target / "d")),
    ]


def table(url, work, source, container, change):
    """Prints the requests of every tool in every step."""
    steps = ["first, with its beginning", "unchanged", "1 % changed", "restore"]
    every = tools(url, work, source, container)
    cells = {name: [] for name, *_ in every}

    def note(name, asked):
        cells[name].append("{} + {}".format(*asked))

    for name, begin, backup, _ in every:
        note(name, counted(url, lambda: (begin(), backup())))
    for step in range(2):
        if step == 1:
            change()
        for name, _, backup, _ in every:
            note(name, counted(url, backup))
    (work / "target").mkdir()
    for name, _, _, restore in every:
        note(name, counted(url, restore))
    print("\n**Requests to the store**, a tree of 5,000 files: writes and lists + reads\n")
    print("| | " + " | ".join(steps) + " |\n| --- |" + " --- |" * len(steps))
    for name, asked in cells.items():
        print(f"| {name} | " + " | ".join(asked) + " |")
