"""Make the inference server's CURVE key pair once: `python3 docker/make_keys.py SECRET_FOLDER [PUBLIC_FOLDER]`.

The server gets SECRET_FOLDER/renderer.key_secret, its clients PUBLIC_FOLDER/renderer.key. Keys that exist stay.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import zmq.auth

USAGE = "usage: python3 docker/make_keys.py SECRET_FOLDER [PUBLIC_FOLDER]"


def main() -> int:
    """Write both files unless they are there; returns the exit code."""
    folders = [Path(argument) for argument in sys.argv[1:]]
    if not 1 <= len(folders) <= 2 or sys.argv[1].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        make_keys(folders[0], folders[-1])
    except OSError as error:
        print(f"error: the keys cannot be written ({error}). Name folders of your own. {USAGE}", file=sys.stderr)
        return 2
    return 0


def make_keys(secret_folder: Path, public_folder: Path) -> None:
    """Write both files unless they are there; raises OSError."""
    for folder in (secret_folder, public_folder):
        folder.mkdir(parents=True, exist_ok=True)
    os.umask(0o077)  # nobody else reads the secret key, not even for a moment
    if not (secret_folder / "renderer.key_secret").exists():
        zmq.auth.create_certificates(secret_folder, "renderer")
    public = public_folder / "renderer.key"
    if not (public.exists() and public.samefile(secret_folder / "renderer.key")):
        shutil.copyfile(secret_folder / "renderer.key", public)
    public.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main())
