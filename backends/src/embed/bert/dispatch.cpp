#include "embed/bert/kernels.h"

#include "base/guard.h"
#include "base/processor.h"

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
    const Processor processor = this_processor();
    return {
        // AMD's processors multiply twice as many numbers of 16 bits at once, Intel's no more than of 32.
        {"avx512bf16", &bert_kernels_avx512bf16, processor.avx512bf16, processor.amd},
        {"avx512", &bert_kernels_avx512, processor.avx512, true},
        {"avx2", &bert_kernels_avx2, processor.avx2, true},
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
