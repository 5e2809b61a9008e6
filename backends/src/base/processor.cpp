#include "base/processor.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include <cpuid.h>

#include <cstdint>

namespace gpt4all {
namespace {

// Which registers the operating system keeps for each thread.
uint64_t kept_registers() {
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return static_cast<uint64_t>(high) << 32 | low;
}

bool has(uint32_t word, int bit) { return (word >> bit & 1) != 0; }

} // namespace

Processor this_processor() {
    constexpr uint64_t AVX_REGISTERS = 0x6;
    constexpr uint64_t AVX512_REGISTERS = 0xE6;
    Processor found;
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
    uint32_t d = 0;
    if (__get_cpuid(0, &a, &b, &c, &d) == 0) return found;
    found.amd = b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
    const bool fma = has(c, 12);
    const bool os_keeps_registers = has(c, 27);
    if (!os_keeps_registers) return found;
    const uint64_t kept = kept_registers();
    found.avx = has(c, 28) && (kept & AVX_REGISTERS) == AVX_REGISTERS;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
    const bool has_more = a >= 1;
    found.avx2 = has(b, 5) && fma && found.avx;
    found.avx512 = has(b, 16) && has(b, 17) && has(b, 30) && has(b, 31) && found.avx2 &&
                   (kept & AVX512_REGISTERS) == AVX512_REGISTERS;
    if (!has_more || __get_cpuid_count(7, 1, &a, &b, &c, &d) == 0) return found;
    found.avx512bf16 = has(a, 5) && found.avx512;
    return found;
}

void clear_upper_halves() {
    static const bool has_them = this_processor().avx;
    if (has_them) __asm__ volatile("vzeroupper");
}

} // namespace gpt4all

#else

namespace gpt4all {

Processor this_processor() { return {}; }

void clear_upper_halves() {}

} // namespace gpt4all

#endif
