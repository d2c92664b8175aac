#!/usr/bin/env python3
"""Extracts files from a wheel, without their folders.

usage: unpack.py wheel destination pattern...
"""

import fnmatch
import pathlib
import sys
import zipfile


def main():
    if len(sys.argv) < 4:
        sys.exit("usage: unpack.py wheel destination pattern...")
    destination = pathlib.Path(sys.argv[2])
    destination.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(sys.argv[1]) as archive:
        for pattern in sys.argv[3:]:
            names = fnmatch.filter(archive.namelist(), pattern)
            if not names:
                sys.exit(f"nothing in {sys.argv[1]} matches {pattern}")
            for name in names:
                (destination / pathlib.PurePath(name).name).write_bytes(archive.read(name))


if __name__ == "__main__":
    main()
