"""Processor instructions that the counting kernels need and Numba has no name for.

Each is written as LLVM code, which turns it into the best the machine has: on AVX-512 a block of counts runs
on whole 512-bit registers, elsewhere on what is there. Bit extraction (PEXT) exists on x86 with BMI2 only;
everywhere else a portable function of the same result takes its place.
"""

import platform
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic, register_jitable

__all__ = [
    "HAS_EXTRACT",
    "VECTOR_WORDS",
    "block_counts",
    "extract_bits",
    "extract_bits_portable",
    "ones",
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

_I64 = ir.IntType(64)


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
zeros_below: Callable[[np.uint64], np.uint64] = cast(Any, _zeros_below)
extract_bits: Callable[[np.uint64, np.uint64], np.uint64] = cast(
    Any, _extract_bits_x86 if HAS_EXTRACT else extract_bits_portable
)


@intrinsic
def _block_counts(typing_context: Any, rows: Any, columns: Any, words: Any, counts: Any) -> Any:
    """Set bits common to each of four bitmaps and each of four others: 16 counts, no store before the end.

    Four by four because every word loaded is then used four times: the loads, not the counting, are what
    limits a single pair.

    Parameters
    ----------
    rows, columns
        Four addresses each, of uint64 bitmaps.
    words
        Number of words to read of each, a positive multiple of `VECTOR_WORDS`.
    counts
        Address of int64 (4, 4), overwritten.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows_ir, columns_ir, words_ir, counts_ir = arguments
        row = [builder.extract_value(rows_ir, i) for i in range(4)]
        column = [builder.extract_value(columns_ir, i) for i in range(4)]
        target = builder.inttoptr(counts_ir, _I64.as_pointer())
        for first in range(0, 4, _ROWS_AT_ONCE):
            group = range(first, first + _ROWS_AT_ONCE)
            sums = _vector_loop(builder, [row[i] for i in group], column, words_ir)
            for place, total in enumerate(sums, 4 * first):
                builder.store(total, builder.gep(target, [_I64(place)]))
        return context.get_dummy_value()

    return types.void(rows, columns, words, counts), generate


def _vector_loop(builder: Any, row: list[Any], column: list[Any], words: Any) -> list[Any]:
    """Emit the loop over the words with one vector of running counts for each (row, column)."""
    vector = ir.VectorType(_I64, _LANES)
    population = _declared(builder.module, ir.FunctionType(vector, [vector]), f"llvm.ctpop.v{_LANES}i64")
    total = _declared(builder.module, ir.FunctionType(_I64, [vector]), f"llvm.vector.reduce.add.v{_LANES}i64")
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
    word.add_incoming(_I64(0), before)
    running = [builder.phi(vector) for _ in range(len(row) * len(column))]

    def load(pointer: Any) -> Any:
        return builder.load(builder.bitcast(builder.gep(pointer, [word]), vector.as_pointer()), align=8)

    row_words = [load(pointer) for pointer in row]
    column_words = [load(pointer) for pointer in column]
    common = [builder.and_(a, b) for a in row_words for b in column_words]
    counted = [builder.add(old, builder.call(population, [c])) for old, c in zip(running, common, strict=True)]
    following = builder.add(word, _I64(_LANES))
    word.add_incoming(following, loop)
    for old, new in zip(running, counted, strict=True):
        old.add_incoming(ir.Constant(vector, [0] * _LANES), before)
        old.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, words), loop, after)

    builder.position_at_end(after)
    return [builder.call(total, [counts]) for counts in counted]


block_counts: Callable[[tuple[int, ...], tuple[int, ...], int, int], None] = cast(Any, _block_counts)
