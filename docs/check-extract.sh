#!/bin/sh
# Checks an extract of an audit log (export.md), with sh, sed and the GNU coreutils alone.
#
#   sh check-extract.sh EXTRACT
#
# Says to which SEQ:HASH all of it leads, for you to compare with one from elsewhere. Exit status 1: it does not hold.
# The digits of hmac need the key: they are for `otel-audit verify`.
# An extract of `export --no-links`, or of a log without a chain, is for `otel-audit verify`. About 40 left-out entries
# a second: sha256sum cannot go on from a state, so the shell does.
set -euf
LC_ALL=C
export LC_ALL
k='428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5 d807aa98 12835b01 243185be 550c7dc3 72be5d74
80deb1fe 9bdc06a7 c19bf174 e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da 983e5152 a831c66d
b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967 27b70a85 2e1b2138 4d2c6dfc 53380d13 650a7354 766a0abb 81c2c92e
92722c85 a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070 19a4c116 1e376c08 2748774c 34b0bcb5
391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3 748f82ee 78a5636f 84c87814 8cc70208 90befffa a4506ceb bef9a3f7 c67178f2'

compress() { # $state, and the 16 words of a block as arguments: FIPS 180-4, 6.2.2
    t=0
    for word; do
        eval "w$t=\$((0x$word))"
        t=$((t + 1))
    done
    set -- $state
    a=$((0x$1)) b=$((0x$2)) c=$((0x$3)) d=$((0x$4)) e=$((0x$5)) f=$((0x$6)) g=$((0x$7)) h=$((0x$8))
    t=0
    for constant in $k; do
        if [ $t -ge 16 ]; then
            eval "x=\$w$((t - 15)) y=\$w$((t - 2)) z=\$((w$((t - 16)) + w$((t - 7))))"
            x=$((((x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ x >> 3) & 0xffffffff))
            y=$((((y >> 17 | y << 15) ^ (y >> 19 | y << 13) ^ y >> 10) & 0xffffffff))
            eval "w$t=$(((x + y + z) & 0xffffffff))"
        fi
        eval "word=\$w$t"
        x=$((((e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7)) & 0xffffffff))
        x=$((h + x + (e & f ^ ~e & g) + 0x$constant + word))
        y=$((((a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10)) & 0xffffffff))
        y=$((y + (a & b ^ a & c ^ b & c)))
        h=$g g=$f f=$e e=$(((d + x) & 0xffffffff)) d=$c c=$b b=$a a=$(((x + y) & 0xffffffff))
        t=$((t + 1))
    done
    state=$(printf '%08x ' $(((0x$1 + a) & 0xffffffff)) $(((0x$2 + b) & 0xffffffff)) $(((0x$3 + c) & 0xffffffff)) \
        $(((0x$4 + d) & 0xffffffff)) $(((0x$5 + e) & 0xffffffff)) $(((0x$6 + f) & 0xffffffff)) \
        $(((0x$7 + g) & 0xffffffff)) $(((0x$8 + h) & 0xffffffff)))
}

fail() {
    echo "line $number: $1"
    exit 1
}

# One line, as what stands in it apart from each other; nothing where it has not this form from its beginning to its
# end. Only what was taken out here is ever computed with: an extract may have been made to harm whoever checks it.
taken() { printf '%s\n' "$line" | sed -n -E "s/^$1\$/$2/p"; }
digits='([0-9a-f]{64})' natural='([1-9][0-9]{0,15})'
text='(null|"([^"\\]|\\.)*")'
first='\{"extract":1,"stream_id":'$text',"integrity":"chain"(,"key_id":'$text')?,"selection":\{.*\}\}'
entry='\{"seq":'$natural',.*,"prev_hash":"'$digits'","hash":"'$digits'"(,"hmac":"'$digits'")?\}'
left_out='\{"left_out":'$natural',"hash":"'$digits'","length":([1-9][0-9]{0,6}),"state":"'$digits'"'
left_out=$left_out',"rest":"(([0-9a-f]{2}){0,63})"\}'
prev_hash=2c22707265765f68617368223a22 # ,"prev_hash":"

extract=$1 hash='' seq='' number=0 chosen=0 left=0 led=''
case $extract in -*) extract=./$extract ;; esac
[ -f "$extract" ] || fail "expected a file, got $extract"
[ -z "$(tr -d -c '\000' <"$extract" | head -c 1 | od -An -tx1)" ] || fail "expected text, got a NUL"
[ "$(tail -c 1 "$extract" | od -An -tx1 | tr -d ' ')" = 0a ] || fail "expected LF at the end of the extract"
while IFS= read -r line; do
    number=$((number + 1))
    [ -z "$led" ] || fail "expected nothing behind the head"
    if [ $number -eq 1 ]; then
        case $(taken "$first" 'x\4') in # where it does not say whether the log has a key, the first entry does
        x) keyed='' ;;
        xnull) keyed=no ;;
        x*) keyed=yes ;;
        *) fail "expected the first line of an extract of a chain, version 1" ;;
        esac
        continue
    fi
    case $line in
    '{"seq":'*) # an entry: its own hash, and that of the one before
        set -- $(taken "$entry" '\1 \2 \3 \5')
        [ $# -ge 3 ] || fail "expected an entry"
        next=$1 before=$2 own=$3 end=75 mac=no
        [ $# -eq 3 ] || end=149 mac=yes
        [ "${keyed:=$mac}" = $mac ] || fail "expected hmac: $keyed, got $mac"
        [ "$own" = "$(printf %s "$line" | head -c "-$end" | sha256sum | cut -c -64)" ] || fail "its own hash is another"
        [ -z "$hash" ] || [ "$before" = "$hash" ] || fail "expected prev_hash $hash"
        hash=$own chosen=$((chosen + 1))
        ;;
    '{"left_out":'*) # one that is left out: go on from the state, with the hash before
        set -- $(taken "$left_out" '\1 \2 \3 \4 \5')
        [ $# -ge 4 ] || fail "expected an entry that is left out"
        [ -n "$hash" ] || fail "expected an entry first, got one that is left out"
        next=$1 own=$2 length=$3 state=$4 rest=${5-}
        before=$((length - 65 - ${#rest} / 2)) # bytes
        [ $before -gt 0 ] && [ $((before % 64)) -eq 0 ] || fail "expected whole blocks before the rest"
        case $rest in
        *$prev_hash) ;;
        *) case $prev_hash in *"$rest") ;; *) fail "expected a rest that leads to prev_hash" ;; esac ;;
        esac
        message=$rest$(printf %s "$hash" | od -An -v -tx1 | tr -d ' \n')2280
        while [ $(((${#message} + 16) % 128)) -ne 0 ]; do message=${message}00; done
        message=$message$(printf '%016x' $((8 * length)))
        state=$(echo "$state" | fold -w 8)
        for block in $(echo "$message" | fold -w 128); do
            compress $(echo "$block" | fold -w 8)
        done
        hash=$(echo "$state" | tr -d ' ') left=$((left + 1))
        [ "$own" = "$hash" ] || fail "expected hash $hash"
        ;;
    '{"head":'*)
        [ -n "$seq" ] && [ "$line" = '{"head":{"seq":'"$seq"',"hash":"'"$hash"'"},"chosen":'$chosen',"left_out":'$left'}' ] ||
            fail "expected head $seq:$hash, $chosen chosen, $left left out"
        led=yes
        continue
        ;;
    *) fail "expected an entry, or one that is left out" ;;
    esac
    [ -z "$seq" ] || [ "$next" -eq $((seq + 1)) ] || fail "expected seq $((seq + 1)), got $next"
    seq=$next
done <"$extract"
[ -n "$led" ] || fail "expected the head"
echo "all of it leads to $seq:$hash"
