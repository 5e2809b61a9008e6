// Random answers of one grammar over one vocabulary: at every step the mask of
// all tokens at once, in pieces of so much work, against each token by itself.
// Prints what a mask costs.
//
// usage: grammar_masks VOCABULARY GRAMMAR END STEPS SEED WORK
// The vocabulary is a file of texts, each after its length as a 32-bit number of
// this machine; END is the token that ends the generation.
#include "grammar/constraint.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>

namespace {

std::string read_file(const char *path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

llama_vocab read_vocabulary(const char *path, llama_token end) {
    const std::string data = read_file(path);
    llama_vocab vocab = {{}, end, -1};
    for (std::size_t at = 0; at + 4 <= data.size();) {
        uint32_t length = 0;
        std::memcpy(&length, data.data() + at, 4);
        vocab.texts.push_back(data.substr(at + 4, length));
        at += 4 + length;
    }
    return vocab;
}

long n_pauses = 0;

double cpu_ms() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

bool mask_in_pieces(gpt4all::GrammarConstraint &constraint, float *logits, std::size_t budget) {
    for (;;) {
        constraint.set_budget(budget);
        try {
            return constraint.mask(logits);
        } catch (const gpt4all::GrammarPaused &) {
            n_pauses++;
        }
    }
}

// The tokens that a mask leaves, which must be those that are allowed one by one.
std::vector<llama_token> allowed_tokens(gpt4all::GrammarConstraint &all, gpt4all::GrammarConstraint &single,
                                        std::size_t n_vocab, std::size_t budget, double &ms) {
    std::vector<float> logits(n_vocab, 0.5f);
    const double before = cpu_ms();
    const bool any = mask_in_pieces(all, logits.data(), budget);
    ms = cpu_ms() - before;
    std::vector<llama_token> allowed;
    for (std::size_t i = 0; i < n_vocab; i++) {
        const auto token = static_cast<llama_token>(i);
        const bool in = std::isfinite(logits[i]);
        if (single.allows(token) != in) throw std::runtime_error("token " + std::to_string(i) + " differs");
        if (in) allowed.push_back(token);
    }
    if (any == allowed.empty()) throw std::runtime_error("whether a token is left differs");
    return allowed;
}

void follow(const llama_vocab &vocab, const std::string &text, int steps, uint32_t seed, std::size_t budget) {
    gpt4all::GrammarVocabulary vocabulary(&vocab);
    const gpt4all::Grammar grammar = gpt4all::parse_grammar(text, &vocab);
    std::mt19937 random(seed);
    std::unique_ptr<gpt4all::GrammarConstraint> all, single;
    double most = 0, sum = 0;
    for (int i = 0; i < steps; i++) {
        if (all == nullptr) {
            all = std::make_unique<gpt4all::GrammarConstraint>(grammar, gpt4all::GrammarScope(), vocabulary, &vocab);
            single = std::make_unique<gpt4all::GrammarConstraint>(grammar, gpt4all::GrammarScope(), vocabulary, &vocab);
        }
        double ms = 0;
        const std::vector<llama_token> allowed = allowed_tokens(*all, *single, vocab.texts.size(), budget, ms);
        sum += ms;
        most = std::max(most, ms);
        const llama_token token = allowed.empty() ? vocab.end : allowed[random() % allowed.size()];
        if (token == vocab.end) {
            all.reset(); // and from the beginning again
            continue;
        }
        all->accept(token);
        single->accept(token);
    }
    std::printf("%d masks of %zu tokens, %.3f ms each, %.3f ms at most, %ld pauses\n", steps, vocab.texts.size(),
                sum / steps, most, n_pauses);
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    try {
        follow(read_vocabulary(argv[1], std::atoi(argv[3])), read_file(argv[2]), std::atoi(argv[4]),
               static_cast<uint32_t>(std::atoi(argv[5])), std::stoul(argv[6]));
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
