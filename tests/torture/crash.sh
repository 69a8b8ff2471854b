# shellcheck shell=bash disable=SC2154 # counts and here are torture.sh's
# kill -9, or a signal that may be caught, at random instants of a run that writes checkpoints all
# the time, on a disk that is slow to sync, so that many instants are inside a write. The run goes
# on each time; in the end its bytes are those of a run that nothing happened to, which is also
# looked at on the way.

# Start or resume the run, with each sync delayed; its process is $pid. (A shell without job control
# has what it starts ignore SIGINT.)
start_slowly() {
    env --default-signal=INT strace -D -o /dev/null -e trace=fsync \
        -e inject=fsync:delay_enter=3000 \
        "$DDPM" train --config tiny.json --quiet --resume=auto --out run >out 2>err &
    pid=$!
    # env and strace first, which do with signals what they like
    until [ "$(readlink /proc/$pid/exe)" = "$DDPM" ] || ! kill -0 $pid 2>/dev/null; do pause 2; done
}

# Hit the run with signal $1 some time after its start, and see that it ends with status $2.
hit() { # SIGNAL STATUS FAULT
    local status=0
    start_slowly
    pause "$(instant 20 400 "$3")"
    kill -"$1" $pid 2>/dev/null || defect "$1 $3: the run had ended: $(cat err)"
    { wait $pid; } 2>/dev/null || status=$? # bash says "Killed"
    [ $status -eq "$2" ] || defect "$1 $3: exit code $status, not $2: $(cat err)"
    if [ -e run/checkpoints/latest ]; then
        [ -s run/checkpoints/latest/ddpm.json ] || defect "$1 $3: latest names no checkpoint"
    fi
    faults=$((faults + 1))
}

# The run has to go on, and to be as if nothing had happened.
look() { # NAME
    train --resume=auto --out run --set train.checkpoint_every=0 --max-seconds 1 >/dev/null 2>err
    [ $? -eq 75 ] || defect "$1: cannot go on: $(cat err)"
    is_as_if_nothing_happened run || defect "$1: other bytes than an undisturbed run's"
}

run_hits() { # COUNT SIGNAL:STATUS...
    local count=$1 i which
    shift
    [ ! -e progress ] || i=$(cat progress)
    for ((i = ${i:-0}; i < count; i++)); do
        which=$((i % $# + 1))
        hit "${!which%:*}" "${!which#*:}" "$i"
        echo $((i + 1)) >progress
        [ $(((i + 1) % 25)) -ne 0 ] || look "after $((i + 1))"
    done
    look "at the end"
}

run_crash() {
    if [ "$counts" = full ]; then run_hits 200 KILL:137; else run_hits 8 KILL:137; fi
}
