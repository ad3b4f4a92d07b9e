# Reads mutants, and puts one of them into the sources below `root`, or looks whether each of them fits.
#
#   awk -f apply.awk -v root=DIR -v name=NAME FILE...    applies NAME
#   awk -f apply.awk -v root=DIR -v name=all FILE...     checks all, and lists them: name, files, why, why equivalent
#
# The lines of a change that begin with a minus or a blank stand in the source, one after the other, exactly once. Blanks
# at both ends of a line do not count. The exit status is 1 if anything is not as it should be.

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

# Where the lines of the present change stand, or 0.
function place(path,    at, i, found) {
    found = 0
    for (at = 1; at <= length_of[path] - olds + 1; at++) {
        for (i = 1; i <= olds && trimmed(lines[path, at + i - 1]) == old[i]; i++) {
        }
        if (i <= olds) {
            continue
        }
        if (found) {
            fail("mutant " mutant ": these lines stand in " path " twice: " old[1])
            return 0
        }
        found = at
    }
    if (!found) {
        fail("mutant " mutant ": these lines do not stand in " path ": " old[1])
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

# A run of changed lines is over.
function end_change(    at) {
    if (olds == 0 && news == 0) {
        return
    }
    if (olds == 0) {
        fail("mutant " mutant ": a change has no old line")
    } else if (news == olds && !differs) {
        fail("mutant " mutant ": a change changes nothing")
    } else if (name != "all" && name != mutant) {
        # Others need not fit any more once this one is in place.
    } else if (!load(source)) {
        fail("mutant " mutant ": there is no " source)
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
            fail("mutant " mutant ": it says not what it is, or changes nothing")
        }
        if (name == "all") {
            printf "%s\t%s\t%s\t%s\n", mutant, sources, why, equivalent
        }
    }
    mutant = why = equivalent = source = sources = ""
}

FNR == 1 { end_mutant() }
/^#/ || /^$/ { end_change(); next }
/^mutant / {
    end_mutant()
    mutant = $2
    if (mutant in seen) {
        fail("a second mutant " mutant)
    }
    seen[mutant] = 1
    next
}
/^why / { why = substr($0, 5); next }
/^equivalent / { equivalent = substr($0, 12); next }
/^in / {
    end_change()
    source = $2
    sources = sources (sources == "" ? "" : " ") source
    next
}
/^[-+ ]/ {
    mark = substr($0, 1, 1)
    # Old lines behind new ones begin another change, unless context joins them.
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
{ fail("this line has no meaning: " $0) }

END {
    end_mutant()
    if (name != "all" && !(name in seen)) {
        fail("there is no mutant " name)
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
