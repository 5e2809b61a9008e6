// The options of a generation: defaults, checks, and what is made of them.
#pragma once

#include "chat/answer_format.h"
#include "grammar/constraint.h"
#include "model/model.h"

#include <memory>
#include <string>
#include <vector>

namespace gpt4all {

gpt4all_generate_options default_generate_options();

// Throws GPT4ALL_ERROR_INVALID_ARGUMENT, naming the option.
void check_generate_options(const gpt4all_generate_options &options, const llama_vocab *vocab);

// `format` is that of the answer where tools may be called, or null.
std::vector<std::string> read_stops(const gpt4all_generate_options &options, const AnswerFormat *format);

// Control tokens whose text belongs to the answer's.
std::vector<llama_token> written_tokens(const AnswerFormat *format, const llama_vocab *vocab);

// Null without a grammar. Throws Cancelled where the call was stopped.
std::unique_ptr<GrammarConstraint> make_constraint(const gpt4all_generate_options &options, const AnswerFormat *format,
                                                   Model &model);

} // namespace gpt4all
