"""Processor instructions that the counting kernels need and Numba has no name for.

Each is written as LLVM code, which turns it into the best the machine has: on AVX-512 a block of counts runs
on whole 512-bit registers, elsewhere on what is there. Bit extraction (PEXT) exists on x86 with BMI2 only;
everywhere else a portable function of the same result takes its place.
"""

import platform
from collections.abc import Callable, MutableSequence
from typing import Any, cast

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic, register_jitable

__all__ = [
    "HAS_EXTRACT",
    "VECTOR_WORDS",
    "add_block_counts",
    "extract_bits",
    "extract_bits_portable",
    "floats_at",
    "int16s_at",
    "int32s_at",
    "ints_at",
    "ones",
    "words_at",
    "write_block_counts",
    "write_triangle_counts",
    "zeros_below",
]

VECTOR_WORDS = 8
"""Bitmaps are padded to a multiple of this many words, so that no kernel needs a scalar tail."""


def _features() -> set[str]:
    """Features of the processor that Numba compiles for (it can be told to ignore the host's)."""
    chosen, name = getattr(config, "CPU_FEATURES", None), getattr(config, "CPU_NAME", None)
    if chosen is not None:
        return {feature[1:] for feature in chosen.split(",") if feature.startswith("+")}
    if name:
        return set()
    return {feature for feature, present in binding.get_host_cpu_features().items() if present}


_FEATURES = _features()
# The first two Zen generations run PEXT in microcode, slower than the portable way.
HAS_EXTRACT = (
    platform.machine().lower() in {"x86_64", "amd64"}
    and "bmi2" in _FEATURES
    and binding.get_host_cpu_name() not in {"znver1", "znver2"}
)
# 16 running counts fill half the registers of AVX-512; with 16 registers only 8 fit beside the operands.
_LANES, _ROWS_AT_ONCE = (8, 4) if "avx512f" in _FEATURES else (4, 2)

_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _declared(module: Any, signature: Any, name: str) -> Any:
    return cast(Any, cgutils).get_or_insert_function(module, signature, name)


@intrinsic
def _ones(typing_context: Any, word: Any) -> Any:
    """Number of set bits of a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def _zeros_below(typing_context: Any, word: Any) -> Any:
    """Position of the lowest set bit of a word that has one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@intrinsic
