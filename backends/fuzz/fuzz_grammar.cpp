// Grammars, either hostile or sound, and the tokens that they let through, on a
// vocabulary of the input's own: the grammar's sources are part of this
// program, over what they need of the engine, so that thousands of inputs a
// second can be tried.
//
// Input: flags, the grammar, the marks around thinking, which of the tokens
// that may come next is taken at each step, then the vocabulary's texts.
#include "fuzz.h"

#include "base/cancel.h"
#include "grammar/constraint.h"

#include <cmath>
#include <optional>

namespace {

enum : uint8_t { THINKING = 1, CANCEL = 2 };

constexpr std::size_t MAX_STEPS = 24;
constexpr std::size_t MAX_TEXTS = 40;
constexpr llama_token END = 0;
constexpr llama_token CONTROL = 1;

// Every byte is a token, so that a text that can go on can do so with one.
llama_vocab read_vocabulary(fuzz::Input &input) {
    llama_vocab vocab = {{"</s>", "<|x|>"}, END, CONTROL};
    for (int byte = 0; byte < 256; byte++) vocab.texts.emplace_back(1, static_cast<char>(byte));
    for (std::size_t i = 0; i < MAX_TEXTS && !input.done(); i++) vocab.texts.push_back(input.text());
    return vocab;
}

struct Case {
    std::string grammar;
    gpt4all::GrammarScope scope;
    std::string choices;
    llama_vocab vocab;
    int32_t cancel = 0;
    std::size_t cancel_at = MAX_STEPS; // step
};

Case read_case(fuzz::Input &input) {
    Case drawn;
    const uint8_t flags = input.byte();
    drawn.grammar = input.text();
    if ((flags & THINKING) != 0) {
        drawn.scope.thinking.open = input.text();
        drawn.scope.thinking.close = input.text();
    }
    if ((flags & CANCEL) != 0) drawn.cancel_at = flags >> 4;
    drawn.choices = input.text();
    drawn.vocab = read_vocabulary(input);
    return drawn;
}

// Goes one token on; nothing at the end. All tokens at once, by the trie and
// from what is remembered, against each one by itself.
std::optional<llama_token> step(gpt4all::GrammarConstraint &constraint, const Case &drawn, std::size_t number) {
    const std::size_t n_vocab = drawn.vocab.texts.size();
    const bool finished = constraint.finished();
    std::vector<float> logits(n_vocab, 0.0f);
    const bool any = constraint.mask(logits.data());
    std::vector<llama_token> allowed;
    for (std::size_t id = 0; id < n_vocab; id++) {
        const auto token = static_cast<llama_token>(id);
        const bool taken = std::isfinite(logits[id]);
        fuzz::expect(constraint.allows(token) == taken, "one token and all tokens at once give different answers");
        fuzz::expect(!(taken && finished) || token == END, "something follows what nothing may follow");
        if (taken) allowed.push_back(token);
    }
    fuzz::expect(any == !allowed.empty(), "whether any token is left");
    // A grammar may name the end token, which never stands for itself.
    fuzz::expect(any || drawn.grammar.find('<') != std::string::npos, "the grammar led to a dead end");
    if (!any) return std::nullopt;
    const auto choice = static_cast<unsigned char>(number < drawn.choices.size() ? drawn.choices[number] : 0);
    return allowed[choice % allowed.size()];
}

// What was taken, token by token, is a text of the grammar by its bytes as well.
void check_text(const gpt4all::Grammar &grammar, const std::string &text) {
    gpt4all::GrammarMatcher matcher(grammar);
    gpt4all::GrammarMatcher::Place place = matcher.start();
    fuzz::expect(matcher.feed(place, text) && matcher.may_end(place), "the whole text does not fit the grammar");
}

// A constraint that has been nowhere else says the same of a place.
void check_afresh(const Case &drawn, const gpt4all::Grammar &grammar, gpt4all::GrammarVocabulary &vocabulary,
                  const std::vector<llama_token> &taken, gpt4all::GrammarConstraint &used) {
    gpt4all::GrammarConstraint fresh(grammar, drawn.scope, vocabulary, &drawn.vocab);
    for (const llama_token token : taken) fresh.accept(token);
    std::vector<float> ours(drawn.vocab.texts.size(), 0.0f);
    std::vector<float> theirs = ours;
    const bool any = used.mask(ours.data());
    fuzz::expect(fresh.mask(theirs.data()) == any && ours == theirs, "what is remembered changes what is allowed");
}

void follow(Case &drawn) {
    const gpt4all::Grammar grammar = gpt4all::parse_grammar(drawn.grammar, &drawn.vocab);
    gpt4all::GrammarVocabulary vocabulary(&drawn.vocab);
    gpt4all::GrammarConstraint constraint(grammar, drawn.scope, vocabulary, &drawn.vocab, &drawn.cancel);
    std::string text;
    std::vector<llama_token> taken;
    const bool by_text = drawn.scope.thinking.close.empty() && drawn.grammar.find('<') == std::string::npos;
    for (std::size_t i = 0; i < MAX_STEPS; i++) {
        drawn.cancel = i >= drawn.cancel_at ? 1 : 0;
        const std::optional<llama_token> token = step(constraint, drawn, i);
        if (!token.has_value()) return;
        if (*token == END) {
            if (by_text) check_text(grammar, text);
            return;
        }
        text += vocabulary.texts.text(*token);
        taken.push_back(*token);
        constraint.accept(*token);
    }
    check_afresh(drawn, grammar, vocabulary, taken, constraint);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, std::size_t size) {
    fuzz::Input input(data, size);
    Case drawn = read_case(input);
    try {
        follow(drawn);
    } catch (const gpt4all::Cancelled &) {
        fuzz::expect(drawn.cancel != 0, "cancelled without a reason");
    } catch (const gpt4all::Error &error) {
        fuzz::expect(error.status() == GPT4ALL_ERROR_INVALID_ARGUMENT && error.what()[0] != '\0', error.what());
    }
    return 0;
}
