"""Carry pip's settings into another root: `pip config list | python3 carry_pip.py CONF MOUNTS VARIABLES`.

Writes the settings that come from files to CONF, the local paths that any setting names to MOUNTS (one a line) and the
environment variables that pip and TLS read, as NAME=value lines, to VARIABLES.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

TLS_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def local_paths(value: str) -> list[str]:
    """Return the existing absolute paths in a setting, bare or as file:// addresses.

    Of an index's `simple` folder its parent: the pages in it link files that lie beside it.
    """
    paths = (Path(word.removeprefix("file://")) for word in value.split())
    return [
        str(path.parent if path.name == "simple" else path) for path in paths if path.is_absolute() and path.exists()
    ]


def main() -> None:
    """Read `pip config list` from stdin and write the three files."""
    conf, mounts, variables = (Path(argument) for argument in sys.argv[1:4])
    settings: dict[str, list[str]] = {}
    paths: set[str] = set()
    for line in sys.stdin:
        key, _, quoted = line.strip().partition("=")
        value = ast.literal_eval(quoted)
        paths.update(local_paths(value))
        if not key.startswith(":env:"):
            section, _, name = key.partition(".")
            settings.setdefault(section, []).append(f"{name} = {' '.join(value.split())}")
    names = [name for name in os.environ if name.startswith("PIP_")] + [*TLS_VARIABLES, *PROXY_VARIABLES]
    chosen = {name: os.environ[name] for name in names if name in os.environ}
    for name in TLS_VARIABLES:
        paths.update(local_paths(chosen.get(name, "")))
    conf.write_text("".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in settings.items()))
    mounts.write_text("".join(f"{path}\n" for path in sorted(paths)))
    variables.write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))


if __name__ == "__main__":
    main()
