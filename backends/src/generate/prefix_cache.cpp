#include "generate/prefix_cache.h"

#include <algorithm>

namespace gpt4all {

std::size_t reusable_prefix(const HeldTokens &held, const llama_token *wanted, std::size_t n_wanted,
                            const MemoryKind &kind) {
    const llama_token *end = wanted + std::min(held.exact, n_wanted);
    const auto n = static_cast<std::size_t>(std::mismatch(wanted, end, held.tokens.data()).first - wanted);
    if (n == held.tokens.size()) return n;
    const llama_pos needed = std::max<llama_pos>(0, static_cast<llama_pos>(n) - kind.window);
    if (!kind.recurrent && (kind.window == 0 || held.first <= needed)) return n;
    return held.checkpoint <= n ? held.checkpoint : 0;
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
    if (context.bytes() > budget_ - claimed_) {
        context.held.checkpoint = 0;
        context.checkpoint = {};
    }
    if (context.bytes() > budget_ - claimed_) return;
    // What the new one can be taken back to has nothing to add.
    for (Place it = saved_.begin(); it != saved_.end();) {
        const Place current = it++;
        const HeldTokens &old = current->held;
        if (reusable_prefix(context.held, old.tokens.data(), old.exact, kind_) == old.exact) remove(current);
    }
    make_room(context.bytes());
    const std::size_t bytes = context.bytes();
    saved_.push_front(std::move(context));
    used_ += bytes;
}

bool PrefixCache::claim(std::size_t bytes, bool displacing) {
    // Half of it stays for contexts.
    if (bytes > budget_ / 2 - claimed_ || (!displacing && used_ + claimed_ + bytes > budget_)) return false;
    make_room(bytes);
    claimed_ += bytes;
    return true;
}

// There is as much as that beside what is claimed.
void PrefixCache::make_room(std::size_t bytes) {
    while (used_ + claimed_ + bytes > budget_) remove(std::prev(saved_.end()));
}

void PrefixCache::remove(Place context) {
    used_ -= context->bytes();
    saved_.erase(context);
}

} // namespace gpt4all
