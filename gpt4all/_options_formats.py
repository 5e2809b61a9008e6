"""JSON Schema's string formats as grammars of what stands between the quotes.

Each gives a part of what the format allows, so that every validator takes it: no 29 February, no leap second.
"""

from __future__ import annotations

_HOUR = '("0" [0-9] | "1" [0-9] | "2" [0-3])'
_SIXTY = "[0-5] [0-9]"
_OFFSET = f'("Z" | [-+] {_HOUR} ":" {_SIXTY})'
_DAYS_28 = '("0" [1-9] | "1" [0-9] | "2" [0-8])'
_DAYS_30 = '("0" [1-9] | [1-2] [0-9] | "30")'
_DAYS_31 = '("0" [1-9] | [1-2] [0-9] | "3" [0-1])'
_DATE = (
    '[1-9] [0-9]{3} "-" ('
    f'("01" | "03" | "05" | "07" | "08" | "10" | "12") "-" {_DAYS_31} | '
    f'("04" | "06" | "09" | "11") "-" {_DAYS_30} | '
    f'"02-" {_DAYS_28})'
)
_TIME = f'{_HOUR} ":" {_SIXTY} ":" {_SIXTY} ("." [0-9]{{1,6}})? {_OFFSET}'
_COUNT = "[1-9] [0-9]{0,2}"
_TIME_SPAN = f'"T" ({_COUNT} "H" ({_COUNT} "M" ({_COUNT} "S")?)? | {_COUNT} "M" ({_COUNT} "S")? | {_COUNT} "S")'
_HEX = "[0-9a-f]"
_OCTET = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9] [0-9] | [0-9])'
_LABEL = "[a-z] [a-z0-9]{0,30}"
_HOST = f'({_LABEL} "."){{1,4}} [a-z]{{2,6}}'


def _uuid(version: str = "") -> str:
    if not version:
        return f'{_HEX}{{8}} ("-" {_HEX}{{4}}){{3}} "-" {_HEX}{{12}}'
    return f'{_HEX}{{8}} "-" {_HEX}{{4}} "-{version}" {_HEX}{{3}} "-" [89ab] {_HEX}{{3}} "-" {_HEX}{{12}}'


FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f'{_DATE} "T" {_TIME}',
    "duration": f'"P" ({_COUNT} "D" ({_TIME_SPAN})? | {_TIME_SPAN})',
    "uuid": _uuid(),
    **{f"uuid{version}": _uuid(str(version)) for version in range(1, 9)},
    "ipv4": f'{_OCTET} ("." {_OCTET}){{3}}',
    "ipv6": f'{_HEX}{{1,4}} (":" {_HEX}{{1,4}}){{7}}',
    "hostname": _HOST,
    "email": f'[a-z] [a-z0-9]{{0,30}} ([._-] [a-z0-9]{{1,30}}){{0,3}} "@" {_HOST}',
    "uri": f'"http" "s"? "://" {_HOST} ("/" [A-Za-z0-9._~-]{{0,60}}){{0,8}}',
}

#: What else the standard names. Other words are no constraint to any validator.
UNSUPPORTED_FORMATS = frozenset(
    {
        "idn-email",
        "idn-hostname",
        "iri",
        "iri-reference",
        "json-pointer",
        "regex",
        "relative-json-pointer",
        "uri-reference",
        "uri-template",
    }
)
