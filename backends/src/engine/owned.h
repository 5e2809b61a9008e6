// What the engine gives and wants back.
#pragma once

#include "llama.h"

#include <memory>

namespace gpt4all {

struct FreeWeights {
    void operator()(llama_model *weights) const { llama_model_free(weights); }
};
struct FreeContext {
    void operator()(llama_context *context) const { llama_free(context); }
};

using Weights = std::unique_ptr<llama_model, FreeWeights>;
using Context = std::unique_ptr<llama_context, FreeContext>;

} // namespace gpt4all
