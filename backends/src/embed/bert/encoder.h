// BERT encoders on the CPU without the engine's graphs.
//
// A graph computes each text's attention to all others of its batch only to
// mask it, its matrices are not laid out for the few rows of a sentence, and
// its rounding to 16 bits makes a text's vector depend on its neighbours.
// Sentence encoders are small and all of one build, so this is worth its own
// forward pass: from the engine's weights, with sums in 32 bits, each text by
// itself.
#pragma once

#include "embed/bert/kernels.h"
#include "embed/bert/team.h"

#include "llama.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <vector>

namespace gpt4all {

// For numbers that are read a cache line at a time.
template <class T> struct CacheAligned {
    using value_type = T;
    static constexpr std::align_val_t LINE{64};
    CacheAligned() = default;
    template <class U> CacheAligned(const CacheAligned<U> &) {}
    T *allocate(std::size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), LINE)); }
    void deallocate(T *values, std::size_t) { ::operator delete(values, LINE); }
    template <class U> bool operator==(const CacheAligned<U> &) const { return true; }
    template <class U> bool operator!=(const CacheAligned<U> &) const { return false; }
};
using BertFloats = std::vector<float, CacheAligned<float>>;
using BertBytes = std::vector<std::byte, CacheAligned<std::byte>>;

// A matrix in panels, so that a block of it is read from beginning to end.
struct BertMatrix {
    BertProducts products = {};
    BertBytes panels;
    std::vector<float> bias;
    int64_t depth = 0;
    int64_t width = 0;
};

struct BertNorm {
    std::vector<float> weight;
    std::vector<float> bias;
};

struct BertLayer {
    BertMatrix query;
    BertMatrix key_value;
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

    // What one caller needs beside the weights.
    struct Scratch {
        BertFloats hidden;
        BertFloats mixed;
        BertFloats wide;
        // `hidden`, and `mixed` or `wide`, as operands of the fast products where those are not floats.
        BertBytes hidden_operands;
        BertBytes other_operands;
        // Of each member of the team.
        struct Attention {
            BertFloats keys;
            BertFloats scores;
        };
        std::vector<Attention> attention;
    };

    // Computes `n_texts` texts at once, `rows` of them giving where each vector
    // goes; as pooled. False when `stopped`, asked between layers, said so.
    bool embed(const int32_t *tokens, const int32_t *lengths, std::size_t n_texts, float *const *rows, Scratch &scratch,
               BertTeam &team, const std::function<bool()> &stopped) const;

    int64_t width() const { return width_; }

private:
    BertEncoder() = default;

    class Pass;

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
