#include "embed/bert/kernels.h"

#include "base/guard.h"

#include <cstdlib>
#include <string>
#include <vector>

namespace gpt4all {

#if defined(GPT4ALL_X86_KERNELS)
extern const BertKernels bert_kernels_avx512bf16;
extern const BertKernels bert_kernels_avx512;
extern const BertKernels bert_kernels_avx2;
#elif defined(GPT4ALL_NEON_KERNELS)
extern const BertKernels bert_kernels_neon;
#endif

namespace {

struct Choice {
    const char *name;
    const BertKernels *kernels;
    bool works;
    bool fastest;
};

// The best first.
std::vector<Choice> choices() {
#if defined(GPT4ALL_X86_KERNELS)
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    return {
        // AMD's processors multiply twice as many numbers of 16 bits at once, Intel's no more than of 32.
        {"avx512bf16", &bert_kernels_avx512bf16, avx512 && __builtin_cpu_supports("avx512bf16"),
         static_cast<bool>(__builtin_cpu_is("amd"))},
        {"avx512", &bert_kernels_avx512, avx512, true},
        {"avx2", &bert_kernels_avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), true},
        {"engine", nullptr, true, true},
    };
#elif defined(GPT4ALL_NEON_KERNELS)
    return {{"neon", &bert_kernels_neon, true, true}, {"engine", nullptr, true, true}};
#else
    return {{"engine", nullptr, true, true}};
#endif
}

} // namespace

const BertKernels *find_bert_kernels() {
    const char *wanted = std::getenv("GPT4ALL_BERT_KERNELS");
    std::string names;
    for (const Choice &choice : choices()) {
        if (!choice.works) continue;
        if (wanted == nullptr ? choice.fastest : wanted == std::string(choice.name)) return choice.kernels;
        names += std::string(names.empty() ? "" : ", ") + choice.name;
    }
    throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT,
                "GPT4ALL_BERT_KERNELS is '" + std::string(wanted) + "', but this processor has " + names);
}

} // namespace gpt4all
