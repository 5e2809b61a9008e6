#include "generate/options.h"

#include "tokens/vocabulary.h"

#include <cmath>
#include <utility>

namespace gpt4all {
namespace {

constexpr int32_t MAX_TOP_LOGPROBS = 1000;

void check_biases(const gpt4all_generate_options &options, const llama_vocab *vocab) {
    if (options.n_logit_bias < 0) invalid_argument("n_logit_bias must not be negative");
    if (options.n_logit_bias > 0) require(options.logit_bias, "logit_bias");
    for (int64_t i = 0; i < options.n_logit_bias; i++) {
        const gpt4all_token_bias &bias = options.logit_bias[i];
        check_token(vocab, bias.token, "logit_bias: token");
        // Minus infinity bans a token; plus infinity would make all others impossible to weigh.
        if (std::isnan(bias.bias) || (std::isinf(bias.bias) && bias.bias > 0)) {
            invalid_argument("logit_bias of token " + std::to_string(bias.token) + " is no number below infinity");
        }
    }
}

void check_text(const gpt4all_string *text, const char *name) {
    if (text == nullptr) return;
    if (text->length < 0) invalid_argument(std::string(name) + " has a negative length");
    if (text->length > 0) require(text->data, name);
}

std::string read_text(const gpt4all_string *text) {
    if (text == nullptr || text->length == 0) return "";
    return std::string(text->data, static_cast<std::size_t>(text->length));
}

} // namespace

gpt4all_generate_options default_generate_options() {
    gpt4all_generate_options options = {};
    options.max_tokens = 200;
    options.n_batch = 512;
    options.top_k = 40;
    options.temperature = 0.7f;
    options.top_p = 0.4f;
    options.min_p = 0.0f;
    options.repeat_penalty = 1.18f;
    options.repeat_last_n = 64;
    options.seed = 0;
    options.reuse_prefix = 1;
    return options;
}

void check_generate_options(const gpt4all_generate_options &options, const llama_vocab *vocab) {
    if (options.max_tokens < 0) invalid_argument("max_tokens must not be negative");
    if (options.n_batch < 1) invalid_argument("n_batch must be at least 1");
    if (!std::isfinite(options.temperature) || options.temperature < 0)
        invalid_argument("temperature must be 0 or more");
    if (std::isnan(options.top_p)) invalid_argument("top_p is not a number");
    if (!(options.min_p >= 0 && options.min_p <= 1)) invalid_argument("min_p must be from 0 to 1");
    if (!std::isfinite(options.repeat_penalty) || options.repeat_penalty <= 0) {
        invalid_argument("repeat_penalty must be more than 0");
    }
    if (options.repeat_last_n < -1) invalid_argument("repeat_last_n must be -1 or more");
    if (!std::isfinite(options.presence_penalty)) invalid_argument("presence_penalty must be finite");
    if (!std::isfinite(options.frequency_penalty)) invalid_argument("frequency_penalty must be finite");
    if (options.n_keep < 0) invalid_argument("n_keep must not be negative");
    if (options.n_stop < 0) invalid_argument("n_stop must not be negative");
    if (options.n_stop > 0) require(options.stop, "stop");
    check_biases(options, vocab);
    check_text(options.grammar, "grammar");
    check_text(options.thinking_open, "thinking_open");
    check_text(options.thinking_close, "thinking_close");
    if (!read_text(options.thinking_open).empty() && read_text(options.thinking_close).empty()) {
        invalid_argument("thinking_open needs a thinking_close");
    }
    if (options.n_top_logprobs < 0 || options.n_top_logprobs > MAX_TOP_LOGPROBS) {
        invalid_argument("n_top_logprobs must be from 0 to " + std::to_string(MAX_TOP_LOGPROBS));
    }
    if (options.chat != nullptr && (options.grammar != nullptr || !read_text(options.thinking_close).empty())) {
        invalid_argument("chat has a grammar and thinking marks of its own");
    }
    if (options.reserved != 0) invalid_argument("reserved must be 0");
}

std::vector<std::string> read_stops(const gpt4all_generate_options &options, const AnswerFormat *format) {
    std::vector<std::string> stops = format == nullptr ? std::vector<std::string>() : format->stops;
    for (int64_t i = 0; i < options.n_stop; i++) {
        const gpt4all_string &stop = options.stop[i];
        if (stop.length < 1) invalid_argument("stop holds an empty text");
        require(stop.data, "stop");
        stops.emplace_back(stop.data, static_cast<std::size_t>(stop.length));
    }
    return stops;
}

std::vector<llama_token> written_tokens(const AnswerFormat *format, const llama_vocab *vocab) {
    std::vector<llama_token> tokens;
    if (format == nullptr) return tokens;
    for (const std::string &text : format->tokens) {
        llama_token token = LLAMA_TOKEN_NULL;
        const int32_t n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), &token, 1, false, true);
        if (n == 1 && !llama_vocab_is_eog(vocab, token)) tokens.push_back(token);
    }
    return tokens;
}

std::unique_ptr<GrammarConstraint> make_constraint(const gpt4all_generate_options &options, const AnswerFormat *format,
                                                   Model &model) {
    const bool has_grammar = format == nullptr ? options.grammar != nullptr : !format->grammar.empty();
    if (!has_grammar) return nullptr;
    GrammarScope scope;
    if (format == nullptr) {
        scope.thinking = {read_text(options.thinking_open), read_text(options.thinking_close)};
    } else {
        scope = scope_of(*format);
        scope.tokens = written_tokens(format, model.vocab);
    }
    Grammar grammar = parse_grammar(format == nullptr ? read_text(options.grammar) : format->grammar, model.vocab);
    return std::make_unique<GrammarConstraint>(std::move(grammar), std::move(scope), model.words_for_grammars(),
                                               model.vocab, options.cancel);
}

} // namespace gpt4all
