#!/bin/sh
# Quality of concealment by PESQ (ITU-T P.862, MOS-LQO) on recorded speech, with lost packets of 20 ms.
#
# Needs cargo, python3, a C compiler, and the network at the first run: the speech is that of the Debian
# package asterisk-core-sounds-en-wav, the judge the package `pesq` of PyPI. Everything is put below
# $CONCEALMENT_DIR, or a temporary folder. Arguments are passed on: `--quick` has one seed.
set -eu
crate=$(cd "$(dirname "$0")/.." && pwd)
folder=${CONCEALMENT_DIR:-$(mktemp -d)}
mkdir -p "$folder"
if [ ! -x "$folder/venv/bin/python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet "numpy>=2,<3" "pesq==0.0.4"
fi
if [ ! -d "$folder/sounds" ]; then
    (cd "$folder" && apt-get download asterisk-core-sounds-en-wav && dpkg -x asterisk-core-sounds-en-wav_*.deb sounds)
fi
cd "$crate"
cargo build --quiet --release --example concealment
target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
exec "$folder/venv/bin/python" benches/concealment.py "$target/release/examples/concealment" "$folder/sounds" "$@"
