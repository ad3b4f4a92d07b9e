#!/usr/bin/env bash
# Breaks the product on purpose, one way at a time, and looks whether the searches notice.
#
#   maelstrom-tests/mutants.sh                all of them, with a table at the end
#   maelstrom-tests/mutants.sh --only NAME    this one; may be given often
#   maelstrom-tests/mutants.sh --list         what there is
#   maelstrom-tests/mutants.sh --check        whether each still fits the source, in a second
#
#   --seconds N      how long the simulator and the bench may search for each (default: 60); the model checker a quarter
#                    of it in each of its worlds
#   --rungs LIST     which of golden,model,sim,storage,host,bench are climbed (default: all that may see the mutant)
#   --jobs J         how many mutants at once, each with a build folder of its own (default: 1)
#   --results FILE   where a line is written for each that is done; those that have one there are not run again
#   --dir DIR        where the copies are built (default: a new folder that is removed in the end); kept for the next time
#
# A mutant stands in mutants/*.txt as
#
#   mutant NAME
#   why WHAT IS WRONG WITH IT
#   in FILE
#   -a line of the file that goes
#   +a line that comes in its place
#
# A blank in front of a line is one that stays. The lines that go and stay must stand in the file, one after the other, exactly once;
# how far they are indented does not count. So none can rot without being noticed. A mutant that can't be told from the
# product has a line `equivalent WHY` and is not run.
#
# Each is put into a copy of the sources, built in release, so that no debug assertion helps, and shown to the golden
# scripts, the model checker, the simulator, then (storage, host) their tests or (wire, host, node) the bench with
# processes that are killed. The first to say no ends it. The exit status is 0 if every mutant was caught.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

seconds=60 jobs=1 task=run only=() results='' dir='' rungs=golden,model,sim,storage,host,bench
usage() { sed -n '2,15s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
    case $1 in
        --only | --seconds | --rungs | --jobs | --results | --dir)
            [ $# -gt 1 ] || { echo "$1 needs a value" >&2; exit 2; } ;;
    esac
    case $1 in
        --only) only+=("$2"); shift ;;
        --seconds) seconds=$2; shift ;;
        --rungs) rungs=$2; shift ;;
        --jobs) jobs=$2; shift ;;
        --results) results=$2; shift ;;
        --dir) dir=$2; shift ;;
        --list) task=list ;;
        --check) task=check ;;
        --help | -h) usage; exit 0 ;;
        *) echo "what is $1?" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

apply() { awk -f "$here/mutants/apply.awk" -v root="$1" -v name="$2" "$here"/mutants/*.txt; }

# Each mutant in a line: its name, its files, what is wrong, and why it is equivalent, if it is.
list=$(apply "$root" all)
if [ $task = check ]; then
    echo "$(wc -l <<<"$list") mutants fit"
    exit 0
fi
if [ ${#only[@]} -gt 0 ]; then
    list=$(for name in "${only[@]}"; do
        grep -P "^\Q$name\E\t" <<<"$list" || { echo "there is no mutant $name" >&2; exit 2; }
    done)
fi
if [ $task = list ]; then
    awk -F'\t' '{ printf "%-48s %s\n", $1, $3 }' <<<"$list"
    exit 0
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
results=$(realpath "${results:-$scratch/results}")
dir=$(realpath "${dir:-$scratch}")
touch "$results"

# Which rungs may see a change to these files.
rungs_of() {
    case $1 in
        raft/core/*) echo golden model sim ;;
        raft/src/storage/*) echo sim storage ;;
        raft/src/wire.rs | raft/src/kv.rs) echo sim bench ;;
        raft/src/host/*) echo host bench ;;
        *) echo bench ;;
    esac
}

# The worlds of the model checker: each is a few seconds of search, and they differ in what may happen.
worlds=(
    "--nodes 3 --terms 1 --expiries 1 --commands 1 --in-flight 2"
    "--nodes 2 --terms 2 --expiries 2 --commands 1 --crashes 1 --in-flight 2"
    "--nodes 2 --terms 2 --expiries 2 --commands 1 --reads 1 --in-flight 2"
    "--nodes 2 --terms 2 --expiries 2 --commands 2 --crashes 1 --in-flight 2 --snapshot-entries 1"
    "--nodes 3 --terms 2 --expiries 3 --commands 1 --in-flight 3"
)

# The first test that failed, by what cargo says.
failed_test() {
    sed -n 's/^test \(.*\) \.\.\. FAILED/\1/p; s/^    \([a-z_:]*\)$/\1/p' "$log" | sort -u | head -1
}

# Runs a rung, with what it says in $log. The status is 0 if it found nothing; $why says what it found.
climb() {
    local rung=$1 status=0
    case $rung in
        golden)
            timeout 120 "$golden" --nocapture >"$log" 2>&1 || status=$?
            why=$(grep -oE '[a-z_]+/[a-z_0-9]+\.txt' "$log" | sort -u | awk '
                NR == 1 { first = $0 } END { if (NR) printf "%s%s", first, (NR > 1 ? " and " NR - 1 " more" : "") }') ;;
        model)
            local world
            for world in "${worlds[@]}"; do
                status=0
                # shellcheck disable=SC2086
                timeout $((seconds / 2 + 30)) "$bench" model $world --seconds $((seconds / 4)) >"$log" 2>&1 || status=$?
                if [ $status = 2 ]; then status=0; fi
                if [ $status != 0 ]; then break; fi
            done
            why=$(sed -n 's/^# *//p' "$log" | head -1) ;;
        sim)
            timeout $((seconds * 2 + 60)) "$bench" sim --seeds 0..1000000000 \
                --minutes "$(awk -v s="$seconds" 'BEGIN { print s / 60 }')" >"$log" 2>&1 || status=$?
            why=$(sed -n 's/^seed \([0-9]*\), event [0-9]*: \(.*\)/seed \1: \2/p' "$log" | head -1) ;;
        storage)
            timeout 300 cargo test --release --quiet -p maelstrom-tests --test storage >"$log" 2>&1 || status=$?
            why=$(failed_test) ;;
        host)
            timeout 300 cargo test --release --quiet -p raft --lib host:: >"$log" 2>&1 || status=$?
            why=$(failed_test) ;;
        bench)
            # A node gives up a request sooner than a client does, so that what it says of it is heard.
            timeout $((seconds * 2 + 60)) "$bench" test --node-count 5 --concurrency 10 --rate 300 --latency 15 \
                --time-limit "$seconds" --nemesis kill,partition,pause --nemesis-interval 2 --seed 1 \
                --data-dir "$copy/data" --store "$copy/store" -- --log error --heartbeat 50 --election-timeout 150..300 \
                --snapshot-entries 40 --snapshot-chunk-bytes 100 >"$log" 2>&1 || status=$?
            rm -rf "$copy/data" "$copy/store"
            why=$(grep -m1 'is not linearizable' "$log" || true) ;;
    esac
    if [ $status = 124 ]; then
        why='it does not end'
    elif grep -q "panicked at" "$log" && [ -z "$why" ]; then
        why=$(grep -A1 "panicked at" "$log" | sed -n 2p)
    elif [ -z "$why" ]; then
        why=$(grep -v '^ *$' "$log" | tail -n 1)
    fi
    return $((status != 0))
}

