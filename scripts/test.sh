#!/usr/bin/env bash
# Everything that CI runs. Installs what the tests need; leaves no process behind.
set -eu
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_build_needs
# The headers: pip builds parts of the client from source.
ensure_packages python3 python3-venv python3-dev
cd "$repo_dir"

say "== formatting and lints"
cargo fmt --all --check
cargo clippy --release --workspace --all-targets -- -D warnings

say "== build"
cargo build --release --workspace --bins --tests

say "== official Python client"
venv="$CARGO_TARGET_DIR/../venv-pypegasus3"
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/python" -c 'import pypegasus' 2>/dev/null ||
    "$venv/bin/pip" install --quiet --disable-pip-version-check pypegasus3
export PEGASUS_TEST_PYTHON="$venv/bin/python"

say "== tests"
cargo test --release --workspace
