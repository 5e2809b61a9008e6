// BERT encoders on the CPU without the engine's graphs.
//
// A graph computes each text's attention to all others of its batch only to
// mask it, its matrices are not laid out for the few rows of a sentence, and
// its rounding to 16 bits makes a text's vector depend on its neighbours.
// Sentence encoders are small and all of one build, so this is worth its own
// forward pass: from the engine's weights, in 32 bits, each text by itself.
#pragma once

#include "bert_kernels.h"

#include "llama.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace gpt4all {

// A matrix in panels, so that a block of it is read from beginning to end.
struct BertMatrix {
    std::vector<float> panels;
    std::vector<float> bias;
    int64_t depth = 0;
    int64_t width = 0;
};

struct BertNorm {
    std::vector<float> weight;
    std::vector<float> bias;
};

struct BertLayer {
    BertMatrix query_key_value;
    BertMatrix output;
    BertMatrix up;
    BertMatrix down;
    BertNorm attention_norm;
    BertNorm output_norm;
};

class BertEncoder {
public:
    // NULL where the model is of another build, or its weights would take too
    // much memory a second time.
    static std::unique_ptr<BertEncoder> make(const llama_model *weights, enum llama_pooling_type pooling);

    // What one thread needs beside the weights.
    struct Scratch {
        std::vector<float> hidden;
        std::vector<float> mixed;
        std::vector<float> wide;
        std::vector<float> keys;
        std::vector<float> scores;
    };

    // Computes `n_texts` texts at once, `rows` of them giving where each vector
    // goes; as pooled. False when `stopped`, asked between layers, said so.
    bool embed(const int32_t *tokens, const int32_t *lengths, std::size_t n_texts, float *const *rows, Scratch &scratch,
               const std::function<bool()> &stopped) const;

    int64_t width() const { return width_; }

private:
    BertEncoder() = default;

    void embed_tokens(const int32_t *tokens, const int32_t *lengths, std::size_t n_texts, float *hidden) const;
    void attend(const float *qkv, int64_t n_tokens, float *mixed, Scratch &scratch) const;
    void multiply(const BertMatrix &matrix, const float *from, int64_t rows, float *to) const;
    void pool(const float *hidden, int64_t n_tokens, float *vector) const;

    const BertKernels *kernels_ = nullptr;
    int64_t width_ = 0;
    int64_t n_heads_ = 0;
    int64_t inner_ = 0;
    float epsilon_ = 0.0f;
    bool first_ = false;
    const ggml_tensor *words_ = nullptr; // the engine's, in whatever type
    std::vector<float> type_;            // the same for every token
    std::vector<float> positions_;
    BertNorm norm_;
    std::vector<BertLayer> layers_;
};

} // namespace gpt4all
