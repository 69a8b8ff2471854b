#!/usr/bin/env bats
# A sample of what `make torture` does: no fault ends in a loss, a crash or silence.

setup() {
    [ -n "${ALLOCATOR:-}" ] || skip "faults do not go with sanitizers: make test"
}

torture() { # PART
    "$BATS_TEST_DIRNAME/../torture/torture.sh" --counts small --state "$BATS_TEST_TMPDIR" "$1"
}

@test "kill -9 at any instant" { torture crash; }

@test "SIGINT, SIGTERM, SIGHUP at any instant" { torture signals; }

@test "calls that write fail" { torture disk; }

@test "allocations fail" { torture memory; }

@test "bytes change, and files are cut" { torture bytes; }
