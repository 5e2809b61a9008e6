"""JSON Schema's string formats, and pydantic's, as patterns.

Each pattern gives what every validator takes: no leap second, no label of a domain in Punycode, no e-mail address at
a domain that cannot have one. A pattern with parts of bounded length is made for the length asked for: a regular
language cannot count the parts and the whole at once, so several shapes of it share the work.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

from gpt4all.grammars.patterns import read_pattern
from gpt4all.grammars.regular import Language

#: Texts this short need no other bound: no part of them is too long. Longer ones consist of parts that are bounded.
SHORT = 64
#: Those to which that matters.
BOUNDED_IN_PARTS = frozenset({"email", "hostname"})
#: What a URI may have where nobody says: what browsers take, and pydantic.
LONGEST = 2083
#: As SHORT, for URIs, whose parts may be of any length.
SHORT_URI = 128


def format_language(name: str, most: int | None = None) -> Language:
    """What one of ``FORMATS`` accepts, made for texts of up to ``most`` characters.

    Longer ones may be in it too; all that are short enough are valid.
    """
    pattern = FORMATS[name]
    return _language(pattern if isinstance(pattern, str) else pattern(LONGEST if most is None else most))


@lru_cache(maxsize=64)
def _language(pattern: str) -> Language:
    return read_pattern(f"^(?:{pattern})$").found


def _any_of(*patterns: str) -> str:
    return f"(?:{'|'.join(dict.fromkeys(patterns))})"


# Dates and times, of RFC 3339

_HOUR_MINUTE = r"(?:[01]\d|2[0-3]):[0-5]\d"
_YEAR = r"(?:[1-9]\d{3}|0[1-9]\d\d|00[1-9]\d|000[1-9])"
_LEAP_YEAR = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = _any_of(
    rf"{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))",
    rf"{_LEAP_YEAR}-02-29",
)
_TIME = rf"{_HOUR_MINUTE}:[0-5]\d(?:\.\d{{1,9}})?(?:Z|[+-]{_HOUR_MINUTE})"
# As many digits as keep the time below 2^32 seconds, and all together below the longest ``timedelta``.
_TIME_SPAN = r"T(?:\d{1,6}H(?:\d{1,7}M(?:\d{1,7}S)?)?|\d{1,7}M(?:\d{1,9}S)?|\d{1,9}S)"
_DATE_SPAN = r"(?:\d{1,6}Y(?:\d{1,7}M(?:\d{1,8}D)?)?|\d{1,7}M(?:\d{1,8}D)?|\d{1,8}D)"
_DURATION = rf"P(?:{_DATE_SPAN}(?:{_TIME_SPAN})?|{_TIME_SPAN}|\d{{1,8}}W)"

# Identifiers and addresses

_HEX = "[0-9A-Fa-f]"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_16_BITS = f"{_HEX}{{1,4}}"
_LAST_32_BITS = f"(?:{_16_BITS}:{_16_BITS}|{_IPV4})"
_IPV6 = _any_of(
    f"(?:{_16_BITS}:){{6}}{_LAST_32_BITS}",
    f"::(?:{_16_BITS}:){{0,5}}{_LAST_32_BITS}",
    # Before :: stand up to n + 1 groups, and after it no more than are left.
    *(f"(?:{_16_BITS}:){{0,{n}}}{_16_BITS}::(?:{_16_BITS}:){{0,{4 - n}}}{_LAST_32_BITS}" for n in range(5)),
    f"(?:(?:{_16_BITS}:){{0,5}}{_16_BITS})?::{_16_BITS}",
    f"(?:(?:{_16_BITS}:){{0,6}}{_16_BITS})?::",
)
_PREFIX_32 = r"(?:/(?:[12]?\d|3[0-2]))?"
_PREFIX_128 = r"(?:/(?:1[01]\d|12[0-8]|[1-9]?\d))?"


def _uuid(version: str = "") -> str:
    if not version:
        return f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
    return f"{_HEX}{{8}}-{_HEX}{{4}}-{version}{_HEX}{{3}}-[89ABab]{_HEX}{{3}}-{_HEX}{{12}}"


# Names of hosts, e-mail addresses

_ALNUM = "A-Za-z0-9"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Names of top-level domains at which no e-mail address is.
_UNDELIVERABLE = ("arpa", "invalid", "local", "localhost", "onion", "test")
_ATEXT = f"[{_ALNUM}!#$%&'*+/=?^_`{{|}}~-]"


def _label(most: int | None = 63, alnum: str = _ALNUM) -> str:
    """Letters, digits and hyphens inside; not two hyphens in the third and fourth place, which are for Punycode."""
    inner = "*" if most is None else f"{{0,{most - 5}}}"
    a, b = f"[{alnum}]", f"[{alnum}-]"
    return f"{a}(?:{b}{{0,2}}{a}|{b}(?:{a}{b}|-{a}){b}{inner}{a})?"


def _names(most: int | None, last: Callable[[int | None], str] = _label, fewest: int = 1) -> str:
    """Labels with dots between them, ``last`` among them as the last one; ``None`` where all are short anyway."""
    if most is None:
        return rf"(?:{_label(None)}\.){'*' if fewest == 1 else '+'}{last(None)}"
    shapes = []
    for labels in (1, 2, 3, 4, 6, 10):
        longest = min(63, (min(most, 253) + 1) // labels - 1)
        if labels >= fewest and longest >= 5:
            shapes.append(rf"(?:{_label(longest)}\.){{{fewest - 1},{labels - 1}}}{last(longest)}")
    return _any_of(*shapes)


def _besides(words: Iterable[str], following: str, most: int | None, letters: str = _LETTERS) -> str:
    """All but ``words``, in small letters and capitals: up to ``most`` of ``following``, but for the first a letter."""
    heads = {word[0] for word in words if word}
    others = "".join(c if c.isalnum() else f"\\{c}" for c in letters if c.lower() not in heads)
    options = [f"[{others}]{following}{'*' if most is None else f'{{0,{most - 1}}}'}"]
    for head in sorted(heads):
        tails = {word[1:] for word in words if word[:1] == head}
        if most is None or most > 1:
            options.append(f"[{head}{head.upper()}]{_besides(tails, following, most and most - 1, letters)}")
        elif "" not in tails:
            options.append(f"[{head}{head.upper()}]")
    return _any_of(*options, *(() if "" in words else ("",)))


def _top_level(most: int | None) -> str:
    return _besides(("", *_UNDELIVERABLE), "[A-Za-z]", most)


def _local_part(most: int, atext: str = _ATEXT) -> str:
    """What stands before the @: words with dots between them."""
    shapes = [f"{atext}{{1,{most}}}"]
    for words in (2, 3, 6):
        longest = (most + 1) // words - 1
        if longest > 0:
            shapes.append(rf"{atext}{{1,{longest}}}(?:\.{atext}{{1,{longest}}}){{1,{words - 1}}}")
    return _any_of(*shapes)


def _email(
    most: int,
    atext: str = _ATEXT,
    domain: Callable[[int | None], str] = lambda most: _names(most, _top_level, fewest=2),
) -> str:
    if most <= SHORT:
        return rf"{atext}+(?:\.{atext}+)*@{domain(None)}"
    most = min(most, 254)
    parts = [part for part in (10, 19, 28, 37, 46, 55, 64) if most - 1 - part > 10]
    return _any_of(*(f"{_local_part(part, atext)}@{domain(most - 1 - part)}" for part in parts))


def _idn_email() -> str:
    letters = f"{_ATEXT[:-1]}{_foreign_letters()}]".replace("~-", "~").replace("[", "[-", 1)
    return f"{_local_part(SHORT, letters)}@{_any_of(_names(189, _top_level, fewest=2), _idn_hostname(_top_level(30)))}"


# URIs, of RFC 3986, as far as browsers take them as well

#: Letters of other scripts, in IRIs: those that all validators know.
_UCS = "\u00a1-\u1fff\u2070-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
_PORT = r"(?::(?:6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|\d{1,4}))?"
#: Those whose address must be a host's.
_HOST_SCHEMES = ("http", "https", "ws", "wss", "ftp")


def _uri(most: int, ucs: str = "", kind: str = "uri") -> str:
    """Short ones have parts of any length; others have what stands before the path in a part of their length."""
    if most <= SHORT_URI:
        return _uri_of_parts(None, None, ucs, kind)
    # The scheme, ://, an @, the colon and number of a port; two signs that begin query and fragment.
    rest = most - 16 - 3 - 1 - 6 - 2
    parts = min(80, rest // 4), min(250, rest * 3 // 5)
    return _any_of(*(_uri_of_parts(part, rest - part, ucs, kind) for part in parts))


def _uri_of_parts(authority: int | None, rest: int | None, ucs: str, kind: str) -> str:
    name = _uri_name(None if authority is None else authority * 2 // 3, ucs)
    user = _run(":", ucs, None if authority is None else authority // 3)
    if authority is None:
        # What is rare and has many states would stand at too many places.
        port, address = r"(?::(?:[1-5]\d{0,4}|[6-9]\d{0,3}))?", _any_of(name, _IPV4)
    else:
        port, address = _PORT, rf"(?:{user}@)?{_any_of(name, _IPV4)}"
    # Those who check IRIs do not take IPv6.
    host = _any_of(address, *([] if ucs or authority is None or authority < 60 else [rf"\[{_IPV6}\]"])) + port
    address += port
    path = _run(":@/?", ucs, None if rest is None else rest * 2 // 3)
    fragment = f"(?:#{_run(':@/?', ucs, None if rest is None else rest // 3)})?"
    begun = f"(?:[/?]{path})?{fragment}"
    other = _besides(("", *_HOST_SCHEMES, "file"), "[a-z0-9+.-]", 15, _LETTERS.lower())
    first = _run(":@", ucs, 1, least=1)
    if kind == "http":
        return f"https?://{host}{begun}"
    options = [
        f"{_any_of(*_HOST_SCHEMES)}://{host}{begun}",
        f"file://(?:{_any_of(_uri_name(authority, ucs), _IPV4)})?/{path}{fragment}",
        f"{other}:(?://(?:{address})?{begun}|/?{first}{path}{fragment})",
    ]
    if kind == "reference":
        # No colon in the first segment, which would make a scheme of it.
        segment = _run("@", ucs, authority, least=1)
        options += [
            f"//{address}{begun}",
            rf"/(?:(?:{first}|\?){path})?{fragment}",
            f"{segment}{begun}",
            rf"(?:\?{path})?{fragment}",
        ]
    return _any_of(*options)


def _run(punctuation: str, ucs: str, most: int | None, least: int = 0) -> str:
    """Characters that URIs have anywhere and some ``punctuation``, or their codes, which count as three."""
    plain = f"[{_ALNUM}{ucs}._~!$&'()*+,;={punctuation}-]"
    either = f"(?:{plain}|%{_HEX}{{2}})"
    if most is None:
        return f"{either}{'+' if least else '*'}"
    return either if most == 1 else f"(?:{plain}{{{least},{most}}}|{either}{{{least},{most // 3}}})"


def _uri_name(most: int | None, ucs: str) -> str:
    """A host's: no label in Punycode, and the last begins with a letter, as it could be a number else."""
    ucs = ucs and _foreign_letters()
    besides_n, besides_hyphen = f"[A-MO-Za-mo-z0-9{ucs}_-]", f"[{_ALNUM}{ucs}_]"

    def names(labels: int | None, inner: str) -> str:
        inner = f"[{_ALNUM}{ucs}_-]{inner}"
        punycode = f"[Xx](?:{besides_n}{inner}|[Nn](?:{besides_hyphen}{inner}|-(?:{besides_hyphen}{inner})?)?)?"
        label, last = (f"(?:[A-WYZa-wyz{more}]{inner}|{punycode})" for more in (f"0-9{ucs}_-", ucs))
        return rf"(?:{label}\.){'*' if labels is None else f'{{0,{labels - 1}}}'}{last}"

    if most is None:
        return names(None, "*")
    # Up to four characters and a dot stand beside the inner ones.
    return _any_of(*(names(labels, f"{{0,{most // labels - 5}}}") for labels in (1, 2, 3, 5) if most >= labels * 5))


