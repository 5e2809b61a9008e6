#include "grammar/grammar.h"

#include "base/utf8.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <unordered_map>

namespace gpt4all {
namespace {

constexpr std::size_t MAX_TEXT = 1 << 20;
// Elements once repetitions are multiplied out: some tens of megabytes at most.
constexpr std::size_t MAX_ELEMENTS = 1 << 19;
// Groups within each other; the reader calls itself for each.
constexpr int MAX_NESTING = 200;
constexpr uint64_t NO_LIMIT = std::numeric_limits<uint64_t>::max();

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Reader {
public:
    Reader(std::string_view text, const llama_vocab *vocab) : text_(text), vocab_(vocab) {}

    Grammar read();

private:
    using Sequence = std::vector<GrammarElement>;
    struct Rule {
        std::string name;
        std::size_t first_use = 0;
        bool defined = false;
        std::vector<Sequence> alternatives;
    };

    [[noreturn]] void fail(std::size_t at, const std::string &what) const;
    char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    bool done() const { return at_ >= text_.size(); }
    bool take(char c);
    void skip_space(bool newlines);

    void read_rule();
    std::vector<Sequence> read_alternatives(int depth);
    Sequence read_sequence(int depth);
    void read_item(Sequence &sequence, int depth);
    void read_literal(Sequence &sequence);
    void read_class(Sequence &sequence);
    void read_token(Sequence &sequence);
    void read_repetition(Sequence &sequence, std::size_t start);
    uint64_t read_count();
    uint32_t read_character();
    uint32_t read_hex(int digits);
    uint32_t read_utf8();
    std::string read_name();

    void repeat(Sequence &sequence, std::size_t start, uint64_t least, uint64_t most);
    uint32_t rule_named(const std::string &name, std::size_t at);
    uint32_t new_rule(std::vector<Sequence> alternatives);
    uint32_t add_class(CharacterClass set);
    void spend(std::size_t elements);
    Grammar finish();

    std::string_view text_;
    const llama_vocab *vocab_;
    std::size_t at_ = 0;
    std::size_t spent_ = 0;
    std::vector<Rule> rules_;
    std::unordered_map<std::string, uint32_t> by_name_;
    std::vector<CharacterClass> classes_;
    std::unordered_map<uint32_t, uint32_t> single_; // classes of one character
};

void Reader::fail(std::size_t at, const std::string &what) const {
    const std::string_view before = text_.substr(0, std::min(at, text_.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    invalid_argument("grammar: line " + std::to_string(line) + ", column " + std::to_string(at - line_start + 1) +
                     ": " + what);
}

bool Reader::take(char c) {
    if (done() || text_[at_] != c) return false;
    at_++;
    return true;
}

void Reader::skip_space(bool newlines) {
    while (!done()) {
        const char c = text_[at_];
        if (c == '#') {
            while (!done() && text_[at_] != '\n' && text_[at_] != '\r') at_++;
        } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
            at_++;
        } else {
            return;
        }
    }
}

// What has no bound of its own in the text is counted here.
void Reader::spend(std::size_t elements) {
    spent_ += elements;
    if (spent_ > MAX_ELEMENTS) {
        fail(at_, "the grammar is too large: with repetitions multiplied out it has more than " +
                      std::to_string(MAX_ELEMENTS) + " elements");
    }
}

std::string Reader::read_name() {
    const std::size_t start = at_;
    while (is_name(peek())) at_++;
    if (at_ == start) fail(start, "a rule's name is expected");
    return std::string(text_.substr(start, at_ - start));
}

uint32_t Reader::rule_named(const std::string &name, std::size_t at) {
    const auto [found, is_new] = by_name_.emplace(name, static_cast<uint32_t>(rules_.size()));
    if (is_new) {
        rules_.emplace_back();
        rules_.back().name = name;
        rules_.back().first_use = at;
    }
    return found->second;
}

uint32_t Reader::new_rule(std::vector<Sequence> alternatives) {
    // A rule costs more than its elements.
    spend(2);
    rules_.emplace_back();
    rules_.back().defined = true;
    rules_.back().alternatives = std::move(alternatives);
    return static_cast<uint32_t>(rules_.size() - 1);
}

uint32_t Reader::add_class(CharacterClass set) {
    // As large as some ten elements.
    spend(10);
    classes_.push_back(std::move(set));
    return static_cast<uint32_t>(classes_.size() - 1);
}

uint32_t Reader::read_hex(int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++, at_++) {
        const char c = peek();
        if (std::isxdigit(static_cast<unsigned char>(c)) == 0)
            fail(at_, std::to_string(digits) + " hexadecimal digits are expected");
        value = value * 16 + static_cast<uint64_t>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (value > LAST_CODE) fail(at_, "there is no such character");
    return static_cast<uint32_t>(value);
}

uint32_t Reader::read_utf8() {
    const auto lead = static_cast<unsigned char>(text_[at_]);
    const int more = continuation_bytes(lead);
    if (more < 0) fail(at_, "the text is not valid UTF-8");
    uint32_t code = more == 0 ? lead : lead & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        const auto byte = static_cast<unsigned char>(peek(static_cast<std::size_t>(i)));
        if (!is_continuation(byte)) fail(at_, "the text is not valid UTF-8");
        code = code << 6 | (byte & 0x3Fu);
    }
    at_ += static_cast<std::size_t>(more) + 1;
    return code;
}

uint32_t Reader::read_character() {
    if (done()) fail(at_, "the grammar ends inside a literal or a character class");
    if (text_[at_] != '\\') return read_utf8();
    const std::size_t start = at_++;
    const char c = peek();
    at_++;
    switch (c) {
    case 'x': return read_hex(2);
    case 'u': return read_hex(4);
    case 'U': return read_hex(8);
    case 't': return '\t';
    case 'r': return '\r';
    case 'n': return '\n';
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-': return static_cast<uint32_t>(c);
    default: fail(start, "this escape is unknown");
    }
}

void Reader::read_literal(Sequence &sequence) {
    at_++;
    while (!take('"')) {
        const std::size_t start = at_;
        const uint32_t code = read_character();
        const auto found = single_.find(code);
        if (found == single_.end()) {
            CharacterClass set({{code, code}}, false);
            if (set.empty()) fail(start, "a surrogate is no character");
            single_.emplace(code, add_class(std::move(set)));
        }
        spend(1);
        sequence.push_back({GrammarElement::CHARACTER, single_.at(code)});
    }
}

void Reader::read_class(Sequence &sequence) {
    const std::size_t start = at_++;
    const bool negated = take('^');
    std::vector<CodeRange> ranges;
    while (!take(']')) {
        const std::size_t range_start = at_;
        const uint32_t first = read_character();
        uint32_t last = first;
        if (peek() == '-' && peek(1) != ']') {
            at_++;
            last = read_character();
        }
        if (last < first) fail(range_start, "this range is the wrong way round");
        spend(1);
        ranges.push_back({first, last});
    }
    CharacterClass set(std::move(ranges), negated);
    if (set.empty()) fail(start, "this character class is empty");
    sequence.push_back({GrammarElement::CHARACTER, add_class(std::move(set))});
}

// <[id]> or <text>, of which ! is the opposite.
void Reader::read_token(Sequence &sequence) {
    const bool negated = take('!');
    const std::size_t start = at_;
    if (!take('<')) fail(at_, "a token in <> is expected");
    llama_token token = -1;
    if (take('[')) {
        const uint64_t id = read_count();
        if (!take(']') || !take('>')) fail(at_, "]> is expected");
        if (id >= static_cast<uint64_t>(llama_vocab_n_tokens(vocab_))) fail(start, "the model has no such token");
        token = static_cast<llama_token>(id);
    } else {
        const std::size_t end = text_.find('>', at_);
        if (end == std::string_view::npos) fail(start, "this token has no end");
        at_ = end + 1;
        llama_token ids[2];
        const auto length = static_cast<int32_t>(at_ - start);
        if (llama_tokenize(vocab_, text_.data() + start, length, ids, 2, false, true) != 1)
            fail(start, std::string(text_.substr(start, at_ - start)) + " is not one token of the model");
        token = ids[0];
    }
    spend(1);
    sequence.push_back({negated ? GrammarElement::TOKEN_NOT : GrammarElement::TOKEN, static_cast<uint32_t>(token)});
}

uint64_t Reader::read_count() {
    const std::size_t start = at_;
    uint64_t value = 0;
    while (is_digit(peek())) {
        value = value * 10 + static_cast<uint64_t>(text_[at_++] - '0');
        if (value > MAX_ELEMENTS) fail(start, "this number is larger than " + std::to_string(MAX_ELEMENTS));
    }
    if (at_ == start) fail(start, "a number is expected");
    return value;
}

void Reader::read_repetition(Sequence &sequence, std::size_t start) {
    const std::size_t where = at_;
    uint64_t least = 0;
    uint64_t most = NO_LIMIT;
    const char sign = text_[at_++];
    if (sign == '+') least = 1;
    if (sign == '?') most = 1;
    if (sign == '{') {
        skip_space(true);
        least = most = read_count();
        skip_space(true);
        if (take(',')) {
            skip_space(true);
            most = is_digit(peek()) ? read_count() : NO_LIMIT;
            skip_space(true);
        }
        if (!take('}')) fail(at_, "} is expected");
        if (most < least) fail(where, "at most is less than at least");
    }
    if (start == sequence.size()) fail(where, "there is nothing to repeat");
    repeat(sequence, start, least, most);
}

// item{2,4} becomes: item item R2, with R2 ::= item R1 | nothing, R1 ::= item | nothing.
void Reader::repeat(Sequence &sequence, std::size_t start, uint64_t least, uint64_t most) {
    Sequence item(sequence.begin() + static_cast<std::ptrdiff_t>(start), sequence.end());
    if (item.size() > 1) item = {{GrammarElement::RULE, new_rule({item})}};
    sequence.resize(start);
    spend(least);
    sequence.insert(sequence.end(), least, item.front());
    if (most == NO_LIMIT) {
        const uint32_t again = new_rule({});
        spend(2);
        rules_[again].alternatives = {{item.front(), {GrammarElement::RULE, again}}, {}};
        sequence.push_back({GrammarElement::RULE, again});
        return;
    }
    Sequence rest;
    for (uint64_t i = least; i < most; i++) {
        Sequence next = {item.front()};
        next.insert(next.end(), rest.begin(), rest.end());
        spend(2);
        rest = {{GrammarElement::RULE, new_rule({next, {}})}};
    }
    sequence.insert(sequence.end(), rest.begin(), rest.end());
}

void Reader::read_item(Sequence &sequence, int depth) {
    const char c = text_[at_];
    if (c == '"') {
        read_literal(sequence);
    } else if (c == '[') {
        read_class(sequence);
    } else if (c == '<' || c == '!') {
        read_token(sequence);
    } else if (c == '.') {
        at_++;
        sequence.push_back({GrammarElement::CHARACTER, add_class(CharacterClass({}, true))});
    } else if (c == '(') {
        const std::size_t start = at_++;
        if (depth >= MAX_NESTING) fail(start, "groups are nested more than " + std::to_string(MAX_NESTING) + " deep");
        skip_space(true);
        const uint32_t group = new_rule(read_alternatives(depth + 1));
        if (!take(')')) fail(at_, ") is expected");
        sequence.push_back({GrammarElement::RULE, group});
    } else {
        const std::size_t start = at_;
        spend(1);
        sequence.push_back({GrammarElement::RULE, rule_named(read_name(), start)});
    }
}

Reader::Sequence Reader::read_sequence(int depth) {
    static constexpr std::string_view ITEMS = "\"[<!.(";
    static constexpr std::string_view REPETITIONS = "*+?{";
    const bool nested = depth > 0;
    Sequence sequence;
    std::size_t start = 0;
    while (!done()) {
        const char c = text_[at_];
        if (REPETITIONS.find(c) != std::string_view::npos) {
            read_repetition(sequence, start);
        } else if (is_name(c) || ITEMS.find(c) != std::string_view::npos) {
            start = sequence.size();
            read_item(sequence, depth);
        } else {
            break;
        }
        skip_space(nested);
    }
    return sequence;
}

std::vector<Reader::Sequence> Reader::read_alternatives(int depth) {
    std::vector<Sequence> alternatives;
    do {
        if (!alternatives.empty()) skip_space(true);
        spend(1);
        alternatives.push_back(read_sequence(depth));
    } while (take('|'));
    return alternatives;
}

void Reader::read_rule() {
    const std::size_t start = at_;
    const uint32_t rule = rule_named(read_name(), start);
    if (rules_[rule].defined) fail(start, "rule '" + rules_[rule].name + "' is defined a second time");
    skip_space(false);
    if (text_.substr(at_, 3) != "::=") fail(at_, "::= is expected");
    at_ += 3;
    skip_space(true);
    std::vector<Sequence> alternatives = read_alternatives(0);
    rules_[rule].alternatives = std::move(alternatives);
    rules_[rule].defined = true;
    if (!done() && peek() != '\n' && peek() != '\r') fail(at_, "this is no part of a rule");
    skip_space(true);
}

Grammar Reader::read() {
    if (text_.size() > MAX_TEXT)
        invalid_argument("grammar: the text is longer than " + std::to_string(MAX_TEXT) + " bytes");
    skip_space(true);
    while (!done()) read_rule();
    return finish();
}

Grammar Reader::finish() {
    const auto root = by_name_.find("root");
    if (root == by_name_.end() || !rules_[root->second].defined) invalid_argument("grammar: it has no rule 'root'");
    Grammar grammar;
    grammar.root = root->second;
    grammar.classes = std::move(classes_);
    for (Rule &rule : rules_) {
        if (!rule.defined) fail(rule.first_use, "rule '" + rule.name + "' is not defined");
        grammar.rules.push_back({static_cast<uint32_t>(grammar.alternatives.size()),
                                 static_cast<uint32_t>(rule.alternatives.size()), false});
        grammar.names.push_back(std::move(rule.name));
        for (const Sequence &sequence : rule.alternatives) {
            grammar.alternatives.push_back(static_cast<uint32_t>(grammar.elements.size()));
            grammar.elements.insert(grammar.elements.end(), sequence.begin(), sequence.end());
            grammar.elements.push_back({GrammarElement::END, 0});
        }
    }
    return grammar;
}

} // namespace

Grammar parse_grammar(std::string_view text, const llama_vocab *vocab) {
    Grammar grammar = Reader(text, vocab).read();
    check_grammar(grammar);
    return grammar;
}

} // namespace gpt4all
