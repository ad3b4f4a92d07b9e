#!/usr/bin/env bash
# Grows a cluster from one node to three and five, shrinks it to three, and replaces each of the three in turn, while a
# client writes. Or kills the three nodes in turn (kill -9), N times in all, and starts each again. Prints how many writes
# were done, the longest pause between two answers, and reads all keys back.
#
#   maelstrom-tests/grow.sh [--kills N] [RAFT]     the binary to run (default: target/release/raft)
#
# Exit status: 0 every request was ok and every key was read back; 1 otherwise.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kills=0
[ "${1-}" != --kills ] || { kills=$2; shift 2; }
raft=${1:-$(dirname "$here")/target/release/raft}
[ -x "$raft" ] || { echo "grow.sh: no program at $raft; build it: cargo build --release" >&2; exit 1; }
port=7401
folder=$(mktemp -d)
writer=
declare -A nodes=()
finish() {
    status=$?
    [ "$status" = 0 ] || tail -n 5 "$folder"/n*.log || true
    kill $writer "${nodes[@]}" 2> /dev/null || true
    wait 2> /dev/null || true
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

at() { echo "127.0.0.1:$((port + ${1#n}))"; }
# Starts a node; what follows its name says how its empty folder begins.
start() {
    local name=$1
    shift
    "$raft" serve --name "$name" --listen "$(at "$name")" --data-dir "$folder" --metrics off "$@" 2> "$folder/$name.log" &
    nodes[$name]=$!
}
stop() {
    for name in "$@"; do
        kill -9 "${nodes[$name]}"
        wait "${nodes[$name]}" 2> /dev/null || true
        unset "nodes[$name]"
    done
}
# The members, to ask.
members=(n1)
asked() {
    local list
    list=$(for name in "${members[@]}"; do at "$name"; done)
    echo "${list//$'\n'/,}"
}
ask() { "$raft" "$@" --connect "$(asked)" --timeout 30; }
add() {
    start "$1" --join "$(asked)"
    ask add "$1=$(at "$1")"
    members+=("$1")
}
written() { wc -l < "$folder/answers"; }
# Lets the client write a hundred more keys.
step() {
    local before
    before=$(written)
    until [ "$(written)" -gt $((before + 100)) ]; do sleep 0.05; done
    echo "$(date +%T)  $*; writes so far: $(written)"
}

grow() {
    for name in n4 n5; do add "$name"; done
    step "five nodes"
    for name in n1 n2; do ask remove "$name"; done
    members=(n3 n4 n5)
    stop n1 n2
    step "three nodes"
    for old in n3 n4 n5; do
        new=n$((${old#n} + 3))
        start "$new" --join "$(asked)"
        ask replace "$old" "$new=$(at "$new")"
        members=("${members[@]/$old/$new}")
        stop "$old"
        step "$new in place of $old"
    done
}
# Whether a node has applied this many entries.
has_applied() { ask status | awk -v name="$1" -v least="$2" '$1 == name && $NF >= least { found = 1 } END { exit !found }'; }
# Kills nodes, each once the one before has caught up. The client asks for the members once a second; before that it knows
# only the first node.
kill_each() {
    sleep 2
    for number in $(seq "$kills"); do
        name=n$((number % 3 + 1))
        stop "$name"
        step "kill $number: without $name"
        start "$name"
        before=$(written)
        until has_applied "$name" "$before"; do sleep 0.1; done
    done
    echo "two longest election timeouts: 2000 ms"
}

start n1 --bootstrap "n1=$(at n1)"
until ask set begun true > /dev/null 2>&1; do sleep 0.1; done
touch "$folder/answers"
# Each line: when the answer came, and the answer. The answer to the write of key n is line n.
(
    seq 1000000000 | sed 's/.*/set k& &/' | "$raft" repl --connect "$(at n1)" 2> "$folder/reports" & echo $! > "$folder/client"
    wait
) | while IFS= read -r line; do echo "$EPOCHREALTIME $line"; done >> "$folder/answers" &
recorder=$!
until [ "$(written)" -gt 100 ]; do sleep 0.1; done
writer=$(cat "$folder/client")

step "one node"
for name in n2 n3; do add "$name"; done
step "three nodes"
if [ "$kills" = 0 ]; then grow; else kill_each; fi
ask members
kill "$writer"
writer=
wait "$recorder" || true

cut -d' ' -f2- "$folder/answers" > "$folder/plain"
total=$(wc -l < "$folder/plain")
bad=$(grep -vc '^OK$' "$folder/plain" || true)
awk 'NR > 1 && $1 - last > longest { longest = $1 - last } { last = $1 }
    END { printf "longest pause between two answers: %.0f ms\n", longest * 1000 }' "$folder/answers"
echo "writes: $total; not ok: $bad"
seq "$total" > "$folder/expected"
sed 's/^/get k/' "$folder/expected" | ask repl > "$folder/found" || true
lost=$(diff "$folder/expected" "$folder/found" | grep -c '^<' || true)
echo "lost: $lost"
[ "$bad" = 0 ] && [ "$lost" = 0 ]
