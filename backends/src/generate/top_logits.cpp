#include "generate/top_logits.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gpt4all {
namespace {

// Independent maxima let the compiler use the widest compare there is. GCC 12 would keep 16 as scalars.
constexpr int32_t LANES = 32;

bool weaker_last(const llama_token_data &a, const llama_token_data &b) {
    // Equal logits are ordered by id, so that a draw does not depend on the heap.
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

} // namespace

float largest_logit(const float *logits, int32_t n) {
    float lanes[LANES];
    std::fill_n(lanes, LANES, -std::numeric_limits<float>::infinity());
    int32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int32_t k = 0; k < LANES; k++) lanes[k] = logits[i + k] > lanes[k] ? logits[i + k] : lanes[k];
    }
    float best = *std::max_element(lanes, lanes + LANES);
    for (; i < n; i++) best = logits[i] > best ? logits[i] : best;
    return best;
}

// Block by block, so that a block is looked through while the cache has it.
llama_token find_largest_logit(const float *logits, int32_t n) {
    constexpr int32_t BLOCK = 64 * LANES;
    float best = -std::numeric_limits<float>::infinity();
    int32_t begin = 0;
    for (int32_t i = 0; i < n; i += BLOCK) {
        const float largest = largest_logit(logits + i, std::min(BLOCK, n - i));
        if (!(largest > best)) continue;
        best = largest;
        begin = i;
    }
    if (!std::isfinite(best)) return LLAMA_TOKEN_NULL;
    return static_cast<llama_token>(std::find(logits + begin, logits + n, best) - logits);
}

// In a heap whose weakest member is on top; a block of logits that holds
// nothing above it is skipped whole.
void find_top_logits(const float *logits, int32_t n, std::size_t most, std::vector<llama_token_data> &top) {
    top.clear();
    if (most == 0) return;
    int32_t i = 0;
    const auto offer = [&](llama_token token) {
        // What is no number has no place in an order.
        if (std::isnan(logits[token])) return;
        const llama_token_data candidate = {token, logits[token], 0.0f};
        if (top.size() < most) {
            top.push_back(candidate);
            std::push_heap(top.begin(), top.end(), weaker_last);
        } else if (candidate.logit > top.front().logit) {
            std::pop_heap(top.begin(), top.end(), weaker_last);
            top.back() = candidate;
            std::push_heap(top.begin(), top.end(), weaker_last);
        }
    };
    constexpr int32_t BLOCK = 2 * LANES;
    for (; i + BLOCK <= n; i += BLOCK) {
        if (top.size() == most && !(largest_logit(logits + i, BLOCK) > top.front().logit)) continue;
        for (int32_t k = i; k < i + BLOCK; k++) offer(k);
    }
    for (; i < n; i++) offer(i);
    std::sort_heap(top.begin(), top.end(), weaker_last);
}

} // namespace gpt4all
