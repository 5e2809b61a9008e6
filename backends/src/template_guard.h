// Puts guards into a parsed chat template.
#pragma once

#include "jinja/lexer.h"
#include "jinja/runtime.h"

#include <cstddef>

namespace gpt4all {

// Refuses what would overflow the stack while it is parsed or destroyed.
void check_nesting(const jinja::lexer_result &tokens);

// Wraps the program's statements so that a run keeps to its TemplateScope and
// knows which text is input. Gives the cost of one scope: the engine copies
// all variables into each.
std::size_t guard_template(jinja::program &program);

} // namespace gpt4all
