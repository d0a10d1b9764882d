#!/bin/sh
# train_for_minutes.sh MINUTES PRESET DATA OUT [flags of vidrive train]: train on a machine that is rented by the minute.
# DATA is a folder, or a .tar of one as `vidrive train PRESET --data DIR --pack FILE` writes it. Reading it and measuring
# the result come on top of the MINUTES: about two on 16 cores. What comes out lies in OUT in files of at most 15 MiB:
# weights and card, metrics.jsonl, log.txt, the last preview, and the checkpoint in pieces. Call it again, with OUT as it
# came back, and the run goes on where it was. WORK=DIR keeps the run itself there: then a checkpoint of more than
# CHECKPOINT_BYTES (48 MiB) stays there, and OUT has the rest.
set -eu

[ $# -ge 4 ] || { sed -n 2,7p "$0" >&2; exit 2; }
minutes=$1 preset=$2 data=$3 out=$4
shift 4
python=${PYTHON:-python3}
work=${WORK:-$out}
piece_bytes=${PIECE_BYTES:-15728640}
checkpoint_bytes=${CHECKPOINT_BYTES:-50331648}

mkdir -p "$out" "$work"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
case $data in
*.tar)
    tar -xf "$data" -C "$temporary"
    data=$temporary
    ;;
esac
if [ ! -e "$work/checkpoint.pt" ] && [ -e "$out/checkpoint.pt.part-aa" ]; then
    cat "$out"/checkpoint.pt.part-* >"$work/checkpoint.pt"
fi
if [ -e "$work/checkpoint.pt" ]; then
    set -- --resume "$@"
fi
# Without what only recordings need, as on a machine that is not set up for the rest of vidrive, photos are read all the same.
module=renderer.train
if "$python" -c 'import numba, scipy, zstandard, zmq' 2>/dev/null; then
    module="clients train"
fi
status=0
# shellcheck disable=SC2086 # "clients train" is two words
{ "$python" -m $module "$preset" --data "$data" --out "$work" --minutes "$minutes" "$@" 2>&1 || echo $? >"$temporary/.status"; } |
    tee "$work/log.txt" >&2
if [ -e "$temporary/.status" ]; then
    read -r status <"$temporary/.status"
fi

rm -f "$out"/checkpoint.pt.part-*
if [ -e "$work/checkpoint.pt" ]; then
    if [ "$work" = "$out" ] || [ "$(wc -c <"$work/checkpoint.pt")" -le "$checkpoint_bytes" ]; then
        split -b "$piece_bytes" "$work/checkpoint.pt" "$out/checkpoint.pt.part-"
    else
        echo "the checkpoint is too large for $out and stays in $work; elsewhere, --from NAME.safetensors goes on from the weights"
    fi
fi
last=$(find "$work" -name 'preview_*.png' | sort | tail -n 1)
if [ "$work" = "$out" ]; then
    rm -f "$out/checkpoint.pt" "$out/checkpoint.previous.pt"
    find "$out" -name 'preview_*.png' ! -path "${last:-none}" -exec rm {} +
else
    find "$work" -maxdepth 1 \( -name '*.safetensors' -o -name '*.json' -o -name '*.jsonl' -o -name 'log.txt' \) -exec cp {} "$out" \;
    find "$out" -name 'preview_*.png' -exec rm {} +
    [ -z "$last" ] || cp "$last" "$out"
fi
find "$out" -maxdepth 1 -type f -exec ls -l {} +
exit "$status"
