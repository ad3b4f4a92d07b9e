# Reads mutants, and applies one of them to the sources in `root`, or checks that each of them fits.
#
#   awk -f apply.awk -v root=DIR -v name=NAME FILE...    applies NAME
#   awk -f apply.awk -v root=DIR -v name=all FILE...     checks all, and prints a line for each: name, files, the tests
#                                                        that judge it or `-`, what is wrong, why it is equivalent
#
# The lines of a change that begin with a minus or a blank must occur in the source, one after the other, exactly once.
# Blanks at both ends of a line do not count. Exit status: 0, or 1 after any error.

function fail(what) {
    print FILENAME ":" FNR ": " what > "/dev/stderr"
    failed = 1
}

function trimmed(line) {
    gsub(/^[ \t]+|[ \t]+$/, "", line)
    return line
}

# Reads a source into `lines`, once.
function load(path,    line, count) {
    if (path in length_of) {
        return length_of[path] > 0
    }
    count = 0
    while ((getline line < (root "/" path)) > 0) {
        lines[path, ++count] = line
    }
    close(root "/" path)
    length_of[path] = count
    return count > 0
}

# The place of the lines of the present change, or 0.
function place(path,    at, i, found) {
    found = 0
    for (at = 1; at <= length_of[path] - olds + 1; at++) {
        for (i = 1; i <= olds && trimmed(lines[path, at + i - 1]) == old[i]; i++) {
        }
        if (i <= olds) {
            continue
        }
        if (found) {
            fail("mutant " mutant ": these lines occur in " path " more than once: " old[1])
            return 0
        }
        found = at
    }
    if (!found) {
        fail("mutant " mutant ": these lines do not occur in " path ": " old[1])
    }
    return found
}

# Puts the new lines in the place of the old ones.
function replace(path, at,    i, count, rest) {
    count = 0
    for (i = at + olds; i <= length_of[path]; i++) {
        rest[++count] = lines[path, i]
    }
    for (i = 1; i <= news; i++) {
        lines[path, at + i - 1] = new[i]
    }
    for (i = 1; i <= count; i++) {
        lines[path, at + news + i - 1] = rest[i]
    }
    length_of[path] = at + news - 1 + count
    changed[path] = 1
}

# Ends a change: a run of lines.
function end_change(    at) {
    if (olds == 0 && news == 0) {
        return
    }
    if (olds == 0) {
        fail("mutant " mutant ": a change needs a line that begins with - or a blank")
    } else if (news == olds && !differs) {
        fail("mutant " mutant ": the new lines equal the old ones")
    } else if (name != "all" && name != mutant) {
        # Other mutants need not fit once this one is applied.
    } else if (!load(source)) {
        fail("mutant " mutant ": no file " source)
    } else {
        at = place(source)
        if (at && name == mutant) {
            replace(source, at)
        }
    }
    olds = news = differs = 0
}

function end_mutant() {
    end_change()
    if (mutant != "") {
        if (why == "" || sources == "") {
            fail("mutant " mutant ": a line `why` or `in` is missing")
        }
        if (sources ~ /^maelstrom-tests\// && test == "") {
            fail("mutant " mutant ": a mutant of the test tools needs a line `test`")
        }
        if (name == "all") {
            printf "%s\t%s\t%s\t%s\t%s\n", mutant, sources, test == "" ? "-" : test, why, equivalent
        }
    }
    mutant = why = equivalent = source = sources = test = ""
}

FNR == 1 { end_mutant() }
/^#/ || /^$/ { end_change(); next }
/^mutant / {
    end_mutant()
    mutant = $2
    if (mutant in seen) {
        fail("another mutant is named " mutant)
    }
    seen[mutant] = 1
    next
}
/^why / { why = substr($0, 5); next }
/^equivalent / { equivalent = substr($0, 12); next }
/^test / {
    if (NF != 3) {
        fail("mutant " mutant ": a line `test` names a test target and a test")
    }
    test = $2 ":" $3
    next
}
/^in / {
    end_change()
    source = $2
    sources = sources (sources == "" ? "" : " ") source
    next
}
/^[-+ ]/ {
    mark = substr($0, 1, 1)
    # Old lines after new ones begin another change, unless a line that stays joins them.
    if (mark == "-" && last == "+") {
        end_change()
    }
    text = substr($0, 2)
    if (mark != "+") {
        old[++olds] = trimmed(text)
    }
    if (mark != "-") {
        new[++news] = text
    }
    if (mark != " ") {
        differs = 1
    }
    last = mark
    next
}
{ fail("unknown line: " $0) }

END {
    end_mutant()
    if (name != "all" && !(name in seen)) {
        fail("unknown mutant " name)
    }
    if (failed) {
        exit 1
    }
    for (path in changed) {
        printf "" > (root "/" path)
        for (i = 1; i <= length_of[path]; i++) {
            print lines[path, i] > (root "/" path)
        }
        close(root "/" path)
    }
}
