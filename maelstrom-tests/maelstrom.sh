#!/bin/sh
# Runs the lin-kv test of the real Maelstrom on the raft binary.
#
#   MAELSTROM=/path/to/maelstrom maelstrom-tests/maelstrom.sh [MAELSTROM'S FLAGS] [-- THE NODE'S FLAGS]
#
# Flags that are given override the defaults below. --test-count N makes N tests, one after the other. The nodes keep
# their data in a new folder for each test, which is removed if the test was valid. The last line has the verdict and the
# folder of the results, store/lin-kv/TIME in the repository's root. Maelstrom needs gnuplot and a Java runtime; it is at
# https://github.com/jepsen-io/maelstrom/releases. RAFT=/path/to/raft uses that binary instead of building one.
#
# Exit status: that of Maelstrom, of many tests the worst: 0 valid, 1 invalid, 2 unknown; else something failed.
set -eu

usage() {
  sed -n '2,11s/^# \{0,1\}//p' "$0"
}

fail() {
  echo "maelstrom.sh: $*" >&2
  exit 255
}

case ${1-} in
  -h | --help)
    usage
    exit 0
    ;;
esac

[ "${MAELSTROM-}" ] || fail "MAELSTROM is not set; set it to the path of Maelstrom's executable (--help says more)"
if [ ! -x "$MAELSTROM" ] || [ -d "$MAELSTROM" ]; then
  fail "MAELSTROM=$MAELSTROM is not an executable file"
fi
command -v gnuplot >/dev/null || fail "gnuplot is not in PATH; without it, Maelstrom's verdict is unknown"

# Maelstrom has one environment for all tests of a --test-count, so each is started here by itself.
count=1 node_flags='' left=$#
while [ "$left" -gt 0 ]; do
  flag=$1
  shift
  left=$((left - 1))
  case $node_flags$flag in
    --test-count)
      [ "$left" -gt 0 ] || fail "--test-count needs a value"
      count=$1
      shift
      left=$((left - 1))
      ;;
    --test-count=*) count=${flag#*=} ;;
    *)
      [ "$flag" != -- ] || node_flags='after -- '
      set -- "$@" "$flag"
      ;;
  esac
done
case $count in
  '' | 0* | *[!0-9]*) fail "--test-count: expected a whole number from 1, got '$count'" ;;
esac

# The folder changes below, so relative paths are resolved first.
absolute() {
  echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
}
MAELSTROM=$(absolute "$MAELSTROM")
[ -z "${RAFT-}" ] || RAFT=$(absolute "$RAFT")

cd "$(dirname "$0")/.."
if [ -z "${RAFT-}" ]; then
  cargo build --release --package raft --bin raft
  RAFT=${CARGO_TARGET_DIR:-target}/release/raft
fi

# The folder of the newest results.
latest() {
  (cd -P store/latest 2>/dev/null && pwd) || :
}

STDRAFT_DATA_DIR=
export STDRAFT_DATA_DIR
trap 'echo "The nodes'\'' data are in $STDRAFT_DATA_DIR" >&2; exit 130' INT TERM
number=0 worst=0 rank=0 verdict=valid places=
while [ "$number" -lt "$count" ]; do
  number=$((number + 1))
  before=$(latest)
  STDRAFT_DATA_DIR=$(mktemp -d "${TMPDIR:-/tmp}/stdraft-data-XXXXXX")
  status=0
  # In each Maelstrom flag that comes twice, the later one wins.
  "$MAELSTROM" test -w lin-kv --bin "$RAFT" \
    --node-count 5 --concurrency 2n --rate 100 --time-limit 30 \
    --latency 10 --nemesis partition --nemesis-interval 5 "$@" || status=$?
  case $status in
    0) found=valid at=0 ;;
    2) found=unknown at=1 ;;
    1) found=invalid at=2 ;;
    *) found="broken (status $status)" at=3 ;;
  esac
  if [ "$at" -gt "$rank" ]; then
    rank=$at worst=$status verdict=$found
  fi
  if [ "$status" = 0 ]; then
    rm -r "$STDRAFT_DATA_DIR"
  else
    echo "The nodes' data are in $STDRAFT_DATA_DIR" >&2
  fi
  place=$(latest)
  [ "$place" != "$before" ] || place='nowhere, no results were written'
  [ "$count" = 1 ] || echo "test $number of $count: $found; results in $place"
  places=${places:+$places, }$place
done
echo "verdict: $verdict; results in $places"
exit "$worst"
