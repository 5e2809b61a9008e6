// Facts of a model, read once at load.
#pragma once

#include "gpt4all_backend.h"

#include "llama.h"

#include <cstdint>
#include <string>

namespace gpt4all {

constexpr const char *STRIP_ACCENTS_KEY = "tokenizer.ggml.normalizer.strip_accents";

// As C strings that live as long as the model.
struct ModelFacts {
    int32_t traits = 0;
    std::string architecture;
    std::string description;
    std::string quantization;
    std::string name;
    std::string basename;
    std::string chat_template;
    int32_t n_layers_offloaded = 0;
    int32_t device = -1;
    int64_t device_bytes = 0;
    enum llama_pooling_type pooling = LLAMA_POOLING_TYPE_NONE;
    int32_t wordpiece = 0; // GPT4ALL_WORDPIECE*
};

ModelFacts read_facts(const llama_model *weights, const llama_context *context, ggml_type kv_type);

// Whether the file says how it pools: then it is made for embeddings.
bool pools(const llama_model *weights);

} // namespace gpt4all
