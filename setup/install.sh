#!/usr/bin/env bash
# Sets up: system packages for FFCV, a virtual environment from requirements.lock, the package itself.
# Usage: setup/install.sh <python 3.11 to 3.13> <folder of the environment>
# Where FFCV cannot be built, all else is installed: the Pillow loader gives the same pixels, more slowly.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
venv=$2
packages=(g++ git pkg-config libturbojpeg0-dev libjpeg-dev libopencv-core-dev libopencv-imgproc-dev)
for_ffcv='^(ffcv|numba|llvmlite|opencv-python-headless)=='

fail() {
    echo "error: $*" >&2
    exit 1
}

# Runs a command, and says every few seconds how long it has taken and what it is at.
with_progress() {
    local what=$1 log begun=$SECONDS status=0 now
    shift
    log=$(mktemp)
    echo "$what ..."
    "$@" >"$log" 2>&1 &
    while kill -0 $! 2>/dev/null; do
        sleep 1
        ((SECONDS - begun == 0 || (SECONDS - begun) % 5)) && continue
        now=$(tail -n 1 "$log" | tr -d '\r' | sed 's/^ *//' | cut -c 1-60)
        printf '  %4d s  %s\n' $((SECONDS - begun)) "$now"
    done
    wait $! || status=$?
    ((status == 0)) || tail -n 20 "$log" >&2
    rm -f "$log"
    return $status
}

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

apt_get() {
    local as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

install_system_packages() {
    command -v dpkg-query >/dev/null || return 0 # pip then finds out whether FFCV can be built
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
        echo "FFCV needs system packages, which an administrator can add:"
        echo "    sudo apt-get install --no-install-recommends ${missing[*]}"
        return 1
    fi
    with_progress "Reading the list of system packages" apt_get update
    with_progress "Installing ${#missing[@]} system packages" apt_get install -y --no-install-recommends "${missing[@]}"
}

# Packages of the lock whose line `<name>==` matches, or with "not" those whose does not.
locked() {
    awk -v pattern="$1" -v other="${2:-}" '/^[a-zA-Z]/ {keep = (other == "not") != ($0 ~ pattern)} keep' requirements.lock
}

install() {
    if [ -d wheelhouse ]; then # made by `make wheelhouse` on a machine that has a network
        "$venv/bin/python" -m pip --disable-pip-version-check install --no-index --find-links wheelhouse --no-deps \
            --no-build-isolation "$@"
    elif command -v uv >/dev/null; then
        uv pip install --python "$venv/bin/python" --no-deps --no-build-isolation "$@"
    else
        "$venv/bin/python" -m pip --disable-pip-version-check install --progress-bar off --no-deps --no-build-isolation "$@"
    fi
}

install_locked() {
    local what=$1 list
    shift
    list=$(mktemp)
    locked "$@" >"$list"
    # setup/opencv4.pc spares the 1 GB of libopencv-dev.
    PKG_CONFIG_PATH="$PWD/setup${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}" with_progress \
        "Installing $(grep -c '==' "$list") $what" install --require-hashes --requirement "$list" || return
    rm -f "$list"
}

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null ||
    fail "Python 3.11, 3.12 or 3.13 is needed, found $("$python" --version 2>/dev/null || echo none);" \
        "name one: make PYTHON=/path/to/python3.12 ..."
# A distribution's Python comes in parts: the headers and venv are packages of their own.
version=$("$python" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
"$python" -c 'import ensurepip' 2>/dev/null || packages+=("python$version-venv")
"$python" -c 'import pathlib, sysconfig, sys; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' ||
    packages+=("python$version-dev")
build_ffcv=1
install_system_packages || build_ffcv=0

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "The environment $venv takes about 7 GB, most of it PyTorch with CUDA: its registry has no build for the CPU alone."
install_locked "build tools" '^(setuptools|wheel)==' # the packages that build others come first
install_locked "Python packages" "$for_ffcv" not
if ((build_ffcv)); then
    install_locked "packages for FFCV, which is compiled" "$for_ffcv" || build_ffcv=0
fi
with_progress "Installing ilsvrc itself" install --editable .
if ((build_ffcv)) && ! "$venv/bin/python" -c 'import ffcv'; then
    build_ffcv=0
fi
((build_ffcv)) || echo "FFCV is not there: the Pillow loader gives the same pixels, at about a third of the speed." \
    "With a C++ compiler, pkg-config, libjpeg-turbo and OpenCV, run \`rm $venv/installed; make setup\` to add it."
echo "Set up in $((SECONDS / 60)) min $((SECONDS % 60)) s: $(du -sh "$venv" | cut -f 1) in $venv"