def _uri_template(ucs: str = _UCS) -> str:
    """Of RFC 6570."""
    name = rf"[{_ALNUM}_]+(?:\.[{_ALNUM}_]+)*"
    variable = rf"{name}(?::[1-9]\d{{0,2}}|\*)?"
    literal = rf"(?:[{_ALNUM}{ucs}!#$&()*+,./:;=?@_~\[\]-]|%{_HEX}{{2}})"
    return rf"(?:{literal}|\{{[+#./;?&]?{variable}(?:,{variable})*\}})*"


# Names in other scripts


@lru_cache(maxsize=1)
def _foreign_letters() -> str:
    """Small letters that names of domains may have: those that no normalisation changes, and two exceptions."""
    letters = [
        chr(code)
        for first, last in (
            (0xDF, 0x24F),
            (0x370, 0x3FF),
            (0x430, 0x52F),
            (0x561, 0x586),
            (0x3041, 0x3096),
            (0x30A1, 0x30FA),
        )
        for code in range(first, last + 1)
        if unicodedata.category(chr(code)) in ("Ll", "Lo")
        and unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", chr(code)).casefold()) == chr(code)
    ]
    return "".join([*letters, "\u00df\u03c2", "\u4e00-\u9fa5", "\uac00-\ud7a3"])


