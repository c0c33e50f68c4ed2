"""Encoding: hashes against published vectors, codes against a dictionary, paths against str.split."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchworth.sources.encode import Interner, compact, read_only, split_paths, xxh64

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=40), st.sampled_from(["", "a", "b", " a ", "\ta"])), max_size=60)


def hash_of(text: str) -> int:
    return int(xxh64(read_only(np.frombuffer(text.encode(), np.uint8)), 0, len(text.encode())))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0xEF46DB3751D8E999),
        ("a", 0xD24EC4F1A98C6E5B),
        ("abc", 0x44BC2CF5AD770999),
        ("Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_xxh64_vectors(text, expected):
    assert hash_of(text) == expected


def by_dictionary(texts, known, trim=True):
    codes = []
    for text in texts:
        plain = text.strip(" \t") if text is not None and trim else text
        codes.append(-1 if plain is None or (trim and not plain) else known.setdefault(plain, len(known)))
    return codes


@given(st.lists(TEXTS, max_size=3), st.booleans(), st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]))
@settings(max_examples=60, deadline=None)
def test_codes_equal_a_dictionary(batches, trim, kind):
    names, known = Interner(trim=trim), {}
    for texts in batches:
        assert names.codes(pa.array(texts, kind)).tolist() == by_dictionary(texts, known, trim)
    assert names.texts().to_pylist() == list(known)
    assert names.hashes().tolist() == [hash_of(text) for text in known]


@given(TEXTS, st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_codes_of_slices_and_dictionaries(texts, start, length):
    whole = pa.array(texts, pa.string())
    part = whole.slice(start, length)
    expected = by_dictionary(part.to_pylist(), {})
    assert Interner().codes(part).tolist() == expected
    coded = Interner().codes(whole.dictionary_encode().slice(start, length))
    # A dictionary's own order may differ; the partition into equal texts may not.
    pairs = {(a, b) for a, b in zip(expected, coded.tolist(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_many_codes_outgrow_every_table():
    texts = [f"user-{i * 7919 % 50_000}" for i in range(120_000)]
    names = Interner()
    assert names.codes(pa.array(texts)).tolist() == by_dictionary(texts, {})
    assert names.known == 50_000


def test_equal_hashes_are_not_trusted(monkeypatch):
    """Two texts in one slot with one hash keep two codes: the bytes decide."""
    names = Interner()
    names.codes(pa.array(["one"]))
    slot = int(np.flatnonzero(names._slots)[0])
    names._arena[:3] = np.frombuffer(b"two", np.uint8)
    assert names._slots[slot] != 0
    assert names.codes(pa.array(["one"])).tolist() == [1]


@given(st.lists(st.integers(-1, 9), max_size=40))
@settings(deadline=None)
def test_compact(codes):
    new, old = compact(np.array(codes, np.int32), 10)
    assert [-1 if c < 0 else int(old[c]) for c in new.tolist()] == codes
    assert old.tolist() == list(dict.fromkeys(c for c in codes if c >= 0))


@given(
    st.lists(st.lists(st.text("ab >", max_size=4), min_size=1, max_size=5), max_size=20),
    st.sampled_from([">", "|", "->"]),
)
@settings(max_examples=80, deadline=None)
def test_paths_split_as_texts_do(rows, delimiter):
    texts = [delimiter.join(row) for row in rows]
    names = Interner()
    offsets, channel = split_paths(pa.array(texts, pa.string()), delimiter, names)
    expected = [[cell.strip() for cell in text.strip().split(delimiter)] if text.strip() else [] for text in texts]
    spelled = names.texts().to_pylist()
    found = [["" if c < 0 else spelled[c] for c in channel[a:b]] for a, b in pairwise(offsets)]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("a > b", ["a", "b"]),
        ("a >b > c", ["a >b", "c"]),
        ("a >", ["a", ""]),
        ("> a", ["", "a"]),
        ("a > > b", ["a", "", "b"]),
        (" a > b ", ["a", "b"]),
        ("  ", []),
        ("Größe > 東京", ["Größe", "東京"]),
    ],
)
def test_spaced_delimiter(text, cells):
    names = Interner()
    offsets, channel = split_paths(pa.array([text]), " > ", names)
    spelled = names.texts().to_pylist()
    assert ["" if c < 0 else spelled[c] for c in channel] == cells
    assert offsets.tolist() == [0, len(cells)]
