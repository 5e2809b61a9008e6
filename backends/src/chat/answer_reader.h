// What the text of an answer says.
#pragma once

#include "chat/answer_format.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace gpt4all {

// Finds out what the end of the prompt says by itself, so that answers leave it out.
void read_prompt(AnswerFormat &format);

// A JSON object of what the text says. Throws only Cancelled.
std::string read_answer(const AnswerFormat &format, std::string_view text, bool is_partial, const int32_t *cancel);

} // namespace gpt4all
