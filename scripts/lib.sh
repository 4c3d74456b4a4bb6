# Shared by the scripts in this folder: where things are, and getting what a build needs.
# Source it; it defines functions and variables only.

repo_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# Outside the clone, so that RocksDB (20 minutes on two cores) is compiled once per machine.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pegasus-rust/target}"
bin_dir="$CARGO_TARGET_DIR/release"

say() { printf '%s\n' "$*"; }
die() {
    printf 'ERROR: %s\n' "$*" >&2
    exit 1
}

# Debian packages by name; does nothing if all are there.
ensure_packages() {
    local missing=() name sudo=
    for name in "$@"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' ||
            missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    command -v apt-get >/dev/null ||
        die "these packages are needed: ${missing[*]} (this script installs them on Debian only)"
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    say "installing: ${missing[*]}"
    $sudo apt-get update -qq >/dev/null || die "apt-get update failed"
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "${missing[@]}" >/dev/null ||
        die "apt-get install ${missing[*]} failed"
}

# A Rust toolchain at least as new as the one Cargo.toml declares.
ensure_cargo() {
    local wanted have
    wanted="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$repo_dir/Cargo.toml" | head -1)"
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    if ! command -v cargo >/dev/null; then
        die "cargo is missing: Rust $wanted or newer is needed. Install it with
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    fi
    have="$(rustc --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')"
    if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -1)" != "$wanted" ]; then
        die "Rust $have is too old: $wanted or newer is needed. Update it with
    rustup update stable"
    fi
}

ensure_build_needs() {
    # clang and libclang: the bindings to RocksDB are generated at build time.
    ensure_packages gcc g++ make pkg-config clang libclang-dev
    ensure_cargo
}

# Build the daemons and tools in release mode.
build_servers() {
    ensure_build_needs
    if ! ls "$bin_dir"/build/librocksdb-sys-*/out/librocksdb.a >/dev/null 2>&1; then
        say "First build on this machine: it compiles RocksDB, about 20 minutes on two cores."
        say "Later builds take seconds to minutes. Output goes to $CARGO_TARGET_DIR"
    fi
    (cd "$repo_dir" && cargo build --release --bins) || die "the build failed, see above"
}
