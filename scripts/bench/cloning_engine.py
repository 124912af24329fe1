"""A Docker engine whose volumes are on a file system that can clone files: XFS in a file, mounted for the time it takes."""

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

SIZE = 16 << 30
START = 60


@contextmanager
def cloning_engine(work, images):
    """The engine that `docker` means inside. It has `images` of the usual one, and a network of its own: two engines in
    one network namespace take each other's bridge away."""
    disk, mount = work / "xfs", work / "mount"
    mount.mkdir()
    with open(disk, "wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, mount], check=True)
    packed = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE)
    before = os.environ.get("DOCKER_HOST")
    host = f"unix://{work / 'docker.sock'}"
    with open(work / "dockerd.log", "w") as log:
        place = [f"--host={host}", f"--data-root={mount}", f"--exec-root={work / 'exec'}", f"--pidfile={work / 'pid'}"]
        # One process: the shell gives way to unshare, and that to the shell whose place dockerd takes.
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec dockerd "$@"', "sh", *place]
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        os.environ["DOCKER_HOST"] = host
        wait_until_it_answers(work / "dockerd.log")
        subprocess.run(["docker", "load", "-q"], stdin=packed.stdout, check=True, capture_output=True)
        yield
    finally:
        if before is None:
            del os.environ["DOCKER_HOST"]
        else:
            os.environ["DOCKER_HOST"] = before
        packed.terminate()
        packed.wait()
        daemon.terminate()
        daemon.wait()
        subprocess.run(["umount", mount], check=True)
        Path(disk).unlink()


def wait_until_it_answers(log):
    end = time.monotonic() + START
    while subprocess.run(["docker", "version"], capture_output=True).returncode != 0:
        if time.monotonic() > end:
            raise SystemExit(f"the second engine does not start:\n{log.read_text()}")
        time.sleep(0.1)
