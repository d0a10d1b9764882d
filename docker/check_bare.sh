#!/usr/bin/env bash
# Prove that a bare Debian is enough: python3, its venv module and make, nothing else.
#
#   docker/check_bare.sh [--base DIR] [--suite bookworm] [--keep] [STEP ...]
#
# Debootstraps a minimal root in a temporary directory (or copies DIR, a root made earlier), puts a fresh clone of the last
# commit into it and runs the steps inside, in order, printing the seconds of each; the other order is another run:
# `docker/check_bare.sh test demo`. Steps, by default `demo again test`:
#
#   setup    make setup, then import every runtime dependency
#   demo     make demo; the video it leaves must be readable. At most 360 s, with the set-up
#   again    make demo once more, now that everything is set up. At most 40 s
#   test     make test
#   images   docker/install.sh for every image, then town, server and drive as three processes over TCP
#
# Needs root, debootstrap and unshare. pip inside uses the settings of pip outside: its environment variables and
# configuration are carried over, and the local folders that they name are mounted read-only at the same place.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=bookworm base= keep= steps=()
while [ $# -gt 0 ]; do
  case $1 in
    --base) base=$2; shift 2 ;;
    --suite) suite=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    setup|demo|again|test|images) steps+=("$1"); shift ;;
    *) echo "error: unknown argument $1. See the head of $0" >&2; exit 2 ;;
  esac
done
[ ${#steps[@]} -gt 0 ] || steps=(demo again test)
[ "$(id -u)" = 0 ] || { echo "error: chroot needs root. Run it with sudo" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/vidrive-bare.XXXXXX")
root=$work/root
# Every mount is made in a mount namespace of its own, so none is left when the root is removed.
if [ -n "$keep" ]; then echo "the root stays in $root"; else trap 'rm -rf --one-file-system "$work"' EXIT; fi

if [ -n "$base" ]; then
  cp -a "$base" "$root"
else
  command -v debootstrap >/dev/null || { echo "error: debootstrap is missing. apt install debootstrap" >&2; exit 2; }
  debootstrap --variant=minbase --include=python3,python3-venv,make "$suite" "$root" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
fi

clone=$root/srv/vidrive
mkdir -p "$clone"
git archive HEAD | tar -x -C "$clone"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"

# pip's configuration: files become one file inside, variables stay variables, local paths become mounts.
python3 -m pip config list | python3 docker/carry_pip.py "$root/etc/pip.conf" "$work/mounts" "$work/variables"

cat >"$work/enter" <<'ENTER'
set -eu
root=$1 work=$2; shift 2
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
while IFS= read -r path; do
  if [ -d "$path" ]; then mkdir -p "$root$path"; else mkdir -p "$root$(dirname "$path")"; [ -e "$root$path" ] || : >"$root$path"; fi
  mount --bind "$path" "$root$path"
  mount -o remount,ro,bind "$root$path"
done <"$work/mounts"
mapfile -t variables <"$work/variables"
exec env -i "${variables[@]}" HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  chroot "$root" /bin/sh -euc 'cd /srv/vidrive; '"$1"
ENTER

# Kill whatever a step leaves behind with it: --kill-child ends the namespace's first process, and so all others in it.
inside() { unshare --mount --pid --fork --kill-child --propagation private bash "$work/enter" "$root" "$work" "$1"; }

import_all='.venv/bin/python -c "import av, carla, cv2, lz4.frame, msgpack, msgspec, numba, numpy, pygame, safetensors.torch, torch, yaml, zmq
print(\"torch\", torch.__version__, \"| cv2\", cv2.__version__, \"| av\", av.__version__, \"| pygame\", pygame.version.ver)"'
read_video='.venv/bin/python -c "import av
with av.open(\"demo.mp4\") as video:
    print(\"demo.mp4:\", sum(1 for _ in video.decode(video=0)), \"frames of\", video.streams.video[0].width, \"x\", video.streams.video[0].height)"'
# The containers' processes, as their images are made, in one network; keys as compose makes them.
images='for role in town server viewer; do docker/install.sh $role /opt/$role; done
mkdir -p /keys/secret /keys/public
/opt/server/bin/python docker/make_keys.py /keys/secret /keys/public
/opt/town/bin/vidrive town --host 0.0.0.0 --port 2000 >/tmp/town.out & town=$!
/opt/server/bin/vidrive serve --listen tcp://0.0.0.0:5790 --curve-secret /keys/secret/renderer.key_secret >/tmp/server.out & server=$!
trap "kill $town $server" EXIT
for name in town server; do
  tries=0
  until grep -q ^ready /tmp/$name.out; do
    tries=$((tries + 1)); [ $tries -lt 300 ]; kill -0 $town; kill -0 $server; sleep 1
  done
done
/opt/viewer/bin/vidrive drive --carla 127.0.0.1:2000 --server tcp://127.0.0.1:5790 \
  --server-key /keys/public/renderer.key --seconds 5 --headless --record drive.mp4 --json'

for step in "${steps[@]}"; do
  echo "== $step"
  started=$(date +%s)
  case $step in
    setup) inside "make setup; $import_all" ;;
    demo|again) inside "rm -f demo.mp4; make demo; $read_video" ;;
    test) inside "make test" ;;
    images) inside "$images" ;;
  esac
  took=$(($(date +%s) - started))
  echo "== $step: $took s"
  case $step in demo) limit=360 ;; again) limit=40 ;; *) continue ;; esac
  [ $took -le $limit ] || { echo "error: $step took $took s, more than $limit. Try again on an idle machine" >&2; exit 1; }
done