def _extract_bits_x86(typing_context: Any, word: Any, mask: Any) -> Any:
    """PEXT: the bits of `word` at the set bits of `mask`, moved together at the low end."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        signature_ir = ir.FunctionType(_I64, [_I64, _I64])
        function = _declared(builder.module, signature_ir, "llvm.x86.bmi.pext.64")
        return builder.call(function, arguments)

    return types.uint64(types.uint64, types.uint64), generate


def _pointer(pointee: Any, pointee_ir: Any) -> Any:
    """A conversion of an address to numbers indexed without a check."""

    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], pointee_ir.as_pointer())

        return cast(Any, types).CPointer(pointee)(types.int64), generate

    return pointer


@register_jitable
def extract_bits_portable(word: np.uint64, mask: np.uint64) -> np.uint64:
    """PEXT in six steps: step i moves by 2^i every bit whose distance to its place has bit i set.

    The distance of a bit is the number of zeros of the mask below it; a running XOR over the mask's zeros
    (its parallel prefix) gives one binary digit of all 64 distances at a time (Warren, Hacker's Delight,
    section 7-4).
    """
    one = np.uint64(1)
    kept = mask
    word &= mask
    zeros = ~mask << one
    for step in range(6):
        parity = zeros ^ (zeros << one)
        for shift in (np.uint64(2), np.uint64(4), np.uint64(8), np.uint64(16), np.uint64(32)):
            parity ^= parity << shift
        distance = one << np.uint64(step)
        moving = parity & kept
        kept = (kept ^ moving) | (moving >> distance)
        moved = word & moving
        word = (word ^ moved) | (moved >> distance)
        zeros &= ~parity
    return word


# What mypy sees: Numba publishes no types of an intrinsic's call.
ones: Callable[[np.uint64], np.uint64] = cast(Any, _ones)
# Numbers from an address on. Taking a slice of an array counts references, which costs more than a small node.
words_at: Callable[[int], MutableSequence[np.uint64]] = _pointer(types.uint64, _I64)
ints_at: Callable[[int], MutableSequence[int]] = _pointer(types.int64, _I64)
int32s_at: Callable[[int], MutableSequence[int]] = _pointer(types.int32, _I32)
int16s_at: Callable[[int], MutableSequence[int]] = _pointer(types.int16, ir.IntType(16))
floats_at: Callable[[int], MutableSequence[float]] = _pointer(types.float64, ir.DoubleType())
zeros_below: Callable[[np.uint64], np.uint64] = cast(Any, _zeros_below)
extract_bits: Callable[[np.uint64, np.uint64], np.uint64] = cast(
    Any, _extract_bits_x86 if HAS_EXTRACT else extract_bits_portable
)


@intrinsic
def _add_block_counts(
    typing_context: Any,
    rows: Any,
    columns: Any,
    words: Any,
    n: Any,
    s: Any,
    stride: Any,
    n_scale: Any,
    s_scale: Any,
    half: Any,
) -> Any:
    """Set bits common to each of four bitmaps and each of four others, added to a matrix of n and one of s.

    Four by four because every word loaded is then used four times: the loads, not the counting, are what
    limits a single pair. The 16 counts stay in registers until they are added.

    Parameters
    ----------
    rows, columns
        Four addresses each, of uint64 bitmaps.
    words
        Number of words to read of each, a positive multiple of `VECTOR_WORDS`.
    n, s
        Addresses of the first of four rows of int64 each, to which the scaled counts are added.
    stride
        Bytes from one of these rows to the next.
    n_scale, s_scale
        What one common bit adds.
    half
        Whether the first two rows are enough; the others are then left alone.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows_ir, columns_ir, words_ir, n_ir, s_ir, stride_ir, n_scale_ir, s_scale_ir, half_ir = arguments
        row = [builder.extract_value(rows_ir, i) for i in range(4)]
        column = [builder.extract_value(columns_ir, i) for i in range(4)]

        def add(first: int, last: int) -> None:
            cells = [(at - first, k) for at in range(first, last) for k in range(4)]
            none = _no_counts(len(cells))
            sums = _vector_loop(builder, row[first:last], column, cells, _I64(0), words_ir, none)
            for at in range(first, last):
                counts = _four_totals(builder, sums[4 * (at - first) : 4 * (at - first) + 4])
                for address, scale in ((n_ir, n_scale_ir), (s_ir, s_scale_ir)):
                    place = _row_at(builder, address, at, stride_ir)
                    scaled = builder.mul(counts, _four_times(builder, scale))
                    builder.store(builder.add(builder.load(place, align=8), scaled), place, align=8)

        _in_halves(builder, half_ir, add)
        return context.get_dummy_value()

    return types.void(rows, columns, words, n, s, stride, n_scale, s_scale, half), generate


