// Tokenising text of which only some parts may hold control tokens.
//
// The parts are joined first: only then do words and lines that cross from one
// part into the next get the tokens they would have as one text. Between two
// control tokens the joined text is handed to the engine as plain text.
#pragma once

#include "tokens/marks.h"

#include "gpt4all_backend.h"

#include "llama.h"

#include <cstdint>
#include <vector>

namespace gpt4all {

// The parts' lengths are right, and together no more than MAX_TEXT.
std::vector<llama_token> tokenize_parts(const llama_vocab *vocab, TokenMarks &marks, const gpt4all_text_part *parts,
                                        int64_t n_parts, bool add_special);

} // namespace gpt4all
