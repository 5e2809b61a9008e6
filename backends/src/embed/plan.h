// Which texts are computed at once.
#pragma once

#include "gpt4all_backend.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpt4all {

// The engine's limit is 256; its pooling takes a matrix of texts times tokens.
constexpr std::size_t MAX_BATCH_TEXTS = 64;

// Texts as tokens, one after the other; the caller owns tokens and lengths.
struct EmbedTexts {
    const int32_t *tokens;
    const int32_t *lengths;
    std::vector<int64_t> starts;
};

// Texts that are computed at once.
struct EmbedBatch {
    std::vector<std::size_t> texts;
    int32_t n_tokens = 0;
};

struct EmbedWork {
    EmbedTexts texts;
    std::vector<EmbedBatch> batches; // largest first
    bool normalize;
    float *vectors; // one row for each text
    const int32_t *cancel;
    gpt4all_embed_callback callback;
    void *payload;
};

// The texts in batches of up to `budget` tokens, longest first; a longer text
// is one by itself.
std::vector<EmbedBatch> plan_batches(const int32_t *lengths, std::size_t n_texts, int32_t budget);

} // namespace gpt4all
