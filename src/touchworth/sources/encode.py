"""Encoding: dense codes of texts, exact, with XXH64 hashes; paths cut into cells.

Kernels read Arrow's buffers in place: the text of cell i is ``data[starts[i]:ends[i]]``. The byte order of
the machine must be little-endian, as on every platform that Numba and DuckDB publish wheels for.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from touchworth.kernels import kernel

__all__ = ["Interner", "compact", "hash_texts", "split_paths", "text_buffers", "xxh64"]

BLANK = np.uint8(32)
TAB = np.uint8(9)
PRIME1 = np.uint64(0x9E3779B185EBCA87)
PRIME2 = np.uint64(0xC2B2AE3D27D4EB4F)
PRIME3 = np.uint64(0x165667B19E3779F9)
PRIME4 = np.uint64(0x85EBCA77C2B2AE63)
PRIME5 = np.uint64(0x27D4EB2F165667C5)
# Rows whose table slots are loaded together, so that their cache misses overlap.
BLOCK = 128


def load(bits: int, result: Any) -> Any:
    """Make an intrinsic that reads a little-endian unsigned integer of `bits` bits at any byte of an array."""

    def typed(_context: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            items = context.make_array(signature.args[0])(context, builder, arguments[0])
            place = builder.gep(items.data, [arguments[1]])
            word = ir.IntType(bits)
            loaded = builder.load(builder.bitcast(place, word.as_pointer()), align=1, typ=word)
            return builder.zext(loaded, ir.IntType(64)) if bits < 64 else loaded

        return result(array, types.int64), generate

    return intrinsic(typed)


# Eight single-byte loads instead of one cost the hash of a 12-byte id about half its speed.
load64 = load(64, types.uint64)
load32 = load(32, types.uint64)


@kernel
def rotate(x: np.uint64, bits: int) -> np.uint64:
    """Rotate left."""
    return np.uint64((x << np.uint64(bits)) | (x >> np.uint64(64 - bits)))


@kernel
def xxh64_round(lane: np.uint64, word: np.uint64) -> np.uint64:
    """Mix one word into a lane."""
    return np.uint64(rotate(np.uint64(lane + word * PRIME2), 31) * PRIME1)


@kernel
def xxh64(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """XXH64 with seed 0 of ``data[start:end]`` (Collet, xxHash fast digest algorithm, version 0.1.1)."""
    at = np.int64(start)
    stop = np.int64(end)
    length = np.uint64(stop - at)
    if stop - at >= 32:
        a = np.uint64(PRIME1 + PRIME2)
        b = PRIME2
        c = np.uint64(0)
        d = np.uint64(np.uint64(0) - PRIME1)
        while at + 32 <= stop:
            a = xxh64_round(a, load64(data, at))
            b = xxh64_round(b, load64(data, at + 8))
            c = xxh64_round(c, load64(data, at + 16))
            d = xxh64_round(d, load64(data, at + 24))
            at += 32
        h = np.uint64(rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18))
        for lane in (a, b, c, d):
            h = np.uint64((h ^ xxh64_round(np.uint64(0), lane)) * PRIME1 + PRIME4)
    else:
        h = PRIME5
    h = np.uint64(h + length)
    while at + 8 <= stop:
        h = np.uint64(rotate(np.uint64(h ^ xxh64_round(np.uint64(0), load64(data, at))), 27) * PRIME1 + PRIME4)
        at += 8
    if at + 4 <= stop:
        h = np.uint64(rotate(np.uint64(h ^ (load32(data, at) * PRIME1)), 23) * PRIME2 + PRIME3)
        at += 4
    while at < stop:
        h = np.uint64(rotate(np.uint64(h ^ (np.uint64(data[at]) * PRIME5)), 11) * PRIME1)
        at += 1
    h = np.uint64((h ^ (h >> np.uint64(33))) * PRIME2)
    h = np.uint64((h ^ (h >> np.uint64(29))) * PRIME3)
    return np.uint64(h ^ (h >> np.uint64(32)))


@kernel
def same_bytes(a: NDArray[np.uint8], at: int, b: NDArray[np.uint8], other: int, length: int) -> bool:
    """Whether two stretches of bytes are equal."""
    i = np.int64(0)
    while i + 8 <= length:
        if load64(a, at + i) != load64(b, other + i):
            return False
        i += 8
    while i < length:
        if a[at + i] != b[other + i]:
            return False
        i += 1
    return True


@kernel
def intern_texts(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    data: NDArray[np.uint8],
    valid: NDArray[np.uint8],
    trim: bool,
    first: int,
    slots: NDArray[np.uint64],
    places: NDArray[np.int64],
    arena: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    known: int,
    codes: NDArray[np.int32],
) -> tuple[int, int, np.int64]:
    """Give each text the code of its first appearance; -1 where it is missing or, trimmed, empty.

    ``slots`` is an open-addressing table of (upper half of the hash, code + 1), ``arena[places[c]:places[c + 1]]``
    the text of code c: equal hashes are never trusted, the bytes decide. Returns the row at which the table
    or the arena is too full to go on (the number of rows when done), the number of codes known, and a sum of
    the bytes loaded ahead, without which the compiler would leave those loads out.
    """
    n = starts.size
    mask = np.uint64(slots.size - 1)
    upper = np.uint64(0xFFFFFFFF00000000)
    lower = np.uint64(0x00000000FFFFFFFF)
    block_hash = np.empty(BLOCK, np.uint64)
    block_slot = np.empty(BLOCK, np.uint64)
    block_place = np.empty(BLOCK, np.int64)
    block_start = np.empty(BLOCK, np.int64)
    block_end = np.empty(BLOCK, np.int64)
    touched = np.int64(0)
    row = first
    while row < n:
        size = min(BLOCK, n - row)
        for j in range(size):
            a = starts[row + j]
            b = ends[row + j]
            if valid.size and not (valid[(row + j) >> 3] >> np.uint8((row + j) & 7)) & np.uint8(1):
                a = b = -1
            elif trim:
                while a < b and (data[a] == BLANK or data[a] == TAB):
                    a += 1
                while b > a and (data[b - 1] == BLANK or data[b - 1] == TAB):
                    b -= 1
                if a == b:
                    a = b = -1
            block_start[j] = a
            block_end[j] = b
            block_hash[j] = xxh64(data, a, b) if a >= 0 else np.uint64(0)
        # Three gathers of independent loads: slot, place, text. One row at a time, each miss waits for the last.
        for j in range(size):
            block_slot[j] = slots[block_hash[j] & mask]
        for j in range(size):
            candidate = np.int64(block_slot[j] & lower) - 1
            block_place[j] = places[candidate if candidate >= 0 else 0]
        for j in range(size):
            touched += arena[block_place[j]]
        for j in range(size):
            a = block_start[j]
            if a < 0:
                codes[row + j] = -1
                continue
            h = block_hash[j]
            length = block_end[j] - a
            place = h & mask
            word = block_slot[j]
            if word == 0:  # an earlier row of this block may have filled it
                word = slots[place]
            code = np.int64(-1)
            while word != 0:
                if (word ^ h) & upper == 0:
                    candidate = np.int64(word & lower) - 1
                    begin = places[candidate]
                    if places[candidate + 1] - begin == length and same_bytes(data, a, arena, begin, length):
                        code = candidate
                        break
                place = (place + np.uint64(1)) & mask
                word = slots[place]
            if code < 0:
                begin = places[known]
                if 2 * (known + 1) > slots.size or known + 1 >= places.size or begin + length > arena.size:
                    return row + j, known, touched
                for i in range(length):
                    arena[begin + i] = data[a + i]
                places[known + 1] = begin + length
                hashes[known] = h
                slots[place] = (h & upper) | np.uint64(known + 1)
                code = np.int64(known)
                known += 1
            codes[row + j] = code
        row += size
    return n, known, touched


@kernel
def fill_slots(hashes: NDArray[np.uint64], known: int, slots: NDArray[np.uint64]) -> None:
    """Put the known codes into an empty table."""
    mask = np.uint64(slots.size - 1)
    for code in range(known):
        h = hashes[code]
        place = h & mask
        while slots[place] != 0:
            place = (place + np.uint64(1)) & mask
        slots[place] = (h & np.uint64(0xFFFFFFFF00000000)) | np.uint64(code + 1)


class Interner:
    """Dense codes of texts, in order of first appearance, over any number of batches.

    Parameters
    ----------
    trim
        Take blanks and tabs off both ends; a text that is then empty counts as missing.
    """

    def __init__(self, *, trim: bool = True) -> None:
        self._trim = trim
        self.known = 0
        self._slots = np.zeros(1 << 12, np.uint64)
        self._places = np.zeros((1 << 11) + 1, np.int64)
        self._hashes = np.empty(1 << 11, np.uint64)
        self._arena = np.empty(1 << 15, np.uint8)

    def codes(self, texts: pa.Array) -> NDArray[np.int32]:
        """Codes of an Arrow array of texts, int32 (n,); -1 where missing."""
        if pa.types.is_dictionary(texts.type):
            meaning = self.codes(texts.dictionary)
            indices = texts.indices.fill_null(len(texts.dictionary))
            picked: NDArray[np.int32] = np.append(meaning, np.int32(-1))[np.asarray(indices)]
            return picked
        starts, ends, data, valid = text_buffers(texts)
        return self.codes_of_cells(starts, ends, data, valid)

    def codes_of_cells(
        self,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        data: NDArray[np.uint8],
        valid: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.int32]:
        """Codes of the texts ``data[starts[i]:ends[i]]``, int32 (n,)."""
        codes = np.empty(starts.size, np.int32)
        given = read_only(np.empty(0, np.uint8) if valid is None else valid)
        row = 0
        while True:
            row, self.known, _ = intern_texts(
                starts, ends, read_only(data), given, self._trim, row,
                self._slots, self._places, self._arena, self._hashes, self.known, codes,
            )  # fmt: skip
            if row == starts.size:
                return codes
            self._grow(int(ends[row] - starts[row]))

    def texts(self) -> pa.Array:
        """The texts by code, an Arrow string array."""
        used = int(self._places[self.known])
        wide = pa.LargeStringArray.from_buffers(
            self.known, pa.py_buffer(self._places[: self.known + 1].copy()), pa.py_buffer(self._arena[:used].copy())
        )
        return wide.cast(pa.string()) if used < 2**31 else wide

    def hashes(self) -> NDArray[np.uint64]:
        """XXH64 (seed 0) of the texts by code, uint64."""
        return self._hashes[: self.known].copy()

    def _grow(self, room: int) -> None:
        """Enlarge whatever is full; `room` is the length of the text that waits."""
        used = int(self._places[self.known])
        if used + room > self._arena.size:
            self._arena = enlarged(self._arena, max(2 * self._arena.size, used + 2 * room))
        if 2 * (self.known + 1) > self._slots.size or self.known + 1 >= self._places.size:
            self._slots = np.zeros(4 * self._slots.size, np.uint64)
            fill_slots(self._hashes, self.known, self._slots)
            self._places = enlarged(self._places, self._slots.size // 2 + 1)
            self._hashes = enlarged(self._hashes, self._slots.size // 2)


def enlarged(array: NDArray[Any], size: int) -> NDArray[Any]:
    """A longer array that begins with the items of `array`."""
    longer = np.empty(size, array.dtype)
    longer[: array.size] = array
    return longer


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that kernels see as read-only, as Arrow's buffers are: one signature for both."""
    view = array.view()
    view.flags.writeable = False
    return view


