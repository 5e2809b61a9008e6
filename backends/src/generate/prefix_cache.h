// Contexts that another prompt displaced, kept to be continued later.
#pragma once

#include "llama.h"

#include <cstdint>
#include <list>
#include <vector>

namespace gpt4all {

// How far back a memory can be taken.
struct MemoryKind {
    bool recurrent = false; // only to a checkpoint
    int32_t window = 0; // as far as every position after it sees all of its window, or to a checkpoint; 0 is anywhere
};

// What a context's memory holds.
struct HeldTokens {
    std::vector<llama_token> tokens; // by position
    // How many of them, from the first, were computed in their present place;
    // what a context shift moved would differ from a fresh computation.
    std::size_t exact = 0;
    llama_pos first = 0; // position that layers with a sliding window still hold
    // How many of them there were when a copy was made of what cannot be taken back; 0 is no copy.
    std::size_t checkpoint = 0;
};

// How many leading ones of `n_wanted` tokens a memory that holds these need not
// compute again.
std::size_t reusable_prefix(const HeldTokens &held, const llama_token *wanted, std::size_t n_wanted,
                            const MemoryKind &kind);

struct SavedContext {
    HeldTokens held;
    std::vector<uint8_t> state;
    std::vector<uint8_t> checkpoint; // empty for none

    std::size_t bytes() const { return state.size() + checkpoint.size(); }
};

// Copies in main memory, not further sequences of the context: the cells of a
// second sequence would be masked out, but still be read, for every token.
class PrefixCache {
public:
    PrefixCache(std::size_t budget, const MemoryKind &kind) : budget_(budget), kind_(kind) {}

    std::size_t budget() const { return budget_; }
    const MemoryKind &kind() const { return kind_; }

    // The context of which most of the wanted tokens can be reused, if they are
    // more than `beaten`; else NULL. It stays, whoever borrows of it. Valid
    // until the next store().
    const SavedContext *find(const llama_token *wanted, std::size_t n_wanted, std::size_t beaten);

    // Drops the least recently stored contexts to stay within the budget, and
    // before them those that were continued to the end.
    void store(SavedContext context);

    // Takes room of the budget for a checkpoint in use, of stored contexts too where `displacing`. False where there is
    // none.
    bool claim(std::size_t bytes, bool displacing);
    void release(std::size_t bytes) { claimed_ -= bytes; }

private:
    using Place = std::list<SavedContext>::iterator;
    void remove(Place context);
    void make_room(std::size_t bytes);

    const std::size_t budget_;
    const MemoryKind kind_;
    std::size_t used_ = 0;
    std::size_t claimed_ = 0;
    std::list<SavedContext> saved_; // latest first
};

} // namespace gpt4all
