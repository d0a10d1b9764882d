#!/bin/sh
# train_for_minutes.sh MINUTES PRESET DATA OUT [flags of vidrive train]: train on a machine that is rented by the minute.
# DATA is a folder or a .tar of one. Call it again, with OUT as it came back, and the run goes on where it was. The
# checkpoint lies in OUT in pieces of 15 MiB, for whoever can only carry small files; everything else there is smaller.
set -eu

[ $# -ge 4 ] || { sed -n 2,4p "$0" >&2; exit 2; }
minutes=$1 preset=$2 data=$3 out=$4
shift 4
piece_bytes=${PIECE_BYTES:-15728640}

mkdir -p "$out"
case $data in
*.tar)
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    tar -xf "$data" -C "$unpacked"
    data=$unpacked
    ;;
esac
if [ -e "$out/checkpoint.pt.part-aa" ]; then
    cat "$out"/checkpoint.pt.part-* >"$out/checkpoint.pt"
    rm "$out"/checkpoint.pt.part-*
fi
if [ -e "$out/checkpoint.pt" ]; then
    set -- --resume "$@"
fi
"${PYTHON:-python3}" -m clients train "$preset" --data "$data" --out "$out" --minutes "$minutes" "$@"
rm -f "$out/checkpoint.previous.pt"
split -b "$piece_bytes" "$out/checkpoint.pt" "$out/checkpoint.pt.part-"
rm "$out/checkpoint.pt"
