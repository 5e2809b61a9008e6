#include "generate/request.h"

#include "base/cancel.h"
#include "generate/options.h"
#include "tokens/vocabulary.h"

#include "ggml.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace gpt4all {

Request::Request(Model &model, std::vector<llama_token> prompt, const gpt4all_generate_options &options,
                 const AnswerFormat *format)
    : model_(model), prompt_(std::move(prompt)), cancel_(options.cancel), max_tokens_(options.max_tokens),
      chunk_(static_cast<std::size_t>(std::min(options.n_batch, model.n_batch))),
      n_keep_(static_cast<std::size_t>(options.n_keep)), reuse_prefix_(options.reuse_prefix != 0),
      keep_context_(options.keep_context != 0), render_special_(options.render_special != 0),
      written_tokens_(written_tokens(format, model.vocab)), constraint_(make_constraint(options, format, model)),
      sampler_(options, model.vocab, model.n_ctx, constraint_.get()), logprobs_(options, model.vocab),
      stream_(read_stops(options, format)) {
    progress_.prompt_tokens = static_cast<int32_t>(prompt_.size());
    progress_.finish_reason = GPT4ALL_FINISH_NOT_YET;
    result_ = progress_;
    for (llama_token token : prompt_) sampler_.accept_prompt(token);
}

bool Request::read(int64_t timeout_us, gpt4all_token_callback callback, void *payload,
                   gpt4all_generate_result &result) {
    std::deque<Piece> pieces;
    bool over = false;
    {
        std::unique_lock<std::mutex> lock(mutex_);
        const auto has_news = [this] { return over_ || !unread_.empty(); };
        if (timeout_us < 0) {
            news_.wait(lock, has_news);
        } else {
            news_.wait_for(lock, std::chrono::microseconds(timeout_us), has_news);
        }
        pieces.swap(unread_);
        over = over_;
        result = result_;
    }
    const bool was_behind = n_unread_.fetch_sub(pieces.size()) >= MOST_UNREAD;
    if (was_behind && on_room) on_room();
    hand_over(pieces, callback, payload);
    result.completion_tokens = n_told_;
    if (!over) {
        result.finish_reason = GPT4ALL_FINISH_NOT_YET;
        return false;
    }
    if (status_ != GPT4ALL_OK) throw Error(status_, message_);
    if (cut_) result.finish_reason = GPT4ALL_FINISH_CANCELLED;
    return true;
}

void Request::hand_over(const std::deque<Piece> &pieces, gpt4all_token_callback callback, void *payload) {
    try {
        for (const Piece &piece : pieces) {
            if (cut_) return;
            if (piece.token != LLAMA_TOKEN_NULL && is_set(cancel_)) {
                // What was computed ahead is not wanted, but all of what came before.
                cut_ = true;
                if (!held_back_.empty()) tell({LLAMA_TOKEN_NULL, false, held_back_, {}, {}}, callback, payload);
            } else {
                cut_ = !tell(piece, callback, payload);
                held_back_ = piece.held_back;
            }
            if (cut_) stop();
        }
    } catch (...) {
        // A callback threw, or memory ran out: the rest would be a text with a hole.
        cut_ = true;
        stop();
        throw;
    }
}

// False when the caller wants no more.
bool Request::tell(const Piece &piece, gpt4all_token_callback callback, void *payload) {
    if (!logprobs_.tell(piece.logprobs)) return false;
    if (piece.counts) n_told_++;
    return callback == nullptr ||
           callback(piece.token, piece.text.data(), static_cast<int64_t>(piece.text.size()), payload) == 0;
}

void Request::wait_for_end() {
    std::unique_lock<std::mutex> lock(mutex_);
    news_.wait(lock, [this] { return over_; });
}

// The flag may be gone once it has ended.
bool Request::stop_asked() const { return !ended_ && (stopped_.load(std::memory_order_relaxed) || is_set(cancel_)); }

void Request::begin(Sequence &sequence) {
    sequence_ = &sequence;
    started_us_ = ggml_time_us();
    if (model_.has_trait(GPT4ALL_TRAIT_ENCODER)) {
        sequence.forget();
        return;
    }
    const std::size_t reused = sequence.begin(prompt_, reuse_prefix_, keep_context_);
    progress_.cached_tokens = static_cast<int32_t>(reused);
    pending_.assign(prompt_.begin() + static_cast<std::ptrdiff_t>(reused), prompt_.end());
    if (reuse_prefix_) checkpoint_at_ = sequence.checkpoint_place(prompt_);
}

std::size_t Request::chunk() const {
    const std::size_t held = sequence_->size();
    return held < checkpoint_at_ ? std::min(chunk_, checkpoint_at_ - held) : chunk_;
}

