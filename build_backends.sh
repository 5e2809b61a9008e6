#!/usr/bin/env bash
# Builds the native libraries of the package; see --help. Needs nothing but Python and a compiler.
exec "$(dirname "${BASH_SOURCE[0]}")/scripts/dev" build "$@"
