#!/usr/bin/env bash
# Installs what is missing: system packages for FFCV, a virtual environment from requirements.lock, the package.
# Usage: setup/install.sh <python 3.11> <folder of the environment>
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
venv=$2
packages=(g++ git pkg-config libturbojpeg0-dev libjpeg-dev libopencv-core-dev libopencv-imgproc-dev)

fail() {
    echo "error: $*" >&2
    exit 1
}

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

install_system_packages() {
    command -v dpkg-query >/dev/null || {
        echo "not Debian or Ubuntu: FFCV needs a C++ compiler, pkg-config, libjpeg-turbo and OpenCV, with headers" >&2
        return
    }
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    local as_root=()
    if ((EUID != 0)); then
        sudo -n true 2>/dev/null || fail "FFCV needs system packages; ask an administrator for:
    sudo apt-get install --no-install-recommends ${missing[*]}
or use conda, which brings them: conda env create -f environment.yml"
        as_root=(sudo)
    fi
    echo "Installing system packages: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
    fail "Python 3.11 is needed, found $("$python" --version 2>/dev/null || echo none); name one: make PYTHON=/path/to/python3.11 ..."
# A distribution's Python comes in parts: the headers and venv are packages of their own.
"$python" -c 'import ensurepip' 2>/dev/null || packages+=(python3.11-venv)
"$python" -c 'import pathlib, sysconfig, sys; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' ||
    packages+=(python3.11-dev)
install_system_packages

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation)
locked=(--require-hashes --requirement)
echo "Installing Python packages into $venv (a few minutes, several GB) ..."
# The packages that build others come first, out of the same lock.
build_tools=$(mktemp)
trap 'rm -f "$build_tools"' EXIT
awk '/^[a-zA-Z]/ {keep = /^(setuptools|wheel)==/} keep' requirements.lock >"$build_tools"
"${pip[@]}" "${locked[@]}" "$build_tools"
# setup/opencv4.pc spares the 1 GB of libopencv-dev.
PKG_CONFIG_PATH="$PWD/setup${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}" "${pip[@]}" "${locked[@]}" requirements.lock
"${pip[@]}" --editable .
"$venv/bin/python" -c 'import ffcv' || fail "FFCV is installed but does not load; see the message above"