bool Request::make_room() {
    // Drops the oldest half of a full context after what must stay.
    if (!answers() || sequence_->size() < static_cast<std::size_t>(model_.n_ctx)) return true;
    const std::size_t keep = std::min(n_keep_, prompt_.size());
    if (keep + 1 >= sequence_->size()) {
        finish(GPT4ALL_FINISH_LENGTH);
        return false;
    }
    progress_.context_shifts++;
    std::vector<llama_token> rest = sequence_->drop_oldest(keep);
    if (rest.empty()) return true;
    afterwards_ = std::exchange(pending_, std::move(rest));
    n_computed_ = 0;
    return true;
}

void Request::compute_again(std::vector<llama_token> tokens) {
    if (tokens.empty()) return;
    tokens.insert(tokens.end(), pending_.begin() + static_cast<std::ptrdiff_t>(n_computed_), pending_.end());
    pending_ = std::move(tokens);
    n_computed_ = 0;
}

void Request::computed(std::size_t n) {
    sequence_->add(pending_.data() + n_computed_, n);
    n_computed_ += n;
    if (sequence_->size() == checkpoint_at_ && !answering_) sequence_->make_checkpoint();
    if (n_left() > 0 || afterwards_.empty()) return;
    pending_ = std::exchange(afterwards_, {});
    n_computed_ = 0;
}

void Request::advance(float *logits, std::size_t grammar_work) {
    if (!answering_) {
        answering_ = true;
        prompt_done_us_ = ggml_time_us();
        progress_.prompt_us = prompt_done_us_ - started_us_;
        // A grammar may allow the empty text and no other.
        if (complete()) return finish(GPT4ALL_FINISH_STOP);
        if (max_tokens_ == 0) return finish(GPT4ALL_FINISH_LENGTH);
    }
    if (choose(logits, grammar_work)) return;
    kept_logits_.assign(logits, logits + llama_vocab_n_tokens(model_.vocab));
}

void Request::choose_on(std::size_t grammar_work) {
    if (choose(kept_logits_.data(), grammar_work)) kept_logits_ = {};
}

// False where that takes more work than it may do now.
bool Request::choose(float *logits, std::size_t grammar_work) {
    if (constraint_ != nullptr) constraint_->set_budget(grammar_work);
    try {
        take_token(logits, sampler_.sample(logits));
    } catch (const GrammarPaused &) {
        return false;
    }
    return true;
}

void Request::take_token(const float *logits, llama_token token) {
    sampler_.accept(token);
    if (llama_vocab_is_eog(model_.vocab, token)) {
        stream_.finish();
        say(token, false, {});
        return finish(GPT4ALL_FINISH_STOP);
    }
    TokenLogprobs measured = logprobs_.measure(logits, token);
    if (constraint_ != nullptr) constraint_->accept(token);
    const bool ends = complete();
    const bool written = std::find(written_tokens_.begin(), written_tokens_.end(), token) != written_tokens_.end();
    const bool stopped = stream_.feed(token_text(model_.vocab, token, render_special_ || written));
    const bool last = ends || ++n_said_ == max_tokens_;
    if (last && !stopped) stream_.finish();
    say(token, true, std::move(measured));
    if (stopped || ends) return finish(GPT4ALL_FINISH_STOP);
    if (last) return finish(GPT4ALL_FINISH_LENGTH);
    pending_.assign(1, token);
    n_computed_ = 0;
}

void Request::say(llama_token token, bool counts, TokenLogprobs logprobs) {
    Piece piece = {token, counts, stream_.take(), stream_.held_back(), std::move(logprobs)};
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        result_ = progress_;
        unread_.push_back(std::move(piece));
        n_unread_.fetch_add(1);
    }
    news_.notify_all();
}

void Request::finish(int32_t reason) {
    stream_.finish();
    if (stream_.has_ready()) say(LLAMA_TOKEN_NULL, false, {});
    progress_.finish_reason = reason;
    end();
}

void Request::fail(gpt4all_status status, const std::string &message) noexcept {
    status_ = status;
    try {
        message_ = message;
    } catch (const std::exception &) {
        // The status says enough.
    }
    end();
}

void Request::end() {
    if (prompt_done_us_ != 0) {
        progress_.completion_us = ggml_time_us() - prompt_done_us_;
    } else if (started_us_ != 0) {
        progress_.prompt_us = ggml_time_us() - started_us_;
    }
    ended_ = true;
    {
        // Notified under the lock: the reader may free the request as soon as it has it.
        const std::lock_guard<std::mutex> lock(mutex_);
        result_ = progress_;
        over_ = true;
        news_.notify_all();
    }
}

} // namespace gpt4all
