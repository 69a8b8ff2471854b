#!/usr/bin/env bash
# What the scripts that train and sample share. Each test runs in a folder of its own, with
# tiny.json in it: a config that trains hundreds of steps in a second.

DDPM=${DDPM:-$(dirname "$BATS_TEST_DIRNAME")/../ddpm}
# Waiting threads that spin make work this small many times slower on a busy machine.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

enter_folder() { # FOLDER
    cd "$1" || return 1
    cat >tiny.json <<'END'
{
  "data": { "format": "shapes", "flip": true },
  "model": { "image_size": 8, "base_channels": 8, "channel_mult": [1, 2], "res_blocks": 1,
             "attention_resolutions": [4], "norm_groups": 4 },
  "diffusion": { "timesteps": 20, "beta_start": 0.01, "beta_end": 0.4 },
  "train": { "steps": 40, "batch_size": 4, "micro_batch": 4, "learning_rate": 0.001,
             "warmup_steps": 5, "log_every": 1, "sample_every": 0, "checkpoint_every": 20 },
  "sample": { "count": 4 }
}
END
}

# Train tiny.json without a word.
train() { # OPTION...
    "$DDPM" train --config tiny.json --quiet "$@"
}

# The value that info prints of a PNG's key.
text_of() { # FILE KEY
    "$DDPM" info "$1" | awk -v key="$2  " '
        index($0, key) == 1 { sub(/^ +/, "", $0); print substr($0, 21) }'
}

# What ddpm says when it refuses: this exit code, nothing on stdout, one line on stderr that holds
# all these words.
refuses() { # CODE WORDS... -- ARGUMENT...
    local code=$1 words=() word status=0
    shift
    while [ "$1" != -- ]; do words+=("$1"); shift; done
    shift
    "$DDPM" "$@" >said.out 2>said.err || status=$?
    echo "ddpm $*: $status"
    cat said.out said.err
    [ "$status" -eq "$code" ]
    [ ! -s said.out ]
    [ "$(wc -l <said.err)" -eq 1 ]
    [[ "$(cat said.err)" == "ddpm $1: "* ]]
    for word in "${words[@]}"; do grep -qF -- "$word" said.err; done
}

latest_step() { # RUN
    local name
    name=$(readlink "$1/checkpoints/latest") && echo $((10#${name#step-}))
}

# The weights, averages and moments of two runs' latest checkpoints are the same bytes.
same_weights() { # RUN RUN
    local file
    for file in training.safetensors unet/diffusion_pytorch_model.safetensors; do
        cmp "$1/checkpoints/latest/$file" "$2/checkpoints/latest/$file" || return 1
    done
}

# The arrays of two .npy files, whose headers are as long, without those.
bytes_of() { # FILE [COUNT]
    tail -c +129 "$1" | head -c "${2:-$(wc -c <"$1")}"
}

# Two files of bytes differ by at most one anywhere. cmp prints them in octal.
within_one() { # FILE FILE
    [ "$(wc -c <"$1")" -eq "$(wc -c <"$2")" ]
    [ -s "$1" ]
    { cmp -l "$1" "$2" || true; } | awk '
        function value(octal) {
            return int(octal / 100) * 64 + int(octal / 10) % 10 * 8 + octal % 10
        }
        { d = value($2) - value($3) }
        d > 1 || d < -1 { print "byte", $1, "is off by", d; bad = 1 }
        END { exit bad }'
}

# Two .npy files of as many floats agree within a bound; NaN does not.
floats_within() { # BOUND FILE FILE
    [ "$(wc -c <"$2")" -eq "$(wc -c <"$3")" ]
    paste <(od -An -v -t f4 -w4 -j 128 "$2") <(od -An -v -t f4 -w4 -j 128 "$3") |
        awk -v bound="$1" '
        { d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d
          if ($1 $2 ~ /nan|inf/) { print "float", NR, "is", $1; exit bad = 1 } }
        END { print NR, "floats differ by at most", most + 0; exit bad || !NR || most > bound }'
}

# Wait until a command succeeds, at most half a minute.
until_done() { # COMMAND...
    local tries=0
    until "$@" >/dev/null 2>&1; do
        sleep 0.01
        tries=$((tries + 1))
        [ $tries -lt 3000 ]
    done
}

# A folder as of the binary version of CIFAR-10: 20 records in each file.
make_cifar() { # FOLDER
    local name label
    mkdir -p "$1"
    for name in data_batch_1 data_batch_2 test_batch; do
        for label in 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9; do
            # shellcheck disable=SC2059 # the label is a byte
            printf "\\$(printf %03o "$label")"
            head -c 3072 /dev/urandom
        done >"$1/$name.bin"
    done
}
