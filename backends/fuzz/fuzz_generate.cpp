// Up to four calls of gpt4all_generate in a row on a model with a small
// context, so that prefixes, shifts, stops and cancelled calls meet.
//
// Input: which model, then the options of each call, its stop texts and its
// prompt, and where its first byte says so, a grammar with marks and biases,
// and how many alternatives to report.
#include "fuzz.h"

#include <cmath>
#include <cstring>
#include <iterator>
#include <map>

namespace {

constexpr const char *MODELS[] = {"tiny-llama", "tiny-gemma3", "tiny-mamba", "tiny-jamba", "tiny-t5"};
constexpr int32_t N_CTX = 24;
constexpr int MAX_CALLS = 4;
// Longer ones are for fuzz_grammar: the most ambiguous take their time.
constexpr std::size_t MAX_GRAMMAR = 120;

// Bits of a call's first byte.
enum : uint8_t {
    REUSE = 1,
    KEEP = 2,
    RENDER_SPECIAL = 4,
    RAW_NUMBERS = 8,
    SET_FLAG = 16,
    RETURN_STOP = 32,
    FORM = 64,
    LOGPROBS = 128
};
// Bits of the byte that says which form the answer is to have; the upper half counts biases.
enum : uint8_t { GRAMMAR = 1, THINKING = 2, BEGUN = 4, SET_BEFORE = 8 };

struct Call {
    gpt4all_generate_options options = {};
    std::vector<std::string> stops;
    std::vector<gpt4all_string> stop_views;
    std::string texts[3]; // grammar, and the marks around thinking
    gpt4all_string text_views[3] = {};
    std::vector<gpt4all_token_bias> biases;
    std::vector<int32_t> prompt;
    int32_t cancel = 0;
    int32_t stop_after = -1; // callbacks
    bool sets_flag = false;
    int32_t callbacks = 0;
    int32_t reports = 0;
    std::string text;
};

int32_t on_token(int32_t, const char *text, int64_t length, void *payload) {
    auto *call = static_cast<Call *>(payload);
    call->text.append(text, static_cast<std::size_t>(length));
    if (++call->callbacks != call->stop_after) return 0;
    if (!call->sets_flag) return 1;
    call->cancel = 1;
    return 0;
}

void check_report(const gpt4all_token_logprob &entry) {
    fuzz::expect(std::isfinite(entry.logprob) && entry.logprob <= 0, "a log-probability");
    fuzz::expect(entry.text_len >= 0 && (entry.text_len == 0 || entry.text != nullptr), "a reported token's text");
}

int32_t on_logprobs(const gpt4all_token_logprob *chosen, const gpt4all_token_logprob *top, int32_t n_top,
                    void *payload) {
    auto *call = static_cast<Call *>(payload);
    fuzz::expect(n_top >= 0 && n_top <= call->options.n_top_logprobs, "the number of alternatives");
    check_report(*chosen);
    for (int32_t i = 0; i < n_top; i++) {
        check_report(top[i]);
        fuzz::expect(i == 0 || top[i].logprob <= top[i - 1].logprob, "alternatives out of order");
    }
    call->reports++;
    return 0;
}

float read_float(fuzz::Input &input) {
    uint8_t bytes[4];
    for (uint8_t &byte : bytes) byte = input.byte();
    float value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

float read_bias(fuzz::Input &input) {
    const auto value = static_cast<int8_t>(input.byte());
    return value == INT8_MIN ? -INFINITY : static_cast<float>(value) / 4;
}

void read_form(fuzz::Input &input, int32_t n_vocab, Call &call) {
    gpt4all_generate_options &options = call.options;
    const uint8_t bits = input.byte();
    call.cancel = (bits & SET_BEFORE) != 0 ? 1 : 0;
    const bool wanted[] = {(bits & GRAMMAR) != 0, (bits & THINKING) != 0,
                           (bits & THINKING) != 0 && (bits & BEGUN) == 0};
    const gpt4all_string **places[] = {&options.grammar, &options.thinking_close, &options.thinking_open};
    for (std::size_t i = 0; i < std::size(wanted); i++) {
        if (!wanted[i]) continue;
        call.texts[i] = input.text().substr(0, MAX_GRAMMAR);
        call.text_views[i] = {call.texts[i].data(), static_cast<int64_t>(call.texts[i].size())};
        *places[i] = &call.text_views[i];
    }
    // One past the vocabulary is among the tokens.
    for (int i = 0; i < bits >> 4; i++) call.biases.push_back({input.byte() * 7 % (n_vocab + 1), read_bias(input)});
    options.logit_bias = call.biases.data();
    options.n_logit_bias = static_cast<int64_t>(call.biases.size());
}

void read_call(fuzz::Input &input, const gpt4all_model *model, Call &call) {
    gpt4all_generate_options &options = call.options;
    fuzz::expect(gpt4all_generate_options_init(&options, sizeof options) == GPT4ALL_OK, "init of the options");
    const uint8_t bits = input.byte();
    options.reuse_prefix = (bits & REUSE) != 0;
    options.keep_context = (bits & KEEP) != 0;
    options.render_special = (bits & RENDER_SPECIAL) != 0;
    call.sets_flag = (bits & SET_FLAG) != 0;
    if ((bits & (SET_FLAG | RETURN_STOP)) != 0) call.stop_after = input.byte() % 16;
    options.max_tokens = input.byte() % 32;
    options.n_batch = 1 + input.byte() % 20;
    options.n_keep = input.byte() % 40;
    options.top_k = static_cast<int8_t>(input.byte());
    options.repeat_last_n = static_cast<int8_t>(input.byte());
    options.seed = input.byte();
    options.temperature = (bits & RAW_NUMBERS) != 0 ? read_float(input) : static_cast<float>(input.byte()) / 64;
    if ((bits & RAW_NUMBERS) != 0) {
        for (float *value : {&options.top_p, &options.min_p, &options.repeat_penalty, &options.presence_penalty,
                             &options.frequency_penalty})
            *value = read_float(input);
    }
    const std::size_t n_stops = input.byte() % 3;
    for (std::size_t i = 0; i < n_stops; i++) call.stops.push_back(input.text());
    for (const std::string &stop : call.stops)
        call.stop_views.push_back({stop.data(), static_cast<int64_t>(stop.size())});
    options.stop = call.stop_views.data();
    options.n_stop = static_cast<int64_t>(call.stop_views.size());
    options.cancel = &call.cancel;
    gpt4all_model_info info = {};
    info.struct_size = sizeof info;
    fuzz::expect(gpt4all_model_get_info(model, &info) == GPT4ALL_OK, "model info");
    for (const char c : input.text()) call.prompt.push_back(static_cast<unsigned char>(c) * 7 % info.n_vocab);
    if ((bits & FORM) != 0) read_form(input, info.n_vocab, call);
    if ((bits & LOGPROBS) == 0) return;
    options.logprobs = on_logprobs;
    options.logprobs_payload = &call;
    options.n_top_logprobs = static_cast<int8_t>(input.byte());
}

void check(const Call &call, const gpt4all_generate_result &result, gpt4all_status status) {
    const bool formed = call.options.grammar != nullptr || !call.biases.empty();
    // A bias, or a grammar with it, may leave no token.
    if (formed && status == GPT4ALL_ERROR_DECODE) return;
    fuzz::expect_status(status, {GPT4ALL_OK, GPT4ALL_ERROR_INVALID_ARGUMENT, GPT4ALL_ERROR_CONTEXT_OVERFLOW},
                        "gpt4all_generate");
    if (status != GPT4ALL_OK) {
        // How ambiguous a grammar is may show late.
        fuzz::expect(call.callbacks == 0 || call.options.grammar != nullptr, "tokens from a refused call");
        return;
    }
    fuzz::expect(call.options.logprobs == nullptr || call.reports == result.completion_tokens, "a report a token");
    fuzz::expect(result.prompt_tokens == static_cast<int32_t>(call.prompt.size()), "prompt_tokens");
    fuzz::expect(result.cached_tokens >= 0 && result.cached_tokens < result.prompt_tokens, "cached_tokens");
    fuzz::expect(result.completion_tokens >= 0 && result.completion_tokens <= call.options.max_tokens,
                 "completion_tokens");
    // The end token, or text that was held back, may come with a callback of its own.
    const int32_t extra = call.callbacks - result.completion_tokens;
    fuzz::expect(extra == 0 || extra == 1, "a callback for each token");
    fuzz::expect(result.finish_reason >= GPT4ALL_FINISH_STOP && result.finish_reason <= GPT4ALL_FINISH_CANCELLED,
                 "finish_reason");
    for (const std::string &stop : call.stops)
        fuzz::expect(call.text.find(stop) == std::string::npos, "a stop text was shown");
}

void run(gpt4all_model *model, Call &call) {
    gpt4all_generate_result result = {};
    fuzz::expect(gpt4all_generate_result_init(&result, sizeof result) == GPT4ALL_OK, "init of the result");
    const gpt4all_status status = gpt4all_generate(model, call.prompt.data(), static_cast<int32_t>(call.prompt.size()),
                                                   &call.options, on_token, &call, &result);
    check(call, result, status);
}

// Whatever came before, the same plain call answers the same.
void expect_healthy(gpt4all_model *model) {
    static std::map<gpt4all_model *, std::string> answers;
    Call call;
    fuzz::expect(gpt4all_generate_options_init(&call.options, sizeof call.options) == GPT4ALL_OK, "init");
    call.options.temperature = 0;
    call.options.reuse_prefix = 0;
    call.options.max_tokens = 4;
    call.prompt = fuzz::tokenize(model, "Hello", GPT4ALL_TOKENIZE_ADD_SPECIAL);
    run(model, call);
    const auto [known, is_first] = answers.try_emplace(model, call.text);
    fuzz::expect(!call.text.empty() && known->second == call.text, "an earlier call changed the answer of a later one");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, std::size_t size) {
    fuzz::Input input(data, size);
    gpt4all_model *model = fuzz::model(MODELS[input.byte() % std::size(MODELS)], N_CTX);
    expect_healthy(model);
    for (int i = 0; i < MAX_CALLS && !input.done(); i++) {
        Call call;
        read_call(input, model, call);
        run(model, call);
    }
    expect_healthy(model);
    return 0;
}
