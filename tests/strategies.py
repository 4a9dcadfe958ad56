"""Hypothesis strategies that several tests share."""

from __future__ import annotations

import datetime
import enum
from typing import Any

from hypothesis import strategies as st

from tests.hostile import LyingInteger, LyingList, LyingMap, LyingText, Mapping, Raising


class Shade(enum.Enum):
    """Members whose values are stored."""

    DARK = "dark"
    LIGHT = 0.5
    NONE = None


def as_view(data: bytes) -> memoryview:
    """Return a view of bytes."""
    return memoryview(data)


any_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(["$bytes", "$", "audit.x", "a/b", "~", ""])
"""Text with anything in it, lone surrogates too."""

clean_text = st.text()
"""Text that can be encoded."""

kept_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | clean_text
)
"""Values that are stored as they are given."""

kept_values = st.recursive(
    kept_scalars | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(clean_text | st.just("$bytes"), inner, max_size=4),
    max_leaves=20,
)
"""Values that read back equal: nothing in them is altered."""

odd_scalars = st.one_of(
    kept_scalars,
    st.integers(),
    st.floats(),
    any_text,
    st.binary(),
    st.binary().map(bytearray),
    st.binary().map(as_view),
    st.complex_numbers(),
    st.decimals(),
    st.fractions(),
    st.uuids(),
    st.datetimes(timezones=st.just(datetime.UTC) | st.none()),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.sampled_from(Shade),
    st.sampled_from([int, ValueError("x"), ..., NotImplemented, range(3), object()]),
    st.sampled_from([ValueError(), SystemExit(), RecursionError(), GeneratorExit(), MemoryError()]).map(Raising),
    any_text.map(LyingText),
    st.integers().map(LyingInteger),
)
"""Whatever somebody may put into an attribute."""

hashable_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), any_text, st.binary(), st.tuples(st.integers()), st.floats()
)

any_values: st.SearchStrategy[Any] = st.recursive(
    odd_scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(LyingList),
        st.dictionaries(hashable_scalars, inner, max_size=4),
        st.dictionaries(any_text, inner, max_size=4),
        st.dictionaries(any_text, inner, max_size=4).map(LyingMap),
        st.dictionaries(hashable_scalars, inner, max_size=4).map(Mapping),
        st.sets(hashable_scalars, max_size=4),
        st.frozensets(hashable_scalars, max_size=4),
    ),
    max_leaves=20,
)
"""Any value: of every kind that the format names, and others, nested."""
