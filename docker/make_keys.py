"""Make the inference server's CURVE key pair once: `python3 make_keys.py SECRET_FOLDER PUBLIC_FOLDER`.

The server gets SECRET_FOLDER/renderer.key_secret, its clients PUBLIC_FOLDER/renderer.key. Keys that exist stay.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import zmq.auth


def main() -> None:
    """Write both files unless they are there."""
    secret_folder, public_folder = (Path(argument) for argument in sys.argv[1:3])
    secret = secret_folder / "renderer.key_secret"
    if not secret.exists():
        zmq.auth.create_certificates(secret_folder, "renderer")
        secret.chmod(0o600)
    shutil.copyfile(secret_folder / "renderer.key", public_folder / "renderer.key")


if __name__ == "__main__":
    main()
