#include "generate/sequence.h"

#include <algorithm>
#include <utility>

namespace gpt4all {

Sequence::Sequence(Model &model, llama_seq_id id, PrefixCache &displaced)
    : model_(model), id_(id), displaced_(displaced) {}

std::size_t Sequence::begin(const std::vector<llama_token> &prompt, bool reuse, bool keep) {
    llama_memory_t memory = llama_get_memory(model_.context.get());
    std::size_t reused = 0;
    if (reuse) {
        reused = switch_context(prompt);
    } else if (std::optional<SavedContext> left = save(MIN_WORTH_COPYING)) {
        displaced_.store(std::move(*left));
    }
    if (reused == 0 || !llama_memory_seq_rm(memory, id_, static_cast<llama_pos>(reused), -1)) {
        forget();
        reused = 0;
    }
    keep_ = keep;
    held_.tokens.resize(reused);
    held_.exact = std::min(held_.exact, reused);
    return reused;
}

// The present context's beginning, or that of one displaced earlier.
std::size_t Sequence::switch_context(const std::vector<llama_token> &prompt) {
    llama_context *context = model_.context.get();
    std::size_t reused = reusable(prompt);
    const std::size_t beaten = reused + MIN_WORTH_COPYING;
    const SavedContext *found = displaced_.find(prompt.data(), prompt.size() - 1, beaten);
    std::optional<SavedContext> left = save(beaten);
    if (found != nullptr) {
        forget();
        if (llama_state_seq_set_data(context, found->state.data(), found->state.size(), id_) == 0) {
            forget();
        } else {
            held_ = found->held;
        }
        reused = reusable(prompt);
    }
    if (left) displaced_.store(std::move(*left));
    return reused;
}

std::size_t Sequence::reusable(const std::vector<llama_token> &prompt) {
    return reusable_prefix(held(), prompt.data(), prompt.size() - 1, displaced_.kind());
}

const HeldTokens &Sequence::held() {
    held_.first = llama_memory_seq_pos_min(llama_get_memory(model_.context.get()), id_);
    return held_;
}

// A copy of the present context, where it is to be kept and `beaten` tokens of it or more are of use.
std::optional<SavedContext> Sequence::save(std::size_t beaten) {
    if (!keep_ || held_.exact < beaten) return {};
    llama_context *context = model_.context.get();
    const std::size_t size = llama_state_seq_get_size(context, id_);
    if (size > displaced_.budget()) return {};
    SavedContext saved = {held(), std::vector<uint8_t>(size)};
    if (llama_state_seq_get_data(context, saved.state.data(), size, id_) != size) return {};
    return saved;
}

void Sequence::add(const llama_token *tokens, std::size_t n) {
    const bool was_exact = held_.exact == held_.tokens.size();
    held_.tokens.insert(held_.tokens.end(), tokens, tokens + n);
    if (was_exact) held_.exact = held_.tokens.size();
}

void Sequence::after_interruption() {
    llama_memory_t memory = llama_get_memory(model_.context.get());
    const auto stored = static_cast<std::size_t>(llama_memory_seq_pos_max(memory, id_) + 1);
    if (model_.has_trait(GPT4ALL_TRAIT_RECURRENT) || stored < size() ||
        !llama_memory_seq_rm(memory, id_, static_cast<llama_pos>(size()), -1)) {
        forget();
    }
}

std::vector<llama_token> Sequence::drop_oldest(std::size_t keep) {
    llama_memory_t memory = llama_get_memory(model_.context.get());
    const std::size_t drop = std::max<std::size_t>(1, (size() - keep) / 2);
    std::vector<llama_token> rest(held_.tokens);
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(keep),
               rest.begin() + static_cast<std::ptrdiff_t>(keep + drop));
    const auto first = static_cast<llama_pos>(keep);
    const auto last = static_cast<llama_pos>(keep + drop);
    if (model_.can_shift() && llama_memory_seq_rm(memory, id_, first, last)) {
        llama_memory_seq_add(memory, id_, last, -1, first - last);
        held_.exact = std::min(held_.exact, keep);
        held_.tokens = std::move(rest);
        return {};
    }
    forget();
    return rest;
}

void Sequence::forget() {
    held_ = {};
    llama_memory_t memory = llama_get_memory(model_.context.get());
    if (memory == nullptr) return;
    if (model_.n_sequences == 1) {
        llama_memory_clear(memory, false);
    } else {
        llama_memory_seq_rm(memory, id_, -1, -1);
    }
}

} // namespace gpt4all
