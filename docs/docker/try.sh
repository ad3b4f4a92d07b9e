#!/usr/bin/env bash
# Builds the image, starts the three nodes of compose.yaml, and kills, cuts off, pauses and restarts containers
# while a client writes. Then reads back all that was acknowledged.
#
#   docs/docker/try.sh          run it
#   docs/docker/try.sh --keep   leave the cluster running afterwards
#
# Exit status: 0 nothing acknowledged was lost, or skipped because no Docker engine is at hand; 1 something failed.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
keep=false
[ "${1-}" != --keep ] || keep=true

if ! docker info > /dev/null 2>&1; then
    echo "SKIPPED: no Docker engine answers \`docker info\`; nothing was tried"
    exit 0
fi
if docker compose version > /dev/null 2>&1; then compose() { docker compose -p stdraft "$@"; }
elif command -v docker-compose > /dev/null; then compose() { docker-compose -p stdraft "$@"; }
else
    echo "SKIPPED: neither \`docker compose\` nor docker-compose is installed; nothing was tried"
    exit 0
fi

# A static binary needs nothing else in its image.
target=$(rustc -vV | sed -n 's/^host: //p')
echo "== build"
(cd "$root" && RUSTFLAGS='-C target-feature=+crt-static' cargo build -q --release -p raft --target "$target")
context=$(mktemp -d)
writer=
finish() {
    status=$?
    [ -z "$writer" ] || { kill "$writer" 2> /dev/null; wait "$writer" 2> /dev/null; } || true
    [ "$status" = 0 ] || compose logs --tail 20 || true
    $keep || compose down -v --remove-orphans > /dev/null 2>&1 || true
    rm -rf "$context"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM
cp "${CARGO_TARGET_DIR:-$root/target}/$target/release/raft" Dockerfile "$context"
DOCKER_BUILDKIT=0 docker build -q -t stdraft "$context" > /dev/null 2>&1
[ -e secret ] || (umask 077 && head -c 32 /dev/urandom | base64 > secret)
nodes=(--connect 127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103 --secret-file secret)
raft() { "$context/raft" "$@" "${nodes[@]}"; }

echo "== start"
compose down -v > /dev/null 2>&1 || true
compose up -d
until raft set started true > /dev/null 2>&1; do sleep 0.5; done
raft members

# One client writes one key after the other. The answer to the write of key n is line n.
seq 1000000000 | sed 's/.*/set k& &/' | "$context/raft" repl "${nodes[@]}" > "$context/answers" 2> "$context/reports" &
writer=$!

written() { grep -c '^OK$' "$context/answers" || true; }
# Each node says whom it takes for the leader; a node that leads is right.
leader() {
    local found=
    until [ -n "$found" ]; do
        found=$(raft status | awk '$2 == "leader" { print $1 }' | tail -1) || true
    done
    echo "$found"
}
# Waits until the client has written on.
goes_on() {
    local before
    before=$(written)
    for _ in $(seq 300); do
        [ "$(written)" -lt $((before + 20)) ] || { echo "   the client has written $(written) keys"; return; }
        sleep 0.1
    done
    echo "the client does not write on: $1" >&2
    exit 1
}

goes_on "all nodes run"
for fault in kill disconnect pause stop; do
    node=$(leader)
    container=$(compose ps -q "$node")
    echo "== $fault the leader, $node"
    case $fault in
        kill) docker kill "$container" > /dev/null ;;
        disconnect) docker network disconnect stdraft_cluster "$container" ;;
        pause) docker pause "$container" > /dev/null ;;
        stop) docker stop -t 5 "$container" > /dev/null ;;
    esac
    goes_on "$fault of $node"
    case $fault in
        kill | stop) docker start "$container" > /dev/null ;;
        disconnect) docker network connect --alias "$node" stdraft_cluster "$container" ;;
        pause) docker unpause "$container" > /dev/null ;;
    esac
    goes_on "$node is back"
done
echo "== restart all nodes at once"
compose kill > /dev/null 2>&1
compose start > /dev/null 2>&1
goes_on "all nodes were killed"
kill "$writer"
wait "$writer" 2> /dev/null || true
writer=

echo "== read back"
# The last line may be half of one.
acknowledged=$context/acknowledged
grep -n '^OK$' "$context/answers" | cut -d: -f1 > "$acknowledged"
failed=$(grep -c '^(error)' "$context/answers" || true)
sed 's/^/get k/' "$acknowledged" | raft repl > "$context/found" || true
if cmp -s "$acknowledged" "$context/found"; then
    echo "all $(wc -l < "$acknowledged") acknowledged writes were read back; $failed writes were not acknowledged"
else
    echo "acknowledged writes are lost:" >&2
    diff "$acknowledged" "$context/found" | head >&2
    exit 1
fi
