#!/usr/bin/env bash
# Mutation testing: breaks the product and the test tools on purpose, one way at a time, and checks that a test notices.
#
#   maelstrom-tests/mutants.sh                run all mutants and print a table of the results
#   maelstrom-tests/mutants.sh --only NAME    run this mutant; may be repeated
#   maelstrom-tests/mutants.sh --list         print the name of each mutant and what is wrong with it
#   maelstrom-tests/mutants.sh --check        check that each mutant still fits the sources (one second)
#
#   --jobs N         mutants to run at a time, each with a build folder of its own (default: 1)
#   --rungs LIST     rungs to climb, of golden,paper,core,network,snapshot,storage,metrics,unit,node,sim,model,bench,tools
#                    (default: all that can see the mutant)
#   --seeds N        seeds for the simulator (default: 1000)
#   --seconds S      time limit of the bench, and of each world of the model checker (default: 30)
#   --results FILE   append a line for each mutant; a mutant that has a line there is not run again
#   --dir DIR        build here, and keep the builds for the next time (default: a new folder, removed at the end)
#
# Exit status: 0 every mutant was caught; 1 some mutant was not caught; 2 the arguments, the mutants' texts or the
# control run are wrong.
#
# A mutant stands in mutants/*.txt as
#
#   mutant NAME
#   why WHAT IS WRONG WITH IT
#   in FILE
#   -a line to remove
#   +a line to put in its place
#
# A line that begins with a blank stays. The lines that are removed or stay must occur in the file, one after the other,
# exactly once; indentation does not count. So a mutant that no longer fits is an error. A mutant that behaves like the
# product has a line `equivalent WHY` and is not run.
#
# A mutant of the test tools (this crate) is judged by their own tests, never by the tool itself. Its line
#
#   test TARGET FILTER
#
# names them: a test target of this crate, `lib` for the unit tests, and a part of the tests' names.
#
# Each mutant is put into a copy of the sources and built in release, so that no debug assertion helps. Then it climbs
# the rungs: golden scripts, tests of the paper, the core's unit tests and those of its network and its snapshots,
# storage tests, tests of the metrics endpoint, unit tests of the product, tests of the node's process, simulator, model
# checker, bench, tests of the test tools. It is caught by the first rung where a test fails or a rule is broken; an
# exit status alone does not count, nor does a time-out.
# First, the unbroken product climbs the same rungs: it must pass all of them.
set -euo pipefail
# A backtrace would push the panic itself out of the excerpt that the bench prints.
export RUST_BACKTRACE=0
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

seeds=1000 seconds=30 jobs=1 task=run only=() results='' dir='' rungs=golden,paper,core,network,snapshot,storage,metrics,unit,node,sim,model,bench,tools
usage() { sed -n '2,19s/^# \{0,1\}//p' "$0"; }
fail() { echo "mutants.sh: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
    case $1 in
        --only | --seeds | --seconds | --rungs | --jobs | --results | --dir)
            [ $# -gt 1 ] || fail "$1 needs a value" ;;
    esac
    case $1 in
        --only) only+=("$2"); shift ;;
        --seeds) seeds=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --rungs) rungs=$2; shift ;;
        --jobs) jobs=$2; shift ;;
        --results) results=$2; shift ;;
        --dir) dir=$2; shift ;;
        --list) task=list ;;
        --check) task=check ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; fail "unknown argument '$1'" ;;
    esac
    shift
done
for rung in ${rungs//,/ }; do
    case $rung in
        golden | paper | core | network | snapshot | storage | metrics | unit | node | sim | model | bench | tools) ;;
        *) fail "unknown rung '$rung'" ;;
    esac
done

