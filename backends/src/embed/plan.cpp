#include "embed/plan.h"

#include <algorithm>
#include <numeric>

namespace gpt4all {

std::vector<EmbedBatch> plan_batches(const int32_t *lengths, std::size_t n_texts, int32_t budget) {
    std::vector<std::size_t> order(n_texts);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
    std::vector<EmbedBatch> batches;
    for (const std::size_t text : order) {
        const bool full = batches.empty() || batches.back().n_tokens + lengths[text] > budget ||
                          batches.back().texts.size() >= MAX_BATCH_TEXTS;
        if (full) batches.emplace_back();
        batches.back().texts.push_back(text);
        batches.back().n_tokens += lengths[text];
    }
    // One long text can be followed by short ones that fill a batch better.
    std::stable_sort(batches.begin(), batches.end(),
                     [](const EmbedBatch &a, const EmbedBatch &b) { return a.n_tokens > b.n_tokens; });
    return batches;
}

} // namespace gpt4all
