#pragma once

namespace gpt4all {

// Throws unless gpt4all_init has succeeded.
void require_initialized();

} // namespace gpt4all