apply() { awk -f "$here/mutants/apply.awk" -v root="$1" -v name="$2" "$here"/mutants/*.txt; }

# One line for each mutant: its name, its files, the tests that judge it or -, what is wrong, and why it is equivalent,
# if it is.
list=$(apply "$root" all) || fail "mend the mutants named above in $here/mutants"
for test in $(cut -f3 <<<"$list" | sed -n 's/.*://p' | sort -u); do
    grep -rq "fn [a-z0-9_]*$test" "$here/src" "$here/tests" || fail "a mutant names the test '$test', which is not there"
done
if [ $task = check ]; then
    echo "$(wc -l <<<"$list") mutants fit"
    exit 0
fi
if [ ${#only[@]} -gt 0 ]; then
    all=$list
    list=$(for name in "${only[@]}"; do
        grep -P "^\Q$name\E\t" <<<"$all" || fail "unknown mutant '$name'; --list prints the names"
    done)
fi
if [ $task = list ]; then
    awk -F'\t' '{ printf "%-48s %s\n", $1, $4 }' <<<"$list"
    exit 0
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
results=$(realpath "${results:-$scratch/results}")
dir=$(realpath "${dir:-$scratch}")
touch "$results"
# The sources as they are now: they may be edited while the mutants run.
sources=$dir/sources

# The rungs that can see a change to these files, in the order in which they find it soonest. The rung of the test
# tools names the tests: tools:TARGET:FILTER.
rungs_of() {
    local rung
    for rung in $(case $1 in
        maelstrom-tests/*) echo "tools:$2" ;;
        raft/core/*) echo golden paper core network snapshot sim model ;;
        raft/src/storage/disk/real.rs) echo unit node ;;
        raft/src/storage/*) echo storage unit sim node ;;
        raft/src/wire* | raft/src/kv* | raft/src/sessions*) echo unit sim bench ;;
        metrics/*) echo metrics ;;
        *) echo unit node bench ;;
    esac); do
        if [[ ",$rungs," == *",${rung%%:*},"* ]]; then echo "$rung"; fi
    done
}

# The worlds of the model checker. Each takes a few seconds; they differ in which faults may occur.
worlds=(
    "--nodes 3 --terms 1 --expiries 1 --commands 1 --in-flight 2"
    "--nodes 2 --terms 2 --expiries 2 --commands 1 --crashes 1 --in-flight 2"
    "--nodes 2 --terms 2 --expiries 2 --commands 1 --reads 1 --in-flight 2"
    "--nodes 2 --terms 2 --expiries 2 --commands 2 --crashes 1 --in-flight 2 --snapshot-entries 1"
    "--nodes 3 --terms 1 --expiries 1 --commands 1 --transfers 1 --in-flight 1"
    "--nodes 2 --add 1 --terms 1 --expiries 1 --commands 0 --transfers 1 --in-flight 1"
    "--nodes 2 --add 1 --remove 1 --terms 2 --expiries 2 --commands 0 --in-flight 1"
    "--nodes 3 --remove 1 --terms 2 --expiries 2 --commands 0 --in-flight 1"
    "--nodes 2 --terms 2 --expiries 2 --commands 1 --retries 1 --in-flight 2"
    "--nodes 3 --terms 2 --expiries 3 --commands 1 --in-flight 3"
)

# The profile has one codegen unit for the crates of a node. A change of one line would compile all of its crate again.
codegen=()
for crate in json raft-core raft; do
    codegen+=(--config "profile.release.package.$crate.codegen-units=256")
done

# Builds what a rung runs, prints the executable, and leaves the compiler's messages in $log.
build() {
    local what is_test=true
    case $1 in
        golden) what=(-p maelstrom-tests --test golden) ;;
        paper) what=(-p raft-core --test paper) ;;
        core) what=(-p raft-core --lib) ;;
        network | snapshot) what=(-p raft-core --test "$1") ;;
        storage) what=(-p maelstrom-tests --test storage) ;;
        metrics) what=(-p metrics --test http) ;;
        unit) what=(-p raft --lib) ;;
        node) what=(-p raft --test node) ;;
        tools:lib:*) what=(-p maelstrom-tests --lib) ;;
        tools:*)
            what=${1#tools:}
            what=(-p maelstrom-tests --test "${what%%:*}") ;;
        *) what=(-p maelstrom-tests --bin maelstrom-tests) ;;
    esac
    case $1 in
        golden | paper | core | network | snapshot | storage | metrics | unit | node | tools:*) what=(test --no-run "${what[@]}") ;;
        *) what=(build "${what[@]}") is_test=false ;;
    esac
    cargo "${what[@]}" --release "${codegen[@]}" --message-format json-render-diagnostics 2>"$log" |
        sed -n "s/.*\"test\":$is_test},\"features\".*\"executable\":\"\([^\"]*\)\".*/\1/p" | tail -1
}

