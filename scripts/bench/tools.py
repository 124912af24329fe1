"""Dory and its peers, each with the same three verbs: a fresh repository, a backup, a restore."""

import os
import shutil
import subprocess
from pathlib import Path

from meter import measure

PASSWORD = "correct horse battery staple"


class Tool:
    """One program with a repository of its own below `work`."""

    name = ""

    def __init__(self, work, source, container):
        self.home = work / self.name.split()[0]
        self.source, self.container = source, container
        self.repository = self.home / "repository"
        self.home.mkdir()
        self.settings = {**os.environ, "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache")}

    def run(self, *command):
        return measure([str(word) for word in command], env=self.settings)

    def stored(self):
        """Bytes in the repository."""
        return sum(path.lstat().st_size for path in self.repository.rglob("*") if path.is_file())


class Dory(Tool):
    name = "dory"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.repository.mkdir()
        self.settings |= {
            "DORY_STORE": f"file://{self.repository}", "DORY_PASSPHRASE": PASSWORD, "DORY_SERVER": "bench",
        }

    def run(self, *command):
        return measure([os.environ["DORY_BINARY"], *command], elsewhere="dory", env=self.settings)

    def backup(self):
        return self.run("backup", self.container, "--json")

    def restore(self, target):
        return self.run("restore", self.container, "--map", f"/data={target}", "--no-safety", "--yes")


class Restic(Tool):
    name = "restic"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.settings |= {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_PASSWORD": PASSWORD}
        self.run("restic", "init", "--quiet")

    def backup(self):
        # From where it is, so that old versions can restore it to another place.
        return measure(["restic", "backup", "--quiet", "."], env=self.settings, cwd=self.source)

    def restore(self, target):
        return self.run("restic", "restore", "--quiet", "latest", "--target", volume_folder(target))


class Borg(Tool):
    name = "borg"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.settings |= {"BORG_REPO": str(self.repository), "BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": str(self.home)}
        self.run("borg", "init", "--encryption", "repokey-blake2")
        self.count = 0

    def backup(self):
        self.count += 1
        return self.run("borg", "create", "--compression", "zstd,3", f"::{self.count}", self.source)

    def restore(self, target):
        strip = len(Path(self.source).parts) - 1
        command = ["borg", "extract", "--strip-components", str(strip), f"::{self.count}"]
        return measure(command, env=self.settings, cwd=volume_folder(target))


class Duplicity(Tool):
    name = "duplicity"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.repository.mkdir()
        self.settings |= {"PASSPHRASE": PASSWORD}
        self.program = f"{os.environ.get('DORY_TOOLS', '/opt/dory-tools')}/venv/bin/duplicity"

    def backup(self):
        return self.run(self.program, "backup", "-v0", "--name", "bench", self.source, f"file://{self.repository}")

    def restore(self, target):
        command = [self.program, "restore", "-v0", "--name", "bench", "--force", f"file://{self.repository}"]
        return self.run(*command, volume_folder(target))


class Tar(Tool):
    name = "tar + zstd"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.repository.mkdir()

    def backup(self):
        return self.run("sh", "-c", f"tar -C {self.source} -cf - . | zstd -q -f -T2 -o {self.repository}/all.tar.zst")

    def restore(self, target):
        return self.run("sh", "-c", f"zstd -q -d -c {self.repository}/all.tar.zst | tar -C {volume_folder(target)} -xf -")


ALL = [Dory, Restic, Borg, Duplicity, Tar]


def volume_folder(name):
    """Where a volume is on this host."""
    return docker("volume", "inspect", "-f", "{{.Mountpoint}}", name)


def docker(*arguments):
    """Runs docker, and gives what it prints."""
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def empty(folder):
    """Removes what is in a folder."""
    for path in Path(folder).iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
