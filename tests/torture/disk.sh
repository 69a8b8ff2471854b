# shellcheck shell=bash disable=SC2154 # counts and here are torture.sh's
# Every call that writes made to fail once, one by one, while a run takes two steps, writes two
# checkpoints, drops old ones and draws grids: an error that says what failed, exit code 1, and the
# checkpoint that there was is whole; or a warning where a grid failed, and the run as it should be.

CALLS=(write:ENOSPC fsync:EIO rename:ENOSPC mkdir:ENOSPC close:EIO symlink:ENOSPC unlink:EACCES
    ftruncate:EIO)

two_steps() { # COMMAND... : what to run ddpm under
    "$@" "$DDPM" train --config tiny.json --resume --out run --quiet --set train.steps=7 \
        --set train.sample_every=1 --set train.keep_checkpoints=1
}

# Whether the run can go on, and to the right bytes.
is_whole() {
    two_steps >/dev/null 2>after || return 1
    [ "$(latest_step run)" -eq 7 ] && is_as_if_nothing_happened run
}

# The k-th call fails. False once there is no k-th.
fail_once() { # CALL ERRNO K
    local status=0
    rm -rf run && cp -a base run
    two_steps strace -o trace -e trace="$1" -e inject="$1:error=$2:when=$3" >out 2>err || status=$?
    grep -q INJECTED trace || return 1
    faults=$((faults + 1))
    case $status in
    0) [ "$(latest_step run)" -eq 7 ] || defect "$1 $3: exit code 0 without a checkpoint" ;;
    127) return 0 ;; # the loader's own calls, before there is a program
    1) grep -q '^ddpm train: ' err || defect "$1 $3: failed without a word" ;;
    *) defect "$1 $3: exit code $status: $(cat err)" ;;
    esac
    [ "$(wc -l <err)" -le 2 ] || defect "$1 $3: $(wc -l <err) lines of errors: $(cat err)"
    is_whole || defect "$1 $3: lost: $(cat err after)"
    [ -z "$(find run -name '*.tmp' -newer base -print -quit)" ] || defect "$1 $3: left a temporary"
}

run_disk() {
    local call k from step=1
    [ "$counts" = full ] || step=17
    train --out base --set train.steps=5 --set train.checkpoint_every=5 >/dev/null || return
    for call in "${CALLS[@]}"; do
        from=1
        [ ! -e "done.${call%:*}" ] || from=$(cat "done.${call%:*}")
        for ((k = from; ; k += step)); do
            fail_once "${call%:*}" "${call#*:}" "$k" || break
            echo "$k" >"done.${call%:*}"
        done
    done
}
