#include "generate/scheduler.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/thread_start.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

namespace gpt4all {
namespace {

// How soon a caller's flag is seen where nothing is computed because all readers are far behind.
constexpr std::chrono::milliseconds POLL(50);

// What all grammars together may do in a step, in expanded elements: about ten milliseconds.
constexpr std::size_t GRAMMAR_WORK = 40'000;

} // namespace

Scheduler::Scheduler(Model &model, std::size_t cache_bytes)
    : model_(model),
      displaced_(cache_bytes, {model.has_trait(GPT4ALL_TRAIT_RECURRENT), llama_model_n_swa(model.weights.get())}) {
    for (llama_seq_id id = 0; id < model.n_sequences; id++) {
        sequences_.emplace_back(model, id, displaced_);
        idle_.push_back(&sequences_.back());
    }
    // So that no request gets lost on its way from the line to a sequence.
    running_.reserve(sequences_.size());
    model_.stop_asked = [this] { return !model_.shift_pending && batch_stopped(); };
}

Scheduler::~Scheduler() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
    }
    ready_.notify_all();
    for (std::thread &thread : threads_) thread.join();
    fail_all(GPT4ALL_ERROR_CANCELLED, "the model was closed");
}

void Scheduler::submit(std::shared_ptr<Request> request) {
    request->on_room = [this] { wake(); };
    const std::lock_guard<std::mutex> lock(mutex_);
    if (broken_) refuse_broken();
    if (threads_.empty()) {
        threads_ = start_threads(1, [this](std::size_t) { run(); });
        if (threads_.empty()) throw Error(GPT4ALL_ERROR_OUT_OF_MEMORY, "no thread could be started to generate");
    }
    waiting_.push_back(std::move(request));
    ready_.notify_all();
}

void Scheduler::wake() {
    // Under the lock, or it could come between a look at what there is to do and the wait.
    const std::lock_guard<std::mutex> lock(mutex_);
    ready_.notify_all();
}

const float *Scheduler::last_logits() const {
    return last_row_ < 0 ? nullptr : llama_get_logits_ith(model_.context.get(), last_row_);
}

void Scheduler::run() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!closing_) {
        if (n_visitors_ > 0 || !has_work()) {
            if (running_.empty()) {
                ready_.wait(lock);
            } else {
                ready_.wait_for(lock, POLL);
            }
            continue;
        }
        stepping_ = true;
        lock.unlock();
        step();
        lock.lock();
        stepping_ = false;
        step_done_.notify_all();
    }
}

// Whether a step would do something.
bool Scheduler::has_work() const {
    const auto stopped = [](const auto &request) { return request->stop_asked(); };
    return (!waiting_.empty() && can_admit()) || std::any_of(waiting_.begin(), waiting_.end(), stopped) ||
           std::any_of(running_.begin(), running_.end(),
                       [&](const auto &request) { return !request->sits_out() || stopped(request); });
}