# Runs the mutants of the lines that it reads, in the copy that it is given.
work() {
    local copy=$1 name files what status rung began log=$1/log golden='' bench why
    mkdir -p "$copy/source"
    (cd "$root" && git ls-files -z | tar -c --null -T -) | tar -x -m -C "$copy/source"
    cd "$copy/source"
    export CARGO_TARGET_DIR=$copy/target
    # Half as long to build as with all optimizations, and still fast to search.
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_INCREMENTAL=true
    export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256
    # Tests are built to unwind, and all else would be built a second time if it were not; and so the simulator can tell how a panic came about.
    export CARGO_PROFILE_RELEASE_PANIC=unwind
    bench=$CARGO_TARGET_DIR/release/maelstrom-tests
    while IFS=$'\t' read -r name files what; do
        apply "$copy/source" "$name"
        local todo=() targets=()
        for rung in $(rungs_of "$files"); do
            if [[ ",$rungs," == *",$rung,"* ]]; then todo+=("$rung"); fi
        done
        case " ${todo[*]} " in *" golden "*) targets+=(--test golden) ;; esac
        status='not caught' why=''
        if ! cargo build --release --message-format short -p maelstrom-tests --bin maelstrom-tests "${targets[@]}" >"$log" 2>&1; then
            todo=()
            status='does not compile' why=$(grep -m1 error "$log" || true)
        fi
        golden=$(ls -t "$CARGO_TARGET_DIR"/release/deps/golden-* 2>/dev/null | grep -v '\.d$' | head -1 || true)
        began=$(date +%s.%N)
        for rung in "${todo[@]}"; do
            began=$(date +%s.%N)
            if ! climb "$rung" </dev/null; then
                status=$rung
                break
            fi
            why=''
        done
        # In a cell of a table stands one line, and not a long one.
        why=$(sed 's/^ *//; s/: [[{].*//; s/ stored Ledger .*//; s/ finds Some(.*//; s/: faulty:.*//; s/[`|]//g' <<<"$why" | cut -c1-100)
        printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$why" "$(awk -v b="$began" -v e="$(date +%s.%N)" 'BEGIN { printf "%.1f", e - b }')" >>"$results"
        tail -1 "$results" >&2
        # What it changed, and nothing else, is built anew for the next.
        local file
        for file in $files; do cp "$root/$file" "$file"; done
    done
}

todo=$(awk -F'\t' 'FILENAME != "-" { done[$1] = 1; next } !($1 in done) && $4 == ""' "$results" - <<<"$list")
for ((job = 0; job < jobs; job++)); do
    awk -v jobs="$jobs" -v job="$job" 'NF && NR % jobs == job' <<<"$todo" | work "$dir/$job" &
done
wait

# The table.
awk -F'\t' -v OFS=' | ' '
    FILENAME != "-" { by[$1] = $2; why[$1] = $3; after[$1] = $4; next }
    FNR == 1 {
        print "| mutant | what is wrong | caught by | after |"
        print "|---|---|---|---|"
    }
    $4 != "" { print "| " $1, $3, "equivalent: " $4, "- |"; equivalent++; next }
    !($1 in by) { by[$1] = "not run" }
    { said = by[$1] (why[$1] == "" ? "" : ": " why[$1]) }
    { print "| `" $1 "`", $3, said, (after[$1] == "" ? "-" : after[$1] " s") " |" }
    { count[by[$1]]++; all++ }
    END {
        printf "\n%d mutants:", all
        for (rung in count) printf " %d %s,", count[rung], rung
        printf " %d equivalent\n", equivalent
        exit count["not caught"] + count["not run"] + count["does not compile"] > 0
    }' "$results" - <<<"$list"
