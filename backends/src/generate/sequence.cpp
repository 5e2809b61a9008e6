#include "generate/sequence.h"

#include "model/load_options.h"

#include <algorithm>
#include <new>
#include <utility>

namespace gpt4all {
namespace {

// Tokens of a prompt that follow a checkpoint: a template may change the last ones once the answer is there, such as
// those that open a model's thoughts, and a prompt that comes again has some left to compute.
constexpr std::size_t AFTER_CHECKPOINT = 4;

} // namespace

Sequence::Sequence(Model &model, llama_seq_id id, PrefixCache &displaced)
    : model_(model), id_(id), displaced_(displaced) {}

std::size_t Sequence::begin(const std::vector<llama_token> &prompt, bool reuse, bool keep) {
    std::size_t reused = reuse ? reusable(prompt) : 0;
    const std::size_t beaten = reused + MIN_WORTH_COPYING;
    const SavedContext *found = reuse ? displaced_.find(prompt.data(), prompt.size() - 1, beaten) : nullptr;
    std::optional<SavedContext> left = save(beaten);
    if (found != nullptr) {
        load(*found);
        reused = reusable(prompt);
    }
    if (!take_back(reused)) {
        forget();
        reused = 0;
    }
    keep_ = keep;
    if (left) displaced_.store(std::move(*left));
    return reused;
}

// In place of the present context.
void Sequence::load(const SavedContext &saved) {
    forget();
    HeldTokens held = saved.held;
    std::vector<uint8_t> checkpoint = saved.checkpoint;
    if (llama_state_seq_set_data(model_.context.get(), saved.state.data(), saved.state.size(), id_) == 0) {
        return forget();
    }
    held_ = std::move(held);
    // From here on the saved one may be gone.
    if (displaced_.claim(checkpoint.size(), true)) {
        checkpoint_ = std::move(checkpoint);
    } else {
        held_.checkpoint = 0;
    }
}

// To its first `n` tokens, which reusable() found, or to the checkpoint. False where there is nothing to go on from.
bool Sequence::take_back(std::size_t n) {
    if (n == 0 || (n == held_.checkpoint && !restore_checkpoint())) return false;
    llama_memory_t memory = llama_get_memory(model_.context.get());
    if (!llama_memory_seq_rm(memory, id_, static_cast<llama_pos>(n), -1)) return false;
    // Where the memory has lost more than was taken for known, all is computed again.
    if (llama_memory_seq_pos_max(memory, id_) + 1 != static_cast<llama_pos>(n)) return false;
    held_.tokens.resize(n);
    held_.exact = std::min(held_.exact, n);
    if (held_.checkpoint > n) drop_checkpoint();
    return true;
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
    SavedContext saved = {held(), std::vector<uint8_t>(size), checkpoint_};
    if (llama_state_seq_get_data(context, saved.state.data(), size, id_) != size) return {};
    return saved;
}

void Sequence::add(const llama_token *tokens, std::size_t n) {
    const bool was_exact = held_.exact == held_.tokens.size();
    held_.tokens.insert(held_.tokens.end(), tokens, tokens + n);
    if (was_exact) held_.exact = held_.tokens.size();
}

std::size_t Sequence::checkpoint_place(const std::vector<llama_token> &prompt) const {
    const MemoryKind &kind = displaced_.kind();
    const std::size_t n = prompt.size() - std::min(prompt.size(), AFTER_CHECKPOINT);
    if (n < MIN_WORTH_COPYING || n <= size()) return 0;
    const bool moves_on =
        kind.window > 0 && n > static_cast<std::size_t>(kind.window) && !keeps_all_of_windows(model_.n_ctx);
    return kind.recurrent || moves_on ? n : 0;
}

void Sequence::make_checkpoint() {
    if (held_.exact < size()) return;
    drop_checkpoint();
    llama_context *context = model_.context.get();
    const std::size_t bytes = llama_state_seq_get_size_ext(context, id_, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY);
    if (bytes == 0 || !displaced_.claim(bytes, keep_)) return;
    try {
        checkpoint_.resize(bytes);
    } catch (const std::bad_alloc &) {
        displaced_.release(bytes);
        return;
    }
    held_.checkpoint = size();
    if (llama_state_seq_get_data_ext(context, checkpoint_.data(), bytes, id_, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY) !=
        bytes) {
        drop_checkpoint();
    }
}

bool Sequence::restore_checkpoint() {
    return llama_state_seq_set_data_ext(model_.context.get(), checkpoint_.data(), checkpoint_.size(), id_,
                                        LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY) != 0;
}

void Sequence::drop_checkpoint() {
    displaced_.release(checkpoint_.size());
    checkpoint_ = {};
    held_.checkpoint = 0;
}

std::vector<llama_token> Sequence::after_interruption() {
    llama_memory_t memory = llama_get_memory(model_.context.get());
    const auto stored = static_cast<std::size_t>(llama_memory_seq_pos_max(memory, id_) + 1);
    const bool recurrent = displaced_.kind().recurrent;
    if (!recurrent && stored >= size() && llama_memory_seq_rm(memory, id_, static_cast<llama_pos>(size()), -1)) {
        return {};
    }
    std::vector<llama_token> before = held_.tokens;
    if (!take_back(held_.checkpoint)) forget();
    before.erase(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(size()));
    return before;
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
        model_.shift_pending = true;
        held_.exact = std::min(held_.exact, keep);
        if (held_.checkpoint > keep) drop_checkpoint();
        held_.tokens = std::move(rest);
        return {};
    }
    forget();
    return rest;
}

void Sequence::forget() {
    drop_checkpoint();
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
