#!/bin/sh
# Checks the audit log beside this file: every file against SHA256SUMS, then of every line its own hash, its seq, and
# the hash of the line before.
#
#   sh check.sh [SEQ:HASH]
#
# Some minutes for a million lines; TMPDIR=/dev/shm spares the disk.
# SEQ:HASH is an anchor: the head, or any receipt, as somebody else kept it. Needs sh, sed and the GNU coreutils.
# Exit status: 0 all is right, 1 something is not, 2 it could not be checked.
set -eu
LC_ALL=C
export LC_ALL
unset CDPATH
at_once=1000 # lines; each is a file for a moment
genesis=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
digits='\([0-9a-f]\{64\}\)'

say() { printf '%s\n' "$*"; }
fail() {
    say "NOT INTACT: $*"
    exit 1
}

anchor=${1:-}
case $anchor in
'' | *[0-9]:????????????????????????????????????????????????????????????????) ;;
*)
    say "expected SEQ:HASH, got $anchor" >&2
    exit 2
    ;;
esac

cd -- "$(dirname -- "$0")"
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
trap 'exit 130' HUP INT TERM

sha256sum --check --quiet SHA256SUMS >"$folder/sums" 2>&1 || {
    cat -- "$folder/sums"
    fail "a file is not the one that SHA256SUMS knows"
}
say "files: all as in SHA256SUMS"

# The names of the segments, in order. A name has neither LF nor backslash.
sed -n 's/^[0-9a-f]\{64\}  \(log\/.*\)$/\1/p' SHA256SUMS >"$folder/segments"

# What the log is. Its lines themselves tell before it says so: one with a link makes it a chain, one with an hmac has a
# key. Only a sealed line is believed that it opens the log, and where no line has a seal, one of this form.
seal=',"hash":"'$digits'"\(,"hmac":"[0-9a-f]\{64\}"\)\{0,1\}}$'
opens='^{"seq":[1-9][0-9]*,"time":"[^"]*","event_name":"audit\.log\.opened",.*'
first() { # the first line of the log that fits a pattern
    found=''
    while IFS= read -r segment; do
        found=$(sed -n "/$1/{p;q;}" "$segment" | tr -d '\000')
        [ -z "$found" ] || break
    done <"$folder/segments"
    say "$found"
}
entry='^{"seq":[1-9][0-9]*,.*'
linked=$(first "$entry"',"prev_hash":"'$digits'"'"$seal")
keyed=$(first "$entry"',"hash":"'$digits'","hmac":"'$digits'"}$')
opened=$(first "$opens$seal")
sealed=$(first "$entry$seal")
if [ -z "$opened$sealed" ]; then
    opened=$(first "$opens"'"audit\.integrity\.mode":"none".*}$')
fi
mode=$(say "$opened" | sed -n 's/.*"audit\.integrity\.mode":"\([a-z]*\)".*/\1/p')
key=$(say "$opened" | sed -n 's/.*"audit\.key\.id":"\([0-9a-f]*\)".*/\1/p')
[ -z "$linked" ] || mode=chain
[ -z "$keyed" ] || key=some

# The fixed end of a line, and its length with the LF.
end=',"hash":"'$digits'"}' bytes=76
[ -z "$key" ] || end=',"hash":"'$digits'","hmac":"[0-9a-f]\{64\}"}' bytes=150
case $mode in
chain) line='^{"seq":\([1-9][0-9]*\),.*,"prev_hash":"'$digits'"'$end'$' columns='\1 \2 \3' ;;
hash) line='^{"seq":\([1-9][0-9]*\),.*'$end'$' columns='\1 - \2' ;;
none)
    [ -z "$sealed" ] || fail "it says that its lines have no hashes, and some have"
    [ -z "$anchor" ] || fail "integrity mode none: its lines have no hashes, and the anchor $anchor can be in none"
    say "integrity mode none: its lines have no hashes, and nothing more can be checked"
    exit 0
    ;;
*) fail "no entry says what the log is" ;;
esac

# Each line of $folder/lines: seq, hash of the line before, own hash; as they stand and as they should be.
compare() {
    count=$(wc -l <"$folder/lines")
    [ "$count" -eq "$at_once" ] || rm -rf -- "$folder/each" # else each file is written over
    mkdir -p -- "$folder/each"
    (
        cd -- "$folder/each"
        split -a 4 -l 1 ../lines ''
        truncate -s "-$bytes" -- *
        sha256sum -- * | cut -c -64 >../hashes
    )
    sed "s/$line/$columns/" "$folder/lines" >"$folder/stand"
    if [ "$mode" = chain ]; then
        { say "$hash" && cat -- "$folder/hashes"; } | head -n "$count" >"$folder/before"
    else
        sed 's/.*/-/' "$folder/hashes" >"$folder/before"
    fi
    seq "$((number + 1))" "$((number + count))" | paste -d ' ' - "$folder/before" "$folder/hashes" >"$folder/should"
    wrong=$(paste -d ' ' "$folder/should" "$folder/stand" | sed -n '/^\(.*\) \1$/!{p;q;}')
    if [ -n "$wrong" ]; then
        set -- $wrong
        say "$segment: seq, hash of the line before, own hash"
        say "  expected $1 $2 $3"
        say "  got      ${4-} ${5-} ${6-}"
        fail "the first line that is not as it should be has seq ${4-none}"
    fi
    number=$((number + count))
    hash=$(tail -n 1 "$folder/hashes")
    [ -z "$anchor" ] || [ -z "$(sed -n "s/^\([0-9]*\) [^ ]* /\1:/;/^$anchor\$/p" "$folder/stand")" ] || anchored=yes
}

number=0 hash=$genesis anchored='' others=0
while IFS= read -r segment; do
    exec 3<"$segment"
    while head -n "$at_once" <&3 >"$folder/some" && [ -s "$folder/some" ]; do
        if [ -n "$(tail -c 1 "$folder/some" | tr '\000' x)" ]; then # a line without its LF is none
            torn=$segment
            head -n -1 "$folder/some" >"$folder/whole"
            cat -- "$folder/whole" >"$folder/some"
        fi
        sed -n "/$line/p" "$folder/some" >"$folder/lines"
        others=$((others + $(sed "/$line/d" "$folder/some" | wc -l)))
        [ ! -s "$folder/lines" ] || compare
    done
    exec 3<&-
done <"$folder/segments"

[ "$number" -gt 0 ] || fail "there is no entry"
[ "$others" -eq 0 ] || say "lines that are no entries, what a crash left behind for example: $others (see verify.txt)"
[ -z "${torn-}" ] || say "the last line of $torn has no end (see verify.txt)"
[ -z "$key" ] || say "the hmac of each line was not checked: that takes the key"
if [ "$mode" = chain ]; then
    say "chain: $number entries, each with the hash of the one before, head $number:$hash"
else
    say "$number entries, each with its own hash; integrity mode hash links none of them"
fi
[ -z "$anchor" ] || [ -n "$anchored" ] || fail "the anchor $anchor is not in the log"
if [ -z "$anchor" ]; then
    say "compare the head with one from elsewhere: lines cut off the end leave no trace in the log itself"
else
    say "anchor: $anchor is in the log"
fi
