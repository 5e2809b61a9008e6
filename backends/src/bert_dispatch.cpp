#include "bert_kernels.h"

namespace gpt4all {

#if defined(GPT4ALL_X86_KERNELS)
extern const BertKernels bert_kernels_avx512;
extern const BertKernels bert_kernels_avx2;

const BertKernels *find_bert_kernels() {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return &bert_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &bert_kernels_avx2;
    return nullptr;
}
#elif defined(GPT4ALL_NEON_KERNELS)
extern const BertKernels bert_kernels_neon;

const BertKernels *find_bert_kernels() { return &bert_kernels_neon; }
#else
const BertKernels *find_bert_kernels() { return nullptr; }
#endif

} // namespace gpt4all
