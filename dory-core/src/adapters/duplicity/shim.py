# Dory's: loaded by duplicity's Python before duplicity itself.
import logging
import os
import sys

_init = logging.StreamHandler.__init__


def _lossless(self, stream=None):
    # duplicity drops every log record with a name that is not UTF-8; this keeps the name's bytes.
    _init(self, stream)
    if hasattr(self.stream, "reconfigure"):
        self.stream.reconfigure(errors="surrogateescape")


logging.StreamHandler.__init__ = _lossless

# A path is a path: `~` and `$NAME` in it stand for nothing else.
os.path.expanduser = lambda path: path
os.path.expandvars = lambda path: path

# The folder to read holds one link for each mount; a mount's own inode is what the link leads to.
_root = os.environb.get(b"DORY_ROOT")
if _root:
    _lstat = os.lstat
    _listdir = os.listdir
    _seen = set()
    with open(os.environb[b"DORY_EXCLUDED"], "rb") as _file:
        _excluded = set(_file.read().split(b"\0"))

    def _follow(path, *args, **options):
        name = os.fsencode(path)
        if not args and not options and os.path.dirname(name) == _root:
            if name not in _seen:
                _seen.add(name)
                # As a record of the log, so that Dory knows that this was at work.
            os.write(2, b"INFO 900 '" + os.path.basename(name) + b"'\n\n")
            return os.stat(path)
        return _lstat(path, *args, **options)

    def _without_excluded(path=".", *args):
        names = _listdir(path, *args)
        if isinstance(path, bytes) and _excluded:
            names = [name for name in names if os.path.join(path, name) not in _excluded]
        return names

    os.lstat = _follow
    os.listdir = _without_excluded
