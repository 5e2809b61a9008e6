// Templates that would overflow the stack.
#pragma once

#include "jinja/lexer.h"

namespace gpt4all {

// Refuses what would do so while it is parsed or destroyed.
void check_nesting(const jinja::lexer_result &tokens);

} // namespace gpt4all
