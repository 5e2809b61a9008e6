// One answer from its prompt to its end.
#pragma once

#include "generate/sequence.h"
#include "model/model.h"

#include "gpt4all_backend.h"

#include <vector>

namespace gpt4all {

// Reports in `result`, also when it throws. Throws Cancelled where not even the prompt was begun.
void generate(Model &model, Sequence &sequence, std::vector<llama_token> prompt,
              const gpt4all_generate_options &options, gpt4all_token_callback callback, void *payload,
              gpt4all_generate_result &result);

} // namespace gpt4all
