# shellcheck shell=bash disable=SC2154 # counts and here are torture.sh's
# Every byte of small files of each kind changed, and every length cut (tests/train/test_damage.c):
# an error that names the file, or what was there before, or, where nothing can tell, other numbers;
# never a crash.

run_bytes() {
    local name much=some
    [ "$counts" = small ] || much=all
    for name in $("$DAMAGE" names); do
        [ ! -e "done.$name" ] || continue
        if timeout 7200 "$DAMAGE" $much "$name" >out 2>&1 &&
            grep "^$name: [0-9]* inputs" out >counted; then
            mv counted "done.$name"
        else
            defect "$name: $(tail -n 20 out)"
        fi
    done
    for name in done.*; do
        [ -e "$name" ] || break
        sed 's/^/torture: /' "$name"
        faults=$((faults + $(awk '{ print $2 }' "$name")))
    done
}
