#!/usr/bin/env bash
# Three nodes on three hosts (network namespaces), which reach each other through stunnel alone.
#
#   sudo docs/tunnel/try.sh [PATH-OF-raft]
#
# Each node listens on its own loopback. Each host accepts TLS from the others at port 8100 and has, for each other node,
# a port of its own loopback that leads there. So the addresses in the log, 127.0.0.1:7101 to 7103, are right on each host.
# Needs root, ip and stunnel, or says SKIPPED. Exit status: 0 all that was acknowledged was read back; 1 not.
set -euo pipefail
raft=$(realpath "${1:-$(dirname "$0")/../../target/release/raft}")
for tool in ip stunnel; do
    if ! command -v "$tool" >/dev/null || [ "$(id -u)" != 0 ]; then
        echo "SKIPPED: this needs root and $tool"
        exit 0
    fi
done
[ -x "$raft" ] || { echo "$raft is missing: cargo build --release" >&2; exit 1; }

dir=$(mktemp -d)
nodes=(1 2 3)
end() {
    for i in "${nodes[@]}"; do
        ip netns pids "raft-try$i" 2>/dev/null | xargs -r kill
        ip netns del "raft-try$i" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap end EXIT
trap 'exit 130' INT TERM

on() { ip netns exec "raft-try$1" "${@:2}"; }

echo "== three hosts, a tunnel on each"
(umask 077; echo "raft:$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$dir/psk")
for i in "${nodes[@]}"; do
    ip netns add "raft-try$i"
    on "$i" ip link set lo up
done
# The link between the hosts 1 and 3 is 10.77.4.0/24, with host 3 at 10.77.4.3.
for pair in '1 2' '1 3' '2 3'; do
    read -r i j <<<"$pair"
    ip link add "to$j" netns "raft-try$i" type veth peer name "to$i" netns "raft-try$j"
    on "$i" ip address add "10.77.$((i + j)).$i/24" dev "to$j"
    on "$j" ip address add "10.77.$((i + j)).$j/24" dev "to$i"
    on "$i" ip link set "to$j" up
    on "$j" ip link set "to$i" up
done
for i in "${nodes[@]}"; do
    {
        printf 'foreground = yes\npid =\nciphers = PSK\nPSKsecrets = %s\nTIMEOUTclose = 0\n' "$dir/psk"
        printf '[in]\naccept = 0.0.0.0:8100\nconnect = 127.0.0.1:710%s\n' "$i"
        for peer in "${nodes[@]}"; do
            [ "$peer" = "$i" ] ||
                printf '[n%s]\nclient = yes\naccept = 127.0.0.1:710%s\nconnect = 10.77.%s.%s:8100\n' \
                    "$peer" "$peer" "$((i + peer))" "$peer"
        done
    } >"$dir/stunnel$i.conf"
    on "$i" stunnel "$dir/stunnel$i.conf" 2>"$dir/stunnel$i.log" &
done

echo "== a node on each host, listening on its own loopback"
members=n1=127.0.0.1:7101,n2=127.0.0.1:7102,n3=127.0.0.1:7103
for i in "${nodes[@]}"; do
    on "$i" "$raft" serve --name "n$i" --listen "127.0.0.1:710$i" --bootstrap "$members" --data-dir "$dir" \
        --log error >/dev/null 2>"$dir/n$i.log" &
done
raft() { on 1 "$raft" "$@" --connect 127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103; }
for _ in $(seq 100); do raft set started true >/dev/null 2>&1 && break || sleep 0.2; done
raft members

# A repl in a pipe fails if one of its commands does.
write() { seq "$1" "$2" | sed 's/.*/set k& &/' | raft repl >/dev/null; }
echo "== 300 writes"
write 1 300
echo "== host 3 is cut off, 300 writes"
for peer in 1 2; do on 3 ip link set "to$peer" down; done
write 301 600
echo "== host 3 is back, 300 writes"
for peer in 1 2; do on 3 ip link set "to$peer" up; done
write 601 900

echo "== read back at host 3"
lost=0
while read -r n value; do
    [ "$n" = "$value" ] || lost=$((lost + 1))
done < <(paste -d' ' <(seq 900) <(seq 900 | sed 's/.*/get k&/' | on 3 "$raft" repl --connect 127.0.0.1:7103))
echo "900 writes acknowledged, $lost lost"
[ "$lost" = 0 ]
