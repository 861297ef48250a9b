"""What emitted C needs besides C99 itself: bit casts, integers that wrap, conversions defined for every input, f16.

Each function is printed where something uses it. Nothing relies on what C leaves open: integers wrap as unsigned ones,
signs come from bits by memcpy, shift amounts are below the width, right shifts of signed numbers do not occur.
"""

from __future__ import annotations

import re

# Above all functions: what would change bits is refused, or switched off where a compiler has a word for it.
GUARD = """\
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "compile without -ffast-math: the results would not be the documented ones"
#endif
#if !defined(FLT_EVAL_METHOD) || (FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16)
#error "floats must be computed in their own type: compile with -mfpmath=sse or for another processor"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize ("fp-contract=off")
#endif
"""

_CASTS = {
    f"ac_{to}_of_{kind}": f"""\
static inline {to_type} ac_{to}_of_{kind}({kind_type} a) {{
    {to_type} r;
    memcpy(&r, &a, sizeof r);
    return r;
}}"""
    for to, to_type, kind, kind_type in (
        ("f32", "float", "u32", "uint32_t"),
        ("u32", "uint32_t", "f32", "float"),
        ("f64", "double", "u64", "uint64_t"),
        ("u64", "uint64_t", "f64", "double"),
        ("s16", "int16_t", "u16", "uint16_t"),
        ("s32", "int32_t", "u32", "uint32_t"),
        ("s64", "int64_t", "u64", "uint64_t"),
    )
}

_SHIFTS = {
    f"ac_iashr_u{width}": f"""\
static inline uint{width}_t ac_iashr_u{width}(uint{width}_t a, unsigned count) {{
    uint{width}_t sign = (uint{width}_t)-(a >> {width - 1}); /* all ones where a is negative */
    return (uint{width}_t)(((uint{width}_t)(a ^ sign) >> count) ^ sign);
}}"""
    for width in (16, 32, 64)
}

_SATURATING = {
    f"ac_u{width}_of_f64_saturated": f"""\
/* truncated; beyond the range the nearest end; NaN gives 0 */
static inline uint{width}_t ac_u{width}_of_f64_saturated(double a) {{
    if (!(a == a)) return 0;
    if (a >= 0x1p{width - 1}) return (uint{width}_t)INT{width}_MAX;
    if (a <= -0x1p{width - 1}) return (uint{width}_t)INT{width}_MAX + 1u;
    return (uint{width}_t)(int{width}_t)a;
}}"""
    for width in (16, 32, 64)
}

_OTHERS = {
    "ac_imulhi_u64": """\
static inline uint64_t ac_imulhi_u64(uint64_t a, uint64_t b) {
    uint64_t a0 = a & 0xFFFFFFFFu, a1 = a >> 32, b0 = b & 0xFFFFFFFFu, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (middle & 0xFFFFFFFFu);
    return a1 * b1 + (middle >> 32) + (other >> 32);
}""",
    "ac_place": """\
/* an index clamped into a table of so many entries */
static inline size_t ac_place(int64_t index, int64_t entries) {
    return (size_t)(index < 0 ? 0 : index < entries ? index : entries - 1);
}""",
    "ac_fold": """\
/* the end of the fixed tree of a sum: lane j + lane j+16, then 8, 4, 2, 1 */
static inline double ac_fold(double *lanes) {
    for (int width = 16; width; width /= 2)
        for (int lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
    return lanes[0];
}""",
    "ac_f32_of_f16": """\
static inline float ac_f32_of_f16(uint16_t a) {
    uint32_t magnitude = (uint32_t)(a & 0x7FFFu) << 13, sign = (uint32_t)(a & 0x8000u) << 16;
    /* exponent and mantissa are in place; a product moves the bias by 112, and normalises subnormals too */
    uint32_t finite = ac_u32_of_f32(ac_f32_of_u32(magnitude) * 0x1p112f);
    return ac_f32_of_u32((magnitude < 0x0F800000u ? finite : magnitude | 0x7F800000u) | sign);
}""",
    "ac_f16_of_f32": """\
static inline uint16_t ac_f16_of_f32(float a) {
    uint32_t bits = ac_u32_of_f32(a), magnitude = bits & 0x7FFFFFFFu;
    /* just under half a unit, and the last kept bit for ties; the carry may reach the exponent */
    uint32_t normal = (magnitude + 0xFFFu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    /* subnormal results: adding 0.5 leaves the unit 2**-24 in the last bit, rounded by the addition */
    uint32_t small = ac_u32_of_f32(ac_f32_of_u32(magnitude) + 0.5f) - 0x3F000000u;
    uint32_t r = magnitude < 0x38800000u ? small : normal;
    r = magnitude >= 0x47800000u ? 0x7C00u : r;
    r = magnitude > 0x7F800000u ? 0x7E00u : r;
    return (uint16_t)(r | ((bits >> 16) & 0x8000u));
}""",
    "ac_f16_of_f64": """\
static inline uint16_t ac_f16_of_f64(double a) {
    uint64_t bits = ac_u64_of_f64(a), magnitude = bits & 0x7FFFFFFFFFFFFFFFu;
    uint64_t normal = (magnitude + 0x1FFFFFFFFFFu + ((magnitude >> 42) & 1u) - 0x3F00000000000000u) >> 42;
    uint64_t small = ac_u64_of_f64(ac_f64_of_u64(magnitude) + 0x1p28) - 0x41B0000000000000u;
    uint64_t r = magnitude < 0x3F10000000000000u ? small : normal;
    r = magnitude >= 0x40F0000000000000u ? 0x7C00u : r;
    r = magnitude > 0x7FF0000000000000u ? 0x7E00u : r;
    return (uint16_t)(r | ((bits >> 48) & 0x8000u));
}""",
    "ac_fma_f16": """\
/* a*b + c rounded once: the product is exact in double, the sum is rounded to odd */
static inline uint16_t ac_fma_f16(uint16_t a, uint16_t b, uint16_t c) {
    double product = (double)ac_f32_of_f16(a) * (double)ac_f32_of_f16(b), addend = (double)ac_f32_of_f16(c);
    double total = product + addend, shadow = total - product, rest = total - shadow;
    double error = (product - rest) + (addend - shadow); /* of the sum, exact (Knuth) */
    uint64_t bits = ac_u64_of_f64(total);
    if ((error < 0.0 || error > 0.0) && !(bits & 1u)) bits += ((error > 0.0) == (total > 0.0)) ? 1u : (uint64_t)-1;
    return ac_f16_of_f64(ac_f64_of_u64(bits));
}""",
}

FUNCTIONS: dict[str, str] = {**_CASTS, **_SHIFTS, **_SATURATING, **_OTHERS}


def support_for(text: str) -> str:
    """The functions that the text calls, and those that they call, in an order that C takes."""
    used: set[str] = set()
    pending = [text]
    while pending:
        found = set(re.findall(r"\bac_\w+", pending.pop())) & set(FUNCTIONS)
        pending += [FUNCTIONS[name] for name in found - used]
        used |= found
    return "\n\n".join(body for name, body in FUNCTIONS.items() if name in used)
