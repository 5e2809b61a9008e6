#include "generate/prefix_cache.h"

#include <algorithm>

namespace gpt4all {

std::size_t reusable_prefix(const HeldTokens &held, const llama_token *wanted, std::size_t n_wanted,
                            const MemoryKind &kind) {
    const llama_token *end = wanted + std::min(held.exact, n_wanted);
    const auto n = static_cast<std::size_t>(std::mismatch(wanted, end, held.tokens.data()).first - wanted);
    if (n == held.tokens.size()) return n;
    if (kind.recurrent) return 0;
    const llama_pos needed = std::max<llama_pos>(0, static_cast<llama_pos>(n) - kind.window);
    return kind.window > 0 && held.first > needed ? 0 : n;
}

const SavedContext *PrefixCache::find(const llama_token *wanted, std::size_t n_wanted, std::size_t beaten) {
    Place best = saved_.end();
    for (Place it = saved_.begin(); it != saved_.end(); ++it) {
        const std::size_t reusable = reusable_prefix(it->held, wanted, n_wanted, kind_);
        if (reusable <= beaten) continue;
        best = it;
        beaten = reusable;
    }
    if (best == saved_.end()) return nullptr;
    // Who goes on where it ends will be stored in its place.
    if (beaten == best->held.tokens.size()) saved_.splice(saved_.end(), saved_, best);
    return &*best;
}

void PrefixCache::store(SavedContext context) {
    if (context.state.size() > budget_) return;
    // What the new one can be taken back to has nothing to add.
    for (Place it = saved_.begin(); it != saved_.end();) {
        const Place current = it++;
        const HeldTokens &old = current->held;
        if (reusable_prefix(context.held, old.tokens.data(), old.exact, kind_) == old.exact) remove(current);
    }
    while (used_ + context.state.size() > budget_) remove(std::prev(saved_.end()));
    used_ += context.state.size();
    saved_.push_front(std::move(context));
}

void PrefixCache::remove(Place context) {
    used_ -= context->state.size();
    saved_.erase(context);
}

} // namespace gpt4all
