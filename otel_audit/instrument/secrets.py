"""What looks like a secret: by its name, or by the text itself.

A net under the caller's own choice of what to record, not a promise: a password that looks
like a word, under a name that tells nothing, is not found. Every pattern is linear in the
length of the text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

REDACTED: Final = "[REDACTED]"

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# Lists of words are text here: one word a line would hide them.
_SECRET_WORDS: Final = frozenset(
    """apikey apikeys auth authorization bearer cookie cookies cred credential credentials creds csrf cvc cvv dsn jwt
    otp passcode passphrase passwd password passwords privatekey pwd secret secretkey secrets session sessionid sessions
    token totp xsrf""".split()  # noqa: SIM905
)
_SECRET_PARTS: Final = ("password", "passwd", "passphrase", "apikey", "privatekey", "secretkey", "credential")
"""Found inside a word too: ``dbpassword``."""

_KINDS_OF_KEY: Final = frozenset(
    """access account api client encryption hmac host license master private secret shared signing ssh
    storage""".split()  # noqa: SIM905
)
_KINDS_OF_TOKENS: Final = frozenset(("access", "api", "auth", "bearer", "id", "refresh", "secret", "session"))

# A name that begins or ends so measures the thing and is not the thing: ``max_tokens``, ``token_count``.
_MEASURES_BEFORE: Final = frozenset(("max", "maximum", "min", "minimum", "num", "total"))
_MEASURES_BEHIND: Final = frozenset(
    """budget cost count counts estimate index length limit limits policy price rate size timeout total ttl type
    types usage""".split()  # noqa: SIM905
)


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Return whether a name is that of a secret, word by word, in any spelling of the words.

    >>> looks_secret("X-Api-Key"), looks_secret("refreshToken"), looks_secret("max_tokens")
    (True, True, False)
    """
    words = [word.lower() for word in _WORD.findall(name[:1024])]
    if len(words) > 1 and (words[0] in _MEASURES_BEFORE or words[-1] in _MEASURES_BEHIND):
        return False
    for before, word in zip(["", *words], words, strict=False):
        if word in _SECRET_WORDS or any(part in word for part in _SECRET_PARTS):
            return True
        if word in {"key", "keys"} and before in _KINDS_OF_KEY:
            return True
        if word == "tokens" and before in _KINDS_OF_TOKENS:
            return True
    return len(words) > 1 and words[-1] == "pass"


_CREDENTIAL: Final = re.compile(
    r"""
    -----BEGIN\ [A-Z0-9 ]{0,40}PRIVATE\ KEY(?:[\s\S]*?-----END[A-Z0-9 ]{0,60}-----|[\s\S]*)
    | (?<![\w-]) (?:
        eyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*){1,3}
      | (?:[Bb]earer|BEARER)\s+[\w.~+/=:-]+
      | [Bb]asic\s+(?=[a-z/+]*[0-9A-Z=])[A-Za-z0-9+/]{6,}={0,2}
      | [prs]k_(?:live|test)_\w{8,}
      | (?:sk|xox[a-z]|xapp|glpat|pypi|xai|nvapi|pplx|tskey|sq0[a-z]{3})-[\w-]{10,}
      | gh[a-z]_\w{20,}
      | (?:github_pat|hf|npm|gsk|r8|whsec|lin_api|dop_v1|shpat|shpca|shppa|shpss|dckr_pat|tvly)[_-]\w{16,}
      | (?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?!\w)
      | AIza[\w-]{30,}
      | ya29\.[\w-]{10,}
      | SG\.[\w-]{16,}\.[\w-]{16,}
      | hv[sbr]\.[\w-]{20,}
      | AGE-SECRET-KEY-1\w{20,}
    )
    """,
    re.VERBOSE,
)
_USER_INFO: Final = re.compile(r"(://[^/\s:@]{0,256}:)[^/\s@]{1,1024}(?=@)")
_HEADER: Final = re.compile(
    r"""(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie)(\\*["']?\s{0,8}[:=]\s{0,8})(\\*["'][^"'\\\r\n]*|[^\r\n]+)""",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"""(?<![\w.-])([A-Za-z_][\w.-]*)\\*["']?\s{0,8}[:=]\s{0,8}""")
_VALUE: Final = re.compile(r"""(\\*["'])[^"'\\\r\n]*|[^\s,;&<>(){}\[\]"'\\]+""")


def redact_text(text: str) -> str:
    """Return the text with what looks like a credential in it replaced.

    Well-known prefixes, JWTs, private keys, ``Bearer …``, passwords in URLs, and values behind
    a name that looks secret (``password=…``, ``"api_key": "…"``).
    """
    text = _CREDENTIAL.sub(REDACTED, text)
    if "://" in text:
        text = _USER_INFO.sub(rf"\1{REDACTED}", text)
    if "=" in text or ":" in text:
        text = _HEADER.sub(_without_value, text)
        text = _without_secret_values(text)
    return text


def _without_value(match: re.Match[str]) -> str:
    quote = re.match(r"""\\*["']?""", match[3])
    return f"{match[1]}{match[2]}{quote[0] if quote else ''}{REDACTED}"


def _without_secret_values(text: str) -> str:
    parts: list[str] = []
    done = 0
    # Names only: a value may begin with the name of a secret, as in "error: password=…".
    for match in _NAME.finditer(text):
        if match.start() < done or not looks_secret(match[1]):
            continue
        value = _VALUE.match(text, match.end())
        if value is not None:
            parts += text[done : match.end()], value[1] or "", REDACTED
            done = value.end()
    return "".join((*parts, text[done:])) if parts else text
