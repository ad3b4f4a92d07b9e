#!/bin/sh
# Runs the lin-kv test of the real Maelstrom on the raft binary.
#
#   MAELSTROM=/path/to/maelstrom maelstrom-tests/maelstrom.sh [MAELSTROM'S FLAGS] [-- THE NODE'S FLAGS]
#
# Flags that are given override the defaults below. The nodes keep their data in a new folder
# for each run, which is removed if the run was valid. Maelstrom needs a Java runtime; it is at
# https://github.com/jepsen-io/maelstrom/releases
set -eu

usage() {
  sed -n '2,8s/^# \{0,1\}//p' "$0"
}

case ${1-} in
  -h | --help)
    usage
    exit 0
    ;;
esac

if [ -z "${MAELSTROM-}" ]; then
  echo "MAELSTROM is not set. Set it to the path of Maelstrom's executable." >&2
  usage >&2
  exit 255
fi
if [ ! -x "$MAELSTROM" ] || [ -d "$MAELSTROM" ]; then
  echo "MAELSTROM=$MAELSTROM is not an executable file." >&2
  exit 255
fi
# The folder changes below, so a relative path is resolved first.
MAELSTROM=$(cd "$(dirname "$MAELSTROM")" && pwd)/$(basename "$MAELSTROM")

cd "$(dirname "$0")/.."
cargo build --release --package raft --bin raft
target=${CARGO_TARGET_DIR:-target}

# A run begins with an empty store, so it needs a folder without another run's data.
STDRAFT_DATA_DIR=$(mktemp -d "${TMPDIR:-/tmp}/stdraft-data-XXXXXX")
export STDRAFT_DATA_DIR

# In each Maelstrom flag that comes twice, the later one wins.
if "$MAELSTROM" test -w lin-kv --bin "$target/release/raft" \
  --node-count 5 --concurrency 4n --rate 100 --time-limit 30 \
  --latency 10 --nemesis partition --nemesis-interval 5 "$@"; then
  rm -r "$STDRAFT_DATA_DIR"
else
  status=$?
  echo "The nodes' data are in $STDRAFT_DATA_DIR" >&2
  exit "$status"
fi