void Scheduler::step() {
    // What failed is told by an error; what was stopped is no fault, though the engine logs it as one.
    const MuteLog mute;
    try {
        AbortScope scope;
        end_stopped();
        admit();
        choose_on();
        fill_batch();
        if (!shares_.empty()) compute_batch();
    } catch (const EngineAbort &error) {
        broken_ = true;
        fail_all(error.status(), error.what());
    } catch (const Error &error) {
        fail_all(error.status(), error.what());
    } catch (const std::bad_alloc &) {
        fail_all(GPT4ALL_ERROR_OUT_OF_MEMORY, "not enough memory");
    } catch (const std::exception &error) {
        fail_all(GPT4ALL_ERROR_INTERNAL, error.what());
    }
    shares_.clear();
    for (std::size_t i = 0; i < running_.size();) {
        if (!running_[i]->ended()) {
            i++;
            continue;
        }
        idle_.push_back(running_[i]->sequence());
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

void Scheduler::end_stopped() {
    for (const auto &request : running_) {
        if (request->stop_asked()) request->finish(GPT4ALL_FINISH_CANCELLED);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto stopped = [](const auto &request) { return request->stop_asked(); };
    const auto rest = std::stable_partition(waiting_.begin(), waiting_.end(), std::not_fn(stopped));
    for (auto it = rest; it != waiting_.end(); ++it) (*it)->finish(GPT4ALL_FINISH_CANCELLED);
    waiting_.erase(rest, waiting_.end());
}

void Scheduler::admit() {
    for (;;) {
        std::shared_ptr<Request> request;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (waiting_.empty() || !can_admit()) return;
            request = waiting_.front();
            waiting_.pop_front();
        }
        Sequence *sequence = choose_sequence(*request);
        idle_.erase(std::find(idle_.begin(), idle_.end(), sequence));
        running_.push_back(request);
        last_row_ = -1;
        request->begin(*sequence);
        if (model_.has_trait(GPT4ALL_TRAIT_ENCODER)) encode_prompt(*request);
    }
}

bool Scheduler::can_admit() const {
    // An encoder's output is there for one answer at a time.
    return model_.has_trait(GPT4ALL_TRAIT_ENCODER) ? running_.empty() : !idle_.empty();
}

// The one that knows most of the prompt, so much that it is worth what is displaced; else an empty one, else one beside
// those that run, the least recently used first.
Sequence *Scheduler::choose_sequence(const Request &request) {
    const std::vector<llama_token> &prompt = request.prompt();
    Sequence *best = nullptr;
    std::size_t most = 0;
    for (Sequence *sequence : idle_) {
        const std::size_t n = request.reuses_prefix() ? sequence->reusable(prompt) : 0;
        if (n <= most || (n < Sequence::MIN_WORTH_COPYING && n < sequence->size())) continue;
        best = sequence;
        most = n;
    }
    // What was displaced from anywhere may know more, and goes where there is room.
    if (best != nullptr &&
        displaced_.find(prompt.data(), prompt.size() - 1, most + Sequence::MIN_WORTH_COPYING) == nullptr) {
        return best;
    }
    const auto cost = [this](const Sequence *sequence) {
        return std::make_pair(sequence->size() > 0, -n_running_beside(*sequence));
    };
    return *std::min_element(idle_.begin(), idle_.end(),
                             [&](const Sequence *a, const Sequence *b) { return cost(a) < cost(b); });
}

// The engine computes those together whose numbers follow each other, so one beside others makes no batch of its own.
int Scheduler::n_running_beside(const Sequence &sequence) const {
    return static_cast<int>(std::count_if(running_.begin(), running_.end(), [&](const auto &request) {
        return std::abs(request->sequence()->id() - sequence.id()) == 1;
    }));
}

// Encoder-decoder models read the prompt at once and answer from a start token.
void Scheduler::encode_prompt(Request &request) {
    std::vector<llama_token> prompt = request.prompt();
    if (prompt.size() > static_cast<std::size_t>(model_.n_batch)) {
        request.fail(GPT4ALL_ERROR_CONTEXT_OVERFLOW, "the prompt has " + std::to_string(prompt.size()) +
                                                         " tokens, but this model's encoder takes at most " +
                                                         std::to_string(model_.n_batch) + " at once");
        return;
    }
    ErrorCapture errors;
    shares_ = {{&request, 0, -1}};
    const int32_t status = model_.encode(llama_batch_get_one(prompt.data(), static_cast<int32_t>(prompt.size())));
    shares_.clear();
    if (status != 0) {
        request.sequence()->forget();
        if (request.stop_asked()) return request.finish(GPT4ALL_FINISH_CANCELLED);
        return request.fail(GPT4ALL_ERROR_DECODE, errors.text("the engine could not encode the prompt"));
    }
    llama_token start = llama_model_decoder_start_token(model_.weights.get());
    if (start < 0) start = llama_vocab_bos(model_.vocab);
    if (start < 0) {
        return request.fail(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "the model names no token to start its answer with");
    }
    request.begin_answer(start);
}

void Scheduler::fill_batch() {
    batch_.clear();
    std::vector<Request *> ready;
    for (const auto &request : running_) {
        if (request->ended() || request->sits_out() || (request->is_choosing() && request->n_left() == 0)) continue;
        if (request->make_room()) ready.push_back(request.get());
    }
    auto room = static_cast<std::size_t>(model_.n_batch);
    if (ready.size() > room) {
        take_turns(ready, room);
    } else {
        take_all(ready, room);
    }
    // In the order of the sequences: any other has the engine compute them one after the other.
    std::sort(shares_.begin(), shares_.end(),
              [](const Share &a, const Share &b) { return a.request->sequence()->id() < b.request->sequence()->id(); });
    for (Share &share : shares_) add_to_batch(share);
}

// The next token of each answer, and of the prompts what there is room for.
void Scheduler::take_all(const std::vector<Request *> &ready, std::size_t room) {
    std::vector<Request *> prompts;
    for (Request *request : ready) {
        if (!request->answers()) {
            prompts.push_back(request);
            continue;
        }
        take(*request, 1);
        room--;
    }
    if (prompts.empty()) return;
    // Even shares, and what short prompts leave of theirs goes to the others, another one first each time.
    std::rotate(prompts.begin(), prompts.begin() + static_cast<std::ptrdiff_t>(turn_++ % prompts.size()),
                prompts.end());
    std::stable_sort(prompts.begin(), prompts.end(), [](Request *a, Request *b) { return a->n_left() < b->n_left(); });
    for (std::size_t i = 0; i < prompts.size(); i++) {
        const std::size_t share = room / (prompts.size() - i);
        const std::size_t n = std::min({prompts[i]->n_left(), prompts[i]->chunk(), share});
        if (n == 0) continue;
        take(*prompts[i], n);
        room -= n;
    }
}

// One token for each as far as the room goes; whoever got one comes last the next time.
void Scheduler::take_turns(const std::vector<Request *> &ready, std::size_t room) {
    for (std::size_t i = 0; i < room; i++) take(*ready[i], 1);
    std::stable_partition(running_.begin(), running_.end(), [this](const auto &request) {
        return std::none_of(shares_.begin(), shares_.end(),
                            [&](const Share &share) { return share.request == request.get(); });
    });
}

void Scheduler::take(Request &request, std::size_t n) { shares_.push_back({&request, n, -1}); }

void Scheduler::add_to_batch(Share &share) {
    const Request &request = *share.request;
    const std::size_t begin = request.n_computed();
    const bool last = share.n == request.n_left() && request.wants_logits();
    for (std::size_t i = 0; i < share.n; i++) {
        batch_.add(request.pending()[begin + i], static_cast<llama_pos>(request.sequence()->size() + i),
                   request.sequence()->id(), last && i + 1 == share.n);
    }
    if (last) share.row = static_cast<int32_t>(batch_.size()) - 1;
}

void Scheduler::compute_batch() {
    ErrorCapture errors;
    last_row_ = -1;
    const int32_t status = model_.decode(batch_.view());
    if (status != 0) {
        repair();
        // All of the batch, that is, which ends with the next step.
        if (status == 2 || batch_stopped()) return;
        const std::string reason =
            errors.text(status == 1 ? "the engine found no room in its memory" : "the engine could not compute");
        for (const Share &share : shares_) share.request->fail(GPT4ALL_ERROR_DECODE, reason);
        return;
    }
    model_.retired_pools.clear();
    model_.shift_pending = false;
    advance();
}

// Takes all sequences back to where they are known.
void Scheduler::repair() {
    // Recurrent states of several sequences come to lie side by side: those between them may have been half moved away.
    const bool all = model_.has_trait(GPT4ALL_TRAIT_RECURRENT) && shares_.size() > 1;
    for (Sequence &sequence : sequences_) {
        const auto holds = [&](const Request &request) { return request.sequence() == &sequence; };
        const bool computed =
            std::any_of(shares_.begin(), shares_.end(), [&](const Share &share) { return holds(*share.request); });
        if (!computed && !all) continue;
        std::vector<llama_token> lost = sequence.after_interruption();
        for (const auto &request : running_) {
            if (holds(*request) && !request->ended()) request->compute_again(lost);
        }
    }
}

void Scheduler::advance() {
    for (const Share &share : shares_) share.request->computed(share.n);
    const std::size_t grammar_work = grammar_share();
    for (const Share &share : shares_) {
        if (share.row < 0) continue;
        last_row_ = share.row;
        try_for(*share.request, [&] {
            float *logits = llama_get_logits_ith(model_.context.get(), share.row);
            if (logits == nullptr) throw Error(GPT4ALL_ERROR_DECODE, "the engine gave no logits");
            share.request->advance(logits, grammar_work);
        });
    }
}

// Those whose grammars were not done with their tokens in the steps before.
void Scheduler::choose_on() {
    const std::size_t grammar_work = grammar_share();
    for (const auto &request : running_) {
        if (request->ended() || request->sits_out() || !request->is_choosing() || request->n_left() > 0) continue;
        try_for(*request, [&] { request->choose_on(grammar_work); });
    }
}

// What each grammar may do in a step.
std::size_t Scheduler::grammar_share() const {
    const auto n = std::count_if(running_.begin(), running_.end(),
                                 [](const auto &request) { return !request->ended() && request->has_grammar(); });
    return GRAMMAR_WORK / static_cast<std::size_t>(std::max<std::ptrdiff_t>(1, n));
}

// What goes wrong ends that request.
template <class Work> void Scheduler::try_for(Request &request, const Work &work) {
    try {
        work();
    } catch (const EngineAbort &) {
        throw;
    } catch (const Cancelled &) {
        request.finish(GPT4ALL_FINISH_CANCELLED);
    } catch (const Error &error) {
        request.fail(error.status(), error.what());
    } catch (const std::bad_alloc &) {
        request.fail(GPT4ALL_ERROR_OUT_OF_MEMORY, "not enough memory");
    } catch (const std::exception &error) {
        request.fail(GPT4ALL_ERROR_INTERNAL, error.what());
    }
}

bool Scheduler::batch_stopped() const {
    return !shares_.empty() &&
           std::all_of(shares_.begin(), shares_.end(), [](const Share &share) { return share.request->stop_asked(); });
}

// Nobody knows how far the engine came, so no sequence is trusted.
void Scheduler::fail_all(gpt4all_status status, const std::string &message) {
    std::deque<std::shared_ptr<Request>> waiting;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        waiting.swap(waiting_);
    }
    for (const auto &request : running_) {
        if (!request->ended()) request->fail(status, message);
    }
    for (const auto &request : waiting) {
        if (!request->ended()) request->fail(status, message);
    }
    if (broken_) return;
    for (Sequence &sequence : sequences_) sequence.forget();
    // One by one would leave a recurrent memory with what it was in the middle of.
    if (llama_memory_t memory = llama_get_memory(model_.context.get())) llama_memory_clear(memory, false);
}

} // namespace gpt4all
