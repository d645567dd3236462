#!/usr/bin/env bash
# Remakes requirements.lock from pyproject.toml: every package with its hashes, no addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python -m venv "$tools/venv"
"$tools/venv/bin/pip" --quiet install pip-tools
header=$(sed -n '/^#/p; /^[^#]/q' requirements.lock)
PKG_CONFIG_PATH="$PWD/setup" "$tools/venv/bin/pip-compile" --quiet --extra dev --extra ffcv --generate-hashes --allow-unsafe \
    --no-header --no-annotate --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
    --output-file "$tools/lock" pyproject.toml
# One OpenCV: FFCV names the build that wants a screen's libraries; the headless one has the same modules.
sed -i '/^opencv-python==/,/[^\\]$/d' "$tools/lock"
{ echo "$header" && cat "$tools/lock"; } >requirements.lock
