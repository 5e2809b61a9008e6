// What an x86 processor can do, for the choice of the kernels. The compiler's
// own __builtin_cpu_supports() asks its runtime library, and zig's always says no.
#pragma once

namespace gpt4all {

struct Processor {
    bool avx2 = false;   // with FMA
    bool avx512 = false; // F, DQ, BW and VL
    bool avx512bf16 = false;
    bool amd = false;
};

// The instructions that processor and operating system both know.
Processor this_processor();

} // namespace gpt4all