@intrinsic
def _write_block_counts(
    typing_context: Any,
    rows: Any,
    columns: Any,
    mask: Any,
    s_words: Any,
    words: Any,
    n: Any,
    s: Any,
    stride: Any,
    half: Any,
) -> Any:
    """As `add_block_counts`, of n all bits and of s those in the first `s_words` words; overwrites the cells.

    Only bits that the mask, one more bitmap, holds are counted; None is no mask. For the words see `_counts_of_both`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows_ir, columns_ir, mask_ir, s_words_ir, words_ir, n_ir, s_ir, stride_ir, half_ir = arguments
        row = [builder.extract_value(rows_ir, i) for i in range(4)]
        column = [builder.extract_value(columns_ir, i) for i in range(4)]

        def write(first: int, last: int) -> None:
            cells = [(at - first, k) for at in range(first, last) for k in range(4)]
            on = None if mask == types.none else mask_ir
            sums = _counts_of_both(builder, row[first:last], column, cells, s_words_ir, words_ir, on)
            for at in range(first, last):
                both = _totals_of_both(builder, sums[4 * (at - first) : 4 * (at - first) + 4])
                for totals, address in zip(both, (n_ir, s_ir), strict=True):
                    builder.store(totals, _row_at(builder, address, at, stride_ir), align=8)

        _in_halves(builder, half_ir, write)
        return context.get_dummy_value()

    return types.void(rows, columns, mask, s_words, words, n, s, stride, half), generate


@intrinsic
def _write_triangle_counts(
    typing_context: Any, columns: Any, mask: Any, s_words: Any, words: Any, n: Any, s: Any, stride: Any
) -> Any:
    """As `write_block_counts` for the six pairs of four bitmaps, in the cells above the diagonal of a matrix.

    `n` and `s` are the addresses of the matrices; some cells that are no result are overwritten as well.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        columns_ir, mask_ir, s_words_ir, words_ir, n_ir, s_ir, stride_ir = arguments
        four = [builder.extract_value(columns_ir, i) for i in range(4)]
        on = None if mask == types.none else mask_ir
        # Pairs of four bitmaps: the first three as rows, the last three as columns.
        cells = [(row, column) for row in range(3) for column in range(row, 3)]
        ab, ac, ad, bc, bd, cd = _counts_of_both(builder, four[:3], four[1:], cells, s_words_ir, words_ir, on)
        first = _totals_of_both(builder, [ab, ac, ad, ad])
        rest = _totals_of_both(builder, [bc, bd, cd, cd])
        for address, of_a, others in zip((n_ir, s_ir), first, rest, strict=True):
            builder.store(of_a, _row_at(builder, builder.add(address, _I64(8)), 0, stride_ir), align=8)
            builder.store(others, _row_at(builder, builder.add(address, _I64(16)), 1, stride_ir), align=8)
            last = builder.bitcast(_row_at(builder, builder.add(address, _I64(24)), 2, stride_ir), _I64.as_pointer())
            builder.store(builder.extract_element(others, _I32(2)), last)
        return context.get_dummy_value()

    return types.void(columns, mask, s_words, words, n, s, stride), generate


def _counts_of_both(
    builder: Any, row: list[Any], column: list[Any], cells: list[tuple[int, int]], s_words: Any, words: Any, mask: Any
) -> list[Any]:
    """Emit the counting of cells in both segments of a binary y: n in the low half of each lane, s in the high half.

    Both numbers of words are positive multiples of `VECTOR_WORDS`; `words` is the larger and below 2^25, so that a
    count takes less than half a lane. One sum over the lanes then gives both: for short bitmaps these sums take as
    long as the counting.
    """
    of_y = _vector_loop(builder, row, column, cells, _I64(0), s_words, _no_counts(len(cells)), mask)
    high = ir.Constant(of_y[0].type, [32] * _LANES)
    twice = [builder.or_(counts, builder.shl(counts, high)) for counts in of_y]
    return _vector_loop(builder, row, column, cells, s_words, words, twice, mask)


def _totals_of_both(builder: Any, vectors: list[Any]) -> tuple[Any, Any]:
    """Four totals of n and four of s of what `_counts_of_both` counted."""
    counts = _four_totals(builder, vectors)
    low, high = (ir.Constant(counts.type, [number] * 4) for number in (2**32 - 1, 32))
    return builder.and_(counts, low), builder.lshr(counts, high)


def _in_halves(builder: Any, half: Any, emit: Callable[[int, int], None]) -> None:
    """Emit the code for the first two rows of a block where `half` is set, else for all four."""
    if _ROWS_AT_ONCE == 2:
        emit(0, 2)
        with builder.if_then(builder.not_(half)):
            emit(2, 4)
    else:
        with builder.if_else(half) as (two, four):
            with two:
                emit(0, 2)
            with four:
                emit(0, 4)