# Runs the tests of an executable, or those with these parts in their names, until one fails. Returns 0 if none did.
run_tests() {
    timeout 600 "$@" 2>&1 | awk '
        { print }
        /^running 0 tests$/ { exit 3 }
        /^test .* FAILED$/ { exit 1 }' >"$log" || return $?
}

# Runs a rung, with its output in $log. Returns 0 if it found nothing, 1 if it found the mutant, 2 if it failed in any
# other way. Sets $why to what happened.
climb() {
    local rung=$1 exe=$2 status=0 world
    case $rung in
        golden | paper | core | network | snapshot | storage | metrics | unit | node) run_tests "$exe" || status=$? ;;
        tools:*) run_tests "$exe" "${rung#tools:*:}" || status=$? ;;
        sim)
            timeout 900 "$exe" sim --seeds "0..$seeds" --jobs "$threads" >"$log" 2>&1 || status=$?
            # Status 2: some rare event never occurred.
            if [ $status = 2 ]; then status=0; fi ;;
        model)
            for world in "${worlds[@]}"; do
                status=0
                # shellcheck disable=SC2086
                timeout $((seconds + 60)) "$exe" model $world --seconds "$seconds" >"$log" 2>&1 || status=$?
                # Status 2: the time was too short for all interleavings.
                if [ $status = 2 ]; then status=0; fi
                if [ $status != 0 ]; then break; fi
            done ;;
        bench)
            # A node's own time-outs are shorter than a client's, so that the client receives the node's answer.
            timeout $((seconds * 2 + 120)) "$exe" test --node-count 5 --concurrency 10 --rate 300 --latency 15 \
                --time-limit "$seconds" --nemesis kill,partition,pause --nemesis-interval 2 --seed 1 \
                --data-dir "$copy/data" --store "$copy/store" -- --log error --heartbeat 50 --election-timeout 150..300 \
                --snapshot-entries 40 --snapshot-chunk-bytes 100 >"$log" 2>&1 || status=$?
            rm -rf "$copy/data" "$copy/store" ;;
    esac
    if [ $status = 0 ]; then return 0; fi
    # A finding in the words of a test, a rule, the linearizability checker or an assertion of the product.
    why=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p
        s/^seed \([0-9]*\), event [0-9]*: rule broken:/seed \1:/p
        s/.*rule broken: //p
        s/.*\(panicked at raft\/[^ ]*\).*/\1/p
        /is not linearizable/p' "$log" | head -1)
    if [ -n "$why" ]; then return 1; fi
    why="status $status: $(grep -v '^ *$' "$log" | tail -n 1)"
    return 2
}

# Copies the files named on standard input from one folder to another. Files that are equal stay untouched, so that
# cargo builds only what has changed; files that are not named are removed.
copy_sources() {
    local file
    mkdir -p "$2"
    (cd "$2" && find . -type f | sed 's,^\./,,' | sort) >"$2.before"
    sort >"$2.named"
    comm -23 "$2.before" "$2.named" | while read -r file; do rm "$2/$file"; done
    while read -r file; do
        if ! cmp -s "$1/$file" "$2/$file"; then
            mkdir -p "$(dirname "$2/$file")"
            cp "$1/$file" "$2/$file"
        fi
    done <"$2.named"
}

# Lets one mutant, or the unbroken product, climb these rungs. Sets $status to the rung that caught it, `not caught`,
# `does not compile` or `no verdict`, and $why to what happened.
try() {
    local rung exe code
    status='not caught' why=''
    for rung in "$@"; do
        exe=$(build "$rung") || true
        if [ -z "$exe" ]; then
            status='does not compile' why=$(grep -m1 '^error' "$log" || true)
            return
        fi
        code=0
        climb "$rung" "$exe" </dev/null || code=$?
        case $code in
            1) status=${rung%%:*}; return ;;
            2) status='no verdict' why="$rung: $why" ;;
        esac
    done
}

