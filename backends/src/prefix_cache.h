// Contexts that another prompt displaced, kept to be continued later.
#pragma once

#include "llama.h"

#include <cstdint>
#include <list>
#include <vector>

namespace gpt4all {

// The state of one context and the tokens it stands for.
struct SavedContext {
    std::vector<llama_token> tokens;
    std::size_t exact = 0; // as gpt4all_model::exact
    std::vector<uint8_t> state;
};

// Copies in main memory, not further sequences of the context: the cells of a
// second sequence would be masked out, but still be read, for every token.
class PrefixCache {
public:
    void set_budget(std::size_t bytes) { budget_ = bytes; }

    // Copies the state of sequence 0, dropping the least recently stored
    // contexts to stay within the budget.
    void store(llama_context *context, const std::vector<llama_token> &tokens, std::size_t exact);

    // Removes and returns the context that shares most tokens with `prompt`, if
    // they are more than `beaten`. With `whole`, only contexts that `prompt`
    // continues to the last token count.
    bool take(const std::vector<llama_token> &prompt, std::size_t beaten, bool whole, SavedContext &found);

    void clear() {
        saved_.clear();
        used_ = 0;
    }

private:
    void remove(std::list<SavedContext>::iterator context);

    std::size_t budget_ = 0;
    std::size_t used_ = 0;
    std::list<SavedContext> saved_; // latest first
};

// Length of the common beginning.
std::size_t common_prefix(const std::vector<llama_token> &a, const std::vector<llama_token> &b);

} // namespace gpt4all
