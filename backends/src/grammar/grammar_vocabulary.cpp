#include "grammar/grammar_vocabulary.h"

#include "base/utf8.h"

#include <algorithm>

namespace gpt4all {
namespace {

// Characters of a token that is short; one in a thousand is longer.
constexpr std::size_t SHORT = 16;
// 64 KiB each for the largest vocabularies.
constexpr std::size_t MAX_SLICES = 32;

std::size_t count_characters(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char byte) { return !is_continuation(static_cast<unsigned char>(byte)); }));
}

bool same(const std::vector<CodeRange> &a, const std::vector<CodeRange> &b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const CodeRange &one, const CodeRange &other) {
        return one.first == other.first && one.last == other.last;
    });
}

// Of any number of characters of a class.
Grammar repetition_of(const CharacterClass &characters) {
    Grammar grammar;
    grammar.classes = {characters};
    grammar.elements = {
        {GrammarElement::CHARACTER, 0}, {GrammarElement::RULE, 0}, {GrammarElement::END, 0}, {GrammarElement::END, 0}};
    grammar.alternatives = {0, 3};
    grammar.rules = {{0, 2, true}};
    return grammar;
}

} // namespace

GrammarVocabulary::GrammarVocabulary(const llama_vocab *vocab) : texts(vocab) {
    at_most_.assign(SHORT + 1, TokenMask(static_cast<std::size_t>(texts.size())));
    for (std::size_t i = 0; i < texts.n_entries(); i++) {
        const std::size_t n = count_characters(texts.entry_text(i));
        if (n <= SHORT) at_most_[n].add(token_of(i));
    }
    for (std::size_t n = 0; n < SHORT; n++) at_most_[n + 1].add_all(at_most_[n]);
}

void GrammarVocabulary::find_allowed(GrammarMatcher &matcher, const GrammarMatcher::Place &place, TokenMask &allowed) {
    const std::optional<GrammarMatcher::Run> run = matcher.run(place, SHORT);
    if (!run.has_value()) return walk(matcher, place, TokenMask(texts.n_entries()), allowed);
    const Slice &known = slice(run->characters);
    TokenMask fitting = known.tokens;
    fitting.keep(at_most_[run->length]);
    allowed.add_all(fitting);
    walk(matcher, place, known.entries, allowed);
}

// Goes over the vocabulary in order, so that the way that a token shares with
// the one before is not gone twice, nor tried again where it led nowhere.
void GrammarVocabulary::walk(GrammarMatcher &matcher, const GrammarMatcher::Place &place, const TokenMask &known,
                             TokenMask &allowed) const {
    std::vector<GrammarMatcher::Place> way = {place}; // by bytes gone
    std::string_view gone;
    std::size_t next = 0;
    for (std::size_t i = known.next_missing(0); i < texts.n_entries(); i = known.next_missing(next)) {
        const std::string_view text = texts.entry_text(i);
        std::size_t n = std::min<std::size_t>(texts.entry(i).shared, gone.size());
        if (i != next) {
            const auto limit = static_cast<std::ptrdiff_t>(std::min(gone.size(), text.size()));
            n = static_cast<std::size_t>(std::mismatch(gone.begin(), gone.begin() + limit, text.begin()).first -
                                         gone.begin());
        }
        if (way.size() <= text.size()) way.resize(text.size() + 1);
        GrammarMatcher::Place at = way[n];
        while (n < text.size() && matcher.feed(at, static_cast<unsigned char>(text[n]))) way[++n] = at;
        gone = text.substr(0, n);
        if (n == text.size()) {
            allowed.add(token_of(i));
            next = i + 1;
        } else {
            next = texts.after(i, n);
        }
    }
}

const GrammarVocabulary::Slice &GrammarVocabulary::slice(const CharacterClass &characters) {
    for (const Slice &known : slices_) {
        if (same(known.characters, characters.ranges())) return known;
    }
    if (slices_.size() == MAX_SLICES) slices_.pop_front();
    slices_.push_back(make_slice(characters));
    return slices_.back();
}

GrammarVocabulary::Slice GrammarVocabulary::make_slice(const CharacterClass &characters) const {
    TokenMask tokens(static_cast<std::size_t>(texts.size()));
    TokenMask entries(texts.n_entries());
    GrammarMatcher matcher(repetition_of(characters));
    walk(matcher, matcher.start(), entries, tokens);
    tokens.keep(at_most_[SHORT]);
    for (std::size_t i = 0; i < entries.size(); i++) {
        if (tokens.has(token_of(i))) entries.add(i);
    }
    return {characters.ranges(), std::move(tokens), std::move(entries)};
}

} // namespace gpt4all