#: Hebrew and Arabic, which are written from right to left and not mixed with others in a label.
_LEFTWARDS = "[\u05d0-\u05ea]{1,12}|[\u0620-\u063f\u0641-\u064a]{1,12}"


def _idn_hostname(top_level: str = "") -> str:
    """Few and short labels: in Punycode each letter can become five.

    ``top_level`` is a pattern for the last label, if it is another than that of the others, of which then there is one.
    """
    letters = f"a-z0-9{_foreign_letters()}"
    label = f"(?:[{letters}](?:[{letters}-]?[{letters}]){{0,5}}|{_label(30, 'a-z0-9')})"
    count = "{1,3}" if top_level else "{0,3}"
    return _any_of(
        rf"(?:{label}\.){count}{_any_of(f'[{_foreign_letters()}]{{1,12}}', top_level) if top_level else label}",
        rf"(?:(?:{_LEFTWARDS})\.){count}{_any_of(_LEFTWARDS, top_level or '[a-z]{1,30}')}",
    )


# Regular expressions, as deep as people write them


def _regex(depth: int = 3) -> str:
    """What Python and JavaScript both take: each range and each number of repetitions is the right way round."""
    fewer = _any_of(
        *(rf"{n},[{n}-9]" for n in range(10)),
        r"\d,[1-9]\d",
        *(rf"{n}\d,[{n + 1}-9]\d" for n in range(1, 9)),
        r"[1-9]\d,[1-9]\d\d",
        r"[1-9]?\d,?",
        r"[1-9]\d\d,?",
    )
    ranges = _any_of(
        *(
            f"{c}-[{c}-{last}]"
            for last, run in (("9", "012345678"), ("Z", _LETTERS[:25]), ("z", _LETTERS[26:51]))
            for c in run
        )
    )
    escape = r"\\[dDwWsStnrfv^$.*+?()[\]{}|/\\]"
    letter = rf"""[{_ALNUM}\u00a1-\ud7ff _@#%=:;,<>"'`!]"""
    # Some signs twice in a row are kept for operations on classes.
    member = rf"[&|~^]?(?:{ranges}|{letter}|[$*+?.(){{}}/]|{escape}|\\-)"
    group = rf"\[\^?-?(?:{member})+[&|~]?-?\]"
    atom = rf"{letter}|[&~/.-]|{escape}|{group}"
    if depth:
        atom += rf"|\((?:\?:)?{_regex(depth - 1)}\)"
    term = rf"(?:{atom})(?:(?:[*+?]|\{{{fewer}\}})\??)?|[$^]|\\[bB]"
    if depth:
        term += rf"|\(\?[=!]{_regex(depth - 1)}\)"
    return rf"(?:{term}|\|)*"


