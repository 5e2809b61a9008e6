#!/bin/sh
# The shader compiler, with what it made kept next to this script. Sources and
# compiler are the same for all who share the directory, so the arguments
# decide; the output's path does not.
set -eu

here=$(dirname "$0")
output='' dependencies='' previous='' arguments=''
for argument in "$@"; do
    case $previous in
        -o) output=$argument ;;
        -MF) dependencies=$argument ;;
        *) case $argument in
            /*) arguments="$arguments ${argument##*/}" ;;
            -o | -MD | -MF) ;;
            *) arguments="$arguments $argument" ;;
        esac ;;
    esac
    previous=$argument
done
case $output in
    '' | -) exec @GLSLC@ "$@" ;;
esac

digest=$(printf '%s' "$arguments" | sha256sum)
kept=$here/${digest%% *}
if [ -e "$kept.spv" ] && { [ -z "$dependencies" ] || [ -e "$kept.d" ]; }; then
    cp "$kept.spv" "$output"
    if [ -n "$dependencies" ]; then
        # Its first word is the target, which is this build's own.
        { printf '%s:' "$output"; sed '1s/^[^:]*://' "$kept.d"; } >"$dependencies"
    fi
    exit 0
fi
@GLSLC@ "$@"
# Moved into place as a whole: another build may look at the same time.
if [ -n "$dependencies" ]; then
    cp "$dependencies" "$kept.d.$$"
    mv "$kept.d.$$" "$kept.d"
fi
cp "$output" "$kept.spv.$$"
mv "$kept.spv.$$" "$kept.spv"
