"""What the store is asked for: every tool's requests to the testkit's Google Cloud Storage stand-in."""

import json
import os
import socket
import subprocess
import threading
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


@contextmanager
def behind_tls(url, work):
    """The same server by TLS, and the certificate to trust: restic signs pieces of a body where there is none, which
    Google does not take."""
    key, certificate, settings = work / "tls.key", work / "tls.pem", work / "stunnel.conf"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings.write_text(
        f"foreground = yes\npid =\n[store]\naccept = 127.0.0.1:{port}\nconnect = {url.removeprefix('http://')}\n"
        f"cert = {certificate}\nkey = {key}\n"
    )
    tunnel = subprocess.Popen(["stunnel", settings], stderr=subprocess.PIPE, text=True)
    try:
        # It says so when it listens, and goes on talking to a pipe that it can fill.
        for line in tunnel.stderr:
            if "Configuration successful" in line:
                break
        threading.Thread(target=tunnel.stderr.read, daemon=True).start()
        yield f"https://127.0.0.1:{port}", certificate
    finally:
        tunnel.terminate()
        tunnel.wait()


def counted(url, run):
    """Requests that cost as writes and lists, and as reads, while `run` ran."""
    counts = f"{url}/_gcs/counts"
    urllib.request.urlopen(urllib.request.Request(counts, method="DELETE"))
    run()
    asked = json.load(urllib.request.urlopen(counts))
    return asked["class_a"], asked["class_b"]


def tools(url, tls, work, source, container):
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
    secured, certificate = tls
    restic = runner(["restic", "--quiet", "--cacert", certificate], {
        **aws, "RESTIC_REPOSITORY": f"s3:{secured}/{BUCKET}/restic", "RESTIC_PASSWORD": PASSWORD,
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


def asked_of(every, url, work, change):
    """What each tool asks for in each step."""
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
    return cells


def table(url, work, source, container, change):
    """Prints the requests of every tool in every step."""
    steps = ["first, with its beginning", "unchanged", "1 % changed", "restore"]
    with behind_tls(url, work) as tls:
        cells = asked_of(tools(url, tls, work, source, container), url, work, change)
    print("\n**Requests to the store**, a tree of 5,000 files: writes and lists + reads\n")
    print("| | " + " | ".join(steps) + " |\n| --- |" + " --- |" * len(steps))
    for name, asked in cells.items():
        print(f"| {name} | " + " | ".join(asked) + " |")