def _no_counts(cells: int) -> list[Any]:
    return [ir.Constant(ir.VectorType(_I64, _LANES), [0] * _LANES)] * cells


def _row_at(builder: Any, address: Any, row: int, stride: Any) -> Any:
    """Pointer to four counts in a row of a matrix."""
    place = builder.add(address, builder.mul(_I64(row), stride))
    return builder.inttoptr(place, ir.VectorType(_I64, 4).as_pointer())


def _four_times(builder: Any, value: Any) -> Any:
    """A vector of four lanes that all hold the value."""
    one = builder.insert_element(ir.Constant(ir.VectorType(_I64, 4), ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, 4), [0] * 4))


def _four_totals(builder: Any, vectors: list[Any]) -> Any:
    """Totals of the lanes of each of four vectors, as one vector: lanes are swapped and added pair by pair."""

    def added(a: Any, b: Any, even: list[int], odd: list[int]) -> Any:
        picked = [
            builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)) for lanes in (even, odd)
        ]
        return builder.add(*picked)

    if _LANES == 8:
        vectors = [added(vector, vector, [0, 1, 2, 3], [4, 5, 6, 7]) for vector in vectors]
    left, right = (added(vectors[i], vectors[i + 1], [0, 4, 2, 6], [1, 5, 3, 7]) for i in (0, 2))
    return added(left, right, [0, 1, 4, 5], [2, 3, 6, 7])


def _vector_loop(
    builder: Any,
    row: list[Any],
    column: list[Any],
    cells: list[tuple[int, int]],
    first: Any,
    end: Any,
    counts: list[Any],
    mask: Any = None,
) -> list[Any]:
    """Emit the loop over the words [first, end) that adds to one vector of counts for each cell (row, column)."""
    vector = ir.VectorType(_I64, _LANES)
    population = _declared(builder.module, ir.FunctionType(vector, [vector]), f"llvm.ctpop.v{_LANES}i64")
    row = [builder.inttoptr(address, _I64.as_pointer()) for address in row]
    column = [builder.inttoptr(address, _I64.as_pointer()) for address in column]
    before, loop, after = (
        builder.block,
        builder.append_basic_block("words"),
        builder.append_basic_block("done"),
    )
    builder.branch(loop)

    builder.position_at_end(loop)
    word = builder.phi(_I64)
    word.add_incoming(first, before)
    running = [builder.phi(vector) for _ in cells]

    def load(pointer: Any) -> Any:
        return builder.load(builder.bitcast(builder.gep(pointer, [word]), vector.as_pointer()), align=8)

    row_words = [load(pointer) for pointer in row]
    if mask is not None:
        kept = load(builder.inttoptr(mask, _I64.as_pointer()))
        row_words = [builder.and_(row_word, kept) for row_word in row_words]
    column_words = [load(pointer) for pointer in column]
    common = [builder.and_(row_words[a], column_words[b]) for a, b in cells]
    counted = [builder.add(old, builder.call(population, [c])) for old, c in zip(running, common, strict=True)]
    following = builder.add(word, _I64(_LANES))
    word.add_incoming(following, loop)
    for old, given, new in zip(running, counts, counted, strict=True):
        old.add_incoming(given, before)
        old.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, end), loop, after)

    builder.position_at_end(after)
    return counted


Four = tuple[int, int, int, int]
add_block_counts: Callable[[Four, Four, int, int, int, int, int, int, bool], None] = cast(Any, _add_block_counts)
Mask = int | None
write_block_counts: Callable[[Four, Four, Mask, int, int, int, int, int, bool], None] = cast(Any, _write_block_counts)
write_triangle_counts: Callable[[Four, Mask, int, int, int, int, int], None] = cast(Any, _write_triangle_counts)
