#!/bin/sh
# Install vidrive, or the part of it that one image needs, from the tree that this script lies in.
#
#   docker/install.sh ROLE [VENV]      ROLE: town | server | viewer
#
# The Dockerfiles' RUN lines call this, and docker/check_bare.sh runs the same lines in a bare Debian root.
# Needed beforehand: python3 (3.10-3.12) and its venv module. Where apt-get is at hand and they are missing, they are installed.
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, a pip.conf) decide where packages and which build of torch come from.
set -eu

role=${1:?usage: install.sh town|server|viewer [VENV]}
venv=${2:-/opt/vidrive-venv}
cd "$(dirname "$0")/.."
packages=docker/requirements/$role.txt
[ -r "$packages" ] || { echo "error: no such role: $role. It is one of town, server, viewer" >&2; exit 2; }

if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3 python3-venv
  rm -rf /var/lib/apt/lists/*
fi

python3 -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check --no-input --no-cache-dir"
$pip install -c constraints.txt -r "$packages" hatchling editables
$pip install --no-deps --no-build-isolation -e .
"$venv/bin/vidrive" --help >/dev/null
