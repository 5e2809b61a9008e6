// Grammars put together from several.
#pragma once

#include <string>
#include <string_view>

namespace gpt4all {

// The rules of a grammar with `prefix` before all their names, so that they
// can stand beside others. Only names change: what it means is read later.
std::string with_prefix(std::string_view grammar, std::string_view prefix);

} // namespace gpt4all
