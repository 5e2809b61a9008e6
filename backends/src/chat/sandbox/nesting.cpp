// The parser recurses for what is nested, and destructors for what is chained:
// both would overflow the stack on templates made for it.
#include "chat/sandbox/nesting.h"
#include "chat/sandbox/scope.h"

#include <string>
#include <vector>

namespace gpt4all {
namespace {

constexpr std::size_t MAX_NESTING = 96; // brackets and blocks
constexpr std::size_t MAX_CHAIN = 400;  // links of a + b.c | d ... in one block

bool is_link(const jinja::token &token) {
    switch (token.t) {
    case jinja::token::dot:
    case jinja::token::pipe:
    case jinja::token::open_paren:
    case jinja::token::open_square_bracket:
    case jinja::token::additive_binary_operator:
    case jinja::token::multiplicative_binary_operator:
    case jinja::token::comparison_binary_operator:
    case jinja::token::unary_operator: return true;
    case jinja::token::identifier:
        return token.value == "and" || token.value == "or" || token.value == "not" || token.value == "in" ||
               token.value == "is" || token.value == "if" || token.value == "else";
    default: return false;
    }
}

// How deep the parser would recurse.
class Nesting {
public:
    // The statement whose name is token `at`.
    void open_block(const std::vector<jinja::token> &tokens, std::size_t at) {
        if (at >= tokens.size()) return;
        const std::string &word = tokens[at].value;
        if (word == "if" || word == "for" || word == "macro" || word == "call" || word == "filter") {
            blocks_.push_back(1);
            depth_++;
        } else if (word == "set") {
            while (at < tokens.size() && tokens[at].t != jinja::token::equals) {
                if (tokens[at++].t != jinja::token::close_statement) continue;
                blocks_.push_back(1);
                depth_++;
                break;
            }
        } else if (word == "elif" && !blocks_.empty()) {
            // An if within the one before, until that ends.
            blocks_.back()++;
            depth_++;
        } else if (word.rfind("end", 0) == 0 && word != "endgeneration" && !blocks_.empty()) {
            depth_ -= blocks_.back();
            blocks_.pop_back();
        }
    }

    void start() { brackets_ = prefixes_ = links_ = 0; }

    void add(const jinja::token &token) {
        switch (token.t) {
        case jinja::token::open_paren:
        case jinja::token::open_square_bracket:
        case jinja::token::open_curly_bracket: brackets_++; break;
        case jinja::token::close_paren:
        case jinja::token::close_square_bracket:
        case jinja::token::close_curly_bracket: brackets_ -= brackets_ > 0 ? 1 : 0; break;
        case jinja::token::unary_operator: prefixes_++; break;
        case jinja::token::identifier: prefixes_ += token.value == "not" || token.value == "else" ? 1 : 0; break;
        default: break;
        }
        links_ += is_link(token) ? 1 : 0;
        if (depth_ > MAX_NESTING || brackets_ > MAX_NESTING || prefixes_ > MAX_NESTING || links_ > MAX_CHAIN) {
            throw TemplateLimit{"it is nested too deeply"};
        }
    }

private:
    std::vector<std::size_t> blocks_; // each an if with its elifs
    std::size_t depth_ = 0;
    std::size_t brackets_ = 0;
    std::size_t prefixes_ = 0;
    std::size_t links_ = 0;
};

} // namespace

void check_nesting(const jinja::lexer_result &lexed) {
    Nesting nesting;
    for (std::size_t i = 0; i < lexed.tokens.size(); i++) {
        const jinja::token &token = lexed.tokens[i];
        if (token.t == jinja::token::open_statement) nesting.open_block(lexed.tokens, i + 1);
        if (token.t == jinja::token::open_statement || token.t == jinja::token::open_expression) nesting.start();
        nesting.add(token);
    }
}

} // namespace gpt4all
