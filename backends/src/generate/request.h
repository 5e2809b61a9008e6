// One generation: what it wants, how far it is, and what it says to who reads it.
#pragma once

#include "generate/logprobs.h"
#include "generate/sampler.h"
#include "generate/sequence.h"
#include "generate/text_stream.h"
#include "grammar/constraint.h"
#include "model/model.h"

#include "gpt4all_backend.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace gpt4all {

struct AnswerFormat;

class Request {
public:
    // Takes a copy of all but the cancel flag. Throws what is wrong with the options, or Cancelled.
    // `format` is that of the answer where tools may be called, or null.
    Request(Model &model, std::vector<llama_token> prompt, const gpt4all_generate_options &options,
            const AnswerFormat *format = nullptr);
    Request(const Request &) = delete;
    Request &operator=(const Request &) = delete;

    // The reader's, on any thread but one at a time

    // Hands over what is new, on this thread, after waiting for it `timeout_us` at most; negative is for ever. Reports
    // in `result`. False while it goes on. Throws what ended it too soon.
    bool read(int64_t timeout_us, gpt4all_token_callback callback, void *payload, gpt4all_generate_result &result);

    // Ends it soon, from anywhere.
    void stop() { stopped_.store(true, std::memory_order_relaxed); }
    void wait_for_end();

    // The scheduler's, on its thread

    bool stop_asked() const;
    // The reader is far behind.
    bool sits_out() const { return n_unread_.load(std::memory_order_relaxed) >= MOST_UNREAD; }
    bool ended() const { return ended_; }

    // Takes a sequence, and takes over what it knows of the prompt.
    void begin(Sequence &sequence);
    // An encoder has read the prompt; the answer starts from this token.
    void begin_answer(llama_token start) { pending_ = {start}; }

    Sequence *sequence() const { return sequence_; }
    const std::vector<llama_token> &prompt() const { return prompt_; }
    bool reuses_prefix() const { return reuse_prefix_; }
    // What is to be computed next.
    const std::vector<llama_token> &pending() const { return pending_; }
    std::size_t n_computed() const { return n_computed_; }
    std::size_t n_left() const { return pending_.size() - n_computed_; }
    // Whether the logits after the last of them are wanted.
    bool wants_logits() const { return afterwards_.empty() && !is_choosing(); }
    // Whether the next token is still to be found, of logits that it keeps.
    bool is_choosing() const { return !kept_logits_.empty(); }
    // Whether the next token of the answer is all that is to be computed.
    bool answers() const { return answering_ && pending_.size() == 1 && wants_logits(); }
    // Tokens that are computed at once, at most.
    std::size_t chunk() const;

    // Makes room where the sequence is full. False where the answer has to end, and does.
    bool make_room();
    // Its sequence has been taken back by these tokens.
    void compute_again(std::vector<llama_token> tokens);
    // So many of the pending tokens have been computed.
    void computed(std::size_t n);
    // All of them have, and these are the logits after the last. So much work may its grammar do until it
    // is_choosing().
    void advance(float *logits, std::size_t grammar_work);
    // Goes on with that.
    void choose_on(std::size_t grammar_work);
    bool has_grammar() const { return constraint_ != nullptr; }

    void finish(int32_t reason);
    void fail(gpt4all_status status, const std::string &message) noexcept;

    // Called, on the reader's thread, where there is room again after it was far behind.
    std::function<void()> on_room;

private:
    // Computed ahead of a slow reader before the request sits out.
    static constexpr std::size_t MOST_UNREAD = 256;

    struct Piece {
        llama_token token; // LLAMA_TOKEN_NULL: text that was held back
        bool counts;       // not those that end the generation
        std::string text;
        std::string held_back; // of it and those before
        TokenLogprobs logprobs;
    };

    void hand_over(const std::deque<Piece> &pieces, gpt4all_token_callback callback, void *payload);
    bool choose(float *logits, std::size_t grammar_work);
    void take_token(const float *logits, llama_token token);
    bool tell(const Piece &piece, gpt4all_token_callback callback, void *payload);
    void say(llama_token token, bool counts, TokenLogprobs logprobs);
    void end();
    // Whether the grammar lets nothing follow.
    bool complete() const { return constraint_ != nullptr && constraint_->finished(); }

    Model &model_;
    const std::vector<llama_token> prompt_;
    const int32_t *const cancel_;
    const int32_t max_tokens_;
    const std::size_t chunk_;
    const std::size_t n_keep_;
    const bool reuse_prefix_;
    const bool keep_context_;
    const bool render_special_;
    const std::vector<llama_token> written_tokens_; // control tokens that the text has
    std::unique_ptr<GrammarConstraint> constraint_; // null without a grammar
    Sampler sampler_;
    const LogprobReport logprobs_;
    TextStream stream_;

    Sequence *sequence_ = nullptr;
    std::vector<llama_token> pending_;
    std::size_t n_computed_ = 0;
    std::vector<float> kept_logits_;
    std::vector<llama_token> afterwards_; // what follows the pending ones, apart from them
    std::size_t checkpoint_at_ = 0;       // size of the sequence at which it makes a checkpoint, 0 for none
    bool answering_ = false;              // the prompt is done
    int32_t n_said_ = 0;
    int64_t started_us_ = 0;
    int64_t prompt_done_us_ = 0;
    gpt4all_generate_result progress_ = {};
    bool ended_ = false; // for the scheduler

    std::atomic<bool> stopped_{false};
    std::atomic<std::size_t> n_unread_{0};

    std::mutex mutex_; // what follows is shared
    std::condition_variable news_;
    std::deque<Piece> unread_;
    bool over_ = false; // for the reader
    gpt4all_generate_result result_ = {};
    gpt4all_status status_ = GPT4ALL_OK;
    std::string message_;

    // The reader's own.
    bool cut_ = false; // a callback, or the flag, wanted no more
    std::string held_back_;
    int32_t n_told_ = 0;
};

} // namespace gpt4all
