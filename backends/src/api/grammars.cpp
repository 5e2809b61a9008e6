#include "api/handle.h"
#include "base/guard.h"
#include "grammar/matcher.h"

#include <string_view>

gpt4all_status gpt4all_grammar_check(const gpt4all_model *model, const char *grammar, int64_t grammar_len) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(grammar, "grammar");
        if (grammar_len < 0) invalid_argument("grammar_len must not be negative");
        const std::string_view text(grammar, static_cast<std::size_t>(grammar_len));
        // The first expansion shows what could be too ambiguous from the start.
        GrammarMatcher(parse_grammar(text, model->model.vocab));
    });
}
