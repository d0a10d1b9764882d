#!/bin/sh
# Install the part of vidrive that one image needs, from the tree that this script lies in.
#
#   docker/install.sh ROLE VENV [packages|project]      ROLE: town | server | viewer
#
# `packages` makes the virtual environment and installs what ROLE imports (docker/requirements/ROLE.txt), `project` puts the
# tree itself in; without either word, both. The Dockerfiles' RUN lines call this, and docker/check_bare.sh runs the same
# lines in a bare Debian root. python3 (3.10-3.12) and its venv module come with apt where they are missing.
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, a pip.conf) decide where packages and which build of torch come from.
set -eu

usage="usage: docker/install.sh town|server|viewer VENV [packages|project]"
role=${1:?$usage} venv=${2:?$usage} part=${3:-both}
cd "$(dirname "$0")/.."
requirements=docker/requirements/$role.txt
[ -r "$requirements" ] || { echo "error: there is no role $role. $usage" >&2; exit 2; }

install_python() {
  python3 -c 'import ensurepip, venv' 2>/dev/null && return
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3 python3-venv
  rm -rf /var/lib/apt/lists/*
}

pip_install() {
  "$venv/bin/python" -m pip --disable-pip-version-check --no-input --no-cache-dir install -c constraints.txt "$@"
}

case $part in packages|both)
  install_python
  python3 -m venv "$venv"
  pip_install -r "$requirements" hatchling editables ;;
esac
case $part in project|both)
  pip_install --no-deps --no-build-isolation -e .
  "$venv/bin/vidrive" --help >/dev/null ;;
esac
