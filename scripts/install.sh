#!/usr/bin/env bash
# Makes .venv hold exactly the packages of requirements.txt and this project, or with `lock` writes requirements.txt
# anew, or with `peers` makes .venv-peers. Does nothing when they are up to date. Needs Python 3.11, 3.12 or 3.13;
# takes uv from PATH or gets it by pip.
set -euo pipefail
cd "$(dirname "$0")/.."

venv_python=.venv/bin/python
stamp=.venv/.installed

say() { echo "install: $*"; }

fail() {
  echo "install: $*" >&2
  exit 1
}

# Prints the first supported Python. 3.11 comes first: later ones need glibc 2.39.
find_python() {
  local name
  for name in python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      "$name" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  fail "found no Python 3.11, 3.12 or 3.13 on PATH (python3 is: $(python3 --version 2>&1 || true)); install one of them"
}

# Makes .venv if it is missing or broken, and sets `uv` to a command that runs.
prepare() {
  uv=uv
  uv --version >/dev/null 2>&1 || uv=.venv/bin/uv
  if ! "$venv_python" -c '' 2>/dev/null; then
    local python
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    if [ "$uv" = uv ]; then
      uv venv --quiet --seed --python "$python" .venv  # with pip, which Beam's worker pools ask for
    else
      "$python" -m venv .venv || fail "$python cannot make virtual environments; install its venv package or uv"
    fi
  fi
  if ! "$uv" --version >/dev/null 2>&1; then
    say "getting uv by pip"
    "$venv_python" -m pip install --quiet --disable-pip-version-check uv
  fi
}

lock() {
  prepare
  say "resolving pyproject.toml for all supported Pythons"
  "$uv" pip compile --quiet --universal --python-version 3.11 --extra dev --no-annotate --no-header \
    pyproject.toml --output-file requirements.txt
}

install() {
  local wanted
  # An editable installation knows the packages that were there when it was made, so these count too.
  wanted=$({ cat pyproject.toml requirements.txt; ls ./*/__init__.py; } | sha256sum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$venv_python" -c '' 2>/dev/null; then
    return
  fi
  prepare
  rm -f "$stamp"
  say "installing requirements.txt into .venv (about 3 GB the first time)"
  # Without dependencies: what is installed is what is locked and was tested.
  "$uv" pip install --quiet --python "$venv_python" --exact --no-deps --requirement requirements.txt
  "$uv" pip install --quiet --python "$venv_python" --no-deps --no-build-isolation --editable .
  echo "$wanted" >"$stamp"
  say "done"
}

# Kept apart from .venv: nothing of the product needs it, and it is large.
peers() {
  prepare
  local stamp=.venv-peers/.installed
  cmp -s benchmarks/peers.txt "$stamp" && return
  say "installing benchmarks/peers.txt into .venv-peers"
  "$uv" venv --quiet --clear --python "$venv_python" .venv-peers
  # PyTorch's own index has builds without CUDA, which are a tenth of the size of PyPI's.
  "$uv" pip install --quiet --python .venv-peers/bin/python --torch-backend cpu --requirement benchmarks/peers.txt ||
    "$uv" pip install --quiet --python .venv-peers/bin/python --requirement benchmarks/peers.txt ||
    { say "the peers could not be installed: their rows will be left out" && rm -rf .venv-peers && return; }
  cp benchmarks/peers.txt "$stamp"
}

case "${1:-install}" in
  install) install ;;
  peers) peers ;;
  lock) lock ;;
  *) fail "unknown command \`$1\`; known: install, lock, peers" ;;
esac