def text_buffers(
    texts: pa.Array,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Starts, ends (int64), bytes and validity bitmap (None: no missing) of an Arrow text array."""
    if pa.types.is_string_view(texts.type) or pa.types.is_binary_view(texts.type):
        texts = texts.cast(pa.large_string())
    elif pa.types.is_null(texts.type):
        texts = texts.cast(pa.string())
    wide = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
    if texts.offset and texts.null_count:
        texts = pa.concat_arrays([texts])
        if texts.offset:
            texts = texts.take(pa.array(np.arange(len(texts))))
    bitmap, offsets, data = texts.buffers()
    count = len(texts)
    stored = np.frombuffer(offsets, np.int64 if wide else np.int32)[texts.offset : texts.offset + count + 1]
    bounds: NDArray[np.int64] = stored.astype(np.int64) if stored.size else np.zeros(1, np.int64)
    content = np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8)
    valid = np.frombuffer(bitmap, np.uint8) if bitmap is not None and texts.null_count else None
    return bounds[:-1], bounds[1:], content, valid


@kernel
def compact_codes(codes: NDArray[np.int32], kinds: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Renumber codes so that each one occurs, in order of first appearance; -1 stays."""
    new = np.full(kinds, -1, np.int32)
    old = np.empty(kinds, np.int64)
    known = 0
    out = np.empty(codes.size, np.int32)
    for i in range(codes.size):
        code = codes[i]
        if code < 0:
            out[i] = -1
            continue
        if new[code] < 0:
            new[code] = known
            old[known] = code
            known += 1
        out[i] = new[code]
    return out, old[:known].copy()


def compact(codes: NDArray[np.int32], kinds: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Renumber codes so that each one occurs, in order of first appearance; -1 stays.

    Returns the new codes, int32 (n,), and the old code of each new one, int64.
    """
    return compact_codes(codes, kinds)


@kernel
def hash_cells(
    starts: NDArray[np.int64], ends: NDArray[np.int64], data: NDArray[np.uint8], valid: NDArray[np.uint8]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """XXH64 of each text without blanks and tabs at its ends, and whether it is missing or empty."""
    hashes = np.zeros(starts.size, np.uint64)
    missing = np.zeros(starts.size, np.bool_)
    for row in range(starts.size):
        a = starts[row]
        b = ends[row]
        if valid.size and not (valid[row >> 3] >> np.uint8(row & 7)) & np.uint8(1):
            b = a
        while a < b and (data[a] == BLANK or data[a] == TAB):
            a += 1
        while b > a and (data[b - 1] == BLANK or data[b - 1] == TAB):
            b -= 1
        if a == b:
            missing[row] = True
        else:
            hashes[row] = xxh64(data, a, b)
    return hashes, missing


def hash_texts(texts: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """XXH64 (seed 0) of each text as `Interner` sees it, uint64 (n,), and whether it is missing, bool (n,)."""
    starts, ends, data, valid = text_buffers(texts)
    given = np.empty(0, np.uint8) if valid is None else valid
    return hash_cells(starts, ends, read_only(data), read_only(given))


@kernel
def hash_rows(
    starts: NDArray[np.int64], ends: NDArray[np.int64], data: NDArray[np.uint8]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """XXH64 and a multiply-and-rotate hash of each text."""
    one = np.empty(starts.size, np.uint64)
    other = np.empty(starts.size, np.uint64)
    for i in range(starts.size):
        one[i] = xxh64(data, starts[i], ends[i])
        h = PRIME5
        for at in range(starts[i], ends[i]):
            h = np.uint64(rotate(np.uint64((h ^ np.uint64(data[at])) * PRIME3), 23) + PRIME1)
        other[i] = np.uint64((h ^ (h >> np.uint64(29))) * PRIME2)
    return one, other


def row_keys(texts: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """128 bits of hash that stand for each of the texts, none of which is missing."""
    starts, ends, data, _ = text_buffers(texts)
    return hash_rows(starts, ends, read_only(data))


@kernel
def is_delimiter(data: NDArray[np.uint8], start: int, end: int, at: int, delimiter: NDArray[np.uint8]) -> bool:
    """Whether the delimiter stands at byte `at` of a path, which is thought of as having a blank on both sides."""
    for j in range(delimiter.size):
        i = at + j
        if i == start - 1 or i == end:
            byte = BLANK
        elif i > end:
            return False
        else:
            byte = data[i]
        if byte != delimiter[j]:
            return False
    return True


@kernel
def cut_cells(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    data: NDArray[np.uint8],
    valid: NDArray[np.uint8],
    delimiter: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cut each text at the delimiter: offsets (n + 1,), start and end of every cell; missing texts have none."""
    n = starts.size
    offsets = np.zeros(n + 1, np.int64)
    width = delimiter.size
    padded = delimiter[0] == BLANK or delimiter[width - 1] == BLANK
    core = 0
    while core < width - 1 and delimiter[core] == BLANK:
        core += 1
    # Every cut has this byte of the delimiter, so that the arrays never grow: growing them cost most of the time.
    cuts = 0
    for byte in data:
        cuts += byte == delimiter[core]
    # A path is thought of as having a blank on both sides, which may cut as well.
    cell_start = np.empty(3 * n + cuts, np.int64)
    cell_end = np.empty(3 * n + cuts, np.int64)
    cells = 0
    for row in range(n):
        missing = valid.size and not (valid[row >> 3] >> np.uint8(row & 7)) & np.uint8(1)
        a = starts[row]
        b = ends[row]
        while a < b and (data[a] == BLANK or data[a] == TAB):
            a += 1
        while b > a and (data[b - 1] == BLANK or data[b - 1] == TAB):
            b -= 1
        if missing or a == b:
            offsets[row + 1] = cells
            continue
        begin = a
        at = a - 1 if padded else a
        while at < b:
            # One byte rules out nearly every place.
            i = at + core
            if a <= i < b and data[i] != delimiter[core]:
                at += 1
                continue
            if is_delimiter(data, a, b, at, delimiter):
                stop = max(at, begin)
                after = min(at + width, b)
            else:
                at += 1
                continue
            cell_start[cells] = begin
            cell_end[cells] = stop
            cells += 1
            begin = after
            # The blank that ends one " > " may begin the next: "a > > b" has an empty cell.
            at = at + width - 1 if padded and width > 1 and delimiter[0] == delimiter[width - 1] else at + width
        cell_start[cells] = begin
        cell_end[cells] = b
        cells += 1
        offsets[row + 1] = cells
    return offsets, cell_start[:cells].copy(), cell_end[:cells].copy()


def split_paths(texts: pa.Array, delimiter: str, names: Interner) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Channels of paths: offsets int64 (n + 1,) and codes int32 (touches,) in `names`; -1 for an empty name.

    Blanks around names are no part of them. A missing or blank path has no cells.
    """
    starts, ends, data, valid = text_buffers(texts)
    given = np.empty(0, np.uint8) if valid is None else valid
    mark = np.frombuffer(delimiter.encode(), np.uint8)
    offsets, cell_start, cell_end = cut_cells(starts, ends, read_only(data), read_only(given), read_only(mark))
    return offsets, names.codes_of_cells(cell_start, cell_end, data)
