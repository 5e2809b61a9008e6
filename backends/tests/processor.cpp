// Prints whether the upper halves of this thread's vector registers are in use after something used them, and again
// after clear_upper_halves(); nothing where the processor does not tell.
#include "base/processor.h"

#include <cpuid.h>

#include <cstdint>
#include <cstdio>

namespace {

bool can_tell() {
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
    uint32_t d = 0;
    const bool os_keeps_registers = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 27 & 1) != 0 && (c >> 28 & 1) != 0;
    return os_keeps_registers && __get_cpuid_count(13, 1, &a, &b, &c, &d) != 0 && (a >> 2 & 1) != 0;
}

bool in_use() {
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return (low >> 2 & 1) != 0;
}

} // namespace

int main() {
    if (!can_tell()) return 0;
    gpt4all::clear_upper_halves(); // the first call looks at the processor
    __asm__ volatile("vcmpps $15, %%ymm0, %%ymm0, %%ymm0" ::: "xmm0");
    const bool before = in_use();
    gpt4all::clear_upper_halves();
    std::printf("%d %d\n", before, in_use());
    return 0;
}
