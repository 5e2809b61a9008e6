#!/usr/bin/env bash
# Builds the native libraries of the package; see --help. The work is done by
# scripts/nativebuild, which needs nothing but Python.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$root/scripts/find_python.sh"
exec "$PYTHON" "$root/scripts/nativebuild" "$@"