_POINTER = "(?:/(?:[^~/]|~[01])*)*"

#: By the word for each: a pattern, or a function that makes one for texts of up to so many characters.
FORMATS: dict[str, str | Callable[[int], str]] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "uuid": _uuid(),
    **{f"uuid{version}": _uuid(str(version)) for version in range(1, 9)},
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "ipvanyaddress": f"{_IPV4}|{_IPV6}",
    "ipv4interface": f"{_IPV4}{_PREFIX_32}",
    "ipv6interface": f"{_IPV6}{_PREFIX_128}",
    "ipvanyinterface": f"{_IPV4}{_PREFIX_32}|{_IPV6}{_PREFIX_128}",
    "hostname": lambda most: _names(None if most <= SHORT else most),
    "idn-hostname": lambda most: _idn_hostname(),
    "email": _email,
    "idn-email": lambda most: _idn_email(),
    "uri": _uri,
    "http-uri": lambda most: _uri(most, kind="http"),  # ours, for what pydantic checks beside the format
    "uri-reference": lambda most: _uri(most, kind="reference"),
    "iri": lambda most: _uri(most, _UCS),
    "iri-reference": lambda most: _uri(most, _UCS, kind="reference"),
    "uri-template": lambda most: _uri_template(),
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(?:0|[1-9]{{1,6}}0?)(?:#|{_POINTER})",
    "regex": lambda most: _regex(),
    "base64": "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "base64url": "(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?",
}
