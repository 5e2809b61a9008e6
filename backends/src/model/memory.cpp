#include "model/memory.h"

#include "base/log.h"
#include "model/facts.h"
#include "model/load_options.h"

#include "ggml-backend.h"

#include <string>

namespace gpt4all {
namespace {

// A context's bookkeeping takes some 50 bytes of main memory a token, also where
// its cache is not allocated: longer ones are reckoned, not made.
constexpr int32_t LONGEST_MADE = 1 << 20;

} // namespace

MemoryNeeds measure_memory(const char *path, const gpt4all_load_options &options) {
    // What is said here will be said again by the load.
    MuteLog mute;
    const UnallocatedModel model(path, options);
    if (pools(model.weights())) {
        const EmbedSettings settings = embed_settings(options, model.weights());
        return model.needs(embed_context_params(settings, usual_batch(settings)));
    }
    const int32_t n_ctx = context_size(options, model.weights());
    const int32_t n_sequences = sequence_count(options, model.weights());
    const int32_t longest = LONGEST_MADE / n_sequences;
    if (n_ctx <= longest) return model.needs(context_params(options, n_ctx, n_sequences));
    MemoryNeeds needs = model.needs(context_params(options, longest, n_sequences));
    const MemoryNeeds half = model.needs(context_params(options, longest / 2, n_sequences));
    const double steps = static_cast<double>(n_ctx - longest) / (longest / 2);
    for (std::size_t i = 0; i < needs.size(); i++) {
        needs[i].context += static_cast<int64_t>(steps * static_cast<double>(needs[i].context - half[i].context));
        needs[i].compute += static_cast<int64_t>(steps * static_cast<double>(needs[i].compute - half[i].compute));
    }
    return needs;
}

void check_memory(const char *path, const gpt4all_load_options &options) {
    for (const gpt4all_memory_need &need : measure_memory(path, options)) {
        const int64_t needed = need.weights + need.context + need.compute;
        if (need.device < 0 || need.memory_total == 0 || needed <= need.memory_free) continue;
        throw Error(GPT4ALL_ERROR_OUT_OF_MEMORY, std::string(ggml_backend_dev_description(
                                                     ggml_backend_dev_get(static_cast<std::size_t>(need.device)))) +
                                                     " has " + std::to_string(need.memory_free) + " bytes free, but " +
                                                     std::to_string(needed) + " are needed");
    }
}

} // namespace gpt4all
