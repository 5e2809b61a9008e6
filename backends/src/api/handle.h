// What the ABI calls a model.
#pragma once

#include "chat/answer_format.h"
#include "generate/scheduler.h"
#include "model/model.h"

#include <atomic>

struct gpt4all_model {
    gpt4all_model(const char *path, const gpt4all_load_options &options);
    ~gpt4all_model();

    gpt4all::Model model;
    gpt4all::Scheduler scheduler;
    std::atomic<int> n_requests{0}; // not freed yet
    std::atomic_flag busy = ATOMIC_FLAG_INIT;
    // Set when the engine gave up in the middle of a computation.
    bool broken = false;
    bool is_broken() const { return broken || scheduler.broken(); }
};

// A conversation with tools, for this model alone.
struct gpt4all_chat {
    const gpt4all_model *model;
    gpt4all::AnswerFormat format;
};

namespace gpt4all {

// Claims the model for one call, or throws GPT4ALL_ERROR_BUSY.
class Claim {
public:
    explicit Claim(gpt4all_model &handle);
    ~Claim();
    Claim(const Claim &) = delete;
    Claim &operator=(const Claim &) = delete;

private:
    gpt4all_model &handle_;
};

} // namespace gpt4all
