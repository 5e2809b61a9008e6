#include "prefix_cache.h"

#include <algorithm>

namespace gpt4all {

std::size_t common_prefix(const std::vector<llama_token> &a, const std::vector<llama_token> &b) {
    const std::size_t n = std::min(a.size(), b.size());
    return static_cast<std::size_t>(
        std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first - a.begin());
}

void PrefixCache::store(llama_context *context, const std::vector<llama_token> &tokens, std::size_t exact) {
    const std::size_t size = llama_state_seq_get_size(context, 0);
    if (size > budget_) return;
    // A context that the new one continues has nothing to add.
    for (auto it = saved_.begin(); it != saved_.end();) {
        auto current = it++;
        if (common_prefix(current->tokens, tokens) == current->tokens.size()) remove(current);
    }
    while (used_ + size > budget_) remove(std::prev(saved_.end()));
    SavedContext saved;
    saved.tokens = tokens;
    saved.exact = exact;
    saved.state.resize(size);
    saved.state.resize(llama_state_seq_get_data(context, saved.state.data(), size, 0));
    if (saved.state.empty()) return;
    used_ += saved.state.size();
    saved_.push_front(std::move(saved));
}

bool PrefixCache::take(const std::vector<llama_token> &prompt, std::size_t beaten, bool whole, SavedContext &found) {
    auto best = saved_.end();
    for (auto it = saved_.begin(); it != saved_.end(); ++it) {
        const std::size_t shared = std::min(common_prefix(it->tokens, prompt), it->exact);
        if (shared <= beaten || (whole && shared < it->tokens.size())) continue;
        best = it;
        beaten = shared;
    }
    if (best == saved_.end()) return false;
    used_ -= best->state.size();
    found = std::move(*best);
    saved_.erase(best);
    return true;
}

void PrefixCache::remove(std::list<SavedContext>::iterator context) {
    used_ -= context->state.size();
    saved_.erase(context);
}

} // namespace gpt4all