prepare() {
    copy=$1 log=$1/log
    (cd "$sources" && find . -type f | sed 's,^\./,,') | copy_sources "$sources" "$copy/source"
    cd "$copy/source"
    export CARGO_TARGET_DIR=$copy/target
    # Twice as fast to build as with all optimizations, and still fast to run.
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_INCREMENTAL=true
    export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 CARGO_PROFILE_RELEASE_STRIP=none
    # Tests unwind; if the binaries did not, all crates would be built twice.
    export CARGO_PROFILE_RELEASE_PANIC=unwind
}

# Runs the mutants of the lines on standard input that no other job has claimed, in a copy of the sources.
work() {
    local name files test status why began seconds_taken file
    prepare "$1"
    while IFS=$'\t' read -r name files test _; do
        mkdir "$scratch/claimed/$name" 2>/dev/null || continue
        began=$(date +%s)
        apply "$copy/source" "$name"
        # shellcheck disable=SC2046
        try $(rungs_of "$files" "$test")
        # One short line for a cell of the table.
        why=$(sed 's/^ *//; s/: [[{].*//; s/ stored Ledger .*//; s/ finds Some(.*//; s/: faulty:.*//; s/[`|]//g' <<<"$why" | cut -c1-100)
        seconds_taken=$(($(date +%s) - began))
        printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$why" "$seconds_taken" >>"$results"
        printf '%s: %s%s, %s s\n' "$name" "$status" "${why:+: $why}" "$seconds_taken" >&2
        for file in $files; do cp "$sources/$file" "$file"; done
    done
}

# The shell reads this to the end before it runs it: the script may be edited meanwhile.
{
(cd "$root" && git ls-files) | copy_sources "$root" "$sources"
here=$sources/maelstrom-tests
# A mutant that none of these rungs can see is left out.
list=$(while IFS= read -r line; do
    IFS=$'\t' read -r _ files test _ <<<"$line"
    if [ -n "$(rungs_of "$files" "$test")" ]; then echo "$line"; fi
done <<<"$list")
todo=$(awk -F'\t' 'FILENAME != "-" { done[$1] = 1; next } !($1 in done) && $5 == ""' "$results" - <<<"$list")
threads=$(nproc 2>/dev/null || echo 2)
if [ -n "$todo" ]; then
    echo "control run: the unbroken product must pass" >&2
    climbed=$(while IFS=$'\t' read -r _ files test _; do rungs_of "$files" "$test"; done <<<"$todo" | awk '!seen[$0]++')
    (
        prepare "$dir/0"
        # shellcheck disable=SC2086
        try $climbed
        if [ "$status" != 'not caught' ]; then
            cat "$log" >&2
            fail "the unbroken product does not pass: $status: $why"
        fi
    ) || exit 2
fi

mkdir "$scratch/claimed"
threads=$(((threads + jobs - 1) / jobs))
for ((job = 0; job < jobs; job++)); do
    work "$dir/$job" <<<"$todo" &
done
wait

# The table.
awk -F'\t' -v OFS=' | ' '
    FILENAME != "-" { by[$1] = $2; why[$1] = $3; after[$1] = $4; next }
    FNR == 1 {
        print "| mutant | what is wrong | caught by | time |"
        print "|---|---|---|---|"
    }
    $5 != "" { print "| " $1, $4, "equivalent: " $5, "- |"; equivalent++; next }
    !($1 in by) { by[$1] = "not run" }
    { cell = by[$1] (why[$1] == "" ? "" : ": " why[$1]) }
    { print "| `" $1 "`", $4, cell, (after[$1] == "" ? "-" : after[$1] " s") " |" }
    { count[by[$1]]++; all++ }
    END {
        printf "\n%d mutants:", all
        for (rung in count) printf " %d %s,", count[rung], rung
        printf " %d equivalent\n", equivalent
        exit count["not caught"] + count["not run"] + count["does not compile"] + count["no verdict"] > 0
    }' "$results" - <<<"$list"
exit 0
}
