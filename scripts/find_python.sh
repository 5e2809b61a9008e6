# Sourced by the shell scripts: sets PYTHON to a Python that is new enough.

find_python() {
    local candidate
    for candidate in ${GPT4ALL_PYTHON:+"$GPT4ALL_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            PYTHON=$(command -v "$candidate")
            return
        fi
    done
    echo "error: no Python 3.10 or newer found" >&2
    echo "On Debian or Ubuntu: sudo apt-get install python3 (or set GPT4ALL_PYTHON to one)" >&2
    exit 1
}

find_python
